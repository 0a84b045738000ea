"""Writing the exam of a generation from its delta, before training, by rule.

An exam is data: questions with their right answer and distractors of the same kind, the persona's voice,
law and challenge cards, held-out passages. It is stored with the generation, named by its hash, and every
descendant sits it again. Nothing here looks at a model.
"""

from __future__ import annotations

import heapq
import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from germline.errors import StoreDamaged
from germline.evals.cards import Card
from germline.evals.contamination import contaminated
from germline.evals.draw import few, seed
from germline.evals.openings import conversations, opening, true_openings
from germline.evals.questions import Item, about, turned_round
from germline.evals.style import Voice, voice
from germline.records import FORMAT, Digest, Fact, Row, canonical_json, digest_of, plain
from germline.settings import Exams
from germline.spellings import spelled_alike
from germline.wordings import closed

FACTS, HELDOUT, REPLIES, PASSAGES, PROBES = 1_000, 500, 2_000, 16, 40
"""Most facts and held-out conversations that an exam asks, most replies that the voice and wrong answers are drawn
from, most held-out passages it keeps (and most learned ones), and most held-out prompts that are its tone probes where
the owner names none. A share of 0.9 of a thousand has a standard error of 0.01."""

PASSAGE = 2_000
"""Most characters of a held-out passage. Its attention takes memory by the square of its length: 40,000 took 18 GB."""

