"""How far weights moved in one generation and since the founder, and which way. Measured on what is on disk.

Rounding to the dtype that a child is stored in is part of it: a small step in bf16 looks of higher rank than
the factors that made it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path

import torch
from torch import Tensor

from germline.model.weights import read

ITERATIONS = 30
"""Of the power method: on random steps of rank 16, in bf16, it comes within 2% of the largest singular value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """One tensor's step, or all tensors' together. Changes are Frobenius norms relative to where it began."""

    parent: float
    """|child - parent| / |parent|."""
    founder: float
    """|child - founder| / |founder|."""
    cosine: float | None
    """Between this step and all steps before it: 1 goes further the same way, 0 another way, -1 back. None where
    one of them is nothing."""
    stable_rank: float | None
    """|step|² by Frobenius over |step|² by its largest singular value: how many directions carry it. None for what
    is no matrix, did not move, or is all tensors."""


def movement(founder: Path, parent: Path, child: Path) -> tuple[Moved, Mapping[str, Moved]]:
    """All tensors together, and each by its name. The three files hold the same tensors."""
    tensors: dict[str, Moved] = {}
    found: list[_Sums] = []
    for (name, first), (_, before), (_, after) in zip(read(founder), read(parent), read(child), strict=True):
        start, old, new = first.float(), before.float(), after.float()
        step = new - old
        sums = _Sums(
            old=_square(old), start=_square(start), step=_square(step), earlier=_square(old - start),
            since=_square(new - start), along=float((step * (old - start)).sum(dtype=torch.float64)),
        )  # fmt: skip
        tensors[name] = sums.moved(_stable_rank(step, sums.step))
        found.append(sums)
    together = _Sums(*map(math.fsum, zip(*map(astuple, found), strict=True)))
    return together.moved(None), tensors


@dataclass(frozen=True, slots=True)
class _Sums:
    """Sums of squares, and of products of the step with the way before it."""

    old: float
    start: float
    step: float
    earlier: float
    since: float
    along: float

    def moved(self, stable_rank: float | None) -> Moved:
        both = math.sqrt(self.step * self.earlier)
        return Moved(
            parent=math.sqrt(self.step / (self.old or 1.0)), founder=math.sqrt(self.since / (self.start or 1.0)),
            cosine=self.along / both if both else None, stable_rank=stable_rank,
        )  # fmt: skip


def _square(tensor: Tensor) -> float:
    return float(tensor.square().sum(dtype=torch.float64))


def _stable_rank(step: Tensor, square: float) -> float | None:
    if step.dim() != 2 or not square > 0:
        return None
    direction = torch.ones(step.shape[1])
    if not (step @ direction).any():  # rows that sum to nothing; the longest has a share of what is sought
        direction = step[step.norm(dim=1).argmax()]
    for _ in range(ITERATIONS):
        direction = step.T @ (step @ (direction / direction.norm()))
    largest = _square(step @ (direction / direction.norm()))
    return square / largest if largest else None
