"""A generation that its budget stops goes on to the same child, and its whitelist holds before anything is learned."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from germline import budget
from germline.errors import BudgetSpent, DataError, DoesNotFit, PlanError
from germline.evolve import age_up
from germline.lineage import PLAN, TRAIN, Lineage
from germline.records import Cost, Event
from germline.settings import load_plan
from germline.store.home import Home
from germline.store.prune import prune
from germline.store.verify import verify
from tests.conftest import forget
from tests.tiny.conftest import copied, grow

pytestmark = pytest.mark.tiny


@pytest.fixture(scope="module")
def whole(founded: Path, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home whose first generation was never stopped."""
    home = copied(founded, tmp_path_factory.mktemp("whole") / "world")
    grow(home)
    return home


def test_stopped_by_its_budget_and_gone_on_it_is_the_same_child(
    founded: Path, whole: Home, copy_of: Callable[[Path], Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused before, stopped while training and while examined, killed; each time with a higher budget."""
    expected = Lineage.open(whole).head
    forget()  # the copy that grows here is behind it
    training = expected.birth.body["training"]
    home, hours = copy_of(founded), [0.0]
    clock = budget.monotonic
    monkeypatch.setattr(budget, "monotonic", lambda: clock() + 3600 * hours[0])

    with pytest.raises(PlanError, match=rf"budget\.tokens is 9, and this comes to {training['tokens']:,}"):
        grow(home, "budget.tokens=9")
    assert not list(home.runs.glob("*/checkpoint-*"))

    def late(kind: str, step: int = 0) -> Callable[[Event], None]:
        def tell(event: Event) -> None:
            if event.kind == kind and event.data.get("step", 0) == step:
                hours[0] += 1

        return tell

    for kind, step, minutes in (("step", 7, 30), ("step", 8, 90), ("exam", 0, 150)):
        plan = load_plan(home.plan, [f"budget.minutes={minutes}"])
        with pytest.raises(BudgetSpent, match=r"budget\.minutes"):
            age_up(home, plan, late(kind, step))
        if kind == "step":
            assert (home.runs / "g1" / f"checkpoint-{step:08d}.safetensors").exists()
        else:
            assert (home.runs / "g1" / "trained.json").exists()
        assert verify(home).problems == ()
        with pytest.raises(BudgetSpent, match="nothing is lost"):
            grow(home, f"budget.minutes={minutes}")
    outcome = grow(home, "budget.minutes=1000", "budget.total_tokens=1_000_000")

    assert outcome.generation == expected.digest
    head = Lineage.open(home).head
    spent = head.birth.body["spent"]["all_attempts"]
    assert spent["seconds"] > 3 * 3600
    assert (spent["steps"], spent["tokens"]) == (training["steps"], training["tokens"])
    assert "budget" not in Lineage.open(home).json(head, PLAN)
    assert not list(home.runs.iterdir())
    assert verify(home).problems == ()


def test_what_a_killed_process_spent_is_counted_in_the_ledger(
    founded: Path, whole: Home, copy_of: Callable[[Path], Home]
) -> None:
    """It dies at step 9, with the checkpoint of step 5 behind it: four steps are made twice."""
    home = copy_of(founded)
    subprocess.run([sys.executable, "-c", _DIES_AT_STEP_9, str(home.root)], check=False)
    written = json.loads((home.runs / "g1.spent.json").read_bytes())
    assert written["steps"] >= 9
    expected = Lineage.open(whole).head
    forget()  # the copy that grows here is behind it
    steps = expected.birth.body["training"]["steps"]
    with pytest.raises(PlanError, match=r"budget\.steps"):
        grow(home, f"budget.steps={steps}")
    outcome = grow(home)
    spent = Lineage.open(home).head.birth.body["spent"]["all_attempts"]
    assert outcome.generation == expected.digest
    assert spent["steps"] >= steps + 4
    assert spent["tokens"] > expected.birth.body["training"]["tokens"]
    assert spent["attempts"] == 3
    with pytest.raises(BudgetSpent, match=r"budget\.total_tokens is 1, "):
        grow(home, "budget.total_tokens=1")


_DIES_AT_STEP_9 = """
import os, sys
from pathlib import Path
from germline.evolve import age_up
from germline.settings import load_plan
from germline.store.home import Home
home = Home.open(Path(sys.argv[1]))
age_up(home, load_plan(home.plan), lambda event: event.data.get("step") == 9 and os._exit(9))
"""


def test_a_whitelist_that_does_not_hold_stops_before_anything_is_learned(
    founded: Path, whole: Home, copy_of: Callable[[Path], Home]
) -> None:
    home = copy_of(founded)
    first = home.root.parent / "first"
    listed = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(first.iterdir())]
    (home.root / "corpus.sha256").write_text("".join(listed), "utf-8")
    guarded = "data.whitelist=corpus.sha256"
    changed = first / "3-1.json"
    before = changed.read_bytes()
    changed.write_bytes(before.replace(b"Who", b"Why"))
    with pytest.raises(DataError, match=r"first/3-1\.json is not on the whitelist"):
        grow(home, guarded)
    assert not list(home.runs.iterdir()) and not Lineage.open(home).head.number
    changed.write_bytes(before)
    grow(home, guarded)
    lineage = Lineage.open(home)
    forget()
    free = Lineage.open(whole)
    assert lineage.json(lineage.head, PLAN)["data"]["whitelist"] == "corpus.sha256"
    assert list(lineage.rows(lineage.head, TRAIN)) == list(free.rows(free.head, TRAIN))


def die_before_the_entry(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Grow a child, and die when all of it is written but its ledger entry."""

    class Died(BaseException):
        pass

    def die(*args: object, **kwargs: object) -> None:
        raise Died

    with monkeypatch.context() as patch, pytest.raises(Died):
        patch.setattr("germline.store.ledger.append", die)
        grow(home)


def test_pruned_between_two_attempts_it_is_the_same_child(
    founded: Path, whole: Home, copy_of: Callable[[Path], Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but the ledger entry was written, and an owner frees space before going on."""
    home = copy_of(founded)

    die_before_the_entry(home, monkeypatch)
    gone = prune(home)
    assert {item.path.partition("/")[0] for item in gone} == {"generations", "objects", "cache"}
    assert verify(home).problems == ()
    child = grow(home).generation
    assert verify(home).problems == ()
    forget()
    assert child == Lineage.open(whole).head.digest


def test_what_a_given_up_run_had_put_away_goes_with_it(
    founded: Path, copy_of: Callable[[Path], Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut before its ledger entry, begun anew with another plan: nothing of the first child is left."""
    home = copy_of(founded)

    die_before_the_entry(home, monkeypatch)
    assert verify(home).pending
    age_up(home, load_plan(home.plan, ["training.rank=4"]), lambda event: None, restart=True)
    report = verify(home)
    assert (report.problems, report.pending) == ((), 0)


def test_the_checkpoints_of_every_candidate_are_foreseen(
    founded: Path, copy_of: Callable[[Path], Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are kept until the last one is chosen or not."""
    home, foreseen = copy_of(founded), list[float]()

    def foresee(_: budget.Meter, __: Cost, room: float) -> None:
        foreseen.append(room)
        raise DoesNotFit("far enough")

    monkeypatch.setattr(budget.Meter, "foresee", foresee)
    for wanted in ("candidates=1", "candidates=3", "keep_checkpoints=3"):
        with pytest.raises(DoesNotFit, match="far enough"):
            grow(home, f"training.{wanted}", restart=True)
    one, three, one_checkpoint_more = foreseen
    assert three - one == 2 * (load_plan(home.plan).training.keep_checkpoints + 2) * (one_checkpoint_more - one)
