"""What a GPU would refuse, found on a machine that has none."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from germline.ops import pointwise


def test_nothing_meets_on_two_devices() -> None:
    """In a process of its own, because a made-up device stays for as long as the process lives."""
    checks = Path(__file__).with_name("on_other_device.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(checks)],
        cwd=checks.parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(importlib.util.find_spec("triton") is not None, reason="Triton is installed")
def test_kernels_that_cannot_be_had_are_not_replaced_in_silence() -> None:
    x = torch.ones(2, 8)
    assert not pointwise.by_kernel(x)
    with pointwise.kernels(), pytest.raises(ModuleNotFoundError, match="triton"):
        pointwise.gated(x, x, activation="silu")
    assert not pointwise.by_kernel(x)
