"""A generation trained again is the same, or what is otherwise is named; and merged again from the founder, too."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from germline.anchoring import NEW, TOKENS
from germline.checkout import weights
from germline.cli import main
from germline.errors import Interrupted, PlanError, StoreDamaged
from germline.evolve import age_up
from germline.lineage import ADAPTER, ANCHOR, TRAIN, Lineage
from germline.records import Event
from germline.remerge import remerge
from germline.replay import fit_of, replay
from germline.settings import load_plan
from germline.store import generations, ledger
from germline.store.home import Home
from germline.store.verify import verify
from tests.tiny.conftest import copied, quiet

pytestmark = pytest.mark.tiny

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def grown(founded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small world with two generations promoted, both anchored, the second trained with packed weights."""
    world = tmp_path_factory.mktemp("replayed") / "world"
    home = copied(founded, world)
    second = ('data.sources=["../first", "../second"]', "training.quantize=nf4")
    for overrides in (("training.anchor=1",), ("training.anchor=1", *second)):
        verdict = age_up(home, load_plan(home.plan, overrides), quiet).verdict
        assert verdict.outcome == "promoted", [check.reason for check in verdict.checks if not check.passed]
    return world


def held(home: Home) -> dict[str, bytes]:
    paths = [path for path in home.root.rglob("*") if path.is_file()]
    return {path.relative_to(home.root).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture(autouse=True)
def _own_scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What other programs put beside a replay's scratch is none of its business."""
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))


def scratches() -> list[Path]:
    return sorted(Path(tempfile.gettempdir()).glob(".tmp-*"))


def test_what_the_founder_said_is_inherited_and_added_to(grown: Path) -> None:
    lineage = Lineage.open(Home(grown / "home"))
    first, second = (lineage.resolve(name) for name in ("g1", "g2"))
    texts, more = lineage.json(first, ANCHOR), lineage.json(second, ANCHOR)
    assert more[: len(texts)] == texts and 2 * NEW - 60 < len(more) <= 2 * NEW  # some are empty
    assert all(2 <= len(ids) <= 1 + TOKENS for ids in more)
    assert len(set(map(tuple, more))) > 0.8 * len(more)


@pytest.mark.parametrize("name", ["g1", "g2"])
def test_trained_again_it_is_the_same_to_the_last_bit(grown: Path, name: str) -> None:
    home = Home(grown / "home")
    before, scratch = held(home), scratches()
    lineage = Lineage.open(home)
    meant = lineage.resolve(name)
    fit, otherwise = fit_of(meant)
    assert otherwise == ()
    steps: list[Event] = []
    found = replay(lineage, meant, fit, lambda event: steps.append(event) if event.kind == "step" else None)
    assert (found.same, found.first, found.found) == (True, None, meant.digest)
    assert steps[-1].data["step"] == steps[-1].data["steps"] > 5
    assert (held(home), scratches()) == (before, scratch)


def test_another_thread_count_is_named_before_anything_is_trained(grown: Path, capsys: Captured) -> None:
    home = Home(grown / "home")
    recorded = Lineage.open(home).resolve("g1").birth.body["environment"]["threads"]
    assert main(["--home", str(home.root), "replay", "g1", "--threads", str(recorded + 1)]) == 1
    told = capsys.readouterr()
    assert not told.out
    assert f"threads was {recorded} and is {recorded + 1}" in told.err and "--anyway" in told.err
    assert "training g1" not in told.err


def test_what_this_machine_has_otherwise_is_named(grown: Path) -> None:
    lineage = Lineage.open(Home(grown / "home"))
    meant = lineage.resolve("g1")
    body = meant.birth.body
    environment = {**body["environment"], "torch": "1.0", "capability": "ABACUS", "device": "cuda", "more": 1}
    elsewhere = replace(meant, birth=replace(meant.birth, body={**body, "environment": environment}))
    _, otherwise = fit_of(elsewhere)
    here = body["environment"]
    for told in (f"torch was 1.0 and is {here['torch']}", f"capability was ABACUS and is {here['capability']}",
                 "more was 1 and is None"):  # fmt: skip
        assert told in otherwise
    with pytest.raises(PlanError, match="g0 was not trained here"):
        fit_of(lineage.resolve("g0"))


