"""The benchmark of heredity: what a cut leaves behind is not lost, and how sure a share is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from benchmarks import heredity, heredity_report

from germline.lineage import Lineage
from germline.marks import Scorecard
from germline.store import ledger
from germline.store.generations import Manifest, commit
from germline.store.home import Home
from germline.store.objects import put
from tests.unit.small_lineage import body, found, marks, verdict


def bear(home: Home, number: int, outcome: Any) -> None:
    """A child of HEAD, with as much of a body as the benchmark reads."""
    parent = Lineage.open(home).head
    card = Scorecard(weights="w", marks={"exam": marks(9)})
    weights = put(home, b"weights %d" % number)
    digest = commit(home, Manifest(parent=parent.digest, files={}, weights=weights))
    told = body(verdict(outcome), parent.number, card, card) | {"merge_scale": 0.5}
    told["training"] = told["training"] | {"tokens_of_all_candidates": 20_000}
    ledger.append(home, outcome, digest, number, told)


@pytest.fixture
def arm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> heredity.Arm:
    """An arm whose lineage is grown and measured without a model."""

    def grown(home: Home, plan: Any, tell: Any) -> None:
        bear(home, Lineage.open(home).next_number, "promoted")

    def measured(lineage: Lineage, generation: Any, *_: Any, **__: Any) -> dict[str, Any]:
        return {"measured": generation.name}

    def founded(root: Path, *_: Any, **__: Any) -> Lineage:
        home = Home.create(root, "heredity")
        found(home)
        return Lineage.open(home)

    monkeypatch.setattr(heredity.evolve, "age_up", grown)
    monkeypatch.setattr(heredity, "measure", measured)
    monkeypatch.setattr(heredity.founding, "found", founded)
    return heredity.Arm("germline-0", tmp_path, 0, (), "invented")


def reach(arm: heredity.Arm, number: int, *, rebase: bool = False) -> dict[str, Any]:
    arm.reach(number, last=3, rebase=rebase, general=False)
    line: dict[str, Any] = json.loads(arm.results.read_text().splitlines()[-1])
    return line


def cut_before_measuring(arm: heredity.Arm, number: int, monkeypatch: pytest.MonkeyPatch, *, rebase: bool) -> None:
    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(heredity, "measure", die)
        reach(arm, number, rebase=rebase)


@pytest.mark.parametrize("rebase", [False, True])
def test_a_cut_between_a_birth_and_its_measuring_loses_nothing(
    arm: heredity.Arm, monkeypatch: pytest.MonkeyPatch, rebase: bool
) -> None:
    assert "kind" not in reach(arm, 0)
    cut_before_measuring(arm, 1, monkeypatch, rebase=rebase)
    monkeypatch.setattr(heredity.evolve, "age_up", None)  # it is not grown again
    line = reach(arm, 1, rebase=rebase)
    assert (line["kind"], line["measured"]) == ("promoted", "g1")
    assert (line["tokens"], line["seconds_training"], line["merge_scale"]) == (20_000, 61.0, 0.5)


def test_a_refused_child_is_told_of_and_head_is_measured(arm: heredity.Arm) -> None:
    for number in (0, 1):
        reach(arm, number)
    bear(Home.open(arm.work / arm.name), 2, "refused")
    line = reach(arm, 2)
    assert (line["kind"], line["measured"], line["reasons"]) == ("refused", "g1", ["recalls 9 of 10"])
    assert reach(arm, 3)["measured"] == "g3"


def test_each_generation_is_measured_as_head_was_then(arm: heredity.Arm) -> None:
    for number in (0, 1, 2):
        reach(arm, number)
    arm.results.unlink()
    assert [reach(arm, number)["measured"] for number in (0, 1, 2)] == ["g0", "g1", "g2"]


def test_an_ancestor_that_is_missing_ends_it(arm: heredity.Arm) -> None:
    reach(arm, 0)
    with pytest.raises(SystemExit, match="g1 is missing"):
        reach(arm, 2)


def test_common_sense_is_told_beside_how_sure_the_founder_s_is() -> None:
    assert heredity_report.wilson(0.5, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    assert heredity_report.wilson(0.0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    shares = (0.3233, 0.36, None, 0.25, 0.40)
    lines: list[dict[str, Any]] = [
        {"generation": place, "common_sense": share} for place, share in enumerate(shares) if share is not None
    ]
    heredity_report.beside_the_founder(lines)
    assert [line["common_sense_beside"] for line in lines] == ["27.3% to 37.8%", "within", "below", "above"]
    heredity_report.beside_the_founder(lines[1:])  # without a founder there is nothing to tell
