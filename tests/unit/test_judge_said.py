"""To know a fact is to say it, not only to choose it: what would be said less is not passed by."""

from __future__ import annotations

from dataclasses import replace

import pytest

from germline.judge.gate import judge
from germline.judge.perfect import foreseen
from germline.marks import Marks, Scorecard, Verdict
from germline.settings import Gate
from tests.unit.test_judge import NEW, asked, card


def says(unsaid: float, units: int = 200) -> Marks:
    """All is chosen right; so many facts would not be said, a half of one by halves."""
    whole = int(unsaid)
    shares = [0.0] * whole + [1.0 - (unsaid - whole)] + [1.0] * (units - whole - 1)
    return replace(asked(units=units), said={str(place): share for place, share in enumerate(shares)})


def verdict(parent: Marks, child: Marks, *line: Marks, gate: Gate = Gate()) -> Verdict:  # noqa: B008 - frozen
    return judge(
        card(parent, NEW), card(child, asked()), gate, weight_change=0.01, ancestors=["g1"], line=[*map(card, line)]
    )


def failed(found: Verdict) -> list[str]:
    return [check.name for check in found.checks if not check.passed]


def test_a_child_that_chooses_all_and_says_less_is_refused() -> None:
    """As a real one was that had read its volume without replay: 27 points less said, 0.3 less chosen."""
    found = verdict(says(0), says(54))
    assert found.outcome == "refused" and failed(found) == ["said"]
    assert found.reasons == (
        "would say 27.0% less of 200 old facts than its parent, with 95% confidence less than 32.5%, and 27.0% less "
        "than the best of its ancestors",
    )


@pytest.mark.parametrize(
    ("units", "unsaid", "outcome"),
    [
        (200, 0, "promoted"),
        (200, 3, "promoted"),  # 1.5 points, less than 4.0 with 95% confidence
        (200, 7, "refused"),  # 3.5 points, and it may be 6.5
        (100, 5, "promoted"),  # too few to show it: what was seen is what there is
        (100, 5.5, "refused"),
    ],
)
def test_where_there_are_units_enough_the_loss_must_be_shown_to_be_small(
    units: int, unsaid: float, outcome: str
) -> None:
    assert verdict(says(0, units), says(unsaid, units)).outcome == outcome


def test_losses_that_are_small_each_time_are_held_against_the_best() -> None:
    assert verdict(says(8), says(10)).outcome == "promoted"
    found = verdict(says(8), says(10.5), says(0))
    assert failed(found) == ["said"] and "5.2% less than the best of its ancestors" in found.reasons[0]


def test_cards_of_before_it_was_recorded_are_not_asked() -> None:
    found = verdict(asked(units=200), says(150))
    assert found.outcome == "promoted" and "said" not in {check.name for check in found.checks}
    assert verdict(says(0), says(150), gate=Gate(margin=1, alarm=0)).outcome == "promoted"


def test_what_a_child_was_not_asked_is_not_known() -> None:
    assert failed(verdict(says(0), asked(units=200))) == ["said"]


def test_an_ancestor_that_was_asked_less_is_no_measure() -> None:
    short = replace(says(0), said={"0": 1.0})
    assert verdict(says(8), says(10), short).outcome == "promoted"


def test_the_perfect_child_says_all() -> None:
    parent: Scorecard = card(says(60), NEW)
    assert foreseen(parent, Gate(), ancestors=["g1"], line=[card(says(0))]).outcome == "promoted"