def test_what_comes_out_otherwise_is_named_where_it_begins(grown: Path) -> None:
    """Half as many tokens at once add up to the same step, but not to the same bits."""
    lineage = Lineage.open(Home(grown / "home"))
    meant = lineage.resolve("g1")
    fit, _ = fit_of(meant)
    halved = replace(fit, setting=replace(fit.setting, micro_tokens=fit.setting.micro_tokens // 4))
    found = replay(lineage, meant, halved, quiet)
    assert not found.same and found.expected == meant.digest
    assert found.first is not None and found.first.startswith("the loss of step ")


def test_ctrl_c_leaves_nothing(grown: Path) -> None:
    home = Home(grown / "home")
    before, scratch = held(home), scratches()
    lineage = Lineage.open(home)
    meant = lineage.resolve("g1")

    def interrupt(event: Event) -> None:
        if event.kind == "step" and event.data["step"] == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted, match="the replay of g1 was stopped"):
        replay(lineage, meant, fit_of(meant)[0], interrupt)
    assert (held(home), scratches()) == (before, scratch)


def test_damaged_rows_are_not_trained_on(grown: Path, copy_of: Callable[[Path], Home]) -> None:
    lineage = Lineage.open(copy_of(grown))
    flip(lineage.path(lineage.resolve("g1"), TRAIN), 10)
    meant = lineage.resolve("g2")
    with pytest.raises(StoreDamaged, match=r"is not the delta/train\.jsonl of g1"):
        replay(lineage, meant, fit_of(meant)[0], quiet)


# --- merging again ------------------------------------------------------------------------------------


def flip(path: Path, *places: int) -> None:
    data = bytearray(path.read_bytes())
    for place in places:
        data[place] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("cached", [True, False])
def test_deep_merges_all_again_and_changes_nothing(
    grown: Path, copy_of: Callable[[Path], Home], capsys: Captured, cached: bool
) -> None:
    home = copy_of(grown)
    if not cached:
        shutil.rmtree(home.cache)
    before = held(home)
    assert main(["--home", str(home.root), "verify", "--deep"]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("whole") and "MiB again" in told.err
    assert held(home) == before


def test_the_bytes_that_differ_are_named(grown: Path, copy_of: Callable[[Path], Home], capsys: Captured) -> None:
    home = copy_of(grown)
    lineage = Lineage.open(home)
    path = weights(lineage, lineage.resolve("g2"))
    size = path.stat().st_size
    flip(path, 5, 100_000, 100_007, size - 1)
    assert main(["--home", str(home.root), "verify"]) == 4
    told = capsys.readouterr().out
    assert f"in bytes 5 to 5, 100,000 to 100,007, {size - 1:,} to {size - 1:,}\n" in told
    path.write_bytes(path.read_bytes()[: size - 10])
    assert main(["--home", str(home.root), "verify"]) == 4
    assert f"100,000 to 100,007, {size - 10:,} to {size - 1:,}\n" in capsys.readouterr().out


def test_weights_that_the_adapters_do_not_give_are_found_only_by_deep(
    grown: Path, copy_of: Callable[[Path], Home], capsys: Captured
) -> None:
    """A key holder names weights that no merge of what is kept gives: every hash is right all the same."""
    home = copy_of(grown)
    lineage = Lineage.open(home)
    second = lineage.resolve("g2")
    forged = replace(second.manifest, weights=lineage.resolve("g1").manifest.weights, about={"kind": "child", "n": 2})
    generations.commit(home, forged)
    ledger.append(home, "promoted", forged.id, 3, second.birth.body)
    assert verify(home).problems == ()
    assert main(["--home", str(home.root), "verify", "--deep"]) == 4
    told = capsys.readouterr().out
    assert f"generations/{forged.id[7:]}.json (g3) names weights that merging from the founder does not give" in told
    assert told.count("does not give") == 1


def test_a_damaged_adapter_is_told_and_its_heirs_are_not_judged(grown: Path, copy_of: Callable[[Path], Home]) -> None:
    home = copy_of(grown)
    lineage = Lineage.open(home)
    flip(lineage.path(lineage.resolve("g1"), ADAPTER), 5000)
    notes: list[str] = []
    born = [generation.digest for generation in lineage.born()[1:]]
    found = remerge(lineage, born, lambda event: notes.append(event.text) if event.kind == "note" else None)
    assert found == [] and len(notes) == 1
    assert notes[0].startswith("g1 and its descendants are not merged again")
