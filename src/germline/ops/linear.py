"""Linear layers with LoRA, several on one input, and what comes before them, as one operation.

y_i = f(x) W_i^T + b_i + s (f(x) A_i^T) B_i^T, where f is a norm (before q, k, v and before gate, up), a
gate (before down) or nothing (before o). LoRA is arXiv 2106.09685.

Kept for the backward: the raw input of f and the rank-wide f(x) A^T, nothing else. f(x) itself falls out
of f's backward, which is where the gradient of A needs it. Frozen weights get no gradient and are never
copied: bf16 weights stay memory-mapped, quantized ones are unpacked for one product at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from germline.ops import pointwise
from germline.ops.blocked import Blocked
from germline.ops.quantize import Quantized, dense


class Projection(NamedTuple):
    """One linear layer. weight [out, in] in any dtype, on any device, quantized, or in blocks, which have no backward;
    bias [out]; A [rank, in] and B [out, rank]."""

    weight: Tensor | Quantized | Blocked
    bias: Tensor | None = None
    A: Tensor | None = None
    B: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Norm:
    """f(x) = RMSNorm(x). Its one extra input is the norm's weight [in]."""

    epsilon: float
    offset: float = 0.0

    def forward(self, raw: Sequence[Tensor]) -> Tensor:
        x, weight = raw
        return pointwise.norm(x, weight=weight, epsilon=self.epsilon, offset=self.offset)[0]

    def backward(self, raw: Sequence[Tensor], gradient: Tensor) -> tuple[list[Tensor | None], Tensor]:
        x, weight = raw
        trained = weight.requires_grad
        moved, y, *products = pointwise.norm_backward(
            x, gradient, weight=weight, epsilon=self.epsilon, offset=self.offset, trained=trained
        )
        return [moved, products[0].sum(0).to(weight.dtype) if trained else None], y


@dataclass(frozen=True, slots=True)
class Gate:
    """f(gate, up) = activation(gate) * up."""

    activation: str

    def forward(self, raw: Sequence[Tensor]) -> Tensor:
        return pointwise.gated(*raw, activation=self.activation)[0]

    def backward(self, raw: Sequence[Tensor], gradient: Tensor) -> tuple[list[Tensor | None], Tensor]:
        gate, up, y = pointwise.gated_backward(*raw, gradient, activation=self.activation)
        return [gate, up], y


@dataclass(frozen=True, slots=True)
class Identity:
    """f(x) = x."""

    def forward(self, raw: Sequence[Tensor]) -> Tensor:
        return raw[0]

    def backward(self, raw: Sequence[Tensor], gradient: Tensor) -> tuple[list[Tensor | None], Tensor]:
        return [gradient], raw[0]


Before = Norm | Gate | Identity


def project(before: Before, raw: Sequence[Tensor], layers: Sequence[Projection], scale: float) -> list[Tensor]:
    """The outputs [..., out_i] of `layers` on before(raw), raw being [..., in] tensors (and a norm's weight).

    Products run in the raw input's dtype and on its device: weights are brought there, factors cast to it. Gradients
    come for whatever requires them: raw, a norm's weight, W, b, A and B; a quantized W is always frozen.
    """
    shape = raw[0].shape[:-1]
    flat = [tensor.reshape(-1, tensor.shape[-1]) if tensor.dim() > 1 else tensor for tensor in raw]
    if torch.is_grad_enabled():
        outputs = _Project.apply(before, len(flat), scale, *flat, *(part for layer in layers for part in layer))  # type: ignore[no-untyped-call]
    else:  # autograd's own bookkeeping would cost a fifth of a token (LOG.md)
        outputs, _ = _products(before.forward(flat), layers, scale)
    return [output.view(*shape, -1) for output in outputs]


def apply(before: Before, raw: Sequence[Tensor]) -> Tensor:
    """before(raw) by itself, with its own backward: a norm or a gate that no linear layer follows."""
    shape = raw[0].shape
    flat = [tensor.reshape(-1, tensor.shape[-1]) if tensor.dim() > 1 else tensor for tensor in raw]
    output: Tensor = _Apply.apply(before, *flat) if torch.is_grad_enabled() else before.forward(flat)  # type: ignore[no-untyped-call]
    return output.view(shape)


