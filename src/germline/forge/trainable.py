"""What of a decoder is trained, at which rate, and the proof afterwards of what moved and what did not."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from germline.errors import TrainingError
from germline.model import weights
from germline.model.adapter import PREFIX, LoraConfig, attach
from germline.model.decoder import Decoder, Linear
from germline.ops.quantize import Int8, Nf4
from germline.settings import Training

EMBEDDINGS = ("model.embed_tokens.weight", "lm_head.weight")


@dataclass(frozen=True, slots=True)
class Group:
    """Parameters that share a peak learning rate and a weight decay."""

    parameters: Mapping[str, nn.Parameter]
    learning_rate: float
    weight_decay: float


@dataclass(frozen=True, slots=True)
class Trainable:
    """Everything that trains, in groups, by PEFT's names, and what every tensor was at the start."""

    groups: tuple[Group, ...]
    start: Mapping[str, int]
    """CRC-32 of each tensor's bytes before the first step, trained or frozen."""

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        return {name: parameter for group in self.groups for name, parameter in group.parameters.items()}


def in_full(training: Training) -> Callable[[str], bool]:
    """Which of a model's own tensors train, so that `weights.load` keeps them as fp32 masters."""
    if training.method == "full":
        return lambda name: True
    return lambda name: training.embeddings and name in EMBEDDINGS


def prepare(decoder: Decoder, training: Training) -> Trainable:
    """Make of `decoder` what `training` asks for; it must have been loaded with `in_full(training)`.

    Norms and biases are never decayed. PlanError where a target names no layer.
    """
    own = {name: parameter for name, parameter in decoder.named_parameters() if in_full(training)(name)}
    for parameter in own.values():
        parameter.requires_grad_(True)
    embeddings = {PREFIX + name: own.pop(name) for name in EMBEDDINGS if name in own}
    if training.method == "lora":
        lora = LoraConfig(rank=training.rank, alpha=training.alpha, targets=training.targets)
        own = attach(decoder, lora, training.seed, decoder.device)
    else:
        own = {PREFIX + name: parameter for name, parameter in own.items()}
    embedding_rate = training.embedding_learning_rate if training.embeddings else training.learning_rate
    matrices = {name: parameter for name, parameter in own.items() if parameter.dim() > 1}
    vectors = {name: parameter for name, parameter in own.items() if parameter.dim() == 1}
    groups = (
        Group(matrices, training.learning_rate, training.weight_decay),
        Group(vectors, training.learning_rate, 0.0),
        Group(embeddings, embedding_rate, training.weight_decay),
    )
    return Trainable(tuple(group for group in groups if group.parameters), _checksums(decoder))


def table(decoder: Decoder, trainable: Trainable, *, steps: int) -> tuple[dict[str, Any], ...]:
    """One row per kind of module: tensors, parameters, dtype, rates, and how many of its tensors changed.

    Raises TrainingError where a frozen tensor changed, or none of a trained group did. After one step LoRA's A may
    stand where it began: its gradient passes through B, which begins at zero.
    """
    tensors, now = _tensors(decoder), _checksums(decoder)
    owner = {id(parameter): group for group in trainable.groups for parameter in group.parameters.values()}
    rows: dict[tuple[str, bool], list[str]] = {}
    for name, tensor in tensors.items():
        rows.setdefault((_kind(name), id(tensor) in owner), []).append(name)
    made = []
    for (kind, trained), names in sorted(rows.items()):
        group = owner.get(id(tensors[names[0]]))
        changed = sum(now[name] != trainable.start[name] for name in names)
        may_stand = steps == 1 and kind.endswith(".lora_A")
        if trained != bool(changed) and not may_stand:
            raise TrainingError(f"{kind} was {'to be trained, but did not move' if trained else 'frozen, but changed'}")
        made.append({
            "group": kind,
            "tensors": len(names),
            "parameters": sum(tensors[name].numel() for name in names),
            "dtype": str(tensors[names[0]].dtype).removeprefix("torch."),
            "trained": trained,
            "learning_rate": group.learning_rate if group else 0.0,
            "weight_decay": group.weight_decay if group else 0.0,
            "changed": changed,
        })  # fmt: skip
    return tuple(made)


def _tensors(decoder: Decoder) -> dict[str, Tensor]:
    """Every tensor that the decoder computes with, packed codes in place of the weights they stand for."""
    tensors: dict[str, Tensor] = {name: value for name, value in decoder.named_parameters() if not value.is_meta}
    for name, module in decoder.named_modules():
        if isinstance(module, Linear) and isinstance(module.packed, Int8 | Nf4):
            tensors[f"{name}.weight"] = module.packed.codes
    return tensors


def _checksums(decoder: Decoder) -> dict[str, int]:
    return {name: zlib.crc32(weights.bytes_of(tensor)) for name, tensor in _tensors(decoder).items()}


def _kind(name: str) -> str:
    """`model.layers.3.self_attn.q_proj.lora_A` -> `q_proj.lora_A`; biases and norms keep their own last name."""
    parts = name.removesuffix(".weight").split(".")
    return ".".join(parts[-2:]) if parts[-1] in ("lora_A", "lora_B", "bias") else parts[-1]
