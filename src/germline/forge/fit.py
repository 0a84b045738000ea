"""What of a plan fits this machine, decided before anything runs: each choice with its reason.

`peak_bytes` is a sum of what is really held, checked against measured peaks over a grid of settings
(`make proof-fit`, benchmarks/fit_proof.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import torch

from germline.errors import DoesNotFit, PlanError
from germline.forge.anchor import TEXTS, TOKENS
from germline.forge.machine import Arithmetic, Machine, arithmetic, fingerprint, flops_per_second, machine
from germline.model.adapter import LoraConfig
from germline.model.shape import DecoderConfig
from germline.ops.attention import QUERIES
from germline.ops.loss import CHUNK_ROWS
from germline.ops.quantize import BLOCK, Bits
from germline.settings import Training

GIB = 1 << 30
BASE = {"cpu": 480 << 20, "cuda": 700 << 20}
"""Bytes that Python, torch and its libraries hold before a model is there (on CUDA: of the GPU)."""

SLACK = 1.03
"""What an allocator holds beyond what was asked of it."""

USABLE = 0.95
"""Share of the free memory that is planned with."""

SMALL_MICRO = 512
"""Tokens at once below which matrix products lose speed; recomputing layers is then the cheaper way to fit."""

SHORTEST_ROW = 128
COMPILE_SECONDS = 600
"""A predicted run this long compiles: the compiler takes 20 to 40 s and saves some 5 to 10%."""

EFFICIENCY = {torch.bfloat16: 0.5, torch.float32: 0.65}
"""Share of the machine's matrix rate that a whole step reaches. bf16 (AVX512-BF16): 0.39 to 0.51 at 512 tokens, 0.52 at
2,048. fp32 (AVX2): 0.69 and 0.55 to 0.60; products take three times as long there, what lies between them does not."""

BITS_BYTES = {None: 0.0, "int8": 1.01, "nf4": 0.517}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is weighed against memory."""

    bits: Bits | None
    """How the blocks' frozen linear layers are held while training; None: as they are."""
    recomputed_layers: int
    micro_tokens: int
    """Tokens that go through the model at once; a step adds up over the rest."""
    row_tokens: int
    parts: int = 1
    """Micro-batches in a step; with more than one, gradients wait while activations are made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """The choices for one run, each with its reason."""

    on: Arithmetic
    threads: int
    setting: Setting
    compiled: bool
    peak_bytes: int
    seconds: float
    """Predicted for the whole run; 0 until `timed`."""
    reasons: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "on": {"dtype": str(self.on.dtype).removeprefix("torch."), "device": self.on.device}}

    @classmethod
    def from_json(cls, table: dict[str, Any]) -> Fit:
        on = Arithmetic(getattr(torch, table["on"]["dtype"]), table["on"]["device"])
        return cls(**{**table, "on": on, "setting": Setting(**table["setting"]), "reasons": tuple(table["reasons"])})

    @classmethod
    def recorded(cls, fingerprint: Mapping[str, Any], seconds: float) -> Fit:
        """The fit that a fingerprint was made of, as far as this machine can follow it: compare with its own."""
        cuda, here = torch.cuda.is_available(), machine("cpu")
        on = Arithmetic(getattr(torch, fingerprint["dtype"]), fingerprint["device"] if cuda else "cpu")
        return cls(
            on=on, threads=fingerprint["threads"], compiled=fingerprint["compiled"] and (here.compiler or cuda),
            setting=Setting(**{field.name: fingerprint[field.name] for field in fields(Setting)}),
            peak_bytes=0, seconds=seconds, reasons=(),
        )  # fmt: skip

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What the result's last bits depend on: the machine's, and this setting."""
        return {**fingerprint(self.on, self.threads, self.compiled), **asdict(self.setting)}


