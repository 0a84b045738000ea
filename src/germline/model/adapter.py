"""LoRA adapters: attach to a decoder, save in PEFT's format, average, merge into the parent's weights exactly.

LoRA is arXiv 2106.09685; on disk an adapter is PEFT's `adapter_model.safetensors` (names
`base_model.model.<module>.lora_A.weight` [rank, in] and `.lora_B.weight` [out, rank], fp32).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from germline.errors import PlanError, did_you_mean
from germline.model.decoder import Decoder, Linear
from germline.model.shape import DecoderConfig

ALL_LINEAR = "all-linear"
"""PEFT's word for every linear layer of the blocks: adapting all of them is what matches full fine-tuning."""
SEPARATE = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
FUSED = ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")

PREFIX = "base_model.model."


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraConfig:
    """`scale = alpha / rank` multiplies the product of the two factors. Targets are names, or `ALL_LINEAR`."""

    rank: int
    alpha: float
    targets: tuple[str, ...] = (ALL_LINEAR,)
    whole: tuple[str, ...] = ()
    """Modules that the adapter holds as whole tensors instead: PEFT's `modules_to_save`."""

    @property
    def scale(self) -> float:
        return self.alpha / self.rank

    def of(self, shape: DecoderConfig) -> LoraConfig:
        """With the targets as such a decoder names them. PlanError when one names no layer: what is asked for
        is never skipped."""
        known = FUSED if shape.fused_projections else SEPARATE
        for target in self.targets:
            if target not in (*known, ALL_LINEAR):
                hint = did_you_mean(target, (*known, ALL_LINEAR))
                raise PlanError(f"lora target {target!r} matches no layer", hint=hint)
        return replace(self, targets=known if ALL_LINEAR in self.targets else self.targets)

    def peft(self) -> dict[str, object]:
        """The contents of PEFT's `adapter_config.json`, lists sorted so that its bytes are fixed. See `of`."""
        return {
            "peft_type": "LORA", "task_type": "CAUSAL_LM", "r": self.rank, "lora_alpha": self.alpha,
            "target_modules": sorted(self.targets), "bias": "none", "lora_dropout": 0.0,
            "use_rslora": False, "fan_in_fan_out": False, "inference_mode": True,
            **({"modules_to_save": sorted(self.whole)} if self.whole else {}),
        }  # fmt: skip


def attach(
    decoder: Decoder, config: LoraConfig, seed: int, device: torch.device | str = "cpu"
) -> dict[str, nn.Parameter]:
    """Put fresh adapters on the targets and return their fp32 parameters by PEFT name.

    A starts as kaiming-uniform noise from `seed`, the same for every `device`, and B as zero, so an attached
    decoder still answers as its parent does. PlanError as `LoraConfig.of`.
    """
    config = config.of(decoder.config)
    random = torch.Generator().manual_seed(seed)
    parameters: dict[str, nn.Parameter] = {}
    for name, linear in _linears(decoder).items():
        linear.lora_scale = config.scale  # of all: layers that share an input run as one, with one scale
        if name.rsplit(".", 1)[-1] not in config.targets:
            continue
        outputs, inputs = linear.weight.shape
        bound = 1 / math.sqrt(inputs)
        noise = torch.empty(config.rank, inputs).uniform_(-bound, bound, generator=random)
        linear.lora_A = nn.Parameter(noise.to(device))
        linear.lora_B = nn.Parameter(torch.zeros(outputs, config.rank, device=device))
        parameters[f"{PREFIX}{name}.lora_A.weight"] = linear.lora_A
        parameters[f"{PREFIX}{name}.lora_B.weight"] = linear.lora_B
    return parameters


def _linears(decoder: Decoder) -> dict[str, Linear]:
    return {
        name: module for name, module in decoder.named_modules() if isinstance(module, Linear) and "layers." in name
    }


def merge(
    parent: Iterator[tuple[str, Tensor]], adapter: Mapping[str, Tensor], scale: float, *, block_rows: int = 64
) -> Iterator[tuple[str, Tensor]]:
    """The child's tensors, one at a time: W + scale * B A, with the same bytes on every machine.

    A matrix product may sum in any order, and machines differ in it. So the update is added as `rank`
    outer products in fixed order, in fp32, each step one elementwise multiplication or one addition,
    which IEEE 754 rounds in exactly one way; the sum is rounded once to the weight's dtype. Neither the
    number of threads nor `block_rows` (the rows handled at once, for the cache) changes a bit. What is
    not promised: equality with a matrix product's result in the last bits. A tensor that the adapter holds
    in full (PEFT's `modules_to_save`) replaces the parent's.
    """
    for name, weight in parent:
        if PREFIX + name in adapter:
            yield name, adapter[PREFIX + name].to(weight.dtype)
            continue
        factors = PREFIX + name.removesuffix(".weight")
        if f"{factors}.lora_A.weight" not in adapter:
            yield name, weight
            continue
        A = adapter[f"{factors}.lora_A.weight"].float()
        B = adapter[f"{factors}.lora_B.weight"].float() * scale
        child = torch.empty_like(weight)
        for start in range(0, weight.shape[0], block_rows):
            block = slice(start, start + block_rows)
            total = weight[block].to(torch.float32, copy=True)
            for rank in range(A.shape[0]):
                total += B[block, rank : rank + 1] * A[rank]
            child[block] = total.to(weight.dtype)
        yield name, child


def mean(adapters: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """One adapter, whose update at their scale is the mean of the updates of `adapters`, all of the same names.

    Factors lie side by side, as more ranks of one pair, each B divided by how many there are. Tensors held in full
    are added in order, in fp32, and rounded once to their dtype. The same bytes on every machine.
    """
    count = len(adapters)
    made: dict[str, Tensor] = {}
    for name in adapters[0]:
        own = [adapter[name] for adapter in adapters]
        if name.endswith(".lora_A.weight"):
            made[name] = torch.cat(own)
        elif name.endswith(".lora_B.weight"):
            made[name] = torch.cat(own, 1) / count
        else:
            total = own[0].to(torch.float32, copy=True)
            for tensor in own[1:]:
                total += tensor
            made[name] = (total / count).to(own[0].dtype)
    return made


def fits(name: str, adapter: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether this tensor of an adapter changes one of a model's tensors: in full, or with its other factor."""
    module, _, factor = name.removeprefix(PREFIX).partition(".lora_")
    if not (name.startswith(PREFIX) and adapter[name].is_floating_point()):
        return False
    if not factor:
        return shapes.get(module) == tuple(adapter[name].shape)
    A, B = (adapter.get(f"{PREFIX}{module}.lora_{letter}.weight") for letter in "AB")
    if A is None or B is None or factor not in ("A.weight", "B.weight") or not A.ndim == B.ndim == 2:
        return False
    return A.shape[0] == B.shape[1] and shapes.get(f"{module}.weight") == (B.shape[0], A.shape[1])
