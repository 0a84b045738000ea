"""What a model scored on an exam, and what was decided by it: records, as those of `germline.records`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from germline.records import Digest


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
    """How many answers to tone probes drift from the persona's own text, and what all of them together cost
    under a model of it."""

    probes: int
    drifts: int
    bits_per_character: float
    """Of the answers to all probes as one text, under a character model of the persona's. Lower is closer."""
    own_bits_per_character: float
    """The same of the persona's own replies, each under a model that has not seen it."""
    limit_bits_per_character: float | None = None
    """What the persona's own text stays under 99 times of 100; None where the exam draws no such limit."""
    variety: float | None = None
    """Share of different ones among ten of the answers; None in an exam of before it was asked."""
    least_variety: float | None = None
    """Of the persona's own replies, 99 times of 100, half of them at most; None as `limit_bits_per_character`."""


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
    would say: each of its tokens is the likeliest. The judge compares it, and replay deals by it. Empty in cards that
    were written before it was recorded."""
    taught: tuple[float, ...] = ()
    """Of each taught passage, bits per byte, where the exam has some: nothing else is asked of its delta."""
    overruled: tuple[str, ...] = ()
    """Facts, by unit, of which the model would say, in at least one wording, what another generation was taught,
    rather than what the exam holds true. Each counts as wrong there."""
    against: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """What others were taught of a fact, by unit, as far as it was asked against that (`Exam.against`). Marks of a fact
    that was asked otherwise are not compared. Empty in cards that were written before it was recorded."""
    share: float = 1.0
    """Of the delta's facts the share that was asked (`Exam.share`): where it is less than 1, these marks are a sample
    of what is known."""


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
                    "taught": tuple(marks.get("taught", ())),
                    "overruled": tuple(marks.get("overruled", ())),
                    "against": {unit: tuple(said) for unit, said in marks.get("against", {}).items()},
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
