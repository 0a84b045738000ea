"""Smaller doses of an update: which is tried, and which is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from germline.child import NOT_ENOUGH, Child, try_scales
from germline.marks import Check, Scorecard, Verdict
from germline.records import Event
from germline.store.objects import FileRef


def child(scale: float, outcome: Any, *failed: str) -> Child:
    checks = tuple(Check(name=name, value=0.0, limit=1.0, passed=False, reason=f"{name} fails") for name in failed)
    return Child(
        weights=FileRef(f"sha256:{scale}", 1), merge_scale=scale, moved={},
        card=Scorecard(weights=f"sha256:{scale}", marks={}), verdict=Verdict(outcome=outcome, checks=checks),
    )  # fmt: skip


def made(*children: Child) -> tuple[tuple[float, ...], Callable[[float], Child], list[float]]:
    """The shares of some children, who makes them, and the shares of those that somebody asked for."""
    asked: list[float] = []

    def merged(share: float) -> Child:
        asked.append(share)
        return next(one for one in children if one.merge_scale == share)

    return tuple(one.merge_scale for one in children), merged, asked


def test_the_first_that_passes_is_kept_and_no_more_are_made() -> None:
    shares, merged, asked = made(child(1.0, "promoted"), child(0.8, "promoted"))
    assert [one.merge_scale for one in try_scales(shares, merged, lambda event: None)] == [1.0]
    assert asked == [1.0]


def test_what_drifts_is_tried_in_a_smaller_dose() -> None:
    events: list[Event] = []
    shares, merged, asked = made(child(1.0, "refused", "style"), child(0.8, "promoted"), child(0.6, "promoted"))
    assert [one.merge_scale for one in try_scales(shares, merged, events.append)] == [0.8, 1.0]
    assert asked == [1.0, 0.8]
    assert [event.text for event in events] == ["with 100% of its update refused: style fails"]


def test_where_none_passes_the_first_is_what_was_refused() -> None:
    shares, merged, asked = made(child(1.0, "refused", "recall"), child(0.8, "inconclusive", "parent"))
    assert [one.merge_scale for one in try_scales(shares, merged, lambda event: None)] == [1.0, 0.8]
    assert asked == [1.0, 0.8]


@pytest.mark.parametrize("name", sorted(NOT_ENOUGH))
def test_what_learned_too_little_is_not_diluted_but_may_be_given_more(name: str) -> None:
    shares, merged, asked = made(
        child(0.8, "refused", "style", name), child(0.7, "promoted"), child(1.0, "refused", "style"),
        child(0.9, "promoted"),
    )  # fmt: skip
    assert [one.merge_scale for one in try_scales(shares, merged, lambda event: None)] == [0.9, 0.8, 1.0]
    assert asked == [0.8, 1.0, 0.9]