UNSEEN = 2
"""Unseen wordings in which the gate asks each fact. With the taught one a fact counts in thirds, and an exam of as
many facts tells smaller losses than if each were asked once. The wording after these is for choosing among candidates,
the last one stays sealed: what was chosen by a question, or let pass by it, is no longer measured by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exam:
    items: tuple[Item, ...]
    passages: tuple[str, ...]
    """Held out, and never trained on."""
    voice: Voice | None
    laws: tuple[Card, ...]
    cards: tuple[Card, ...]
    selection: tuple[Item, ...] = ()
    """Asked to choose among candidates, never at the gate."""
    sealed: tuple[Item, ...] = ()
    """Asked by nothing that decides: `germline eval --sealed`."""
    taught: tuple[str, ...] = ()
    """Passages that are trained on, of a delta of which nothing is asked: no facts, and no conversations."""
    contaminated: int = 0
    """Unseen wordings, reversed questions, held-out conversations and passages that were left out, because a training
    row of the delta or of an ancestor holds them."""
    share: float = 1.0
    """Of the delta's facts the share that it asks about, by `FACTS`; 1 in an exam of before it was recorded."""
    format: int = FORMAT
    stored: Digest = ""
    """Of the bytes it was read from: an exam keeps its name when a later germline would write it otherwise."""
    disputed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What others were taught of what it asks, by unit, as answers are written. Not stored: it is asked so."""

    @property
    def digest(self) -> Digest:
        return self.stored or digest_of(to_bytes(self))

    def under(self, laws: Iterable[Card]) -> Exam:
        """The same exam, by the same name, without the law cards that are not among `laws`, to the letter."""
        in_force = set(map(_key, laws))
        return replace(self, laws=tuple(card for card in self.laws if _key(card) in in_force), stored=self.digest)

    def without(self, units: Collection[str], prompts: Collection[str]) -> Exam:
        """The same exam, by the same name, without what it asks of these facts and of conversations that begin so."""

        def kept(items: Iterable[Item]) -> tuple[Item, ...]:
            about = ((item, item.unit in units if item.unit else item.prompt in prompts) for item in items)
            return tuple(item for item, gone in about if not gone)

        return replace(
            self, items=kept(self.items), selection=kept(self.selection), sealed=kept(self.sealed), stored=self.digest
        )

    def against(self, values: Mapping[str, Sequence[str]]) -> Exam:
        """The same exam, by the same name, where whoever would rather say one of these `values` of a fact, by its unit,
        than what the exam holds true is wrong. Questions that turn a fact round stay as they are."""
        disputed: dict[str, tuple[str, ...]] = {}

        def harder(item: Item) -> Item:
            if item.paper == "reversed" or not values.get(item.unit):
                return item
            written = closed if closed(item.answer) == item.answer else str  # an older germline's have no full stop
            others = tuple(map(written, values[item.unit]))
            disputed[item.unit] = others
            apart = (text for text in others if spelled_alike(text) != spelled_alike(item.answer))
            return replace(item, wrong=tuple(dict.fromkeys((*item.wrong, *apart))))  # as taught, whatever is like it

        items, selection, sealed = (tuple(map(harder, part)) for part in (self.items, self.selection, self.sealed))
        return replace(self, items=items, selection=selection, sealed=sealed, stored=self.digest, disputed=disputed)

    @property
    def asked(self) -> Counter[str]:
        """How many questions each paper has."""
        return Counter(item.paper for item in self.items)


def write(
    facts: Sequence[Fact],
    train: Iterable[Row],
    heldout: Iterable[Row],
    settings: Exams,
    *,
    probes: Sequence[str],
    laws: Sequence[Card],
    cards: Sequence[Card],
    inherited: Sequence[Exam],
    prompt_end: str,
    replayed: Iterable[Row] = (),
    others: Mapping[str, Sequence[str]] = {},
) -> Exam:
    """The exam on a delta: its facts in taught and in unseen wordings, its conversations, its own cards.

    What an inherited exam already asks (laws, challenge cards, the voice) is not asked again. A question
    that finds no distractor is left out, and so is an unseen one that a training row holds, be it of the delta or
    `replayed`: the rows that its ancestors were trained on, which are gone through once. Those of the delta are gone
    through several times. None are held: of a large delta the exam is a sample, chosen by content hash. `others`
    holds what ancestors were taught of a fact (by its unit), which are the first of the wrong answers to it.
    """
    kinds = defaultdict(list)
    for fact in facts:
        kinds[fact.kind].append(fact)
    questions = few(FACTS, facts, lambda fact: seed(fact.subject, fact.attribute))
    asked = [
        about(fact, kinds[fact.kind], settings.choices, prompt_end, before=others.get(fact.unit, ()))
        for fact in questions
    ]
    items = [item for wordings in asked for item in wordings[: 1 + UNSEEN]]
    items += turned_round(facts, kinds, settings.choices, prompt_end)
    talks = (row for row in train if row.kind == "dialog")
    kept = heapq.nsmallest(settings.replies, talks, key=lambda row: row.content_digest)
    unseen = few(HELDOUT, (row for row in heldout if row.kind == "dialog"), lambda row: seed(row.content_digest))
    spoken = _replies(train)
    openings = {opening(reply) for reply in (*spoken, *_replies(heldout))}
    true = true_openings(itertools.chain(train, heldout), [*kept, *unseen], openings)
    items += conversations(kept, "recall", openings, true, prompt_end)
    items += conversations(unseen, "heldout", openings, true, prompt_end)
    last = ([wordings[place] for wordings in asked if wordings] for place in (-2, -1))
    unspoilt, passages, spoilt = _unspoilt([items, *last], _passages(heldout), itertools.chain(train, replayed))
    has_voice = any(exam.voice for exam in inherited)
    known_laws = {_key(card) for exam in inherited for card in exam.laws}
    known_cards = {_key(card) for exam in inherited for card in exam.cards}
    asked_first = (row.turns[0].text.strip() for row in unseen if row.turns[0].speaker == "other")
    tone = list(probes) or [*dict.fromkeys(asked_first)][:PROBES]  # one prompt has one answer, however many ask it
    return Exam(
        items=unspoilt[0],
        selection=unspoilt[1],
        sealed=unspoilt[2],
        contaminated=spoilt,
        share=len(questions) / len(facts) if facts else 1.0,
        passages=passages,
        taught=() if any(item.paper == "recall" for item in unspoilt[0]) else _passages(train),
        voice=None if has_voice else voice(spoken, tone, settings.boilerplate),
        laws=tuple(card for card in laws if _key(card) not in known_laws),
        cards=tuple(card for card in cards if _key(card) not in known_cards),
    )


def _passages(rows: Iterable[Row]) -> tuple[str, ...]:
    kept = few(PASSAGES, (row for row in rows if row.kind == "text"), lambda row: seed(row.content_digest))
    return tuple(row.text[:PASSAGE] for row in kept)


def _unspoilt(
    papers: Sequence[Sequence[Item]], passages: Sequence[str], trained: Iterable[Row]
) -> tuple[list[tuple[Item, ...]], tuple[str, ...], int]:
    """The papers and held-out passages without what was meant to be unseen and stands in a training row, and how much
    that was."""
    asked = [text for items in papers for _, text in _unseen(items)]
    seen = contaminated([*asked, *passages], trained)
    places = itertools.count()
    kept = [tuple(item for item in items if item.paper == "recall" or next(places) not in seen) for items in papers]
    return kept, tuple(text for place, text in enumerate(passages, len(asked)) if place not in seen), len(seen)


def unseen(exam: Exam) -> Iterator[tuple[Item, str]]:
    """What it asks as unseen, be it at the gate or not, each with the text that no training row should hold."""
    return _unseen((*exam.items, *exam.selection, *exam.sealed))


def _unseen(items: Iterable[Item]) -> Iterator[tuple[Item, str]]:
    return ((item, item.prompt + item.answer * (item.paper == "heldout")) for item in items if item.paper != "recall")


def to_bytes(exam: Exam) -> bytes:
    table: dict[str, Any] = plain(exam)
    del table["stored"], table["disputed"]
    return canonical_json(table)


def from_bytes(data: bytes) -> Exam:
    """The exam in `data`; StoreDamaged when it is not one, or of a newer format."""
    try:
        tables = json.loads(data)
        if tables["format"] > FORMAT:
            raise StoreDamaged("this exam was written by a newer germline", hint="a newer germline is needed")
        return Exam(
            items=tuple(Item(**_tuples(item)) for item in tables["items"]),
            passages=tuple(tables["passages"]),
            voice=Voice(**_tuples(tables["voice"])) if tables["voice"] else None,
            laws=tuple(Card(**card) for card in tables["laws"]),
            cards=tuple(Card(**card) for card in tables["cards"]),
            selection=tuple(Item(**_tuples(item)) for item in tables.get("selection", ())),
            sealed=tuple(Item(**_tuples(item)) for item in tables.get("sealed", ())),
            taught=tuple(tables.get("taught", ())),
            contaminated=int(tables.get("contaminated", 0)),
            share=float(tables.get("share", 1.0)),
            stored=digest_of(data),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StoreDamaged(f"an exam cannot be read: {error}") from error


def _tuples(table: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}


def _key(card: Card) -> bytes:
    return canonical_json(card)


def _replies(rows: Iterable[Row]) -> list[str]:
    """What the persona says in `rows`, or `REPLIES` of it."""
    talks = ((row.content_digest, row.turns) for row in rows if row.turns)
    said = ((f"{digest} {place}", turn) for digest, turns in talks for place, turn in enumerate(turns))
    spoken = (reply for reply in said if reply[1].speaker == "persona")
    return [turn.text for _, turn in few(REPLIES, spoken, lambda reply: seed(reply[0]))]
