"""Weights laid out in blocks, as a CPU's matrix units read them: for answering, a few rows at a time.

oneDNN lays a plain weight out anew for every product. Where hundreds of rows are multiplied that is nothing; where one
word follows another it is most of the time: 2 cores of a Zen 4 multiply one row by a bf16 weight of 1536 x 576 in 101
us and by the same in blocks in 46, sixteen rows in 228 and 114 (LOG.md). The sums are the same: in bf16 to the bit, in
fp32 up to their order. These are the operations that torch.compile's own freezing calls.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Blocked:
    """A weight [out, in] in an order of oneDNN's own. It can be multiplied by, and nothing else."""

    blocks: Tensor

    def dense(self, dtype: torch.dtype) -> Tensor:
        raise TypeError("a weight in blocks is for answering: it has no gradients, and is not read back")

    def product(self, x: Tensor) -> Tensor:
        """x W^T [n, out] for x [n, in] in the weight's dtype."""
        made: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.blocks, None, "none", [], "")
        return made


def blocked(weight: Tensor) -> Blocked | None:
    """A copy of the weight [out, in] in blocks; None where this machine has no product for it."""
    if weight.is_cuda or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return None
    by_hardware = weight.dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    if weight.dtype != torch.float32 and not by_hardware:
        return None
    return Blocked(torch.ops.mkldnn._reorder_linear_weight(weight.detach(), 1))
