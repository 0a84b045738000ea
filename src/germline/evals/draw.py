"""Draws for an exam that depend on what is drawn from and on nothing else: not on the order of rows, nor on a clock."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterable
from typing import TypeVar

_T = TypeVar("_T")


def seed(*parts: str) -> int:
    """A number that only these texts give."""
    return int.from_bytes(hashlib.sha256("\x00".join(parts).encode()).digest()[:8], "big")


def few(most: int, things: Iterable[_T], rank: Callable[[_T], int]) -> list[_T]:
    """The `most` things of lowest rank in the order they came in, or all where there are no more."""
    lowest = heapq.nsmallest(most, enumerate(things), key=lambda place: rank(place[1]))
    return [thing for _, thing in sorted(lowest, key=lambda place: place[0])]
