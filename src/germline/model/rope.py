"""Rotary position embeddings: the angles by which queries and keys turn (RoPE, arXiv 2104.09864)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from germline.model.families import Rope

Rotation = tuple[Tensor, Tensor]
"""Cosines and sines [B, 1, T, R / 2], fp32."""


def rotation(rope: Rope, positions: Tensor) -> Rotation:
    """The table for positions [B, T], computed in fp32 as the reference does."""
    angles = positions.unsqueeze(-1).float() * inverse_frequencies(rope).to(positions.device)
    return angles.cos().unsqueeze(1), angles.sin().unsqueeze(1)


def inverse_frequencies(rope: Rope) -> Tensor:
    """[R / 2] fp32, with the `llama3` stretching of low frequencies where the config asks for it."""
    exponents = torch.arange(0, rope.dims, 2, dtype=torch.int64).float() / rope.dims
    frequencies = 1.0 / (rope.theta**exponents)
    scaling = rope.scaling
    if scaling is None:
        return frequencies
    wavelengths = 2 * math.pi / frequencies
    longest = scaling.original_max_position_embeddings / scaling.low_freq_factor
    shortest = scaling.original_max_position_embeddings / scaling.high_freq_factor
    blend = (scaling.original_max_position_embeddings / wavelengths - scaling.low_freq_factor) / (
        scaling.high_freq_factor - scaling.low_freq_factor
    )
    blended = (1 - blend) * frequencies / scaling.factor + blend * frequencies
    scaled = torch.where(wavelengths > longest, frequencies / scaling.factor, frequencies)
    between = (wavelengths <= longest) & (wavelengths >= shortest)
    return torch.where(between, blended, scaled)
