"""Frozen weights in 8 or 4 bits, unpacked for one product at a time.

int8: a row's largest magnitude is 127. NF4 with double quantization is QLoRA's (arXiv 2305.14314): blocks
of 64 weights share a scale, each weight one of 16 quantiles of a normal distribution; scales are in turn
8-bit, in blocks of 256. 4.13 bits a weight. A scale's code is a square root, not QLoRA's distance from the
mean: a block 16 times smaller than its neighbours then errs by 0.8% instead of tens. Only training reads
these: a merge goes into the master in its own dtype, and exams read the merged model.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from germline.ops.pointwise import by_kernel

BLOCK = 64
SCALE_BLOCK = 256
UNPACKED_BLOCKS, UNPACKED_ROWS = 4096, 64
"""NF4 blocks and int8 rows unpacked at once, some 512 KB in bf16: what is between two passes stays in the cache."""
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

    def dense(self, dtype: torch.dtype) -> Tensor:
        values = _scratch(self.codes.numel(), dtype, self.codes.device).view(self.codes.shape)
        scale = self.scale.to(dtype)
        size = len(scale) if self.codes.is_cuda else UNPACKED_ROWS
        for start in range(0, len(scale), size):
            part = slice(start, start + size)
            values[part].copy_(self.codes[part]).mul_(scale[part])
        return values


@dataclass(frozen=True, slots=True, eq=False)
class Nf4:
    """codes uint8 [n / 2], the first weight in the high four bits; scales uint8 [n / 64], of which a code c
    is (c / 255)^2 of its largest [n / 64 / 256] fp32."""

    codes: Tensor
    scales: Tensor
    largest: Tensor
    shape: tuple[int, int]
    dtype: torch.dtype = torch.uint8

    def dense(self, dtype: torch.dtype) -> Tensor:
        if by_kernel(self.codes):
            from germline.ops import triton_kernels

            held = self.codes, self.scales, self.largest
            return triton_kernels.unpacked(*held, code=CODE, group=SCALE_BLOCK, dtype=dtype).view(self.shape)
        largest = self.largest.repeat_interleave(SCALE_BLOCK)[: self.scales.numel()]
        scale = ((self.scales.float() / 255).square_() * largest).to(dtype).unsqueeze(1)
        words = _words(dtype, self.codes.device)
        codes = self.codes.view(torch.uint16 if dtype.itemsize == 2 else torch.uint8).view(len(scale), -1)
        values = _scratch(codes.nbytes * 2, dtype, codes.device).view(-1, BLOCK)
        size = len(scale) if codes.is_cuda else UNPACKED_BLOCKS
        for start in range(0, len(scale), size):
            part = slice(start, start + size)
            found = words.index_select(0, codes[part].reshape(-1).to(torch.int32)).view(dtype)
            torch.mul(found.view(-1, BLOCK), scale[part], out=values[part])
        return values.view(self.shape)


Quantized = Int8 | Nf4


def dense(weight: Tensor | Quantized, like: Tensor) -> Tensor:
    """The weight [out, in] in the dtype and on the device of `like`, beside which a packed one lies: itself where it
    is so already, else a copy to be used before the next call.

    Packed weights are all unpacked into one buffer, because fresh memory costs more than unpacking: for an NF4
    matrix of 8192 x 2048 the system's zeroing of new pages took 15 of 27 ms.
    """
    return weight.detach().to(like) if isinstance(weight, Tensor) else weight.dense(like.dtype)


def quantize(weight: Tensor, bits: Bits) -> Quantized:
    """The weight [out, in] in 8 or 4 bits. NF4 needs out * in divisible by 64; ValueError otherwise."""
    return _int8(weight) if bits == "int8" else _nf4(weight)


def _int8(weight: Tensor) -> Int8:
    scale = weight.abs().amax(1, keepdim=True).float().clamp_min(1e-12) / 127
    codes = torch.empty(weight.shape, dtype=torch.int8, device=weight.device)
    for start in range(0, len(codes), UNPACKED_ROWS):  # whole fp32 copies would leave holes of 1 GB in the heap
        part = slice(start, start + UNPACKED_ROWS)
        codes[part] = (weight[part].float() / scale[part]).round_()
    return Int8(codes, scale)


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
    groups = torch.nn.functional.pad(largest, (0, -len(largest) % SCALE_BLOCK)).view(-1, SCALE_BLOCK)
    top = groups.amax(1)
    scales = ((groups / top.unsqueeze(1)).sqrt() * 255).round_().to(torch.uint8)
    return Nf4(codes, scales.flatten()[: len(largest)], top, (weight.shape[0], weight.shape[1]))


_buffers: dict[tuple[torch.dtype, torch.device], Tensor] = {}


def _scratch(count: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """[count] of the one buffer for this dtype and device, which grows to the largest matrix asked for."""
    held = _buffers.get((dtype, device))
    if held is None or held.numel() < count:
        held = _buffers[dtype, device] = torch.empty(count, dtype=dtype, device=device)
    return held[:count]


@lru_cache
def _words(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Eight bytes of values for each possible code word: two fp32 for a byte of codes, or four bf16 for two bytes.

    Looking several weights up at once, in a table that the second-level cache holds (512 KB), halves the time.
    """
    code = torch.tensor(CODE, dtype=dtype, device=device)
    pairs = torch.stack((code.repeat_interleave(16), code.repeat(16)), 1)
    if dtype.itemsize == 2:  # little-endian: the low byte's pair comes first
        pairs = torch.cat((pairs.repeat(256, 1), pairs.repeat_interleave(256, 0)), 1)
    return pairs.contiguous().view(torch.int64).flatten()
