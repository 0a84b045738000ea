"""Small training runs, whose every choice a test can make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from germline.forge import loop, trainable
from germline.forge.fit import Fit
from germline.forge.machine import Arithmetic
from germline.forge.memory import Setting
from germline.model import weights
from germline.model.decoder import Decoder
from germline.model.rows import Batch, Text, pack
from germline.ops.quantize import Bits
from germline.records import Event, OnEvent, Trained
from germline.settings import Training
from tests.model.conftest import SMALL

QUIET = Training(rank=4, alpha=8, learning_rate=3e-3, checkpoint_every=3, noise=0)


def batches(count: int = 8, rows: int = 4) -> list[Batch]:
    random = torch.Generator().manual_seed(2)
    made = []
    for _ in range(count):
        texts = [
            [
                Text(tuple(torch.randint(1, 97, (12,), generator=random).tolist()), (False,) * 4 + (True,) * 8)
                for _ in range(2)
            ]
            for _ in range(rows)
        ]
        made.append(pack(texts, 32))
    return made


class Listed(list[Batch]):
    """Batches that are all in memory."""

    @property
    def real_tokens(self) -> int:
        return sum(batch.real_tokens for batch in self)

    @property
    def learned_tokens(self) -> int:
        return sum(batch.learned_tokens for batch in self)


def ignore(event: Event) -> None:
    pass


def fitted(*, micro_tokens: int = 10_000, recomputed_layers: int = 0, bits: Bits | None = None) -> Fit:
    setting = Setting(bits=bits, recomputed_layers=recomputed_layers, micro_tokens=micro_tokens, row_tokens=32)
    on = Arithmetic(torch.float32, "cpu")
    return Fit(on=on, threads=2, setting=setting, compiled=False, peak_bytes=0, seconds=0.0, reasons=())


def train(
    decoder: Decoder,
    scratch: Path,
    *,
    fit: Fit | None = None,
    training: Training = QUIET,
    on_event: OnEvent = ignore,
    steps: list[Batch] | None = None,
) -> Trained:
    scratch.mkdir(exist_ok=True)
    listed = Listed(batches() if steps is None else steps)
    return loop.train(decoder, listed, training, fit or fitted(), scratch=scratch, on_event=on_event)


def load(path: Path, training: Training = QUIET, fit: Fit | None = None) -> Decoder:
    fit = fit or fitted()
    in_full = trainable.in_full(training)
    return weights.load(SMALL, path, fit.on.dtype, bits=fit.setting.bits, in_full=in_full)


def plan(**changes: Any) -> Training:
    return QUIET.model_copy(update=changes)


METHODS: dict[str, tuple[Training, Fit]] = {
    "lora": (QUIET, fitted()),
    "lora, micro-batches": (QUIET, fitted(micro_tokens=32)),
    "nf4, recomputed, micro-batches": (QUIET, fitted(bits="nf4", recomputed_layers=2, micro_tokens=64)),
    "int8": (QUIET, fitted(bits="int8", recomputed_layers=1)),
    "full": (plan(method="full"), fitted()),
    "full, 8-bit, micro-batches": (plan(method="full", optimizer="adamw8bit"), fitted(micro_tokens=32)),
    "lora and embeddings": (plan(embeddings=True, embedding_learning_rate=1e-3), fitted()),
    "noise, micro-batches": (plan(noise=0.3), fitted(micro_tokens=32)),
    "noise on embeddings that train": (plan(noise=0.3, embeddings=True, embedding_learning_rate=1e-3), fitted()),
}
"""Everything that can be trained, by name."""
