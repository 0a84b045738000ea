"""When a lineage grows, stands still and is mature."""

from __future__ import annotations

import random
from typing import Any

import pytest

from germline.judge.maturity import age, fresh_gain
from germline.records import Marks, Score, Scorecard
from germline.settings import Maturity

POLICY = Maturity()
NOTHING = Score(items=0, right=0, bits_per_byte=0.0)


def card(*papers: dict[str, tuple[float, float]]) -> Scorecard:
    def marks(units: dict[str, tuple[float, float]]) -> Marks:
        return Marks(
            recall=NOTHING, wording=NOTHING, heldout=NOTHING, spoken=NOTHING, passages_bits_per_byte=None, style=None,
            laws={}, cards={}, answers=(), units=units,
        )  # fmt: skip

    return Scorecard(
        weights="sha256:" + "0" * 64, marks={f"exam {place}": marks(units) for place, units in enumerate(papers)}
    )


def birth(upper: float | None, change: float = 0.001, drifts: int | None = 0) -> dict[str, Any]:
    gain = None if upper is None else {"units": 100, "mean": upper - 0.02, "upper": upper}
    scores = {"style_drifts": drifts, "style_probes": 10 if drifts is not None else None}
    return {"fresh_gain": gain, "weight_change": change, "scores": scores}


FOUNDED: dict[str, Any] = {"verdict": None}


@pytest.mark.parametrize(
    ("births", "stage"),
    [
        ([], "growing"),
        ([FOUNDED], "growing"),
        ([FOUNDED, birth(0.02)], "growing"),  # the founder recorded no gain
        ([FOUNDED, birth(0.97), birth(0.02)], "growing"),
        ([FOUNDED, birth(0.97, change=0.05), birth(0.02), birth(0.03)], "still"),  # a big step is among the last three
        ([FOUNDED, birth(0.02), birth(0.02), birth(0.03)], "mature"),
        ([FOUNDED, birth(0.02, drifts=None), birth(0.02, drifts=None), birth(0.03, drifts=None)], "mature"),
        ([FOUNDED, birth(0.02), birth(0.02, drifts=2), birth(0.03)], "still"),
        ([FOUNDED, birth(0.02), birth(0.02), birth(0.03, change=0.02)], "still"),
        ([FOUNDED, birth(0.02), birth(0.02), birth(0.50)], "growing"),  # there is something to learn again
        ([FOUNDED, birth(0.02), birth(None), birth(0.03)], "growing"),  # what was not recorded proves nothing
        ([FOUNDED, birth(0.02), birth(0.02), birth(float("nan"))], "growing"),
        ([FOUNDED, birth(0.02, change=float("nan")), birth(0.02), birth(0.02)], "still"),
    ],
)
def test_stages(births: list[dict[str, Any]], stage: str) -> None:
    found = age(births, POLICY)
    assert found.stage == stage
    assert found.reason
    assert "nan" not in found.reason


def test_a_gain_is_of_what_the_newest_exam_taught_and_the_parent_did_not_know() -> None:
    old = {"a": (1.0, 1.0)}
    found = fresh_gain(card(old, {"b": (0.0, 2.0), "c": (1.0, 0.1)}), card(old, {"b": (1.0, 0.1), "c": (1.0, 0.1)}))
    assert found is not None
    assert (found["units"], found["mean"]) == (2, 0.5)
    assert found["upper"] > 0.5
    assert fresh_gain(card(old), card({})) is None
    assert fresh_gain(card(), card()) is None
    assert fresh_gain(card({"a": (0.0, 1.0)}), card({"b": (1.0, 1.0)})) is None  # not the same questions


def test_by_simulation_a_lineage_that_learns_a_tenth_is_hardly_ever_called_still() -> None:
    """And one that learns nothing is, once its exams are large enough to show it."""
    dice, called = random.Random(0), {0.10: 0, 0.0: 0}
    for truth in called:
        for _ in range(300):
            births = []
            for _ in range(2):
                before = {str(unit): (0.0, 1.0) for unit in range(150)}
                after = {unit: (float(dice.random() < truth), 1.0) for unit in before}
                births.append({"fresh_gain": fresh_gain(card(before), card(after)), "weight_change": 0.0, "scores": {}})
            called[truth] += age(births, POLICY).stage != "growing"
    assert called[0.10] <= 3
    assert called[0.0] >= 297
