"""A run's state at a step, so that a kill costs at most one checkpoint interval and changes no bit.

Weights of the adapter, both Adam moments, the loss curve and the step: one safetensors file, replaced
whole. There is no iterator to lose: which rows a step sees is a function of the step.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from germline.errors import TrainingError
from germline.store import disk

NAME = "checkpoint.safetensors"


def save_checkpoint(
    directory: Path,
    parameters: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    curve: list[float],
) -> None:
    """Durable when it returns. The number of steps done is the length of the curve."""
    tensors: dict[str, Tensor] = {"curve": torch.tensor(curve, dtype=torch.float64)}
    for name, parameter in parameters.items():
        tensors[f"weight/{name}"] = parameter.detach()
        tensors[f"mean/{name}"] = optimizer.state[parameter]["exp_avg"]
        tensors[f"square/{name}"] = optimizer.state[parameter]["exp_avg_sq"]
    disk.replace(directory / NAME, save(tensors))


def load_checkpoint(
    directory: Path, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer
) -> list[float]:
    """Put the state of the last checkpoint in place and return its curve; an empty one if there is none."""
    path = directory / NAME
    if not path.exists():
        return []
    try:
        tensors = load(path.read_bytes())
        curve = [float(loss) for loss in tensors["curve"]]
        for name, parameter in parameters.items():
            parameter.data.copy_(tensors[f"weight/{name}"])
            optimizer.state[parameter] = {
                "step": torch.tensor(float(len(curve))),
                "exp_avg": tensors[f"mean/{name}"].clone(),
                "exp_avg_sq": tensors[f"square/{name}"].clone(),
            }
    except (SafetensorError, KeyError, RuntimeError) as error:
        raise TrainingError(
            f"{path}: this checkpoint cannot be used: {error}",
            hint="`germline evolve --restart` trains this generation from its start",
        ) from error
    return curve
