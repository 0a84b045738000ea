"""What this machine has that matters for training, and what its results are exact within."""

from __future__ import annotations

import os
import platform
import shutil
import sysconfig
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import torch

from germline import __version__
from germline.errors import PlanError
from germline.forge import allowance
from germline.ops.pointwise import triton_version
from germline.settings import Training

MATRIX = 1024
"""Side of the matrices whose product measures the machine: 2 GFLOP, milliseconds on any."""
TURNS, SMALLER = 8, 512
"""Products of each kind of which the fastest counts, the first of which compiles, and their side: 0.3 GFLOP each."""


class Arithmetic(NamedTuple):
    """What a model computes in, and where."""

    dtype: torch.dtype
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """`free_bytes` is memory for training: of the GPU where there is one, else of the machine."""

    cores: int
    total_bytes: int
    free_bytes: int
    fast_bf16: bool
    """Whether bf16 matrices are multiplied faster than fp32 ones."""
    units: str
    """The widest matrix or vector units, by the name the maker gives them."""
    gpu: str | None = None
    compiler: bool = False
    """Whether torch.compile has what it needs. On a GPU it is not called: kernels do there what it does here."""

    @property
    def device(self) -> str:
        return "cuda" if self.gpu else "cpu"


def machine(device: str = "auto") -> Machine:
    """This machine, for training on `device` (`auto`, `cpu` or `cuda`). PlanError when there is no such GPU."""
    missing = no_gpu()
    if device == "cuda" and missing:
        hint = 'training.device = "auto" takes the CPU; `germline evolve --restart` begins an unfinished run anew'
        raise PlanError(f"training.device is cuda, but {missing}", hint=hint)
    cores = allowance.cores()
    if device != "cpu" and not missing:
        return Machine(
            cores=cores, total_bytes=torch.cuda.mem_get_info()[1], free_bytes=free_bytes("cuda"),
            fast_bf16=torch.cuda.is_bf16_supported(including_emulation=False),
            units="tensor cores", gpu=torch.cuda.get_device_name(),
        )  # fmt: skip
    return Machine(
        cores=cores, total_bytes=allowance.total_bytes(), free_bytes=allowance.available_bytes(),
        fast_bf16=fast_bf16(), units=_units(), compiler=_compiler(),
    )  # fmt: skip


def no_gpu() -> str:
    """Why there is no GPU to compute on; empty where there is one."""
    if not torch.cuda.is_available():
        if torch.version.cuda or torch.version.hip:
            return "torch sees no GPU"
        return "this torch is for CPUs alone; pytorch.org/get-started names one for a card"
    oldest = min((int(name[3:].rstrip("af")) for name in torch.cuda.get_arch_list() if name[:3] == "sm_"), default=0)
    major, minor = torch.cuda.get_device_capability()
    return "" if 10 * major + minor >= oldest else f"{torch.cuda.get_device_name()} is older than this torch knows"


def free_bytes(device: str) -> int:
    """Memory that this process could take: of the GPU, with what torch's allocator keeps for later, which it gives back
    before it fails; else of the machine."""
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved() - torch.cuda.memory_allocated())
    return allowance.available_bytes()


def _compiler() -> bool:
    """Whether the compiler is there that torch.compile calls on this system, and what it includes: found now, not in
    the first step of a long run."""
    named = os.environ.get("CXX", {"Windows": "cl", "Darwin": "clang++"}.get(platform.system(), "g++"))
    return shutil.which(named) is not None and Path(sysconfig.get_path("include"), "Python.h").is_file()


@cache
def fast_bf16() -> bool:
    """Whether this CPU multiplies bf16 matrices faster than fp32 ones: measured once a process, in some 50 ms.

    That it can multiply them says little. AVX512-BF16 is 2.2 times as fast as fp32 on Zen 4, and 0.55 times on an
    Emerald Rapids whose hypervisor hides AMX (one core, 512 rows of SmolLM2-135M's shapes).
    """
    if not _native_bf16():
        return False
    fp32, bf16 = (_product(Arithmetic(dtype, "cpu"), SMALLER) for dtype in (torch.float32, torch.bfloat16))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # beside a run on all cores two wait for each other: 0.4 to 1.4 times, one 0.50 to 0.57
    try:
        times = [(fp32(), bf16()) for _ in range(TURNS)]  # in turn: whatever else runs here slows both
    finally:
        torch.set_num_threads(threads)
    return min(seconds for _, seconds in times) < min(seconds for seconds, _ in times)


