"""When a lineage grows, stands still and is mature."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from germline.judge.maturity import age, fresh_gain
from germline.lineage import Lineage
from germline.marks import Marks, Score, Scorecard
from germline.records import digest_of
from germline.report.history import document, maturity
from germline.settings import Maturity
from germline.store import keys, ledger
from germline.store.entry import APPROVES, Kind
from germline.store.home import Home

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


def birth(upper: float | None, change: float = 0.001, drifts: int | None = 0, probes: int = 10) -> dict[str, Any]:
    gain = None if upper is None else {"units": 100, "mean": upper - 0.02, "upper": upper}
    scores = {"style_drifts": drifts, "style_probes": probes if drifts is not None else None}
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
        ([FOUNDED, birth(0.02), birth(0.02, drifts=2, probes=20), birth(0.03)], "mature"),  # one in ten
        ([FOUNDED, birth(0.02), birth(0.02, drifts=2, probes=4), birth(0.03)], "still"),
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


def tell(home: Home, kind: Kind, number: int, parent: int | None = None, upper: float = 0.0) -> None:
    """An entry of a ledger that knows of no files."""
    body = birth(upper) | {"parent": parent} if parent is not None else {}
    ledger.append(home, kind, digest_of(b"%d" % number), number, body)


def stage(home: Home) -> str:
    return maturity(Lineage.open(home), POLICY).stage


def test_an_exam_too_small_to_show_that_a_lineage_stands_still_says_so() -> None:
    """Of 64 questions none of which moved, 5% may have been won; of 65 less."""
    for units, said in ((64, "an exam of 64 questions could show no less than 5%"), (65, "")):
        still = birth(0.051) | {"fresh_gain": {"units": units, "mean": 0.0, "upper": 0.051}}
        assert age([FOUNDED, still, still], POLICY).reason.endswith(said or "up to 5%")


def test_what_was_refused_says_nothing_of_what_head_has_learned(tmp_path: Path) -> None:
    home = Home.create(tmp_path / "home", "refusals")
    tell(home, "founded", 0)
    for number in (1, 2, 3):
        tell(home, "promoted", number, parent=number - 1, upper=0.02)
    assert stage(home) == "mature"
    tell(home, "refused", 4, parent=3, upper=0.97)  # a poisoned delta, learned by heart
    tell(home, "inconclusive", 5, parent=3, upper=0.97)
    assert stage(home) == "mature"
    assert document(Lineage.open(home))["maturity"]["stage"] == "mature"


def test_what_a_rollback_left_behind_says_nothing_of_what_head_has_learned(tmp_path: Path) -> None:
    home = Home.create(tmp_path / "home", "branches")
    tell(home, "founded", 0)
    tell(home, "promoted", 1, parent=0, upper=0.97)
    tell(home, "promoted", 2, parent=1, upper=0.02)
    tell(home, "promoted", 3, parent=2, upper=0.02)
    assert stage(home) == "mature"
    tell(home, "rolled_back", 1)
    assert stage(home) == "growing"
    tell(home, "promoted", 4, parent=1, upper=0.02)
    assert stage(home) == "growing"  # of its line one birth alone learned little
    tell(home, "promoted", 5, parent=4, upper=0.02)
    assert stage(home) == "mature"


def test_a_child_that_waits_for_the_second_key_counts_once_it_is_approved(tmp_path: Path) -> None:
    home = Home.create(tmp_path / "home", "two keys", arbiter=keys.make())
    tell(home, "founded", 0)
    for number in (1, 2):
        tell(home, "proposed", number, parent=number - 1, upper=0.02)
        assert stage(home) == "growing"
        proposal = ledger.entries(home)[-1]
        ledger.append(home, "promoted", proposal.generation, number, {APPROVES: proposal.digest})
    assert stage(home) == "still"


def test_a_ledger_that_names_a_child_its_own_ancestor_ends_all_the_same(tmp_path: Path) -> None:
    home = Home.create(tmp_path / "home", "circles")
    tell(home, "founded", 0)
    tell(home, "promoted", 1, parent=1, upper=0.97)
    assert stage(home) == "growing"


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
