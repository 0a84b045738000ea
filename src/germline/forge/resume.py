"""A run's state after a step, so that a kill costs at most one checkpoint interval and changes no bit.

What trains, the optimizer's tensors and the loss curve: one safetensors file per checkpoint, written whole,
the newest few kept. There is no iterator to lose: which rows a step sees is a function of the step.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from germline.errors import ModelError, TrainingError
from germline.model import weights
from germline.records import Event, OnEvent
from germline.store import disk

_NAME = re.compile(r"checkpoint-(\d{8})\.safetensors")
_CURVE, _WEIGHT, _STATE, _CHECK = "curve", "weight/", "state/", "crc32"


def save_checkpoint(
    directory: Path,
    parameters: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    curve: list[float],
    keep: int,
) -> None:
    """Durable when it returns; then all but the newest `keep` are removed. The curve's length is the step."""
    tensors: dict[str, Tensor] = {_CURVE: torch.tensor(curve, dtype=torch.float64)}
    for name, parameter in parameters.items():
        tensors[_WEIGHT + name] = parameter.detach()
        for key, value in optimizer.state[parameter].items():
            tensors[f"{_STATE}{key}/{name}"] = value
    tensors[_CHECK] = torch.tensor(_crc32(tensors))
    with disk.replacing(directory / f"checkpoint-{len(curve):08d}.safetensors") as file:
        weights.write_tensors(file, tensors)
    for old in _checkpoints(directory)[keep:]:
        disk.remove(old)


def steps_done(directory: Path) -> int:
    """The step after which the newest checkpoint was saved; 0 where there is none."""
    return max((int(path.stem.removeprefix("checkpoint-")) for path in _checkpoints(directory)), default=0)


def bytes_kept(directory: Path) -> int:
    """What the checkpoints there take."""
    return sum(path.stat().st_size for path in _checkpoints(directory))


def load_checkpoint(
    directory: Path, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer, on_event: OnEvent
) -> list[float]:
    """Put the newest readable checkpoint in place and return its curve; an empty one if there never was any.

    A damaged one is named, and the one before it taken, which costs time and no bit. TrainingError when all
    are damaged.
    """
    found = _checkpoints(directory)
    for path in found:
        try:
            return _restore(path, parameters, optimizer)
        except (ModelError, KeyError, RuntimeError, TypeError, ValueError) as error:
            on_event(Event(kind="note", text=f"{path} is damaged and passed over: {error}"))
            problem = error
    if found:
        raise TrainingError(
            f"{found[0]}: this checkpoint cannot be used, nor any before it: {problem}",
            hint="`germline evolve --restart` trains this generation from its start",
        )
    return []


def _restore(path: Path, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer) -> list[float]:
    tensors = dict(weights.read(path))
    if int(tensors.pop(_CHECK)) != _crc32(tensors):
        raise ModelError("its bytes are not those that were written")
    held = {name: tensors[_WEIGHT + name] for name in parameters}
    for name, parameter in parameters.items():
        if held[name].shape != parameter.shape:
            raise RuntimeError(f"{name} has shape {list(held[name].shape)}, not {list(parameter.shape)}")
    curve = [float(loss) for loss in tensors[_CURVE]]  # whatever can fail comes before the first value is set
    states: dict[str, dict[str, Tensor]] = {name: {} for name in parameters}
    for full, tensor in tensors.items():
        if full.startswith(_STATE):
            key, _, name = full.removeprefix(_STATE).partition("/")
            states[name][key] = tensor.clone()
    for name, parameter in parameters.items():
        parameter.data.copy_(held[name])
        optimizer.state[parameter] = {key: value.to(parameter.device) for key, value in states[name].items()}
    return curve


def _crc32(tensors: Mapping[str, Tensor]) -> int:
    check = 0
    for name in sorted(tensors):
        check = zlib.crc32(name.encode(), check)
        check = zlib.crc32(weights.bytes_of(tensors[name]), check)
    return check


def _checkpoints(directory: Path) -> list[Path]:
    """Newest first."""
    return sorted((path for path in directory.iterdir() if _NAME.fullmatch(path.name)), reverse=True)
