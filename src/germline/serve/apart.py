"""Work with tensors beside an engine, in a thread that ends with it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def apart(work: Callable[[], T]) -> T:
    """What `work` returns or raises. Interrupted, nobody waits for it: Python alone does, at its end.

    A thread that multiplies keeps OpenMP workers of its own for as long as it lives. Once all threads' workers are more
    than the cores, libgomp puts them to sleep after every product instead of letting them spin: beside a thread that
    had once loaded a model, an engine took 45 ms for a token, and 31 without (SmolLM2-135M, 2 cores; LOG.md).
    """
    thread, wait = ThreadPoolExecutor(1, thread_name_prefix="apart"), True
    try:
        return thread.submit(work).result()
    except KeyboardInterrupt:
        wait = False
        raise
    finally:
        thread.shutdown(wait=wait)