class _Apply(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, before: Before, *raw: Tensor) -> Tensor:
        ctx.before = before
        ctx.save_for_backward(*raw)
        return before.forward(raw)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        return None, *ctx.before.backward(ctx.saved_tensors, gradients[0])[0]


class _Project(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, before: Before, inputs: int, scale: float, *tensors: Any) -> tuple[Tensor, ...]:
        raw, layers = tensors[:inputs], _layers(tensors[inputs:])
        outputs, lows = _products(before.forward(raw), layers, scale)
        ctx.before, ctx.scale, ctx.layers = before, scale, layers
        ctx.inputs = inputs
        ctx.save_for_backward(*raw, *lows)
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        saved, layers = ctx.saved_tensors, ctx.layers
        raw, lows = saved[: ctx.inputs], iter(saved[ctx.inputs :])
        dtype, onward = raw[0].dtype, any(ctx.needs_input_grad[3 : 3 + ctx.inputs])
        parts = [
            torch.mm(outer, layer.B.to(dtype))
            for layer, outer in zip(layers, gradients, strict=True)
            if layer.B is not None
        ]
        downs = _downs(layers, dtype)
        low_gradients = torch.cat(parts, 1).mul_(ctx.scale) if parts else None
        if onward:
            gradient = torch.mm(gradients[0], dense(layers[0].weight, gradients[0]))
            for layer, outer in zip(layers[1:], gradients[1:], strict=True):
                gradient.addmm_(outer, dense(layer.weight, outer))
            if low_gradients is not None and downs is not None:
                gradient.addmm_(low_gradients, downs)
            raw_gradients, x = ctx.before.backward(raw, gradient)
        else:
            raw_gradients, x = [None] * ctx.inputs, ctx.before.forward(raw)
        to_downs = iter(() if low_gradients is None else torch.split(torch.mm(low_gradients.t(), x), _ranks(layers)))
        own: list[Tensor | None] = []
        needed = iter(ctx.needs_input_grad[3 + ctx.inputs :])
        for layer, outer in zip(layers, gradients, strict=True):
            to_down: Any = None if layer.A is None else next(to_downs)
            low: Any = None if layer.B is None else next(lows)
            own.append(torch.mm(outer.t(), x).to(layer.weight.dtype) if next(needed) else None)
            own.append(outer.sum(0).to(layer.bias.dtype) if next(needed) else None)
            own.append(to_down.to(layer.A.dtype) if next(needed) else None)
            own.append(torch.mm(outer.t(), low).to(layer.B.dtype) if next(needed) else None)
        return (None, None, None, *raw_gradients, *own)


def _products(x: Tensor, layers: Sequence[Projection], scale: float) -> tuple[list[Tensor], Sequence[Tensor]]:
    """What each layer makes of x, and the rank-wide products on the way, scaled."""
    downs = _downs(layers, x.dtype)
    lows = [] if downs is None else torch.split(torch.mm(x, downs.t()).mul_(scale), _ranks(layers), 1)
    low = iter(lows)
    outputs = []
    for layer in layers:
        weight = layer.weight
        y = weight.product(x) if isinstance(weight, Blocked) else torch.mm(x, dense(weight, x).t())
        if layer.bias is not None:
            y += layer.bias.to(x.dtype)
        if layer.B is not None:
            y.addmm_(next(low), layer.B.to(x.dtype).t())
        outputs.append(y)
    return outputs, lows


def _downs(layers: Sequence[Projection], dtype: torch.dtype) -> Tensor | None:
    """The A of all adapted layers below each other: three thin products as one are a third of their time."""
    factors = [layer.A for layer in layers if layer.A is not None]
    return torch.cat(factors).to(dtype) if factors else None


def _ranks(layers: Sequence[Projection]) -> list[int]:
    return [layer.A.shape[0] for layer in layers if layer.A is not None]


def _layers(flat: Sequence[Any]) -> list[Projection]:
    width = len(Projection._fields)
    return [Projection(*flat[start : start + width]) for start in range(0, len(flat), width)]
