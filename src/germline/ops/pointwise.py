"""What lies between matrix products: norms, gates, rotations, the softmax over a vocabulary.

Norms, rotations and the softmax compute in fp32; gates in the inputs' dtype, as transformers does. Rows do
not depend on each other, so a body whose intermediates would leave the cache is run on blocks of rows: the
softmax over 49,152 words took 113 ms whole and 13 so (LOG.md). `compiled()` makes one loop of each body: it
needs a C++ compiler and about half a minute at its first use. On a GPU each body is one Triton kernel
(`triton_kernels`, under the body's name) where Triton is installed and one was written, and else run on blocks that
are longer. All of these agree up to the rounding of the inputs' dtype.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

WHOLE_ELEMENTS = 1 << 22
"""Elements of the widest argument up to which a body is run whole: 8 MB in bf16, inside a last-level cache."""

BLOCK_ELEMENTS = 1 << 19
"""Elements of the widest argument per block beyond that: 2 MB in fp32, about two cores' second-level caches."""

GPU_ELEMENTS = 1 << 22
"""Elements per block on a GPU: what `divergence` holds in between, some 36 bytes an element, is then 150 MB, however
many rows there are; whole it was 590 MB for 127 rows of Llama 3's vocabulary."""

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
    return (tensor.is_cuda and triton_version() is not None) if _kernels is None else _kernels


@functools.cache
def triton_version() -> str | None:
    """Which Triton is there and can start kernels on this GPU. None also where what starts them, which is compiled at
    the first, finds no C compiler or no Python.h: the bodies below do all of it then."""
    try:
        from triton import __version__
        from triton.runtime import driver

        driver.active.utils  # noqa: B018 - compiled and loaded by being asked for
    except Exception:
        return None
    return str(__version__)


