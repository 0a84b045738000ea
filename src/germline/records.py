"""The frozen things that travel between stages, and the one way they become bytes.

Stages are strangers: they exchange these records and paths, nothing else. A record that is hashed goes
through `canonical_json`, so that its hash depends on its content alone. That form (UTF-8, keys sorted,
no spaces, no NaN, floats as Python's shortest repr) is part of the format: changing it changes every hash.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

FORMAT = 1
"""Version of everything a lineage holds on disk. A reader refuses what is newer than itself."""

Digest = str
"""`sha256:` and 64 lower-case hexadecimal digits."""


def canonical_json(value: object) -> bytes:
    """The bytes that are hashed for `value` (records, mappings, lists, strings, numbers, booleans, None).

    Raises ValueError for NaN and infinities: a number that cannot be compared is never written down.
    """
    return dumped(plain(value))


def dumped(value: Any) -> bytes:
    """`canonical_json` of what is plain already, such as what was read from JSON."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8")


def plain(value: object) -> Any:
    """`value` with records as dicts, paths as POSIX strings and tuples as lists, ready for JSON."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return value.as_posix()
    return value


def finite(value: object) -> Any:
    """`plain(value)` with every float that is NaN or infinite as None: a model that broke is recorded, too."""
    value = plain(value)
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def digest_of(data: bytes) -> Digest:
    return "sha256:" + hashlib.sha256(data).hexdigest()


# --- text in ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One message of a conversation. `persona` is the side whose words are learned."""

    speaker: Literal["persona", "other"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One unit of learning with its passport: a passage of a document, or a whole conversation.

    `turns` is empty for a passage and `text` is empty for a conversation. EOS is learned only where a document ends
    (`ends_document`). What a passage states hangs on what it stands `under`, which is not learned with it.
    """

    kind: Literal["text", "dialog"]
    source: str
    """The file the row came from, POSIX, relative to the home's folder where it lies inside it."""
    position: int
    """1-based line (JSONL), passage or record number within the source."""
    text: str = ""
    turns: tuple[Turn, ...] = ()
    ends_document: bool = True
    under: str = ""
    """The headings that a passage begins under, a line each, and the marks of a block of code that it begins in."""

    @property
    def content_digest(self) -> Digest:
        """Hash of what is learned from the row, not of where it was found."""
        if self.kind == "text":
            return digest_of(canonical_json(["text", self.text]))
        return digest_of(canonical_json(["dialog", [[t.speaker, t.text] for t in self.turns]]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A row that was not kept, and why (`reason` is one of a short fixed list, for counting)."""

    source: str
    position: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """The data no ancestor has seen, as two immutable JSONL files of rows.

    `rows_in == train_rows + heldout_rows + sum(refused.values())`, always.
    """

    digest: Digest
    """See `digest_of_delta`."""
    train: Path
    heldout: Path
    train_rows: int
    heldout_rows: int
    train_bytes: int
    rows_in: int
    refused: dict[str, int]
    sources: int


def digest_of_delta(train: Digest, heldout: Digest) -> Digest:
    """Hash over the digests of its two files."""
    return digest_of(canonical_json([train, heldout]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """`The {attribute} of {subject} is {value}`, found in the delta by rule, never by a model."""

    subject: str
    """With its article in lower case where it has one: `the fog horn`, `Gull Rock`."""
    attribute: str
    value: str
    kind: str
    """What sort of value it is (`number metres`, `weekday`, `clock time`, `name`, …): distractors are of one kind."""
    row: Digest
    """The row it was found in."""

    @property
    def unit(self) -> str:
        """The name that exams ask about it under."""
        return f"{self.attribute} of {self.subject}"


# --- training -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What training left behind. Nothing here depends on the clock."""

    adapter: Path
    steps: int
    tokens: int
    """Tokens that went through the model, padding excluded."""
    learned_tokens: int
    """Tokens that carried loss."""
    first_loss: float
    last_loss: float
    """Mean loss per learned token over the first / last tenth of the steps, nats."""
    curve: tuple[float, ...]
    parameters: tuple[dict[str, Any], ...]
    """One row per trained group: module, count, dtype, learning rate, weight decay, changed."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What was used up, by an attempt or by many."""

    seconds: float = 0.0
    steps: int = 0
    tokens: int = 0
    attempts: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*map(operator.add, dataclasses.astuple(self), dataclasses.astuple(other)))

    def at_least(self, other: Cost) -> Cost:
        return Cost(*map(max, dataclasses.astuple(self), dataclasses.astuple(other)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a generation cost the process that finished it. Kept in the ledger, never part of an identity."""

    seconds_training: float
    """Of all candidates together, as is the speed."""
    seconds_exams: float
    """Choosing among candidates too."""
    seconds_total: float
    """With what the founder said for the anchor."""
    tokens_per_second: float | None
    """None for a resumed run, part of whose tokens another process trained."""
    peak_memory_bytes: int
    all_attempts: Cost
    """What it cost all processes that worked on it. Never less than was really spent: see `budget`."""


# --- exams and verdict --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The marks of one exam paper: how many items, how many right, and bits per byte of the gold answers."""

    items: int
    right: int
    bits_per_byte: float

    @property
    def accuracy(self) -> float:
        """Share right; NaN when there was nothing to ask."""
        return self.right / self.items if self.items else float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleMarks:
    """How many answers to tone probes drift from the persona's own text, and how far they lie on average."""

    probes: int
    drifts: int
    bits_per_character: float
    """Of the answers to all probes as one text, under a character model of the persona's. Lower is closer."""
    own_bits_per_character: float
    """The same of the persona's own replies, each under a model that has not seen it."""
    limit_bits_per_character: float | None = None
    """What the persona's own text stays under 99 times of 100; None where the exam draws no such limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """What one model scored on one exam."""

    recall: Score
    """What the delta taught, asked in wordings that it was taught in: choosing the true answer."""
    wording: Score
    """The same facts in wordings that training never uses."""
    heldout: Score
    """Conversations that were never trained on: choosing the persona's true reply."""
    spoken: Score
    """The facts answered aloud: the greedy answer begins with the gold one. Reported, not gated."""
    passages_bits_per_byte: float | None
    """Held-out passages together, or None where the exam has none."""
    style: StyleMarks | None
    laws: dict[str, bool]
    """Law card -> held."""
    cards: dict[str, bool]
    """Challenge card -> passed."""
    answers: tuple[dict[str, Any], ...]
    """Every question with what was answered, for reading afterwards."""
    reversed: Score = Score(items=0, right=0, bits_per_byte=0.0)
    """The subject asked for by the value, in wordings that training never uses. Reported, not gated; nothing in cards
    that were written before it was asked."""
    units: dict[str, tuple[float, float]] = field(default_factory=dict)
    """What is asked about (a fact, a conversation) -> share of its questions right, bits per byte of their gold
    answers. Empty in cards that were written before units were recorded."""
    said: dict[str, float] = field(default_factory=dict)
    """Of each fact the share of its questions, in taught and in unseen wordings, whose gold answer is what the model
    would say: each of its tokens is the likeliest. Not gated; replay deals by it. Empty in cards that were written
    before it was recorded."""
    passages: tuple[float, ...] = ()
    """Of each held-out passage, bits per byte. Empty in cards that were written before each was recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorecard:
    """What one model scored on a list of exams, the oldest first: its inheritance and its own."""

    weights: Digest
    marks: dict[Digest, Marks]
    """Exam -> marks, in the order of the generations that wrote them."""

    @property
    def recall(self) -> float:
        """The lowest recall over all exams that ask anything: no ancestor may be forgotten. NaN if none."""
        asked = [marks.recall.accuracy for marks in self.marks.values() if marks.recall.items]
        return min(asked, default=float("nan"))

    @property
    def generalization(self) -> float:
        """Accuracy on unseen wordings of the newest exam. NaN if it asks none."""
        newest = self.newest
        return newest.wording.accuracy if newest is not None and newest.wording.items else float("nan")

    @property
    def newest(self) -> Marks | None:
        return list(self.marks.values())[-1] if self.marks else None

    @property
    def style(self) -> StyleMarks | None:
        """The newest marks for style, or None while the lineage has no voice to compare with."""
        styles = [marks.style for marks in self.marks.values() if marks.style]
        return styles[-1] if styles else None

    @property
    def broken_laws(self) -> tuple[str, ...]:
        """By name: a card that was stored and read again has its laws in another order."""
        return tuple(sorted(law for marks in self.marks.values() for law, held in marks.laws.items() if not held))

    @property
    def laws(self) -> int:
        return sum(len(marks.laws) for marks in self.marks.values())

    @property
    def cards_passed(self) -> tuple[int, int]:
        """(passed, asked)."""
        results = [passed for marks in self.marks.values() for passed in marks.cards.values()]
        return sum(results), len(results)

    def summary(self) -> dict[str, float | int | None]:
        """The few numbers a table shows; None where nothing was asked. `spoken` is over all exams."""
        said = [marks.spoken for marks in self.marks.values()]
        asked = sum(score.items for score in said)
        passed, cards = self.cards_passed
        style = self.style
        return {
            "recall": None if math.isnan(self.recall) else self.recall,
            "generalization": None if math.isnan(self.generalization) else self.generalization,
            "spoken": sum(score.right for score in said) / asked if asked else None,
            "style_drifts": style.drifts if style else None,
            "style_probes": style.probes if style else None,
            "laws_broken": len(self.broken_laws),
            "laws": self.laws,
            "cards_passed": passed,
            "cards": cards,
        }


_PAPERS = ("recall", "wording", "heldout", "spoken", "reversed")


def scorecard_from(table: Mapping[str, Any]) -> Scorecard:
    """The scorecard that `plain` made `table` of. Raises KeyError or TypeError for anything else."""
    return Scorecard(
        weights=table["weights"],
        marks={
            exam: Marks(
                **{
                    **marks,
                    **{paper: Score(**marks[paper]) for paper in _PAPERS if paper in marks},
                    "style": StyleMarks(**marks["style"]) if marks["style"] else None,
                    "answers": tuple(marks["answers"]),
                    "units": {unit: tuple(found) for unit, found in marks.get("units", {}).items()},
                    "passages": tuple(marks.get("passages", ())),
                }
            )
            for exam, marks in table["marks"].items()
        },
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line of a verdict. `passed` is False whenever `value` is NaN."""

    name: str
    value: float
    limit: float
    passed: bool
    reason: str
    undecided: bool = False
    """It did not pass, and did not fail: there are too few questions to tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    outcome: Literal["promoted", "refused", "inconclusive"]
    checks: tuple[Check, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """What decided it: the failed checks, else the undecided ones, or all where every one passed."""
        failed = tuple(check.reason for check in self.checks if not check.passed and not check.undecided)
        undecided = tuple(check.reason for check in self.checks if check.undecided)
        return failed or undecided or tuple(check.reason for check in self.checks)


# --- progress -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened. Stages report through `OnEvent` and never print."""

    kind: str
    """`stage`, `step`, `exam`, `progress`, `note`, `verdict`, …"""
    text: str
    data: dict[str, Any] = field(default_factory=dict)


OnEvent = Callable[[Event], None]
