"""The gate: every limit refuses just past it, and what is not a number never passes."""

from __future__ import annotations

import math

import pytest

from germline.judge import judge
from germline.records import Marks, Score, Scorecard, StyleMarks
from germline.settings import Gate

NOTHING = Score(items=0, right=0, bits_per_byte=0.0)


def marks(
    right: int = 100,
    wording: int = 100,
    heldout: int = 10,
    drifts: int = 0,
    bits: float = 0.1,
    held: bool = True,
) -> Marks:
    return Marks(
        recall=Score(items=100, right=right, bits_per_byte=bits),
        wording=Score(items=100, right=wording, bits_per_byte=bits),
        heldout=Score(items=10, right=heldout, bits_per_byte=bits),
        spoken=NOTHING,
        passages_bits_per_byte=None,
        style=StyleMarks(probes=10, drifts=drifts, bits_per_character=2.0, own_bits_per_character=2.0),
        laws={"light/1": held},
        cards={"tower": True, "bell": False},
        answers=(),
    )


def card(*papers: Marks) -> Scorecard:
    return Scorecard(weights="w", marks={f"sha256:{number:064x}": paper for number, paper in enumerate(papers)})


PARENT = card(marks(right=20, bits=3.0))


def test_a_child_that_meets_every_limit_is_promoted() -> None:
    verdict = judge(PARENT, card(marks(right=90, wording=85, heldout=9, drifts=2)), Gate(), weight_change=0.01)
    assert verdict.outcome == "promoted"
    assert all(check.passed for check in verdict.checks)


@pytest.mark.parametrize(
    ("child", "gate", "change", "name"),
    [
        (marks(right=89), Gate(), 0.01, "recall"),
        (marks(wording=83, heldout=9), Gate(), 0.01, "generalization"),
        (marks(drifts=3), Gate(), 0.01, "style drift"),
        (marks(held=False), Gate(), 0.01, "laws broken"),
        (marks(), Gate(cards=0.6), 0.01, "challenge cards"),
        (marks(), Gate(), 0.0, "weight change"),
        (marks(), Gate(), math.nan, "weight change"),
        (marks(bits=3.0), Gate(), 0.01, "learned"),
        (marks(bits=math.nan), Gate(), 0.01, "learned"),
    ],
)
def test_each_limit_refuses_alone(child: Marks, gate: Gate, change: float, name: str) -> None:
    verdict = judge(PARENT, card(child), gate, weight_change=change)
    assert verdict.outcome == "refused"
    assert [check.name for check in verdict.checks if not check.passed] == [name]
    assert len(verdict.reasons) == 1


def test_one_forgotten_ancestor_is_not_averaged_away() -> None:
    parent = card(marks(), marks(), marks(right=20, bits=3.0))
    child = card(marks(), marks(right=80), marks())
    verdict = judge(parent, child, Gate(), weight_change=0.01, ancestors=("g1", "g2"))
    assert verdict.outcome == "refused"
    assert verdict.reasons == ("recalls 80 of 100 of what g2 was taught",)


def silent(passages: float | None, recall: Score = NOTHING) -> Marks:
    return Marks(
        recall=recall, wording=NOTHING, heldout=NOTHING, spoken=NOTHING, passages_bits_per_byte=passages,
        style=None, laws={}, cards={}, answers=(),
    )  # fmt: skip


def test_a_delta_that_cannot_be_asked_about_is_inconclusive() -> None:
    nothing = card(silent(None))
    assert judge(nothing, nothing, Gate(), weight_change=0.01).outcome == "inconclusive"
    known = Score(items=5, right=5, bits_per_byte=0.1)
    verdict = judge(card(silent(None, known)), card(silent(None, known)), Gate(), weight_change=0.01)
    assert verdict.outcome == "inconclusive"
    assert "held out" in verdict.reasons[0]


def test_plain_prose_is_judged_by_its_held_out_passages() -> None:
    for before, after, outcome in ((1.9, 1.5, "promoted"), (1.5, 1.5, "refused"), (1.5, math.nan, "refused")):
        verdict = judge(card(silent(before)), card(silent(after)), Gate(), weight_change=0.01)
        assert verdict.outcome == outcome


def test_cards_over_different_exams_are_never_compared() -> None:
    with pytest.raises(AssertionError, match="different exams"):
        judge(PARENT, card(marks(), marks()), Gate(), weight_change=0.01)
