"""What this machine has, and what of a plan fits it, before anything runs.

The prediction is deliberately simple and on the safe side; `peak_bytes` says what it counts.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Any

import psutil
import torch

from germline import __version__
from germline.errors import DoesNotFit
from germline.model.families import DecoderConfig
from germline.settings import Training

GIB = 1 << 30
RESERVED = 1 << 30
"""Bytes that Python, torch's libraries, the tokenizer, mapped files and the allocator's slack take beside what is
counted. With it 2.4 GiB is predicted for the demo's generations, which peaked at 1.8 to 2.4 (benchmarks/)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What matters for training here. `native_bf16`: the processor multiplies bf16 matrices in hardware."""

    cores: int
    free_bytes: int
    native_bf16: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """The choices for one run, each with its reason."""

    dtype: torch.dtype
    threads: int
    micro_rows: int
    """Rows of the longest kind that go through the model at once; a step accumulates over the rest."""
    peak_bytes: int
    reasons: tuple[str, ...]


def machine() -> Machine:
    return Machine(
        cores=psutil.cpu_count(logical=False) or psutil.cpu_count() or 1,
        free_bytes=psutil.virtual_memory().available,
        native_bf16=_native_bf16(),
    )


def _native_bf16() -> bool:
    features = torch.cpu.get_capabilities()
    return bool(features.get("avx512_bf16") or features.get("amx_bf16") or features.get("bf16"))


def fingerprint(fit: Fit) -> dict[str, Any]:
    """What exactness is promised within: change any of it and the last bits may differ."""
    return {
        "germline": __version__,
        "torch": torch.__version__,
        "dtype": str(fit.dtype).removeprefix("torch."),
        "threads": fit.threads,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "native_bf16": _native_bf16(),
        "architecture": platform.machine(),
        "system": platform.system(),
    }


def fit(config: DecoderConfig, training: Training, *, row_tokens: int, batch_tokens: int, here: Machine) -> Fit:
    """Pick dtype, threads and micro-batch for the memory at hand, or raise DoesNotFit with the cure."""
    dtype, why = dtype_of(training, here)
    threads = training.threads or here.cores
    budget = int(training.memory_gb * GIB) or here.free_bytes
    rows = max(1, batch_tokens // row_tokens)
    while rows > 1 and peak_bytes(config, training, dtype, rows * row_tokens, row_tokens) > budget:
        rows //= 2
    peak = peak_bytes(config, training, dtype, rows * row_tokens, row_tokens)
    if peak > budget:
        raise DoesNotFit(
            f"training needs about {peak / GIB:.1f} GiB and {budget / GIB:.1f} GiB are free",
            hint="close other programs, or try --set curriculum.row_tokens=128 --set training.rank=8",
        )
    return Fit(
        dtype=dtype, threads=threads, micro_rows=rows, peak_bytes=peak,
        reasons=(
            f"{why}",
            f"{threads} threads: {'as the plan says' if training.threads else 'one per core'}",
            f"{rows * row_tokens} tokens at once: about {peak / GIB:.1f} of {budget / GIB:.1f} GiB",
        ),
    )  # fmt: skip


def dtype_of(training: Training, here: Machine) -> tuple[torch.dtype, str]:
    """The arithmetic of the frozen model on this machine, and why."""
    if training.dtype != "auto":
        return {"bf16": torch.bfloat16, "fp32": torch.float32}[training.dtype], f"{training.dtype}: as the plan says"
    if here.native_bf16:
        return torch.bfloat16, "bf16: this processor multiplies it in hardware"
    return torch.float32, "fp32: this processor has no bf16 matrix products"


def peak_bytes(config: DecoderConfig, training: Training, dtype: torch.dtype, tokens: int, row_tokens: int) -> int:
    """Predicted peak of resident memory while training, in bytes.

    Counted: the frozen weights once; the adapter with its gradient and both Adam moments (fp32), and its
    cast copy; per token and layer what autograd keeps (the inputs of the linear layers, norms and
    activations: about 24 x hidden and 5 x intermediate elements, attention weights of 3 x heads x row);
    a chunk of logits.
    """
    size = dtype.itemsize
    adapter = config.layers * training.rank * (
        4 * config.hidden + 2 * config.head_size * (config.heads + config.key_value_heads)
        + 3 * (config.hidden + config.intermediate)
    )  # fmt: skip
    kept = 24 * config.hidden + 5 * config.intermediate + 3 * config.heads * row_tokens
    activations = tokens * config.layers * kept * size
    logits = 128 * config.vocabulary * 4 * 3
    return RESERVED + config.parameters * size + adapter * (16 + size) + activations + logits


def peak_memory_bytes() -> int:
    """The largest resident memory of this process so far."""
    if platform.system() == "Windows":
        return int(getattr(psutil.Process().memory_info(), "peak_wset"))  # noqa: B009 - Windows only
    import resource

    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
