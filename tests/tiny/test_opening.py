"""A model of which every text begins with a token of its own: nothing that it reads, or is taught, begins otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from germline.curriculum.batches import Batches
from germline.evolve import age_up
from germline.founding import found
from germline.lineage import ANCHOR, Lineage
from germline.model.continuous_batch import ContinuousBatch
from germline.model.rows import Batch
from germline.settings import load_plan
from tests.model.test_export import AS_RELEASED
from tests.model.test_families import saved
from tests.tiny.conftest import quiet

pytestmark = pytest.mark.tiny
BOS = 1
PLAN = """
[data]
sources = ["../lamp.md"]
[curriculum]
epochs = 1
row_tokens = 64
batch_tokens = 128
[training]
threads = 1
[exams]
answer_tokens = 4
"""


def test_lessons_anchors_and_answers_begin_as_every_text_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gemma").mkdir()
    gemma = saved("gemma2 as released", tmp_path / "gemma", AS_RELEASED["gemma2 as released"])
    home = found(tmp_path / "home", str(gemma.directory), name="g", on_event=quiet, dtype="fp32").home
    (tmp_path / "lamp.md").write_text("# Lamp\n\n- Weight: 5 kg\n- Maker: Strand\n\nIt is lit at dusk.\n", "utf-8")
    home.plan.write_text(PLAN, encoding="utf-8")
    taught: list[Batch] = []
    read: list[list[int]] = []
    get, go_on = Batches.__getitem__, ContinuousBatch.go_on

    def noted(batches: Batches, step: int) -> Batch:
        taught.append(get(batches, step))
        return taught[-1]

    def heard(speaking: ContinuousBatch, tokens: Any) -> Any:
        read.extend(list(text) for text in speaking._newcomers)
        return go_on(speaking, tokens)

    with monkeypatch.context() as patch:
        patch.setattr(Batches, "__getitem__", noted)
        patch.setattr(ContinuousBatch, "go_on", heard)
        age_up(home, load_plan(home.plan), quiet)
    begins = [batch.tokens[(batch.positions == 0) & (batch.segments >= 0)].tolist() for batch in taught]
    assert begins and {token for step in begins for token in step} == {BOS}
    assert not any(bool(batch.learned[batch.positions == 0].any()) for batch in taught)
    lineage = Lineage.open(home)
    anchored = lineage.json(lineage.resolve("g1"), ANCHOR)
    assert {tuple(ids[:1]) for ids in (*anchored, *read)} == {(BOS,)} and len(anchored) > 100 < len(read)
