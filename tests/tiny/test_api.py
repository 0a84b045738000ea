"""germline as a library: the example itself, on a small lineage."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from examples.companion import ResponseGenerator, trigger_age_up

import germline
from germline import evolve
from germline.errors import NoLineage
from germline.store.home import Home


def test_a_program_comes_of_age_and_goes_back(founded: Path, copy_of: Callable[[Path], Home], tmp_path: Path) -> None:
    home = copy_of(founded)
    home.plan.write_text(home.plan.read_text().replace("epochs = 5", "epochs = 4"), encoding="utf-8")
    if os.name != "nt":  # where links need a privilege; a run may lie on another disk
        (tmp_path / "fast").mkdir()
        shutil.rmtree(home.runs)
        home.runs.symlink_to(tmp_path / "fast")
    (home.runs / "notes").mkdir()
    lineage = germline.Lineage.open(home.root)
    generator = ResponseGenerator(lineage)
    before = generator.answer("Who made the fog horn?")
    assert generator.name == "g0"
    assert trigger_age_up(lineage) == "promoted"
    assert generator.name == lineage.head.name == "g1" and lineage.head.outcome == "promoted"
    assert generator.answer("Who made the fog horn?") != before
    assert trigger_age_up(lineage) == "nothing new to learn"
    assert [path.name for path in home.runs.iterdir() if path.is_dir()] == ["notes"]  # its owner's
    assert [one.name for one in lineage.generations] == ["g0", "g1"]
    assert lineage.facts("g0") == () and len(lineage.facts("g1")) == 10 and not lineage.verify().problems
    assert lineage.rollback("g0").name == "g0" == germline.Lineage.open(home.root).head.name
    made = lineage.export("g1", "gguf", tmp_path / "out", quantization="f16")
    assert made.file.is_file() and made.parity and not made.parity.failed
    with pytest.raises(NoLineage):
        germline.Lineage.open(tmp_path)


def test_a_hook_is_told_the_child_though_head_has_moved_on(grown: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lineage = germline.Lineage.open(grown / "home")
    child, told = lineage.generations[0], []
    assert child.digest != lineage.head.digest
    lineage.on_promoted(told.append)
    with monkeypatch.context() as patch:
        patch.setattr(evolve, "age_up", lambda *_, **__: SimpleNamespace(kind="promoted", generation=child.digest))
        lineage.evolve()
    assert told == [child]
