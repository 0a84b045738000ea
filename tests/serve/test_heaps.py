"""What a server sets before it multiplies anything."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from germline.serve import heaps

MULTIPLIED = """
import threading, torch, psutil
from germline.serve import heaps
heaps.keep_few()

def multiply():
    one = torch.ones(96, 64, dtype=torch.bfloat16)
    for rows in range(1, 700):
        torch.ones(rows, 96, dtype=torch.bfloat16) @ one
    heaps.give_back()
    print(psutil.Process().memory_info().rss - before)

torch.ones(8, 96, dtype=torch.bfloat16) @ torch.ones(96, 64, dtype=torch.bfloat16)
before = psutil.Process().memory_info().rss
thread = threading.Thread(target=multiply)
thread.start()
thread.join()
"""


def test_what_the_owner_set_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = heaps.PRODUCTS
    monkeypatch.setenv(first, "7")
    monkeypatch.delenv(second, raising=False)
    heaps.keep_few()
    assert (os.environ[first], os.environ[second]) == ("7", "64")


@pytest.mark.skipif(sys.platform != "linux", reason="what glibc holds")
def test_of_many_shapes_few_compiled_products_are_kept() -> None:
    """700 shapes: 38 MB, and 404 without the limits, where oneDNN multiplies bf16."""
    environment = {name: value for name, value in os.environ.items() if name not in heaps.PRODUCTS}
    done = subprocess.run(
        [sys.executable, "-c", MULTIPLIED], env=environment, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 100e6
