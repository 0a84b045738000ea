"""Whether two scorecards can be compared at all: the same questions, answered by marks that are numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from germline.marks import Scorecard
from germline.records import plain

_MAY_BE_ABSENT = ("style", "passages_bits_per_byte", "limit_bits_per_character", "variety", "least_variety")


def comparable(parent: Scorecard, child: Scorecard) -> bool:
    """Whether both were asked the same, and every mark of theirs is of its kind."""
    return _comparable(_papers(parent), _papers(child))


def _papers(card: Scorecard) -> dict[str, Any]:
    return {
        exam: {
            **plain(replace(marks, answers=(), units={}, said={})), "answers": {}, "overruled": {},
            "units": {unit: dict(zip(("right", "bits"), found, strict=True)) for unit, found in marks.units.items()},
            "taught": dict(enumerate(marks.taught, 1)),
            "against": {f"{unit}: {value}": 1 for unit, values in marks.against.items() for value in values},
        }
        for exam, marks in card.marks.items()
    }  # fmt: skip


def _comparable(old: Any, new: Any, key: str = "") -> bool:
    """What only one of two cards holds would be skipped, and `"false"` be taken for a law that held."""
    if isinstance(old, dict) and isinstance(new, dict):
        held = key in ("laws", "cards")
        return old.keys() == new.keys() and all(_comparable(old[k], new[k], key if held else k) for k in old)
    if key in ("laws", "cards"):
        return type(old) is type(new) is bool
    if key in _MAY_BE_ABSENT and old is None:
        return new is None
    return {type(old), type(new)} <= {int, float} and (old == new or key not in ("items", "probes"))


def no_numbers(card: Scorecard, names: Sequence[str]) -> list[str]:
    """Which marks are NaN or infinite. Of an inherited exam many decide nothing today; promoted, they would be what
    every descendant is compared with."""
    papers = zip(names, _papers(card).values(), card.marks.values(), strict=False)
    return [f"{name}: {place}" for name, paper, marks in papers for place in _not_finite({**paper, "said": marks.said})]


def _not_finite(marks: Mapping[str, Any]) -> Iterator[str]:
    for key, value in marks.items():
        if isinstance(value, Mapping):
            yield from (f"{key} > {place}" for place in _not_finite(value))
        elif isinstance(value, float) and not math.isfinite(value):
            yield key
