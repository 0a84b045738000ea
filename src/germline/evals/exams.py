"""Writing the exam of a generation from its delta, before training, by rule.

An exam is data: questions with their right answer and distractors of the same kind, the persona's voice,
law and challenge cards, held-out passages. It is stored with the generation, named by its hash, and every
descendant sits it again. Nothing here looks at a model.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from germline.errors import StoreDamaged
from germline.evals.cards import Card
from germline.evals.contamination import contaminated
from germline.evals.style import Voice, voice
from germline.records import FORMAT, Digest, Fact, Row, canonical_json, digest_of, plain
from germline.settings import Exams
from germline.wordings import TAUGHT_QUESTIONS, UNSEEN_QUESTIONS, UNSEEN_REVERSED, say

FACTS, HELDOUT, REPLIES, PASSAGES = 1_000, 500, 2_000, 16
"""Most facts and held-out conversations that an exam asks, most replies that the voice and wrong answers are
drawn from, and most held-out passages it keeps. A share of 0.9 of a thousand has a standard error of 0.01."""

UNSEEN = 2
"""Unseen wordings in which the gate asks each fact. With the taught one a fact counts in thirds, and an exam of as
many facts tells smaller losses than if each were asked once. The wording after these is for choosing among candidates,
the last one stays sealed: what was chosen by a question, or let pass by it, is no longer measured by it."""

REVERSED = 24
"""Facts whose subject is asked for by the value, to be told and not to decide: from A is B a model does not conclude
that B is A (the reversal curse, arXiv 2309.12288)."""

OPENINGS = 10
"""Replies among which the true one is to be found, the true one included."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One question. `spoken`: its answer is also asked for aloud."""

    paper: Literal["recall", "wording", "reversed", "heldout"]
    prompt: str
    answer: str
    wrong: tuple[str, ...]
    spoken: bool = False
    unit: str = ""
    """What it asks about; questions of one unit rise and fall together. Empty: its prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exam:
    items: tuple[Item, ...]
    passages: tuple[str, ...]
    voice: Voice | None
    laws: tuple[Card, ...]
    cards: tuple[Card, ...]
    selection: tuple[Item, ...] = ()
    """Asked to choose among candidates, never at the gate."""
    sealed: tuple[Item, ...] = ()
    """Asked by nothing that decides: `germline eval --sealed`."""
    contaminated: int = 0
    """Unseen wordings and held-out conversations that were left out, because a training row holds them."""
    format: int = FORMAT
    stored: Digest = ""
    """Of the bytes it was read from: an exam keeps its name when a later germline would write it otherwise."""

    @property
    def digest(self) -> Digest:
        return self.stored or digest_of(to_bytes(self))


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
) -> Exam:
    """The exam on a delta: its facts in taught and in unseen wordings, its conversations, its own cards.

    What an inherited exam already asks (laws, challenge cards, the voice) is not asked again. A question
    that finds no distractor is left out, and so is an unseen one that a training row holds. The rows are gone
    through several times and never held: of a large delta the exam is a sample, chosen by content hash.
    """
    kinds = defaultdict(list)
    for fact in facts:
        kinds[fact.kind].append(fact)
    questions = _few(FACTS, facts, lambda fact: _seed(fact.subject, fact.attribute))
    about = [_about(fact, kinds[fact.kind], settings.choices, prompt_end) for fact in questions]
    items = [item for asked in about for item in asked[: 1 + UNSEEN]]
    items += _reversed(facts, kinds, settings.choices, prompt_end)
    talks = (row for row in train if row.kind == "dialog")
    kept = heapq.nsmallest(settings.replies, talks, key=lambda row: row.content_digest)
    spoken = _replies(train)
    replies = [*spoken, *_replies(heldout)]
    items += _conversations(kept, "recall", replies, prompt_end)
    unseen = _few(HELDOUT, (row for row in heldout if row.kind == "dialog"), lambda row: _seed(row.content_digest))
    items += _conversations(unseen, "heldout", replies, prompt_end)
    unspoilt, spoilt = _unspoilt([items, *([asked[place] for asked in about if asked] for place in (-2, -1))], train)
    has_voice = any(exam.voice for exam in inherited)
    asked = {card for exam in inherited for card in map(_key, (*exam.laws, *exam.cards))}
    tone = list(probes) or [row.turns[0].text for row in unseen if row.turns[0].speaker == "other"][:10]
    return Exam(
        items=unspoilt[0],
        selection=unspoilt[1],
        sealed=unspoilt[2],
        contaminated=spoilt,
        passages=tuple(itertools.islice((row.text for row in heldout if row.kind == "text"), PASSAGES)),
        voice=None if has_voice else voice(spoken, tone, settings.boilerplate),
        laws=tuple(card for card in laws if _key(card) not in asked),
        cards=tuple(card for card in cards if _key(card) not in asked),
    )


def _unspoilt(papers: Sequence[Sequence[Item]], train: Iterable[Row]) -> tuple[list[tuple[Item, ...]], int]:
    """The papers without what was meant to be unseen and stands in a training row, and how much that was."""
    unseen = [item for items in papers for item in items if item.paper != "recall"]
    seen = contaminated([item.prompt + item.answer * (item.paper == "heldout") for item in unseen], train)
    places = itertools.count()
    kept = [tuple(item for item in items if item.paper == "recall" or next(places) not in seen) for items in papers]
    return kept, len(seen)


def to_bytes(exam: Exam) -> bytes:
    table: dict[str, Any] = plain(exam)
    del table["stored"]
    return canonical_json(table)


def from_bytes(data: bytes) -> Exam:
    """The exam in `data`; StoreDamaged when it is not one, or of a newer format."""
    try:
        tables = json.loads(data)
        if tables["format"] > FORMAT:
            raise StoreDamaged("this exam was written by a newer germline", hint="upgrade germline")
        return Exam(
            items=tuple(Item(**_tuples(item)) for item in tables["items"]),
            passages=tuple(tables["passages"]),
            voice=Voice(**_tuples(tables["voice"])) if tables["voice"] else None,
            laws=tuple(Card(**card) for card in tables["laws"]),
            cards=tuple(Card(**card) for card in tables["cards"]),
            selection=tuple(Item(**_tuples(item)) for item in tables.get("selection", ())),
            sealed=tuple(Item(**_tuples(item)) for item in tables.get("sealed", ())),
            contaminated=int(tables.get("contaminated", 0)),
            stored=digest_of(data),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StoreDamaged(f"an exam cannot be read: {error}") from error


def _tuples(table: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}


def _key(card: Card) -> bytes:
    return canonical_json(card)


def _few(most: int, things: Iterable[_T], rank: Callable[[_T], int]) -> list[_T]:
    """The `most` things of lowest rank in the order they came in, or all where there are no more."""
    lowest = heapq.nsmallest(most, enumerate(things), key=lambda place: rank(place[1]))
    return [thing for _, thing in sorted(lowest, key=lambda place: place[0])]


def _replies(rows: Iterable[Row]) -> list[str]:
    """What the persona says in `rows`, or `REPLIES` of it."""
    talks = ((row.content_digest, row.turns) for row in rows if row.turns)
    said = ((f"{digest} {place}", turn) for digest, turns in talks for place, turn in enumerate(turns))
    spoken = (reply for reply in said if reply[1].speaker == "persona")
    return [turn.text for _, turn in _few(REPLIES, spoken, lambda reply: _seed(reply[0]))]


def _about(fact: Fact, alike: Sequence[Fact], choices: int, prompt_end: str) -> list[Item]:
    """The question as it is taught, then in every unseen wording; nothing without a distractor."""
    seed = _seed(fact.subject, fact.attribute)
    wrong = _same_kind(fact, alike, choices - 1, seed)
    if not wrong:
        return []
    taught = TAUGHT_QUESTIONS[seed % len(TAUGHT_QUESTIONS)]
    forms = [UNSEEN_QUESTIONS[(seed + place) % len(UNSEEN_QUESTIONS)] for place in range(len(UNSEEN_QUESTIONS))]
    question = Item(
        paper="recall", prompt=say(taught, fact) + prompt_end, answer=fact.value, wrong=wrong, spoken=True,
        unit=fact.unit,
    )  # fmt: skip
    unseen = (say(form, fact) + prompt_end for form in forms)
    return [question, *(replace(question, paper="wording", prompt=prompt, spoken=False) for prompt in unseen)]


def _reversed(
    facts: Sequence[Fact], kinds: Mapping[str, Sequence[Fact]], choices: int, prompt_end: str
) -> Iterator[Item]:
    """Of what subject is this the value? Asked where one alone has it; the wrong subjects are of its kind, those of
    whom the same is told first."""
    owners = Counter((fact.attribute, fact.value) for fact in facts)
    alone = (fact for fact in facts if owners[fact.attribute, fact.value] == 1)
    for fact in _few(REVERSED, alone, lambda fact: _seed(fact.value, fact.attribute)):
        seed = _seed(fact.value, fact.attribute)
        others = sorted(
            (other for other in kinds[fact.kind] if other.subject != fact.subject),
            key=lambda other: (other.attribute != fact.attribute, _seed(str(seed), other.subject)),
        )
        if wrong := tuple(dict.fromkeys(other.subject for other in others))[: choices - 1]:
            asked = say(UNSEEN_REVERSED[seed % len(UNSEEN_REVERSED)], fact) + prompt_end
            yield Item(paper="reversed", prompt=asked, answer=fact.subject, wrong=wrong, unit=fact.unit)


def _same_kind(fact: Fact, alike: Sequence[Fact], count: int, seed: int) -> tuple[str, ...]:
    """Other values among the facts of its kind, those of its own attribute first; near numbers where they run out.

    A value that is also true of the same subject and attribute elsewhere is no distractor.
    """
    true = {other.value for other in alike if (other.subject, other.attribute) == (fact.subject, fact.attribute)}
    found: list[str] = []
    for near in (True, False):
        if len(found) < count:  # hashing is what takes long
            others = [other for other in alike if (other.attribute == fact.attribute) == near]
            others.sort(key=lambda other: _seed(str(seed), other.subject, other.attribute))
            known = true.union(found)
            found += dict.fromkeys(other.value for other in others if other.value not in known)
    if len(found) < count and fact.kind.startswith("number"):
        found += [value for value in _near_numbers(fact.value, seed) if value not in {*true, *found}]
    return tuple(found[:count])


def _near_numbers(value: str, seed: int) -> list[str]:
    number = re.search(r"\d+", value)
    if not number:
        return []
    size, dice = int(number.group()), random.Random(seed)
    spread = max(4, size // 2)
    others = {max(1, size + dice.randint(-spread, spread)) for _ in range(20)} - {size}
    return [
        f"{value[: number.start()]}{other}{value[number.end() :]}"
        for other in sorted(others, key=lambda n: _seed(str(n), value))
    ]


def _conversations(
    rows: Sequence[Row],
    paper: Literal["recall", "heldout"],
    replies: Sequence[str],
    prompt_end: str,
) -> list[Item]:
    """How does the persona's reply begin? The wrong beginnings are those of its replies to other prompts.

    Beginnings rather than whole replies: what follows the first sentence was either trained on or held
    out, and a model finds any text it was trained on likelier than the truth that it was not.
    """
    items = []
    openings = set(map(_opening, replies))
    for row in rows:
        if row.turns[0].speaker == "persona":
            continue
        asked, reply = row.turns[0].text, row.turns[1].text
        seed = _seed(asked, reply)
        others = openings - {_opening(reply)}
        alike = sorted(
            sorted(others, key=lambda other: _seed(str(seed), other)), key=lambda other: _unlike(other, reply)
        )
        if alike:
            wrong = tuple(alike[: OPENINGS - 1])
            items.append(Item(paper=paper, prompt=asked + prompt_end, answer=_opening(reply), wrong=wrong))
    return items


def _opening(reply: str) -> str:
    """The first sentence, at most 120 characters of it."""
    return re.split(r"(?<=[.!?])\s", reply.strip(), maxsplit=1)[0][:120]


def _unlike(opening: str, gold: str) -> tuple[bool, bool, int]:
    """Sorts openings: alike but for digits first, then with a number where the gold has one, then of like length."""
    mask, gold_mask = (re.sub(r"\d+", "#", text.casefold()) for text in (opening, _opening(gold)))
    return mask != gold_mask, ("#" in mask) != ("#" in gold_mask), abs(len(mask) - len(gold_mask))


def _seed(*parts: str) -> int:
    return int.from_bytes(hashlib.sha256("\x00".join(parts).encode()).digest()[:8], "big")
