"""A child that answers everything as it should: what the gate would not let even that one pass by, it lets none.

Exams are written before training, so this is known before training, too: that they are too small to tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from germline.judge.gate import judge
from germline.marks import Marks, Score, Scorecard, Verdict
from germline.settings import Gate


def foreseen(parent: Scorecard, gate: Gate, *, ancestors: Sequence[str], line: Sequence[Scorecard]) -> Verdict:
    """The verdict on a perfect child of `parent`; arguments as of `judge`. Where it is not `promoted`, it says why no
    child can be. Where it is, that is no promise: how much the answers scatter is only known of a child that gives
    some."""
    moved = max(1.0, gate.weight_change)
    return judge(parent, perfect(parent), gate, weight_change=moved, ancestors=ancestors, line=line)


def perfect(parent: Scorecard) -> Scorecard:
    """A card over the same exams with every answer right, at no cost in bits, and every law and card held."""
    return replace(parent, marks={exam: _perfect(marks) for exam, marks in parent.marks.items()})


def _perfect(marks: Marks) -> Marks:
    def all_right(score: Score) -> Score:
        return Score(items=score.items, right=score.items, bits_per_byte=0.0)

    return replace(
        marks,
        recall=all_right(marks.recall), wording=all_right(marks.wording), heldout=all_right(marks.heldout),
        spoken=all_right(marks.spoken), reversed=all_right(marks.reversed),
        passages_bits_per_byte=None if marks.passages_bits_per_byte is None else 0.0,
        style=replace(marks.style, drifts=0, bits_per_character=0.0) if marks.style else None,
        laws=dict.fromkeys(marks.laws, True), cards=dict.fromkeys(marks.cards, True),
        units=dict.fromkeys(marks.units, (1.0, 0.0)), said=dict.fromkeys(marks.said, 1.0),
        taught=(0.0,) * len(marks.taught), overruled=(),
    )  # fmt: skip
