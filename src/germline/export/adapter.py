"""What a whole line of generations learned, as one PEFT adapter for the founder.

Each generation added scale * B A to the weights. Side by side, as more ranks of one pair of factors, the updates add up
to their sum; each scale goes into its B, so that PEFT, told an alpha that equals the rank, scales by one. Not promised:
the last bits of the merged weights, which were rounded to their dtype once a generation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from germline.errors import ModelError
from germline.model import weights
from germline.model.adapter import LoraConfig
from germline.model.shape import DecoderConfig
from germline.records import canonical_json
from germline.store import disk

Step = tuple[Path, float]
"""An adapter's file, and what its products are scaled by when they are merged."""


def write(steps: Sequence[Step], shape: DecoderConfig, base: str, directory: Path) -> None:
    """`adapter_model.safetensors` and `adapter_config.json` of the sum of `steps`, in `directory`, which exists.

    `base` names the founder for whoever opens it. ModelError where a generation replaced whole tensors.
    """
    stacked = stack([({name: tensor.float() for name, tensor in weights.read(path)}, scale) for path, scale in steps])
    ranks = {tensor.shape[0] for name, tensor in stacked.items() if name.endswith(".lora_A.weight")}
    rank = max(ranks)
    targets = {name.removesuffix(".lora_A.weight").rsplit(".", 1)[-1] for name in stacked if "lora_A" in name}
    config = replace(LoraConfig(rank=rank, alpha=rank).of(shape), targets=tuple(targets))
    with disk.new_file(directory / "adapter_model.safetensors") as file:
        weights.write_tensors(file, stacked)
    told = {**config.peft(), "base_model_name_or_path": base}
    disk.write_new(directory / "adapter_config.json", canonical_json(told) + b"\n")


def stack(steps: Sequence[tuple[Mapping[str, Tensor], float]]) -> dict[str, Tensor]:
    """The factors of the sum of all updates, fp32; modules that a step leaves alone get ranks of zeros in it."""
    names = sorted({name.rpartition(".lora_")[0] for factors, _ in steps for name in factors})
    if not all(names):
        problem = "a generation of this line was trained in full, or its embeddings were: that is no low-rank update"
        raise ModelError(problem, hint="germline export --to hf")
    stacked: dict[str, Tensor] = {}
    for name in names:
        pairs = [_pair(name, factors, scale) for factors, scale in steps]
        width = next(A.shape[1] for A, _ in pairs if A.shape[1])
        height = next(B.shape[0] for _, B in pairs if B.shape[0])
        stacked[f"{name}.lora_A.weight"] = torch.cat([A.new_zeros(len(A), width) if not A.shape[1] else A
                                                      for A, _ in pairs])  # fmt: skip
        stacked[f"{name}.lora_B.weight"] = torch.cat([B.new_zeros(height, B.shape[1]) if not B.shape[0] else B
                                                      for _, B in pairs], 1)  # fmt: skip
    return stacked


def _pair(name: str, factors: Mapping[str, Tensor], scale: float) -> tuple[Tensor, Tensor]:
    """A [rank, in] and scale * B [out, rank] of a module; of no width where this step leaves it alone."""
    A, B = (factors.get(f"{name}.lora_{letter}.weight") for letter in "AB")
    if A is None or B is None:
        rank = max(len(tensor) for key, tensor in factors.items() if key.endswith(".lora_A.weight"))
        return torch.zeros(rank, 0), torch.zeros(0, rank)
    return A, B * scale
