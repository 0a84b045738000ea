"""What lies between matrix products: norms, gates, rotations, the softmax over a vocabulary.

Each body computes in fp32 and rounds once, on rows that do not depend on each other. Run whole, a body
would write every intermediate to memory: the gate's backward on [2048, 1536] took 43 ms so. Run on blocks
of rows that stay in the cache it took 6.5, compiled to one loop 2.1 (LOG.md). Blocks are the default;
`compiled()` needs a C++ compiler and about half a minute at its first use. On a GPU each body is one Triton
kernel (`triton_kernels`, under the body's name) where Triton is installed, and else run whole. All of these
agree up to the rounding of fp32.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK_ELEMENTS = 1 << 18
"""Elements of the widest argument per block: 1 MB in fp32, about a core's second-level cache."""

Body = Callable[..., tuple[Tensor, ...]]

_compiled: ContextVar[bool] = ContextVar("compiled", default=False)
_kernels: bool | None = None


@contextmanager
def compiled(on: bool = True) -> Iterator[None]:
    """Within it, and in this context alone, bodies are compiled by torch.compile."""
    before = _compiled.set(on)
    try:
        yield
    finally:
        _compiled.reset(before)


@contextmanager
def kernels(on: bool = True) -> Iterator[None]:
    """Within it, Triton kernels do the work on every device (a CPU needs TRITON_INTERPRET=1), or else on none.

    Of the whole process, not of a context: autograd runs a GPU's backward in threads that see no context.
    """
    global _kernels
    before, _kernels = _kernels, on
    try:
        yield
    finally:
        _kernels = before


def by_kernel(tensor: Tensor) -> bool:
    """Whether a Triton kernel does what is done to `tensor`: on a GPU, where Triton is installed."""
    return (tensor.is_cuda and _has_triton()) if _kernels is None else _kernels


@functools.cache
def _has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None


def by_rows(body: Body) -> Body:
    """Run `body(*rows, **whole)` on blocks along the first axis of `rows`, or compiled, or as its kernel.

    Tensors given by position are cut into blocks, everything given by name is passed whole. The body
    returns tensors whose first axis is that of its block. On a GPU nothing is cut: there is no cache to
    stay in, and starting a kernel costs more than a pass.
    """

    @functools.cache
    def fused() -> Body:  # not before it is wanted: loading the compiler takes seconds
        compiled_body: Body = torch.compile(body, dynamic=True)
        return compiled_body

    @functools.wraps(body)
    def run(*rows: Tensor, **whole: Any) -> tuple[Tensor, ...]:
        if by_kernel(rows[0]):
            from germline.ops import triton_kernels

            kernel: Body = getattr(triton_kernels, body.__name__)
            return kernel(*rows, **whole)
        if _compiled.get():
            return fused()(*rows, **whole)
        count = rows[0].shape[0]
        size = max(1, BLOCK_ELEMENTS * count // max(1, max(tensor.numel() for tensor in rows)))
        if size >= count or rows[0].is_cuda:
            return body(*rows, **whole)
        outputs: tuple[Tensor, ...] = ()
        for start in range(0, count, size):
            block = slice(start, start + size)
            parts = body(*(tensor[block] for tensor in rows), **whole)
            if not outputs:
                outputs = tuple(part.new_empty((count, *part.shape[1:])) for part in parts)
            for output, part in zip(outputs, parts, strict=True):
                output[block] = part
        return outputs

    return run


@by_rows
def norm(x: Tensor, *, weight: Tensor, epsilon: float, offset: float) -> tuple[Tensor]:
    """RMSNorm (arXiv 1910.07467): x / rms(x) * (offset + weight), over the last axis."""
    wide = x.float()
    scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + epsilon)
    return ((wide * scale * (weight.float() + offset)).to(x.dtype),)


@by_rows
def norm_backward(
    x: Tensor, gradient: Tensor, *, weight: Tensor, epsilon: float, offset: float, trained: bool
) -> tuple[Tensor, ...]:
    """(gradient of x, the norm's output again), and where the weight is `trained`, its gradient before the sum."""
    wide = x.float()
    scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + epsilon)
    unit, factor, gradient = wide * scale, weight.float() + offset, gradient.float()
    inner = gradient * factor
    moved = scale * (inner - unit * (inner * unit).mean(-1, keepdim=True))
    result = moved.to(x.dtype), (unit * factor).to(x.dtype)
    return (*result, gradient * unit) if trained else result


@by_rows
def gated(gate: Tensor, up: Tensor, *, activation: str) -> tuple[Tensor]:
    """activation(gate) * up, with `silu` (SwiGLU) or `gelu_tanh` (GeGLU); arXiv 2002.05202."""
    wide = gate.float()
    active = F.silu(wide) if activation == "silu" else F.gelu(wide, approximate="tanh")
    return ((active * up.float()).to(gate.dtype),)


@by_rows
def gated_backward(gate: Tensor, up: Tensor, gradient: Tensor, *, activation: str) -> tuple[Tensor, Tensor, Tensor]:
    """(gradient of gate, gradient of up, the gate's output again)."""
    dtype = gate.dtype
    gate, up, gradient = gate.float(), up.float(), gradient.float()
    if activation == "silu":
        share = torch.sigmoid(gate)
        active = gate * share
        slope = share + active * (1 - share)
    else:
        inner = 0.7978845608028654 * gate * (1 + 0.044715 * gate.square())
        share = torch.tanh(inner)
        active = 0.5 * gate * (1 + share)
        slope = 0.5 * (1 + share)
        slope = slope + 0.5 * gate * (1 - share.square()) * 0.7978845608028654 * (1 + 0.134145 * gate.square())
    return (gradient * up * slope).to(dtype), (gradient * active).to(dtype), (active * up).to(dtype)


@by_rows
def rotate(x: Tensor, cosine: Tensor, sine: Tensor, *, scale: float) -> tuple[Tensor]:
    """scale * RoPE(x) (arXiv 2104.09864), contiguous: the last axis of x turns by fp32 cosines and sines.

    They have half the width R of what turns, as two halves of the first R elements; the rest pass.
    """
    half = cosine.shape[-1]
    wide = x.float()
    first, second = wide[..., :half], wide[..., half : 2 * half]
    turned = (first * cosine - second * sine, second * cosine + first * sine, wide[..., 2 * half :])
    return ((torch.cat(turned, -1) * scale).to(x.dtype),)


@by_rows
def surprise(logits: Tensor, target: Tensor, *, softcap: float) -> tuple[Tensor, Tensor]:
    """(loss [N] fp32 nats, its gradient [N, V] in the logits' dtype) for logits [N, V] and targets [N].

    A `softcap` c above zero takes c * tanh(logits / c) first, as Gemma 2 does. The logits are used up: as a
    kernel, this writes the gradient over them.
    """
    wide = logits.float()
    slope = None
    if softcap > 0:
        bent = torch.tanh(wide / softcap)
        wide, slope = softcap * bent, 1 - bent.square()
    top = wide.amax(1, keepdim=True)
    exponent = (wide - top).exp()
    whole = exponent.sum(1, keepdim=True)
    hit = torch.arange(wide.shape[1], device=wide.device) == target.unsqueeze(1)
    gradient = exponent / whole - hit.float()
    if slope is not None:
        gradient = gradient * slope
    loss = whole.log() + top - wide.gather(1, target.unsqueeze(1))
    return loss.squeeze(1), gradient.to(logits.dtype)