def by_rows(body: Body) -> Body:
    """Run `body(*rows, **whole)` on blocks along the first axis of `rows`, or compiled, or as its kernel.

    Tensors given by position are cut into blocks, everything given by name is passed whole. The body
    returns tensors whose first axis is that of its block. On a GPU blocks are long: there is no cache to
    stay in, starting a kernel costs more than a pass, and only memory is to be saved.
    """

    @functools.cache
    def fused() -> Body:  # not before it is wanted: loading the compiler takes seconds
        compiled_body: Body = torch.compile(body, dynamic=True)
        return compiled_body

    @functools.wraps(body)
    def run(*rows: Tensor, **whole: Any) -> tuple[Tensor, ...]:
        if by_kernel(rows[0]):
            from germline.ops import triton_kernels

            kernel: Body | None = getattr(triton_kernels, body.__name__, None)
            if kernel:
                return kernel(*rows, **whole)
        elif _compiled.get():
            return fused()(*rows, **whole)
        count, widest = rows[0].shape[0], max(tensor.numel() for tensor in rows)
        if widest <= WHOLE_ELEMENTS:
            return body(*rows, **whole)
        size = max(1, (GPU_ELEMENTS if rows[0].is_cuda else BLOCK_ELEMENTS) * count // widest)
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
    """RMSNorm (arXiv 1910.07467): x / rms(x) * (offset + weight), over the last axis, in fp32."""
    wide = x.float()
    return ((wide * _scale(wide, epsilon) * (weight.float() + offset)).to(x.dtype),)


@by_rows
def norm_backward(
    x: Tensor, gradient: Tensor, *, weight: Tensor, epsilon: float, offset: float, trained: bool
) -> tuple[Tensor, ...]:
    """(gradient of x, the norm's output again), and where the weight is `trained`, its gradient before the sum."""
    unit, factor, gradient = x.float(), weight.float() + offset, gradient.float()
    scale = _scale(unit, epsilon)
    unit = unit * scale
    inner = gradient * factor
    along = torch.linalg.vecdot(inner, unit).unsqueeze(-1) / x.shape[-1]
    result = ((inner - unit * along) * scale).to(x.dtype), (unit * factor).to(x.dtype)
    return (*result, gradient * unit) if trained else result


def _scale(wide: Tensor, epsilon: float) -> Tensor:
    """1 / rms over the last axis; as a dot product, because a square and a mean walk memory twice."""
    return torch.rsqrt(torch.linalg.vecdot(wide, wide).unsqueeze(-1) / wide.shape[-1] + epsilon)


@by_rows
def gated(gate: Tensor, up: Tensor, *, activation: str) -> tuple[Tensor]:
    """activation(gate) * up, with `silu` (SwiGLU) or `gelu_tanh` (GeGLU); arXiv 2002.05202."""
    return (_activated(gate, activation) * up,)


@by_rows
def gated_backward(gate: Tensor, up: Tensor, gradient: Tensor, *, activation: str) -> tuple[Tensor, Tensor, Tensor]:
    """(gradient of gate, gradient of up, the gate's output again)."""
    active, inner = _activated(gate, activation), gradient * up
    if activation == "silu":
        moved = torch.ops.aten.silu_backward(inner, gate)
    else:
        moved = torch.ops.aten.gelu_backward(inner, gate, approximate="tanh")
    return moved, gradient * active, active * up


def _activated(gate: Tensor, activation: str) -> Tensor:
    return F.silu(gate) if activation == "silu" else F.gelu(gate, approximate="tanh")


@by_rows
def rotate(x: Tensor, cosine: Tensor, sine: Tensor, *, scale: float) -> tuple[Tensor]:
    """scale * RoPE(x) (arXiv 2104.09864), contiguous: the last axis of x turns by fp32 cosines and sines.

    They have half the width R of what turns, as two halves of the first R elements; the rest pass.
    """
    half = cosine.shape[-1]
    wide = x.float()
    if scale != 1.0:
        cosine, sine = cosine * scale, sine * scale
    first, second, rest = wide[..., :half], wide[..., half : 2 * half], wide[..., 2 * half :]
    turned = [torch.addcmul(first * cosine, second, sine, value=-1), torch.addcmul(second * cosine, first, sine)]
    if rest.shape[-1]:
        turned.append(rest * scale)
    return (torch.cat(turned, -1).to(x.dtype),)


@by_rows
def cross_entropy(logits: Tensor, target: Tensor, *, softcap: float) -> tuple[Tensor, Tensor]:
    """(loss [N] fp32 nats, its gradient [N, V] in the logits' dtype) for logits [N, V] and targets [N].

    A `softcap` c above zero takes c * tanh(logits / c) first, as Gemma 2 does. The logits are used up: as a
    kernel, this writes the gradient over them.
    """
    wide, slope = logits.float(), None
    if softcap > 0:
        bent = torch.tanh(wide / softcap)
        wide, slope = softcap * bent, 1 - bent.square()
    top = wide.amax(1, keepdim=True)
    place = target.unsqueeze(1)
    gold = wide.gather(1, place) - top
    exponent = (wide - top).exp()
    whole = exponent.sum(1, keepdim=True)
    if torch.compiler.is_compiling():  # a comparison stays in the loop, a scatter would end it
        gradient = exponent / whole - (torch.arange(wide.shape[1], device=wide.device) == place).float()
    else:
        gradient = exponent.mul_(1 / whole).scatter_add_(1, place, gold.new_full(gold.shape, -1.0))
    if slope is not None:
        gradient = gradient * slope
    return (whole.log() - gold).squeeze(1), gradient.to(logits.dtype)


@by_rows
def divergence(logits: Tensor, wanted: Tensor, *, softcap: float) -> tuple[Tensor, Tensor]:
    """(KL(wanted || logits) [N] fp32 nats, its gradient by the logits [N, V] in their dtype), for logits [N, V] of
    a model and of the one that it is held to. `softcap` as in `cross_entropy`, for both."""
    wide, held, slope = logits.float(), wanted.float(), None
    if softcap > 0:
        bent = torch.tanh(wide / softcap)
        wide, slope = softcap * bent, 1 - bent.square()
        held = softcap * torch.tanh(held / softcap)
    said, truth = torch.log_softmax(wide, 1), torch.log_softmax(held, 1)
    share = truth.exp()
    gradient = said.exp() - share
    if slope is not None:
        gradient = gradient * slope
    return (share * (truth - said)).sum(1), gradient.to(logits.dtype)
