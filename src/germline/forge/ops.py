"""The loss, computed without ever holding the logits.

A row of logits is as wide as the vocabulary (49,152 for SmolLM2): 2,048 tokens of them are 200 MB in bf16
and twice that with their gradient, all of it written to memory and read back. Here the vocabulary is met a
few rows at a time, so that a chunk stays in cache, and the gradient is taken in the same pass.
"""

from __future__ import annotations

import torch
from torch import Tensor

CHUNK_ROWS = 128
"""Rows of logits held at once: 128 x 49,152 in bf16 is 12 MB, inside a shared last-level cache."""


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden: Tensor, output_weight: Tensor, targets: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        gradient = torch.empty_like(hidden) if hidden.requires_grad else None
        total = torch.zeros((), dtype=torch.float32)
        for start in range(0, hidden.shape[0], CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            logits = torch.nn.functional.linear(hidden[rows], output_weight).float()
            index = targets[rows].unsqueeze(1)
            scale = torch.logsumexp(logits, dim=1, keepdim=True)
            total += (scale - logits.gather(1, index)).sum()
            if gradient is not None:
                share = logits.sub_(scale).exp_()
                share.scatter_add_(1, index, torch.full_like(index, -1, dtype=share.dtype))
                gradient[rows] = share.to(output_weight.dtype) @ output_weight
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx, upstream: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[no-untyped-def]
        (gradient,) = ctx.saved_tensors
        return gradient * upstream.to(gradient.dtype), None, None


def cross_entropy_sum(hidden: Tensor, output_weight: Tensor, targets: Tensor) -> Tensor:
    """Sum over N positions of -log p(target), nats, fp32 scalar, differentiable in `hidden` only.

    hidden [N, D], output_weight [V, D] of the same dtype, targets [N] int64. The caller passes only the
    positions that carry loss and divides by whatever its mean is over, so that the result does not depend
    on how tokens were dealt into batches. Reference: `F.cross_entropy(hidden @ W.T, targets, reduction="sum")`.
    """
    loss: Tensor = _ChunkedCrossEntropy.apply(hidden, output_weight, targets)  # type: ignore[no-untyped-call]
    return loss