def _native_bf16() -> bool:
    features = torch.cpu.get_capabilities()
    return bool(features.get("avx512_bf16") or features.get("amx_bf16") or features.get("bf16"))


def _units() -> str:
    features = torch.cpu.get_capabilities()
    named = {
        "amx_bf16": "AMX-BF16",
        "avx512_bf16": "AVX512-BF16",
        "avx512_f": "AVX-512",
        "avx2": "AVX2",
        "bf16": "BF16",
    }
    return next((name for feature, name in named.items() if features.get(feature)), platform.machine())


def flops_per_second(on: Arithmetic) -> float:
    """How fast this machine multiplies matrices, measured now: the best product of a quarter of a second, of three at
    the least. Other programs, and other guests of the same processor, can halve it from one second to the next."""
    product, seconds = _product(on, MATRIX), list[float]()
    until = time.perf_counter() + 0.25
    while len(seconds) < 3 or time.perf_counter() < until:
        seconds.append(product())
    return 2.0 * MATRIX**3 / min(seconds)


def _product(on: Arithmetic, side: int) -> Callable[[], float]:
    """A product of two matrices to be timed: what it returns does it once, and says how many seconds that took."""
    luck = torch.Generator().manual_seed(0)  # not the one that others draw from
    left, right = (torch.rand(side, side, generator=luck).to(on.device, on.dtype) for _ in range(2))

    def seconds() -> float:
        began = time.perf_counter()
        float(torch.mm(left, right)[0, 0])  # read back, so that a GPU has really done it
        return time.perf_counter() - began

    return seconds


def fingerprint(on: Arithmetic, threads: int, compiled: bool) -> dict[str, Any]:
    """What exactness is promised within: change any of it and the last bits may differ."""
    return {
        "germline": __version__,
        "torch": torch.__version__,
        "tokenizers": version("tokenizers"),
        "python": ".".join(platform.python_version_tuple()[:2]),
        "dtype": str(on.dtype).removeprefix("torch."),
        "device": on.device,
        "threads": threads,
        "capability": torch.backends.cpu.get_cpu_capability() if on.device == "cpu" else torch.cuda.get_device_name(),
        "native_bf16": _native_bf16(),
        "compiled": compiled,
        **({"kernels": triton_version()} if on.device == "cuda" else {}),
        "architecture": platform.machine(),
        "system": platform.system(),
    }


def arithmetic(training: Training, here: Machine) -> tuple[Arithmetic, str]:
    """How the frozen model computes on this machine, and why."""
    if training.dtype != "auto":
        named = {"bf16": torch.bfloat16, "fp32": torch.float32}[training.dtype]
        return Arithmetic(named, here.device), f"{training.dtype}: as the plan says"
    if here.fast_bf16:
        return Arithmetic(torch.bfloat16, here.device), f"bf16: {here.units} multiplies it in hardware"
    if "BF16" in here.units:
        return Arithmetic(torch.float32, here.device), f"fp32: {here.units} multiplies bf16 no faster here"
    return Arithmetic(torch.float32, here.device), "fp32: this processor has no bf16 matrix products"


def memory_bytes(device: str = "cpu") -> int:
    """The memory this process holds now: resident, or of the GPU, without what is kept there for later."""
    return torch.cuda.memory_allocated() if device == "cuda" else int(psutil.Process().memory_info().rss)


def peak_memory_bytes(device: str = "cpu") -> int:
    """The most memory this process has held so far: resident, or of the GPU."""
    if device == "cuda":
        return torch.cuda.max_memory_reserved()
    if platform.system() == "Windows":
        return int(getattr(psutil.Process().memory_info(), "peak_wset"))  # noqa: B009 - Windows only
    import resource

    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
