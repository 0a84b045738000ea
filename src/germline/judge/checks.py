"""One line of a verdict: a value, its limit, and whether it holds."""

from __future__ import annotations

import math

from germline.marks import Check


def at_least(name: str, value: float, limit: float, said: str) -> Check:
    return check(name, value, limit, value >= limit, said)


def at_most(name: str, value: float, limit: float, said: str) -> Check:
    return check(name, value, limit, value <= limit, said)


def check(name: str, value: float, limit: float, passed: bool, said: str) -> Check:
    """What is not a finite number never passes, whichever way it compares."""
    return Check(name=name, value=value, limit=limit, passed=passed and math.isfinite(value), reason=said)


def cost(what: str, old: float, new: float) -> str:
    return f"{what}: {new:.2f} bits per byte, {old:.2f} before"