def fit(
    config: DecoderConfig,
    training: Training,
    *,
    row_tokens: int,
    batch_tokens: int,
    here: Machine,
    memory_gb: float = 0.0,
) -> Fit:
    """The fastest setting whose predicted peak is within `memory_gb`, or what is free; DoesNotFit with the cure."""
    on, why = arithmetic(training, here)
    planned, row_tokens = row_tokens, min(row_tokens, config.max_positions)
    budget = int(memory_gb * GIB) or int(here.free_bytes * USABLE)
    told = f"{(memory_gb * GIB or here.free_bytes) / GIB:.1f} GiB are "
    told += "allowed" if memory_gb else "free"
    chosen, peak, least = None, 0, 1 << 62
    for setting in _settings(config, training, row_tokens, batch_tokens):
        peak = peak_bytes(config, training, on, setting)
        least = min(least, peak)
        if peak <= budget:
            chosen = setting
            break
    if training.quantize == "nf4" and training.method == "lora" and not _in_blocks(config):
        hint = "germline evolve --restart --set training.quantize=int8"
        raise PlanError(
            f"training.quantize is nf4, which packs {BLOCK} weights together, and a matrix has a rest", hint=hint
        )
    if chosen is None:
        raise DoesNotFit(
            f"training needs {least / GIB:.1f} GiB at the least and {told}",
            hint=_cure(training),
        )
    threads = training.threads or here.cores
    return Fit(
        on=on, threads=threads, setting=chosen, compiled=training.compile == "on", peak_bytes=peak, seconds=0.0,
        reasons=(
            why,
            f"{threads} threads: {'as the plan says' if training.threads else 'one per core'}",
            *([f"rows of {row_tokens} tokens instead of {planned}: the model's context"] * (planned > row_tokens)),
            *_reasons(config, training, chosen, row_tokens, batch_tokens),
            f"peak memory about {peak / GIB:.1f} of {budget / GIB:.1f} GiB",
        ),
    )  # fmt: skip


def timed(fit: Fit, config: DecoderConfig, training: Training, here: Machine, tokens: int, predicted: float) -> Fit:
    """The same fit with the time that `tokens` will take, the loss of so many of them `predicted`, from this machine's
    matrix rate measured now."""
    seconds = flops(config, fit.setting, tokens, predicted) / (flops_per_second(fit.on) * EFFICIENCY[fit.on.dtype])
    long = training.compile == "auto" and here.compiler and seconds > COMPILE_SECONDS
    duration = f"{seconds / 60:.0f} min" if seconds >= 60 else "under a minute"
    reasons = [*fit.reasons, f"about {tokens / seconds:,.0f} tokens/s, {duration} for {tokens:,} tokens"]
    if long:
        reasons.append("compiled: the run is long enough to repay half a minute of compiling")
    return replace(fit, seconds=seconds, compiled=fit.compiled or long, reasons=tuple(reasons))


