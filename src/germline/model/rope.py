"""Rotary position embeddings: the angles by which queries and keys turn (RoPE, arXiv 2104.09864)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

Rotation = tuple[Tensor, Tensor]
"""Cosines and sines [B, 1, T, R / 2], fp32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """Position interpolation (arXiv 2306.15595): every frequency is divided by `factor`."""

    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Llama3:
    """Llama 3.1: wavelengths past the original context are stretched, shorter ones are left alone."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_position_embeddings: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Longrope:
    """LongRoPE (arXiv 2402.13753): a divisor per frequency, `short` for texts of up to
    `original_max_position_embeddings` tokens and `long` for longer ones, all of whose tokens then turn
    differently. Cosines and sines are multiplied by `attention_factor` in both."""

    short: tuple[float, ...]
    long: tuple[float, ...]
    attention_factor: float
    original_max_position_embeddings: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rope:
    """The first `dims` elements of each head turn, as two halves; the rest pass."""

    theta: float
    dims: int
    scaling: Linear | Llama3 | Longrope | None = None


def rotation(rope: Rope, positions: Tensor, last: Tensor) -> Rotation:
    """The table for positions [B, T], computed in fp32 as the reference does.

    `last` [B, T] or [B, 1] is the last position of each token's own text. transformers chooses between
    LongRoPE's factors by the longest text of a batch; here each text chooses for itself, so that what a
    text means never depends on its neighbours. Alone in a batch, a text turns the same in both.
    """
    angles = positions.unsqueeze(-1).float() * _frequencies(rope, last).to(positions.device)
    factor = rope.scaling.attention_factor if isinstance(rope.scaling, Longrope) else 1.0
    return (angles.cos() * factor).unsqueeze(1), (angles.sin() * factor).unsqueeze(1)


def _frequencies(rope: Rope, last: Tensor) -> Tensor:
    """Radians per position, fp32: [R / 2], or for LongRoPE [B, T or 1, R / 2]."""
    exponents = torch.arange(0, rope.dims, 2, dtype=torch.int64).float() / rope.dims
    periods, scaling = rope.theta**exponents, rope.scaling
    if isinstance(scaling, Longrope):
        short, long = (1.0 / (torch.tensor(divisors) * periods) for divisors in (scaling.short, scaling.long))
        return torch.where(last.cpu().unsqueeze(-1) < scaling.original_max_position_embeddings, short, long)
    if isinstance(scaling, Llama3):
        return _stretched(1.0 / periods, scaling)
    return 1.0 / periods / (scaling.factor if scaling else 1.0)


def _stretched(frequencies: Tensor, scaling: Llama3) -> Tensor:
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
