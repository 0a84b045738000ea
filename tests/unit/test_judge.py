"""The gate: every limit refuses just past it, and what is not a number never passes."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from germline.judge.gate import judge
from germline.records import Marks, Score, Scorecard, StyleMarks, plain, scorecard_from
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


def spoiled(paper: Marks, path: str, value: object) -> Marks:
    """`paper` as a table where one mark is `value`, or gone, read back as the ledger's scorecards are."""
    table = plain(Scorecard(weights="w", marks={"e": paper}))
    *way, last = path.split(".")
    place = table["marks"]["e"]
    for key in way:
        place = place[key]
    if value is MISSING:
        del place[last]
    else:
        place[last] = value
    return scorecard_from(table).marks["e"]


MISSING = object()
MARKS = [
    *(f"{paper}.{mark}" for paper in ("recall", "wording", "heldout") for mark in ("items", "right")),
    "recall.bits_per_byte", "style.drifts", "style.probes", "style", "laws.light/1", "cards.tower", "laws", "cards",
]  # fmt: skip


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, MISSING, "1", "", None, [], {}, True], ids=str)
@pytest.mark.parametrize("mark", MARKS)
def test_a_mark_that_is_no_mark_never_passes(mark: str, value: object) -> None:
    """Not in the child's card, and not by spoiling the parent's that it is compared with."""
    whole, gate = marks(), Gate(cards=0.1)
    assert judge(card(marks(right=20, bits=3.0)), card(whole), gate, weight_change=0.01).outcome == "promoted"
    for parent, child in ((marks(right=20, bits=3.0), whole), (whole, marks(bits=0.01))):
        spoil_child = parent is not whole
        try:
            old, new = (parent, spoiled(child, mark, value)) if spoil_child else (spoiled(parent, mark, value), child)
        except (KeyError, TypeError, AttributeError):
            continue  # it is not even read as a card
        if old == parent and new == child:
            continue  # `True` in the place of a true
        if not spoil_child and type(value) is float and mark.endswith(("right", "drifts")):
            continue  # a parent's own score decides nothing
        verdict = judge(card(old), card(new), gate, weight_change=0.01)
        assert verdict.outcome == "refused", (mark, value, verdict)


@pytest.mark.parametrize("change", [math.nan, math.inf, -math.inf])
def test_a_weight_change_that_is_no_number_never_passes(change: float) -> None:
    assert judge(PARENT, card(marks()), Gate(), weight_change=change).outcome == "refused"


def test_a_paper_that_only_the_parent_sat_is_not_skipped() -> None:
    """Without questions there is no check: a child that was asked nothing would fail none."""
    for without in (replace(marks(), recall=NOTHING), replace(marks(), style=None), replace(marks(), laws={})):
        verdict = judge(PARENT, card(without), Gate(), weight_change=0.01)
        assert (verdict.outcome, [check.name for check in verdict.checks]) == ("refused", ["scorecards"])
