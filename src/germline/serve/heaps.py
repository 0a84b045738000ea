"""What a server does so that generations that come and go leave no memory behind."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

import torch

M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8
"""As malloc.h has them."""
NOT_GLIBC = (AttributeError, OSError, TypeError)
PRODUCTS = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
"""How many compiled products oneDNN keeps for the process, and PyTorch for each thread."""


def keep_few() -> None:
    """Before anything is multiplied: one heap for all threads, large blocks by themselves, and 64 compiled products.

    On Linux each thread would get a heap of its own, and each engine is a new thread: with those, a server held 12.7%
    more after 100 swaps under load. What is larger than 1 MiB (a generation's weights, an engine's memory) would land
    in a heap, too, once one such block was freed, and leave a hole there. oneDNN keeps the last 1,024 products that it
    compiled, one for each shape that was ever multiplied: 640 MiB for a tiny model under 64 streams, 380 with 128 or
    64 of them, and as many answers a second. PyTorch keeps 1,024 more for each thread: 90 MiB of an engine within 4
    seconds, some 10 with 64. What the owner has set in the environment is left as it is (LOG.md).
    """
    for products in PRODUCTS:
        os.environ.setdefault(products, "64")
    with suppress(*NOT_GLIBC):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_ARENA_MAX, 1)
        mallopt(M_MMAP_THRESHOLD, 1 << 20)


def give_back() -> None:
    """Hand free pages back to the system, from the middle of glibc's heaps too, and a GPU's; elsewhere, nothing."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    with suppress(*NOT_GLIBC):
        ctypes.CDLL(None).malloc_trim(0)
