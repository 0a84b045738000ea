"""The loss, computed without ever holding the logits.

A row of logits is as wide as the vocabulary (49,152 for SmolLM2): 2,048 tokens of them are 200 MB in bf16
and twice that with their gradient, all of it written to memory and read back. Here the vocabulary is met a
few rows at a time, so that a chunk stays in cache, and the gradient is taken in the same pass.
"""

from __future__ import annotations

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
    the logits as in `pointwise.surprise`.
    """
    total: Tensor = _CrossEntropy.apply(hidden, output_weight, targets, softcap)  # type: ignore[no-untyped-call]
    return total


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, output_weight: Tensor, targets: Tensor, softcap: float) -> Tensor:
        to_hidden = torch.empty_like(hidden) if hidden.requires_grad else None
        to_weight = torch.zeros_like(output_weight) if output_weight.requires_grad else None
        matrix = output_weight.detach().to(hidden.dtype)
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        for start in range(0, hidden.shape[0], CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            losses, share = pointwise.surprise(torch.mm(hidden[rows], matrix.t()), targets[rows], softcap=softcap)
            total += losses.sum()
            if to_hidden is not None:
                to_hidden[rows] = torch.mm(share, matrix)
            if to_weight is not None:
                to_weight += torch.mm(share.t(), hidden[rows])
        ctx.save_for_backward(to_hidden, to_weight)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        to_hidden, to_weight = (None if part is None else part * gradients[0] for part in ctx.saved_tensors)
        return to_hidden, to_weight, None, None
