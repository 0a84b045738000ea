"""Frozen weights in 8 or 4 bits, unpacked for one product at a time.

int8: a row's largest magnitude is 127. NF4 with double quantization is QLoRA's (arXiv 2305.14314): blocks
of 64 weights share a scale, each weight one of 16 quantiles of a normal distribution; scales are in turn
8-bit, in blocks of 256 about their mean. 4.13 bits a weight. Only training reads these: a merge goes into
the master in its own dtype, and exams read the merged model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

BLOCK = 64
SCALE_BLOCK = 256
CODE = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip
"""NF4's sixteen values, as published with QLoRA."""

Bits = Literal["int8", "nf4"]


@dataclass(frozen=True, slots=True, eq=False)
class Int8:
    """codes int8 [out, in]; scale fp32 [out, 1]."""

    codes: Tensor
    scale: Tensor
    dtype: torch.dtype = torch.int8

    @property
    def bytes(self) -> int:
        return self.codes.nbytes + self.scale.nbytes

    def dense(self, dtype: torch.dtype) -> Tensor:
        return self.codes.to(dtype) * self.scale.to(dtype)


@dataclass(frozen=True, slots=True, eq=False)
class Nf4:
    """codes uint8 [n / 2], the first weight in the high four bits; scales uint8 [n / 64] about `mean`, in
    units of unit fp32 [n / 64 / 256]."""

    codes: Tensor
    scales: Tensor
    unit: Tensor
    mean: Tensor
    shape: tuple[int, int]
    dtype: torch.dtype = torch.uint8

    @property
    def bytes(self) -> int:
        return self.codes.nbytes + self.scales.nbytes + self.unit.nbytes

    def dense(self, dtype: torch.dtype) -> Tensor:
        unit = self.unit.repeat_interleave(SCALE_BLOCK)[: self.scales.numel()]
        scale = (self.scales.float() - 128.0) * unit + self.mean
        # Two weights are looked up at once: a byte of codes picks a pair of values, read as one integer.
        pairs = _pairs(dtype, self.codes.device)
        values = pairs.index_select(0, self.codes.to(torch.int32)).view(dtype)
        return values.view(-1, BLOCK).mul_(scale.to(dtype).unsqueeze(1)).view(self.shape)


Quantized = Int8 | Nf4


def dense(weight: Tensor | Quantized, dtype: torch.dtype) -> Tensor:
    """The weight [out, in] in `dtype`: itself where it already is, else a copy to be used and dropped."""
    return weight.detach().to(dtype) if isinstance(weight, Tensor) else weight.dense(dtype)


def quantize(weight: Tensor, bits: Bits) -> Quantized:
    """The weight [out, in] in 8 or 4 bits. NF4 needs out * in divisible by 64; ValueError otherwise."""
    return _int8(weight.float()) if bits == "int8" else _nf4(weight)


def _int8(weight: Tensor) -> Int8:
    scale = weight.abs().amax(1, keepdim=True).clamp_min(1e-12) / 127
    return Int8((weight / scale).round_().to(torch.int8), scale)


def _nf4(weight: Tensor) -> Nf4:
    if weight.numel() % BLOCK:
        raise ValueError(f"NF4 needs a multiple of {BLOCK} weights, not {weight.numel()}")
    blocks = weight.reshape(-1, BLOCK)
    largest = blocks.abs().amax(1).float().clamp_min(1e-12)
    code = torch.tensor(CODE, device=weight.device)
    middles = (code[1:] + code[:-1]) / 2
    codes = torch.empty(weight.numel() // 2, dtype=torch.uint8, device=weight.device)
    for start in range(0, len(blocks), 1 << 14):
        part = slice(start, start + (1 << 14))
        nearest = torch.bucketize(blocks[part].float() / largest[part, None], middles).to(torch.uint8)
        pair = nearest.view(-1, 2)
        codes[start * BLOCK // 2 : start * BLOCK // 2 + len(pair)] = pair[:, 0] * 16 + pair[:, 1]
    scales, unit, mean = _scales(largest)
    return Nf4(codes, scales, unit, mean, (weight.shape[0], weight.shape[1]))


def _scales(largest: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The blocks' scales [n] as uint8 [n], the unit of each 256 of them, and their mean."""
    mean = largest.mean()
    spread = torch.zeros(-(-len(largest) // SCALE_BLOCK) * SCALE_BLOCK, device=largest.device)
    spread[: len(largest)] = largest - mean
    groups = spread.view(-1, SCALE_BLOCK)
    unit = groups.abs().amax(1).clamp_min(1e-12) / 127
    codes = (groups / unit.unsqueeze(1)).round_() + 128
    return codes.flatten()[: len(largest)].to(torch.uint8), unit, mean


def _pairs(dtype: torch.dtype, device: torch.device) -> Tensor:
    """[256] integers, each holding the two `dtype` values that a byte of codes stands for."""
    code = torch.tensor(CODE, dtype=dtype, device=device)
    both = torch.stack((code.repeat_interleave(16), code.repeat(16)), 1).contiguous()
    return both.view({2: torch.int32, 4: torch.int64}[dtype.itemsize]).flatten()
