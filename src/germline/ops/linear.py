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
from germline.ops.quantize import Quantized, dense


class Projection(NamedTuple):
    """One linear layer. weight [out, in] in any dtype or quantized; bias [out]; A [rank, in] and B [out, rank]."""

    weight: Tensor | Quantized
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

    Products run in the raw input's dtype; weights and factors are cast to it. Gradients come for whatever
    requires them: raw, a norm's weight, W, b, A and B; a quantized W is always frozen.
    """
    shape = raw[0].shape[:-1]
    flat = [tensor.reshape(-1, tensor.shape[-1]) if tensor.dim() > 1 else tensor for tensor in raw]
    outputs = _Project.apply(before, len(flat), scale, *flat, *(part for layer in layers for part in layer))  # type: ignore[no-untyped-call]
    return [output.view(*shape, -1) for output in outputs]


def apply(before: Before, raw: Sequence[Tensor]) -> Tensor:
    """before(raw) by itself, with its own backward: a norm or a gate that no linear layer follows."""
    shape = raw[0].shape
    flat = [tensor.reshape(-1, tensor.shape[-1]) if tensor.dim() > 1 else tensor for tensor in raw]
    output: Tensor = _Apply.apply(before, *flat)  # type: ignore[no-untyped-call]
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
        x = before.forward(raw)
        outputs, lows = [], []
        for layer in layers:
            y = torch.mm(x, dense(layer.weight, x.dtype).t())
            if layer.bias is not None:
                y += layer.bias.to(x.dtype)
            if layer.A is not None and layer.B is not None:
                low = torch.mm(x, layer.A.to(x.dtype).t()) * scale
                y.addmm_(low, layer.B.to(x.dtype).t())
                lows.append(low)
            outputs.append(y)
        ctx.before, ctx.scale, ctx.layers = before, scale, layers
        ctx.inputs = inputs
        ctx.save_for_backward(*raw, *lows)
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        saved = ctx.saved_tensors
        raw, lows = saved[: ctx.inputs], iter(saved[ctx.inputs :])
        gradient, low_gradients = None, []
        dtype, onward = raw[0].dtype, any(ctx.needs_input_grad[3 : 3 + ctx.inputs])
        for layer, outer in zip(ctx.layers, gradients, strict=True):
            low_gradient = None if layer.B is None else torch.mm(outer, layer.B.to(dtype)) * ctx.scale
            low_gradients.append(low_gradient)
            if not onward:
                continue
            weight = dense(layer.weight, dtype)
            gradient = torch.mm(outer, weight) if gradient is None else gradient.addmm_(outer, weight)
            if low_gradient is not None:
                gradient.addmm_(low_gradient, layer.A.to(dtype))
        if gradient is None:
            raw_gradients: list[Any] = [None] * ctx.inputs
            x = ctx.before.forward(raw)
        else:
            raw_gradients, x = ctx.before.backward(raw, gradient)
        own: list[Tensor | None] = []
        needed = iter(ctx.needs_input_grad[3 + ctx.inputs :])
        for layer, outer, low_gradient in zip(ctx.layers, gradients, low_gradients, strict=True):
            pairs = ((outer, x), (outer, None), (low_gradient, x), (outer, None if layer.B is None else next(lows)))
            for part, (left, right) in zip(layer, pairs, strict=True):
                own.append(_own(part, left, right) if next(needed) else None)
        return (None, None, None, *raw_gradients, *own)


def _own(part: Any, left: Any, right: Tensor | None) -> Tensor:
    """The gradient of a weight or factor, left^T right; of a bias, the sum of left over rows."""
    gradient: Tensor = left.sum(0) if right is None else torch.mm(left.t(), right)
    return gradient.to(part.dtype)


def _layers(flat: Sequence[Any]) -> list[Projection]:
    width = len(Projection._fields)
    return [Projection(*flat[start : start + width]) for start in range(0, len(flat), width)]
