"""The loss, computed without ever holding the logits.

A row of logits is as wide as the vocabulary (49,152 for SmolLM2): 2,048 tokens of them are 200 MB in bf16
and twice that with their gradient, all of it written to memory and read back. Here the vocabulary is met a
few rows at a time, so that a chunk stays in cache, and the gradient is taken in the same pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from germline.ops import pointwise

CHUNK_ROWS = 256
"""Rows of logits held at once: 256 x 49,152 in bf16 is 25 MB. Fewer would read the vocabulary's matrix
(57 MB) too often for what they multiply."""


def cross_entropy_sum(hidden: Tensor, output_weight: Tensor, targets: Tensor, softcap: float = 0.0) -> Tensor:
    """Summed cross-entropy in nats, fp32, of hidden [N, D] against targets [N] under logits hidden W^T.

    output_weight [V, D] is cast to hidden's dtype. The gradient is taken in the same pass, so memory is one
    chunk of logits whatever N is, at the price that this may be differentiated once only. `softcap` bends
    the logits as in `pointwise.cross_entropy`.
    """
    total: Tensor = _CrossEntropy.apply(hidden, output_weight, targets, softcap)  # type: ignore[no-untyped-call]
    return total


def divergence_sum(
    hidden: Tensor, output_weight: Tensor, wanted: Tensor, wanted_weight: Tensor, softcap: float = 0.0
) -> Tensor:
    """Summed KL(wanted || hidden) in nats, fp32, of the predictions that hidden [N, D] and wanted [N, D] stand for
    under their output weights [V, D]. Only the first two get a gradient; otherwise as `cross_entropy_sum`."""
    total: Tensor = _Divergence.apply(hidden, output_weight, wanted, wanted_weight, softcap)  # type: ignore[no-untyped-call]
    return total


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, output_weight: Tensor, targets: Tensor, softcap: float) -> Tensor:
        def against_target(logits: Tensor, rows: slice) -> tuple[Tensor, ...]:
            return pointwise.cross_entropy(logits, targets[rows], softcap=softcap)

        return _summed(ctx, hidden, output_weight, against_target)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return *_scaled(ctx, gradients[0]), None, None


class _Divergence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, output_weight: Tensor, wanted: Tensor, wanted_weight: Tensor, softcap: float
    ) -> Tensor:
        held = wanted_weight.detach().to(hidden.dtype)

        def against_other(logits: Tensor, rows: slice) -> tuple[Tensor, ...]:
            return pointwise.divergence(logits, torch.mm(wanted[rows], held.t()), softcap=softcap)

        return _summed(ctx, hidden, output_weight, against_other)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return *_scaled(ctx, gradients[0]), None, None, None


def _summed(
    ctx: Any, hidden: Tensor, output_weight: Tensor, loss_of: Callable[[Tensor, slice], tuple[Tensor, ...]]
) -> Tensor:
    """The loss over all rows, a chunk of logits at a time; the gradients are kept for the backward."""
    to_hidden = torch.empty_like(hidden) if hidden.requires_grad else None
    to_weight = torch.zeros_like(output_weight) if output_weight.requires_grad else None
    matrix = output_weight.detach().to(hidden.dtype)
    total = torch.zeros((), dtype=torch.float32, device=hidden.device)
    for start in range(0, hidden.shape[0], CHUNK_ROWS):
        rows = slice(start, start + CHUNK_ROWS)
        losses, share = loss_of(torch.mm(hidden[rows], matrix.t()), rows)
        total += losses.sum()
        if to_hidden is not None:
            to_hidden[rows] = torch.mm(share, matrix)
        if to_weight is not None:
            to_weight += torch.mm(share.t(), hidden[rows])
        del share  # or it would lie beside the next chunk: 50 MB in fp32
    ctx.save_for_backward(to_hidden, to_weight)
    return total


def _scaled(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
    to_hidden, to_weight = (None if part is None else part * gradient for part in ctx.saved_tensors)
    return to_hidden, to_weight
