"""Compile every kernel, as its wrapper launches it, for a GPU that is not there: `python -m … 80` for sm_80.

Prints a line for each: its name, and the bytes of local memory a thread spills to. A check of
`test_triton_kernels.py`, in a process of its own because Triton interprets in all of a process or in none.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import triton
from triton.backends import nvidia
from triton.backends.compiler import GPUTarget

from germline.ops import pointwise
from germline.ops import triton_kernels as kernels
from germline.ops.quantize import quantize


class NoGpu:
    """What Triton asks of a driver; a kernel's code is looked at instead of loaded, and starting it does nothing."""

    def __init__(self, capability: int) -> None:
        self.target = GPUTarget("cuda", capability, 32)
        self.utils = SimpleNamespace(
            load_binary=self.load, get_device_properties=lambda device: {"max_shared_mem": 48 << 10}
        )

    def get_current_target(self) -> Any:
        return self.target

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0

    def launcher_cls(self, source: Any, metadata: Any) -> Callable[..., None]:
        return lambda *arguments: None

    def load(self, name: str, code: bytes, shared: int, device: int) -> tuple[int, ...]:
        tool = Path(nvidia.__file__).parent / "bin" / "cuobjdump"
        with tempfile.NamedTemporaryFile() as file:
            file.write(code)
            file.flush()
            usage = subprocess.check_output([tool, "-res-usage", file.name], text=True)
        found = re.search(rf"Function {name}:\s+REG:\d+ STACK:(\d+) .*LOCAL:(\d+)", usage)
        assert found, usage
        print(name, int(found[1]) + int(found[2]), "spilled")
        return 0, 0, 0, 0, 1024


def compile_all(capability: int) -> None:
    triton.runtime.driver.set_active(NoGpu(capability))
    packed = quantize(torch.randn(64, 64), "nf4")
    for dtype in (torch.float32, torch.bfloat16):
        for width in (576, 8192):
            x, norm = torch.zeros(3, width, dtype=dtype), {"weight": torch.ones(width), "epsilon": 1e-5, "offset": 0.0}
            kernels.norm(x, **norm)
            for trained in (False, True):
                kernels.norm_backward(x, x, trained=trained, **norm)
        for activation in ("silu", "gelu_tanh"):
            kernels.gated(x, x, activation=activation)
            kernels.gated_backward(x, x, x, activation=activation)
        table = torch.zeros(1, 1, 2, 32)
        kernels.rotate(torch.zeros(1, 3, 2, 64, dtype=dtype), table, table, scale=1.0)
        for softcap in (0.0, 30.0):
            logits = torch.zeros(2, 128256, dtype=dtype)
            kernels.cross_entropy(logits, torch.zeros(2, dtype=torch.int64), softcap=softcap)
        with pointwise.kernels():
            packed.dense(dtype)


if __name__ == "__main__":
    compile_all(int(sys.argv[1]))
