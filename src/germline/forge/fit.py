"""What of a plan fits this machine, decided before anything runs: each choice with its reason. See `memory`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import torch

from germline.errors import DoesNotFit, PlanError
from germline.forge.machine import Arithmetic, Machine, arithmetic, fingerprint, flops_per_second, machine
from germline.forge.memory import Setting, peak_bytes
from germline.model.shape import DecoderConfig
from germline.ops.quantize import BLOCK, Bits
from germline.settings import Training

GIB = 1 << 30
USABLE = 0.95
"""Share of the free memory that is planned with."""

SMALL_MICRO = 512
"""Tokens at once below which matrix products lose speed; recomputing layers is then the cheaper way to fit."""

SHORTEST_ROW = 128
COMPILE_SECONDS = 600
"""A predicted run this long compiles: the compiler takes 20 to 40 s and saves some 5 to 10%."""

EVEN = {torch.bfloat16: 0.20e12, torch.float32: 0.12e12}
"""FLOP/s of a core at which the products of a step take as long as what lies between them, which faster products do not
shorten. Of the machine's rate a step reached 0.39 to 0.52 at 0.20e12 a core (bf16, Zen 4), 0.55 to 0.69 at 0.06e12
(fp32, Zen 3, AVX2), 0.43 at 0.145e12 (fp32, Emerald Rapids, AVX-512)."""


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
        here = machine("auto" if fingerprint["device"] == "cuda" else "cpu")
        on = Arithmetic(getattr(torch, fingerprint["dtype"]), here.device)
        return cls(
            on=on, threads=fingerprint["threads"], compiled=fingerprint["compiled"] and here.compiler,
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
    allowed, free = int(memory_gb * GIB), int(here.free_bytes * USABLE)
    budget = min(allowed or free, free) if here.gpu else allowed or free  # a GPU has no swap
    told = f"{memory_gb:.1f} GiB are allowed" if budget == allowed else f"{here.free_bytes / GIB:.1f} GiB are free"
    told += " on the GPU" if here.gpu else ""
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
            hint=_cure(training, here),
        )
    threads = training.threads or here.cores
    return Fit(
        on=on, threads=threads, setting=chosen, compiled=training.compile == "on" and not here.gpu, peak_bytes=peak,
        seconds=0.0,
        reasons=(
            why,
            _threads_said(training.threads, here.cores),
            *([f"rows of {row_tokens} tokens instead of {planned}: the model's context"] * (planned > row_tokens)),
            *_reasons(config, training, chosen, row_tokens, batch_tokens),
            f"peak memory about {peak / GIB:.1f} of {budget / GIB:.1f} GiB",
        ),
    )  # fmt: skip


def timed(fit: Fit, config: DecoderConfig, training: Training, here: Machine, tokens: int, predicted: float) -> Fit:
    """The same fit with the time that `tokens` will take, the loss of so many of them `predicted`, from this machine's
    matrix rate measured now."""
    seconds = flops(config, fit.setting, tokens, predicted) / reached(fit.on, flops_per_second(fit.on), here.cores)
    long = training.compile == "auto" and here.compiler and seconds > COMPILE_SECONDS
    duration = f"{seconds / 60:.0f} min" if seconds >= 60 else "under a minute"
    reasons = [*fit.reasons, f"about {tokens / seconds:,.0f} tokens/s, {duration} for {tokens:,} tokens"]
    if long:
        reasons.append("compiled: the run is long enough to repay half a minute of compiling")
    return replace(fit, seconds=seconds, compiled=fit.compiled or long, reasons=tuple(reasons))


def reached(on: Arithmetic, rate: float, cores: int) -> float:
    """FLOP/s of a whole step where matrices alone are multiplied at `rate`; on a GPU half, which none has shown."""
    return rate / 2 if on.device == "cuda" else rate / (1 + rate / cores / EVEN[on.dtype])


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


def _threads_said(planned: int, cores: int) -> str:
    if not planned:
        return f"{cores} threads: one per core"
    return f"{planned} threads: as the plan says" + (f", though there are {cores} cores" if planned > cores else "")


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


def _cure(training: Training, here: Machine) -> str:
    close = "close other programs" + (", or --set training.device=cpu" if here.gpu else "")
    if training.method == "full":
        less = "germline evolve --restart --set training.method=lora needs far less; so does optimizer=adamw8bit"
        return f"{less}; {close}" if here.gpu else less
    tried = [
        f"--set training.{name}={value}"
        for name, value, now in (("quantize", "nf4", training.quantize), ("recompute", "all", training.recompute))
        if now not in ("auto", value)
    ]
    if training.rank > 4:
        tried.append(f"--set training.rank={training.rank // 2}")
    return f"germline evolve --restart {' '.join(tried)}, or {close}" if tried else close
