"""Triton kernels for what `pointwise` and `quantize` do on a GPU: each a body's whole work in one pass.

A wrapper bears the name of the body it stands in for, takes the same arguments and means the same (`unpacked` is for
`Nf4.dense`). The two agree up to the rounding of fp32; an unpacked NF4 weight is the same in every bit. Rows may
lie any distance apart; outputs are contiguous. Imported only where kernels run (`pointwise.kernels`): Triton
comes with torch's CUDA builds for Linux. One pass over a vocabulary for maximum and sum: arXiv 1805.02867.
"""

from __future__ import annotations

import functools

import torch
import triton
import triton.language as tl
from torch import Tensor

TILE = 2048
"""Elements of a tensor that one program holds at once, unless a row that it has to sum up is longer."""
VOCABULARY_TILE = 4096


@triton.jit
def _place(rows, width, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Rows [ROWS, 1] and columns [1, COLUMNS] of this program's tile, and which of it there is."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    return row, column, (row < rows) & (column < width)


@triton.jit
def _norm(x, weight, y, rows, width, stride, epsilon, offset, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    row, column, inside = _place(rows, width, ROWS, COLUMNS)
    wide = tl.load(x + row * stride + column, inside, 0.0).to(tl.float32)
    factor = tl.load(weight + column, column < width, 0.0).to(tl.float32) + offset
    scale = tl.rsqrt(tl.sum(wide * wide, 1, keep_dims=True) / width + epsilon)
    tl.store(y + row * width + column, wide * scale * factor, inside)


@triton.jit
def _norm_backward(
    x, gradient, weight, moved, y, product, rows, width, x_stride, gradient_stride, epsilon, offset,
    TRAINED: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    row, column, inside = _place(rows, width, ROWS, COLUMNS)
    wide = tl.load(x + row * x_stride + column, inside, 0.0).to(tl.float32)
    outer = tl.load(gradient + row * gradient_stride + column, inside, 0.0).to(tl.float32)
    factor = tl.load(weight + column, column < width, 0.0).to(tl.float32) + offset
    scale = tl.rsqrt(tl.sum(wide * wide, 1, keep_dims=True) / width + epsilon)
    unit, inner = wide * scale, outer * factor
    along = tl.sum(inner * unit, 1, keep_dims=True) / width
    here = row * width + column
    tl.store(moved + here, scale * (inner - unit * along), inside)
    tl.store(y + here, unit * factor, inside)
    if TRAINED:
        tl.store(product + here, outer * unit, inside)


@triton.jit
def _active(gate, SILU: tl.constexpr):
    """The activation and its slope. Both are gate * sigmoid(z): z is the gate itself, or for GELU's tanh form
    twice what the tanh is of, since (1 + tanh u) / 2 = sigmoid(2 u)."""
    if SILU:
        share = tl.sigmoid(gate)
        active = gate * share
        slope = share + active * (1 - share)
    else:
        square = gate * gate
        share = tl.sigmoid(1.5957691216057308 * gate * (1 + 0.044715 * square))
        active = gate * share
        slope = share + active * (1 - share) * 1.5957691216057308 * (1 + 0.134145 * square)
    return active, slope


@triton.jit
def _gated(
    gate, up, y, rows, width, gate_stride, up_stride, SILU: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):
    row, column, inside = _place(rows, width, ROWS, COLUMNS)
    active, _ = _active(tl.load(gate + row * gate_stride + column, inside, 0.0).to(tl.float32), SILU)
    other = tl.load(up + row * up_stride + column, inside, 0.0).to(tl.float32)
    tl.store(y + row * width + column, active * other, inside)


@triton.jit
def _gated_backward(
    gate, up, gradient, to_gate, to_up, y, rows, width, gate_stride, up_stride, gradient_stride,
    SILU: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    row, column, inside = _place(rows, width, ROWS, COLUMNS)
    active, slope = _active(tl.load(gate + row * gate_stride + column, inside, 0.0).to(tl.float32), SILU)
    other = tl.load(up + row * up_stride + column, inside, 0.0).to(tl.float32)
    outer = tl.load(gradient + row * gradient_stride + column, inside, 0.0).to(tl.float32)
    here = row * width + column
    tl.store(to_gate + here, outer * other * slope, inside)
    tl.store(to_up + here, outer * active, inside)
    tl.store(y + here, active * other, inside)


@triton.jit
def _rotate(
    x, cosine, sine, y, rows, second, third, width, half, x0, x1, x2, table0, table1, table2, scale,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    row, column, inside = _place(rows, half, ROWS, COLUMNS)
    a, b, c = row // third // second, row // third % second, row % third
    source = x + a * x0 + b * x1 + c * x2
    target = y + row * width
    table = a * table0 + b * table1 + c * table2 + column
    cos, sin = tl.load(cosine + table, inside, 0.0), tl.load(sine + table, inside, 0.0)
    first = tl.load(source + column, inside, 0.0).to(tl.float32)
    other = tl.load(source + half + column, inside, 0.0).to(tl.float32)
    tl.store(target + column, (first * cos - other * sin) * scale, inside)
    tl.store(target + half + column, (other * cos + first * sin) * scale, inside)
    for start in range(2 * half, width, COLUMNS):
        passing = (row < rows) & (start + column < width)
        kept = tl.load(source + start + column, passing, 0.0).to(tl.float32)
        tl.store(target + start + column, kept * scale, passing)


@triton.jit
def _bent(logits, softcap, CAPPED: tl.constexpr):
    if CAPPED:
        logits = softcap * (2 * tl.sigmoid(2 * logits / softcap) - 1)
    return logits


@triton.jit
def _cross_entropy(logits, target, loss, width, stride, softcap, CAPPED: tl.constexpr, COLUMNS: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    logits += row * stride
    hit = tl.load(target + row)
    right = _bent(tl.load(logits + hit).to(tl.float32), softcap, CAPPED)
    top = tl.full((), -3.0e38, tl.float32)  # finite, so that exp(-inf - top) is 0
    whole = tl.full((), 0.0, tl.float32)
    for start in range(0, width, COLUMNS):
        column = start + tl.arange(0, COLUMNS)
        wide = _bent(tl.load(logits + column, column < width, 0.0).to(tl.float32), softcap, CAPPED)
        wide = tl.where(column < width, wide, -float("inf"))
        before = top
        top = tl.maximum(top, tl.max(wide, 0))
        whole = whole * tl.exp(before - top) + tl.sum(tl.exp(wide - top), 0)
    tl.store(loss + row, tl.log(whole) + top - right)
    for start in range(0, width, COLUMNS):
        column = start + tl.arange(0, COLUMNS)
        wide = _bent(tl.load(logits + column, column < width, 0.0).to(tl.float32), softcap, CAPPED)
        share = tl.exp(wide - top) / whole - (column == hit).to(tl.float32)
        if CAPPED:
            share *= 1 - (wide / softcap) * (wide / softcap)
        tl.store(logits + column, share, column < width)


@triton.jit
def _nf4(codes, scales, largest, code, y, blocks, ROWS: tl.constexpr, BLOCK: tl.constexpr, GROUP: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    inside = row < blocks
    share = tl.div_rn(tl.load(scales + row, inside, 0).to(tl.float32), 255.0)
    scale = share * share * tl.load(largest + row // GROUP, inside, 0.0)
    scale = scale.to(y.dtype.element_ty).to(tl.float32)
    byte = tl.load(codes + row * (BLOCK // 2) + tl.arange(0, BLOCK // 2)[None, :], inside, 0).to(tl.int32)
    high, low = tl.load(code + (byte >> 4)).to(tl.float32), tl.load(code + (byte & 15)).to(tl.float32)
    values = tl.join(high * scale, low * scale).reshape(ROWS, BLOCK)
    tl.store(y + row * BLOCK + tl.arange(0, BLOCK)[None, :], values, inside)


def norm(x: Tensor, *, weight: Tensor, epsilon: float, offset: float) -> tuple[Tensor]:
    flat, y = _flat(x), _like(x)
    grid, tile = _tiles(*flat.shape, whole=True)
    _norm[grid](flat, weight, y, *flat.shape, flat.stride(0), epsilon, offset, **tile)
    return (y,)


def norm_backward(
    x: Tensor, gradient: Tensor, *, weight: Tensor, epsilon: float, offset: float, trained: bool
) -> tuple[Tensor, ...]:
    flat, outer, moved, y = _flat(x), _flat(gradient), _like(x), _like(x)
    product = _like(x, torch.float32) if trained else y
    grid, tile = _tiles(*flat.shape, whole=True)
    _norm_backward[grid](
        flat, outer, weight, moved, y, product, *flat.shape, flat.stride(0), outer.stride(0), epsilon, offset,
        TRAINED=trained, **tile,
    )  # fmt: skip
    return (moved, y, product) if trained else (moved, y)


def gated(gate: Tensor, up: Tensor, *, activation: str) -> tuple[Tensor]:
    gates, ups, y = _flat(gate), _flat(up), _like(gate)
    grid, tile = _tiles(*gates.shape, whole=False)
    _gated[grid](gates, ups, y, *gates.shape, gates.stride(0), ups.stride(0), SILU=activation == "silu", **tile)
    return (y,)


def gated_backward(gate: Tensor, up: Tensor, gradient: Tensor, *, activation: str) -> tuple[Tensor, Tensor, Tensor]:
    rows, made = [_flat(gate), _flat(up), _flat(gradient)], (_like(gate), _like(gate), _like(gate))
    grid, tile = _tiles(*rows[0].shape, whole=False)
    strides = (row.stride(0) for row in rows)
    _gated_backward[grid](*rows, *made, *rows[0].shape, *strides, SILU=activation == "silu", **tile)
    return made


def rotate(x: Tensor, cosine: Tensor, sine: Tensor, *, scale: float) -> tuple[Tensor]:
    outer, width, half = x.shape[:-1], x.shape[-1], cosine.shape[-1]
    x, y = x if x.stride(-1) == 1 else x.contiguous(), _like(x)
    cosine, sine = (table.contiguous().expand(*outer, half) for table in (cosine, sine))
    grid, tile = _tiles(outer.numel(), half, whole=True)
    strides = *x.stride()[:-1], *cosine.stride()[:-1]
    _rotate[grid](x, cosine, sine, y, outer.numel(), *outer[1:], width, half, *strides, scale, **tile)
    return (y,)


def cross_entropy(logits: Tensor, target: Tensor, *, softcap: float) -> tuple[Tensor, Tensor]:
    logits, target, loss = _flat(logits), target.contiguous(), _like(target, torch.float32)
    rows = logits, target, loss, logits.shape[1], logits.stride(0)
    _cross_entropy[len(logits),](*rows, softcap, CAPPED=softcap > 0, COLUMNS=VOCABULARY_TILE, num_warps=8)
    return loss, logits


def unpacked(
    codes: Tensor, scales: Tensor, largest: Tensor, *, code: tuple[float, ...], group: int, dtype: torch.dtype
) -> Tensor:
    """[blocks, block] of the sixteen values of `code`; `group` blocks share one of the `largest`."""
    blocks, block = scales.numel(), 2 * codes.numel() // scales.numel()
    values = torch.empty(blocks, block, dtype=dtype, device=codes.device)
    held, rows = (codes, scales, largest, _table(code, dtype, codes.device)), TILE // block
    _nf4[triton.cdiv(blocks, rows),](*held, values, blocks, ROWS=rows, BLOCK=block, GROUP=group)
    return values


@functools.cache
def _table(code: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """The values on the device, put there once: a copy from the CPU would halt it at every product."""
    return torch.tensor(code, dtype=dtype, device=device)


def _flat(tensor: Tensor) -> Tensor:
    """[rows, width], elements of a row side by side."""
    flat = tensor.reshape(-1, tensor.shape[-1])
    return flat if flat.stride(1) == 1 else flat.contiguous()


def _like(tensor: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    return torch.empty(tensor.shape, dtype=dtype or tensor.dtype, device=tensor.device)


def _tiles(rows: int, width: int, *, whole: bool) -> tuple[tuple[int, int], dict[str, int]]:
    """The grid over [rows, width], and what each of its programs holds: `whole` rows, or parts of long ones."""
    columns = triton.next_power_of_2(width)
    columns = columns if whole else min(TILE, columns)
    height = max(1, TILE // columns)
    tile = {"ROWS": height, "COLUMNS": columns, "num_warps": min(16, height * columns // 512)}
    return (triton.cdiv(rows, height), triton.cdiv(width, columns)), tile