def _settings(config: DecoderConfig, training: Training, row_tokens: int, batch_tokens: int) -> Iterator[Setting]:
    """From the one that is fastest and nearest to the plan to the one that needs least."""
    wanted: dict[str, tuple[Bits | None, ...]] = {
        "auto": (None, "int8", "nf4"), "none": (None,), "int8": ("int8",), "nf4": ("nf4",),
    }  # fmt: skip
    bits = wanted[training.quantize] if training.method == "lora" else (None,)
    bits = bits if _in_blocks(config) else tuple(kind for kind in bits if kind != "nf4")
    quarters = sorted({-(-config.layers * part // 4) for part in range(5)})
    layers = {"auto": quarters, "none": [0], "all": [config.layers]}[training.recompute]
    length = row_tokens

    def setting(kind: Bits | None, recomputed: int, micro: int) -> Setting:
        return Setting(
            bits=kind, recomputed_layers=recomputed, micro_tokens=micro, row_tokens=length,
            parts=-(-max(batch_tokens, length) // micro) + (training.anchor > 0),
        )  # fmt: skip

    while True:
        for kind in bits:
            for first, micro in enumerate(_micros(length, batch_tokens)):
                # Fewer tokens at once cost little down to a point; from there recomputing layers is cheaper.
                last = micro // 2 < max(SMALL_MICRO, length)
                for recomputed in layers if last else layers[:1]:
                    yield setting(kind, recomputed, micro)
                if last:
                    for smaller in _micros(length, batch_tokens)[first + 1 :]:
                        yield setting(kind, layers[-1], smaller)
                    break
        if length // 2 < SHORTEST_ROW:
            return
        length //= 2


def _in_blocks(config: DecoderConfig) -> bool:
    """Whether every matrix can be packed into NF4's blocks."""
    query, pair = config.heads * config.head_size, config.key_value_heads * config.head_size
    return not any(config.hidden * width % BLOCK for width in (query, pair, config.intermediate))


def _micros(row_tokens: int, batch_tokens: int) -> list[int]:
    """A whole step, then as many whole rows as it holds, halved down to one row."""
    rows, micros = batch_tokens // row_tokens, [max(row_tokens, batch_tokens)]
    while rows >= 1:
        if rows * row_tokens < micros[-1]:
            micros.append(rows * row_tokens)
        rows //= 2
    return micros


def flops(config: DecoderConfig, setting: Setting, tokens: float, predicted: float) -> float:
    """Two per weight and token forward and two backward (frozen weights get no gradient), plus what is recomputed;
    those of the vocabulary for `predicted` tokens alone."""
    again = config.block_parameters * setting.recomputed_layers / config.layers
    return tokens * (4.0 * config.block_parameters + 2.0 * again) + predicted * 4.0 * config.vocabulary * config.hidden


def peak_bytes(config: DecoderConfig, training: Training, on: Arithmetic, setting: Setting) -> int:
    """Predicted peak of memory while training, in bytes: resident on a CPU, the allocator's on a GPU."""
    size, full = on.dtype.itemsize, training.method == "full"
    tokens = max(setting.micro_tokens, training.anchor_tokens if training.anchor else 0)
    embeddings = config.parameters - config.block_parameters
    frozen = 0.0
    if not full:
        frozen = config.block_parameters * (BITS_BYTES[setting.bits] or size) + embeddings * size
        frozen -= embeddings * size * training.embeddings
    trained, state = _trained_parameters(config, training), state_bytes(config, training)
    kept = tokens * size * (
        (config.layers - setting.recomputed_layers) * _kept(config, training, setting, size)
        + setting.recomputed_layers * config.hidden
    )  # fmt: skip
    gradients, early = trained * 4.0, 0.0
    if full or training.embeddings:  # the vocabulary's gradient comes first, while all activations are there
        early = config.vocabulary * config.hidden * 4.0
    # Within one backward activations go as gradients come; over several, all gradients lie beside activations.
    crest = kept + gradients if setting.parts > 1 else max(kept + early, gradients)
    once = tokens * size * (_kept(config, training, setting, size) * (setting.recomputed_layers > 0) + _passing(config))
    logits = CHUNK_ROWS * config.vocabulary * size * 2 + 2 * tokens * config.hidden * size
    unpacked = 2 * size * config.hidden * config.intermediate if setting.bits or full else 0
    if full or training.embeddings:  # the vocabulary's matrix in the arithmetic's dtype, and a second gradient
        unpacked += config.vocabulary * config.hidden * (size + 4)
    held = frozen + state + (_anchored(config, on) if training.anchor else 0)
    return int(BASE[on.device] + SLACK * (held + crest + max(once, logits) + unpacked))


def _anchored(config: DecoderConfig, on: Arithmetic) -> int:
    """What the founder leaves behind: its output weight, which bf16 on a CPU has in the file, and its predictions,
    which lie in the machine's memory."""
    mapped = on == Arithmetic(torch.bfloat16, "cpu")
    rows = (0 if mapped else config.vocabulary) + (TEXTS * TOKENS if on.device == "cpu" else 0)
    return config.hidden * on.dtype.itemsize * rows


def state_bytes(config: DecoderConfig, training: Training) -> float:
    """What trains, in fp32, with both moments: what a checkpoint holds."""
    moments = 2.1 if training.optimizer == "adamw8bit" else 8.0
    return _trained_parameters(config, training) * (4.0 + moments)


def _trained_parameters(config: DecoderConfig, training: Training) -> int:
    if training.method == "full":
        return config.parameters
    embeddings = config.parameters - config.block_parameters
    return _adapter_parameters(config, training) + embeddings * training.embeddings


def _adapter_parameters(config: DecoderConfig, training: Training) -> int:
    query, pair = config.heads * config.head_size, config.key_value_heads * config.head_size
    widths = {
        "q_proj": config.hidden + query, "k_proj": config.hidden + pair, "v_proj": config.hidden + pair,
        "o_proj": config.hidden + query, "gate_proj": config.hidden + config.intermediate,
        "up_proj": config.hidden + config.intermediate, "down_proj": config.hidden + config.intermediate,
        "qkv_proj": config.hidden + query + 2 * pair, "gate_up_proj": config.hidden + 2 * config.intermediate,
    }  # fmt: skip
    named = LoraConfig(rank=training.rank, alpha=1.0, targets=training.targets).of(config).targets
    return config.layers * training.rank * sum(widths[name] for name in named)


def _kept(config: DecoderConfig, training: Training, setting: Setting, size: int) -> int:
    """Elements of `size` bytes that one layer keeps per token for its backward (see `ops`): the inputs of norms and
    gate, rotated queries and keys, values, attention weights of half a row and half a tile, mixed heads, and the
    rank-wide products. Where heads have norms, their queries and keys as they were before; where scores have a cap,
    its fp32 tangent."""
    query, pair = config.heads * config.head_size, config.key_value_heads * config.head_size
    seen = (setting.row_tokens + min(QUERIES, setting.row_tokens)) // 2
    norms = (4 if config.sandwich_norms else 2) * config.hidden
    scores = config.heads * seen * (1 + (4 // size) * (config.attention_softcap > 0))
    heads = 2 * query + 2 * pair + (query + pair) * config.query_key_norms
    return norms + heads + scores + 2 * config.intermediate + 7 * training.rank


def _passing(config: DecoderConfig) -> int:
    """Elements per token that come and go within one layer's backward: gradients of gate, up and their product,
    that product again, and the residual's."""
    return 4 * config.intermediate + 4 * config.hidden


def _reasons(
    config: DecoderConfig, training: Training, setting: Setting, row_tokens: int, batch_tokens: int
) -> Iterator[str]:
    planned = max(row_tokens, batch_tokens)
    if setting.bits:
        told = "as the plan says" if training.quantize != "auto" else "it would not fit otherwise"
        yield f"frozen weights in {setting.bits}: {told}"
    if setting.recomputed_layers:
        told = "as the plan says" if training.recompute != "auto" else "to save memory"
        yield f"{setting.recomputed_layers} of {config.layers} layers recomputed: {told}"
    if setting.row_tokens < row_tokens:
        yield f"rows of {setting.row_tokens} tokens instead of {row_tokens}: longer ones would not fit"
    if setting.micro_tokens < planned:
        yield f"{setting.micro_tokens} of {planned} tokens at once, added up to the same step: more would not fit"
    else:
        yield f"{setting.micro_tokens} tokens at once: a whole step"


def _cure(training: Training) -> str:
    if training.method == "full":
        return "germline evolve --restart --set training.method=lora needs far less; so does optimizer=adamw8bit"
    tried = [
        f"--set training.{name}={value}"
        for name, value, now in (("quantize", "nf4", training.quantize), ("recompute", "all", training.recompute))
        if now not in ("auto", value)
    ]
    if training.rank > 4:
        tried.append(f"--set training.rank={training.rank // 2}")
    return f"germline evolve --restart {' '.join(tried)}, or close other programs" if tried else "close other programs"
