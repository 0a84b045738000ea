"""The owner's exam material that a plan names: tone probes, law cards, challenge cards."""

from __future__ import annotations

import glob
from pathlib import Path

from germline import foreign
from germline.errors import PlanError
from germline.evals.cards import Card, read_cards, read_law
from germline.settings import Exams


def probes(settings: Exams, root: Path) -> tuple[str, ...]:
    """The tone probes, one a line; empty lines and lines that begin with # are skipped."""
    if not settings.probes:
        return ()
    path = root / settings.probes
    try:
        lines = foreign.read(path).decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(f"exams.probes: {path} cannot be read: {error}") from None
    return tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))


def laws(settings: Exams, root: Path) -> tuple[Card, ...]:
    """The cards of every law, in the order of their files' names. A pattern that finds no law is an error."""
    paths: list[Path] = []
    for pattern in settings.laws:
        found = sorted(root / name for name in glob.glob(pattern, root_dir=root))  # noqa: PTH207 - takes `..` and absolute
        if not found:
            raise PlanError(f"exams.laws: {pattern!r} matches no file", hint=f"paths start at {root}")
        paths += found
    return tuple(card for path in paths for card in read_law(path))


def cards(settings: Exams, root: Path) -> tuple[Card, ...]:
    return read_cards(root / settings.cards) if settings.cards else ()
