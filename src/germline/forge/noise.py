"""Noise on the embeddings of a lesson: what is learned of it then hangs on what is asked, and less on how.

As in NEFTune (Jain et al., arXiv 2310.05914), in training alone. Theirs is uniform and shrinks with a text's length;
ours is normal and a share of the embeddings' own deviation, because texts of a dozen tokens lie beside long ones here,
and families differ in how large their embeddings are.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from germline.model.decoder import Decoder
from germline.settings import Training


@dataclass(frozen=True, slots=True)
class Noise:
    deviation: float
    seed: int

    def at(self, step: int, first_row: int, tokens: Tensor, decoder: Decoder) -> Tensor:
        """[R, T, D] fp32 on the decoder's device, for `tokens` [R, T], the rows of a step from `first_row` on.

        A function of the seed, the step and each row's number: however a step is dealt into micro-batches, and
        wherever a run is gone on with, it is the same. Not promised: the same numbers on another kind of device.
        """
        made = torch.empty(*tokens.shape, decoder.config.hidden, device=decoder.device)
        for place, row in enumerate(made, first_row):
            hashed = hashlib.sha256(f"{self.seed}:{step}:{place}".encode()).digest()
            dice = torch.Generator(row.device).manual_seed(int.from_bytes(hashed[:4]))
            row.normal_(0.0, self.deviation, generator=dice)
        return made


def noise_for(decoder: Decoder, training: Training) -> Noise | None:
    """As `training.noise` asks, measured on the embeddings as they are now: before anything of them is trained."""
    if not training.noise:
        return None
    table = decoder.model.embed_tokens.weight.detach()
    deviation = float(torch.linalg.vector_norm(table, dtype=torch.float32)) / table.numel() ** 0.5
    return Noise(training.noise * deviation, training.seed)
