"""AdamW (arXiv 1711.05101): torch's own in fp32, or with both moments held in 8 bits.

The 8-bit moments follow arXiv 2110.02861: blocks of 256 values share their largest magnitude, so that an
outlier costs its own block alone. Within a block a code c stands for a power of c / 127 or c / 255, which
gives small values small steps: what the square root of the second moment divides by must not round to zero.
Codes are rounded up or down at random, with the odds of their distance: a moment that decays by 1% a step
would never leave a code whose neighbours are 2% away. The dice are a function of the step, so a resumed run
throws the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from germline.forge.trainable import Trainable
from germline.settings import Training

BETAS, EPSILON = (0.9, 0.99), 1e-8
BLOCK = 256
CHUNK = 1 << 20
"""Values whose moments are unpacked at once: 4 MB each in fp32, whatever the size of a matrix."""


def optimizer_for(trainable: Trainable, training: Training) -> torch.optim.Optimizer:
    """One parameter group per group of `trainable`, its peak rate under "peak"."""
    groups = [
        {
            "params": list(group.parameters.values()), "weight_decay": group.weight_decay,
            "lr": group.learning_rate, "peak": group.learning_rate,
        }
        for group in trainable.groups
    ]  # fmt: skip
    if training.optimizer == "adamw8bit":
        return AdamW8bit(groups)
    return torch.optim.AdamW(groups, betas=BETAS, eps=EPSILON, fused=True)


class AdamW8bit(torch.optim.Optimizer):
    """State per parameter of n values: `step`, and for each moment uint8 codes [n] with fp32 scales [n / 256]."""

    def __init__(self, groups: list[dict[str, Any]]) -> None:
        super().__init__(groups, {"lr": 0.0, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group["lr"], group["weight_decay"])

    def _update(self, parameter: Tensor, gradient: Tensor, rate: float, decay: float) -> None:
        state = self.state[parameter] or self._fresh(parameter)
        state["step"] = state["step"].cpu() + 1  # read back below: on a GPU that would wait for it, each time
        first, second = BETAS
        count = float(state["step"])
        dice = torch.Generator(parameter.device).manual_seed(int(count))
        flat, slope = parameter.view(-1), gradient.reshape(-1)
        for start in range(0, flat.numel(), CHUNK):
            part, blocks = slice(start, start + CHUNK), slice(start // BLOCK, (start + CHUNK) // BLOCK)
            weight, now = flat[part], slope[part].float()
            mean = _unpack(state["mean"][part], state["mean_scale"][blocks], signed=True)
            square = _unpack(state["square"][part], state["square_scale"][blocks], signed=False)
            mean.lerp_(now, 1 - first)
            square.mul_(second).addcmul_(now, now, value=1 - second)
            root = square.div(1 - second**count).sqrt_().add_(EPSILON)
            weight.mul_(1 - rate * decay).addcdiv_(mean, root, value=-rate / (1 - first**count))
            state["mean"][part], state["mean_scale"][blocks] = _pack(mean, dice, signed=True)
            state["square"][part], state["square_scale"][blocks] = _pack(square, dice, signed=False)

    def _fresh(self, parameter: Tensor) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.state[parameter]
        count = parameter.numel()
        state["step"] = torch.zeros(())
        for name in ("mean", "square"):
            state[name] = torch.full((count,), 128 if name == "mean" else 0, dtype=torch.uint8, device=parameter.device)
            state[f"{name}_scale"] = torch.zeros(-(-count // BLOCK), device=parameter.device)
        return state


def _blocks(values: Tensor) -> Tensor:
    """[n / 256, 256], the last block filled up with zeros."""
    return torch.nn.functional.pad(values, (0, -values.numel() % BLOCK)).view(-1, BLOCK)


def _pack(values: Tensor, dice: torch.Generator, *, signed: bool) -> tuple[Tensor, Tensor]:
    blocks = _blocks(values)
    scale = blocks.abs().amax(1)
    share = blocks / scale.clamp_min(1e-38).unsqueeze(1)
    luck = torch.rand(blocks.shape, generator=dice, device=blocks.device)
    if signed:  # 128 is zero; cubes
        codes = (share.abs().pow(1 / 3) * share.sign() * 127 + luck).floor_().clamp_(-127, 127) + 128
    else:  # fourth powers; what is not zero never becomes zero, or its weight would be divided by epsilon
        codes = (share.sqrt().sqrt() * 255 + luck).floor_().clamp_(1, 255).mul_(share > 0)
    return codes.to(torch.uint8).view(-1)[: values.numel()], scale


def _unpack(codes: Tensor, scale: Tensor, *, signed: bool) -> Tensor:
    blocks = _blocks(codes).float()
    share = ((blocks - 128) / 127).pow(3) if signed else (blocks / 255).pow(4)
    return (share * scale.unsqueeze(1)).view(-1)[: codes.numel()]
