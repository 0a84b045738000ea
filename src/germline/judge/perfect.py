"""A child that answers everything as it should: what the gate would not let even that one pass by, it lets none.

Exams are written before training, so this is known before training, too: that they are too small to tell, or that the
newest wants other answers than the older ones do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from germline.judge.gate import judge
from germline.judge.paired import CONFIDENCE, difference
from germline.judge.retained import recall_limit
from germline.marks import Marks, Score, Scorecard, StyleMarks, Verdict
from germline.settings import Gate


def foreseen(
    parent: Scorecard,
    gate: Gate,
    *,
    ancestors: Sequence[str],
    line: Sequence[Scorecard],
    confidence: float = CONFIDENCE,
) -> Verdict:
    """The verdict on a perfect child of `parent`; arguments as of `judge`. Where it is not `promoted`, it says why no
    child can be. Where it is, that is no promise: how much the answers scatter is only known of a child that gives
    some."""
    moved = max(1.0, gate.weight_change)
    child = perfect(parent, gate, confidence)
    return judge(parent, child, gate, weight_change=moved, ancestors=ancestors, line=line, confidence=confidence)


def perfect(parent: Scorecard, gate: Gate, confidence: float) -> Scorecard:
    """A card over the same exams with every answer right, at no cost in bits, and every law and card held.

    Of a fact that the newest exam and an older one hold otherwise only one can be right as taught, for they ask it in
    the same words. The older ones may fail as many as `gate.recall` allows; what is more is wrong in the newest.
    """
    marks = {exam: _perfect(marks) for exam, marks in parent.marks.items()}
    *older, (newest, new) = marks.items()
    apart = [_apart(new, old) for _, old in older]
    spare = (_may_fail(old, gate, confidence) for _, old in older)
    allowed = sum(map(min, map(len, apart), spare))
    lost = sorted(set[str]().union(*apart))[allowed:]
    wrong = replace(new.recall, right=new.recall.right - len(lost))
    return replace(parent, marks=marks | {newest: replace(new, recall=wrong, overruled=tuple(lost))})


def enough(margin: float, confidence: float = CONFIDENCE, *, most: int = 1_000) -> int:
    """How many old questions it takes until a child that loses none of them is shown, with that confidence, to have
    lost less than `margin`; `most` where more would be needed."""
    return next((count for count in range(1, most) if difference([0.0] * count, confidence).lower > -margin), most)


def _apart(new: Marks, old: Marks) -> set[str]:
    """Units that two exams hold otherwise. Where they hold the same, and a third exam does not, both are asked against
    the same."""
    return {unit for unit, said in new.against.items() if unit in old.against and {*old.against[unit]} != {*said}}


def _may_fail(marks: Marks, gate: Gate, confidence: float) -> int:
    return marks.recall.items - math.ceil(recall_limit(marks, gate, confidence) * marks.recall.items - 1e-9)


def _in_voice(style: StyleMarks) -> StyleMarks:
    return replace(style, drifts=0, bits_per_character=0.0, variety=None if style.variety is None else 1.0)


def _perfect(marks: Marks) -> Marks:
    def all_right(score: Score) -> Score:
        return Score(items=score.items, right=score.items, bits_per_byte=0.0)

    return replace(
        marks,
        recall=all_right(marks.recall), wording=all_right(marks.wording), heldout=all_right(marks.heldout),
        spoken=all_right(marks.spoken), reversed=all_right(marks.reversed),
        passages_bits_per_byte=None if marks.passages_bits_per_byte is None else 0.0,
        style=_in_voice(marks.style) if marks.style else None,
        laws=dict.fromkeys(marks.laws, True), cards=dict.fromkeys(marks.cards, True),
        units=dict.fromkeys(marks.units, (1.0, 0.0)), said=dict.fromkeys(marks.said, 1.0),
        taught=(0.0,) * len(marks.taught), overruled=(),
    )  # fmt: skip
