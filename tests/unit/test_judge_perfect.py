"""What no child can pass is known before it is trained: the judge of a perfect one says so."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from germline.judge.gate import judge
from germline.judge.perfect import enough, foreseen, perfect
from germline.marks import Marks, Score, Scorecard
from germline.settings import Gate
from tests.unit.test_judge import NEW, NOTHING, asked, card, marks


def test_an_exam_that_is_too_small_is_known_to_be_before_anybody_is_trained() -> None:
    parent = card(asked(units=24), NEW)
    verdict = foreseen(parent, Gate(), ancestors=["g1"], line=[card(asked(units=24))])
    assert verdict.outcome == "inconclusive"
    assert {check.name for check in verdict.checks if not check.passed} == {"retention", "parent"}
    assert "too small to tell from 5%" in verdict.reasons[0]
    assert foreseen(parent, Gate(margin=1), ancestors=["g1"], line=[]).outcome == "promoted"


def test_a_large_one_lets_a_good_child_pass() -> None:
    parent = card(asked(*range(9)), NEW)
    assert foreseen(parent, Gate(), ancestors=["g1"], line=[card(asked())]).outcome == "promoted"


def test_every_law_card_limit_and_voice_is_met_by_the_perfect_child() -> None:
    strict = Gate(recall=1, generalization=1, cards=1, style_drifts=0, style_distance=0.01, weight_change=3.0)
    parent = card(marks(right=20, wording=3, heldout=0, drifts=9, bits=3.0, held=False))
    assert foreseen(parent, strict, ancestors=[], line=[]).outcome == "promoted"


def test_what_asks_nothing_of_its_delta_lets_nobody_pass() -> None:
    empty = replace(marks(), recall=NOTHING, wording=NOTHING, heldout=NOTHING)
    verdict = foreseen(card(empty), Gate(), ancestors=[], line=[])
    assert verdict.outcome == "inconclusive" and "nothing that this delta teaches is asked" in verdict.reasons[0]


@pytest.mark.parametrize(("contradicted", "outcome"), [(69, "refused"), (12, "promoted"), (0, "promoted")])
def test_what_the_newest_exam_wants_otherwise_cannot_all_be_right(contradicted: int, outcome: str) -> None:
    """A hundred facts each, and a gate of nine in ten: the old exam may fail ten, and the newest ten."""
    units = [f"height of tower {number}" for number in range(contradicted)]
    first, second = asked(units=100), replace(NEW, recall=Score(items=100, right=0, bits_per_byte=1.0))
    old = replace(first, recall=second.recall, against=dict.fromkeys(units, ("52 metres",)))
    new = replace(second, against=dict.fromkeys(units, ("37 metres",)))
    verdict = foreseen(card(old, new), Gate(margin=1, alarm=0), ancestors=["g1"], line=[card(old)])
    assert verdict.outcome == outcome
    if outcome == "refused":
        assert verdict.reasons == ("recalls 41 of 100 of its own delta; of 59 facts it says what contradicts it",)
    agreed = replace(new, against=old.against)  # both hold what a third does not
    assert (
        foreseen(card(old, agreed), Gate(margin=1, alarm=0), ancestors=["g1"], line=[card(old)]).outcome == "promoted"
    )


def test_how_many_old_questions_show_that_nothing_was_lost() -> None:
    assert (enough(0.05), enough(0.1) < enough(0.05), enough(0.0)) == (65, True, 1_000)


@pytest.mark.parametrize("seed", range(200))
def test_no_child_does_better_than_the_perfect_one(seed: int) -> None:
    """Whatever a child answers: where it is promoted, the perfect one was."""
    luck = random.Random(seed)
    size, gate = luck.randint(1, 90), Gate(margin=luck.choice((0.05, 0.1)), alarm=luck.choice((0, 0.02)))
    old = luck.sample(range(size), luck.randint(0, min(size, 6)))
    first = card(asked(*luck.sample(range(size), luck.randint(0, min(size, 3))), units=size))
    parent = card(asked(*old, units=size), NEW)
    child = card(asked(*luck.sample(old, luck.randint(0, len(old))), units=size), _learned(NEW))
    arguments = {"ancestors": ["g1"], "line": [first]}
    found = judge(parent, child, gate, weight_change=0.01, **arguments)
    best = foreseen(parent, gate, **arguments)
    assert best.outcome != "refused"
    assert best.outcome == "promoted" or found.outcome != "promoted"


def _learned(new: Marks) -> Marks:
    best: Scorecard = perfect(card(new), Gate(), 0.95)
    return next(iter(best.marks.values()))
