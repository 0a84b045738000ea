"""What is known of a child before it is trained: shown by `germline preview`, and said by an evolve that is in vain."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from germline.cli import main
from germline.errors import PlanError
from germline.evolve import age_up
from germline.lineage import PARENT_SCORECARD, Lineage
from germline.preview import Preview, preview
from germline.records import Event
from germline.settings import load_plan
from germline.store.home import Home
from tests.tiny.conftest import SECOND, quiet

pytestmark = pytest.mark.tiny

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _own_scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))


def seen(home: Home, *overrides: str) -> Preview:
    return preview(Lineage.open(home), load_plan(home.plan, overrides), quiet)


def held(home: Home) -> dict[str, bytes]:
    return {path.as_posix(): path.read_bytes() for path in home.root.rglob("*") if path.is_file()}


def test_it_tells_what_the_child_is_then_taught_and_asked(founded: Path, copy_of: Callable[[Path], Home]) -> None:
    home = copy_of(founded)
    before = held(home)
    found = seen(home)
    assert held(home) == before, "nothing is written to the lineage"
    assert not list(Path(tempfile.gettempdir()).iterdir()), "nor left elsewhere"
    told: list[Event] = []
    age_up(home, load_plan(home.plan), told.append)
    lineage = Lineage.open(home)
    child = lineage.head
    books, trained = child.birth.body["delta"], child.birth.body["training"]
    assert (found.child, found.parent) == (child.name, "g0")
    assert (found.delta.train_rows, found.delta.heldout_rows) == (books["rows"], books["heldout"])
    assert found.facts == tuple(lineage.facts(child))
    assert (found.steps, found.tokens, found.replayed) == (trained["steps"], trained["tokens"], 0)
    marks = list(lineage.json(child, PARENT_SCORECARD)["marks"].values())[-1]
    assert (found.known.right, found.known.items) == (marks["recall"]["right"], marks["recall"]["items"])
    assert found.asked["recall"] == marks["recall"]["items"] and found.asked["laws"] == 1
    notes = [event.text for event in told if event.kind == "note"]
    assert [note for note in notes if note in found.notes] == list(found.notes)


def test_what_ancestors_were_taught_is_counted(grown: Path, copy_of: Callable[[Path], Home]) -> None:
    home = copy_of(grown)
    (home.root.parent / "third.md").write_text("The colour of the fog horn is crimson.", encoding="utf-8")
    found = seen(home, 'data.sources=["../third.md"]', "data.heldout=0", "training.anchor=1")
    assert found.inherited > 20 and found.replayed > 0 and found.anchored > 0
    assert any("contradicts what ancestors were taught" in note for note in found.notes)
    assert found.foreseen.outcome == "inconclusive", "one fact cannot be told from chance"
    assert "fewer than 5 cannot tell from chance" in found.notes[-1]


def test_nobody_else_may_look_into_what_it_lays_out(founded: Path, copy_of: Callable[[Path], Home]) -> None:
    modes: set[int] = set()

    def look(event: Event) -> None:
        modes.update(path.stat().st_mode & 0o777 for path in Path(tempfile.gettempdir()).iterdir())

    home = copy_of(founded)
    preview(Lineage.open(home), load_plan(home.plan), look)
    assert modes == {0o700} or os.name == "nt"


def test_what_it_told_is_told_where_it_fails_too(founded: Path, copy_of: Callable[[Path], Home]) -> None:
    home = copy_of(founded)
    told: list[Event] = []
    (home.root.parent / "third.md").write_text("It rains. The sea is grey today, and nobody came.", encoding="utf-8")
    plan = load_plan(home.plan, ['data.sources=["../third.md"]', "data.heldout=0", "training.candidates=2"])
    with pytest.raises(PlanError, match="could be told apart"):
        preview(Lineage.open(home), plan, told.append)
    assert any("rows in" in event.text for event in told)


def test_a_run_that_is_begun_is_told_of(founded: Path, copy_of: Callable[[Path], Home], capsys: Captured) -> None:
    home = copy_of(founded)
    (home.runs / "g1").mkdir(parents=True)
    (home.runs / "g1" / "run.json").write_text("{}")
    assert main(["--home", str(home.root), "preview"]) == 0
    assert "g1 is begun, and `germline evolve` goes on with it" in " ".join(capsys.readouterr().err.split())


def test_an_evolve_in_vain_says_so_before_it_trains(grown: Path, copy_of: Callable[[Path], Home]) -> None:
    home = copy_of(grown)
    (home.root.parent / "third.md").write_text("The colour of the fog horn is crimson.", encoding="utf-8")
    told: list[Event] = []
    outcome = age_up(home, load_plan(home.plan, ['data.sources=["../third.md"]', "data.heldout=0"]), told.append)
    assert outcome.kind in ("inconclusive", "refused"), "a child this small may also say less of what it was taught"
    in_vain = [place for place, event in enumerate(told) if "cannot become HEAD, however well it learns" in event.text]
    assert len(in_vain) == 1 and in_vain[0] < [event.kind for event in told].index("step")
    reason = next(check.reason for check in outcome.verdict.checks if check.undecided)
    assert reason.split(";")[-1].split(",")[-1] in told[in_vain[0]].text, "it is what the verdict says in the end"


def test_the_command(grown: Path, copy_of: Callable[[Path], Home], capsys: Captured) -> None:
    home = copy_of(grown)
    assert main(["--home", str(home.root), "preview", "-S", SECOND]) == 1
    assert "there is nothing new to learn" in capsys.readouterr().err
    (home.root.parent / "third.md").write_text("The colour of the fog horn is crimson.", encoding="utf-8")
    arguments = ["--home", str(home.root), "preview", "-S", 'data.sources=["../third.md"]', "-S", "data.heldout=0"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert out.startswith("g3 would be a child of g2") and "colour of the fog horn: crimson" in out
    assert main([*arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["child"] == "g3" and document["facts"][0]["value"] == "crimson"
    assert document["fit"]["peak_bytes"] > 0 and "train" not in document["delta"]
