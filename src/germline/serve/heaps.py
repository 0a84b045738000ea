"""glibc keeps the memory of a generation that has gone; what a server does about that. Elsewhere, nothing."""

from __future__ import annotations

import ctypes
from contextlib import suppress

M_ARENA_MAX = -8
"""As malloc.h has it."""
NOT_GLIBC = (AttributeError, OSError, TypeError)


def keep_few() -> None:
    """Before any thread computes: on Linux each would get a heap of its own, and each engine is a new thread.

    After 100 swaps under load the server held 3.7% more than at first, and 12.7% without this (LOG.md).
    """
    with suppress(*NOT_GLIBC):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)


def give_back() -> None:
    """Hand free pages back to the system, from the middle of heaps too."""
    with suppress(*NOT_GLIBC):
        ctypes.CDLL(None).malloc_trim(0)
