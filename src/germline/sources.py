"""The owner's exam material that a plan names: tone probes, law cards, challenge cards.

Laws are pinned. Their texts are kept in the store as one book, whose digest every ledger entry carries;
exams are written from the book, never from the files, and files that differ from it stop an evolve.
"""

from __future__ import annotations

import glob
import json
from collections.abc import Iterable
from pathlib import Path

from germline import foreign
from germline.errors import PlanError
from germline.evals.cards import Card, law_cards, read_cards
from germline.lineage import Lineage
from germline.records import canonical_json, digest_of
from germline.settings import Exams
from germline.store import ledger, objects
from germline.store.entry import LAWS, Entry


def probes(settings: Exams, root: Path) -> tuple[str, ...]:
    """The tone probes, one a line; empty lines and lines that begin with # are skipped."""
    if not settings.probes:
        return ()
    path = root / settings.probes
    try:
        lines = foreign.read(path).decode("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        said = getattr(error, "strerror", None) or error
        hint = f"a relative path starts at {root.as_posix()}"
        raise PlanError(f"exams.probes: {path} cannot be read: {said}", hint=hint) from None
    return tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))


def cards(settings: Exams, root: Path) -> tuple[Card, ...]:
    """The challenge cards that a plan names. PlanError if two of them, or one and a law's card, have one id."""
    if not settings.cards:
        return ()
    path = root / settings.cards
    found = read_cards(path)
    laws = [(law, card) for law, text in _laws(settings, root) for card in law_cards(text, law)]
    named = [*laws, *((path, card) for card in found)]
    _require_distinct(named)
    _require_room(named, settings)
    return found


def law_book(settings: Exams, root: Path) -> bytes:
    """Name and text of every law file that a plan names, byte for byte, by name: what is pinned.

    Where the files lie is no part of it. A pattern that finds no law is an error, and so is a law that
    holds no cards, or a card with another's id.
    """
    laws = _laws(settings, root)
    named = [(path, card) for path, text in laws for card in law_cards(text, path)]
    _require_distinct(named)
    _require_room(named, settings)
    return canonical_json(sorted((path.name, text) for path, text in laws))


def _laws(settings: Exams, root: Path) -> list[tuple[Path, str]]:
    """The law files that a plan names, with their texts. Files of one name and one text are one law."""
    found: dict[tuple[str, str], Path] = {}
    for pattern in settings.laws:
        paths = sorted(root / name for name in glob.glob(pattern, root_dir=root))  # noqa: PTH207 - takes `..` and absolute
        if not paths:
            raise PlanError(f"exams.laws: {pattern!r} matches no file", hint=f"paths start at {root}")
        for path in paths:
            try:
                text = foreign.read(path).decode("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise PlanError(f"{path}: cannot be read: {error}") from None
            found.setdefault((path.name, text), path)
    return [(path, text) for (_, text), path in found.items()]


def _require_distinct(cards: Iterable[tuple[Path, Card]]) -> None:
    """PlanError if two cards have one id: marks go by it, and a law that is broken would hide behind one that holds."""
    first: dict[str, Path] = {}
    for path, card in cards:
        if card.id in first:
            raise PlanError(
                f"{path}: card {card.id}: another card, in {first[card.id]}, has this id",
                hint='give one of the files another `id = "…"` above its cards, or one of the cards an `id` of its own',
            )
        first[card.id] = path


def _require_room(cards: Iterable[tuple[Path, Card]], settings: Exams) -> None:
    """PlanError if a reply is cut before it could have too many words: no word is shorter than a token."""
    for path, card in cards:
        if card.scorer == "max_words" and int(card.keys["limit"]) >= settings.answer_tokens:
            raise PlanError(
                f"{path}: card {card.id}: a reply is cut after exams.answer_tokens = {settings.answer_tokens} tokens, "
                f"so none has more than {card.keys['limit']} words",
                hint=f"set exams.answer_tokens to three times the limit, {3 * int(card.keys['limit'])}",
            )


def pinned_book(lineage: Lineage, at: Entry | None = None) -> bytes:
    """The laws in force, now or when `at` was written, as `law_book` read them when they were pinned."""
    pinned = (at or lineage.entries[-1]).body[LAWS]
    return b"[]" if pinned == ledger.NO_LAWS else objects.read(lineage.home, pinned)


def laws(lineage: Lineage, at: Entry | None = None) -> tuple[Card, ...]:
    """The cards of the laws in force, now or when `at` was written, in the order of their names."""
    return tuple(card for name, text in json.loads(pinned_book(lineage, at)) for card in law_cards(text, Path(name)))


def law_changes(before: bytes, after: bytes) -> list[str]:
    """How one book differs from another, law by law: `changed 01-light.law`."""
    old, new = ({tuple(law) for law in json.loads(book)} for book in (before, after))
    names_before, names_after = ({name for name, _ in book} for book in (old, new))
    differing = sorted({name for name, _ in old ^ new})
    return [
        f"{'changed' if name in names_before & names_after else 'added' if name in names_after else 'dropped'} {name}"
        for name in differing
    ]


def require_pinned(lineage: Lineage, settings: Exams) -> None:
    """PlanError if the laws that a plan names are not the laws in force, to the byte."""
    book = law_book(settings, lineage.home.root)
    if digest_of(book) != lineage.entries[-1].body[LAWS]:
        raise PlanError(
            f"the laws changed since they were pinned: {', '.join(law_changes(pinned_book(lineage), book))}",
            hint="`germline pin` pins them as they are now, with the owner's key",
        )
