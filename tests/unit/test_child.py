"""Smaller doses of an update: which is tried, and which is kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from germline.child import NOT_ENOUGH, Child, tried
from germline.records import Check, Event, Scorecard, Verdict
from germline.store.objects import FileRef


def child(scale: float, outcome: Any, *failed: str) -> Child:
    checks = tuple(Check(name=name, value=0.0, limit=1.0, passed=False, reason=f"{name} fails") for name in failed)
    return Child(
        weights=FileRef(f"sha256:{scale}", 1), merge_scale=scale, moved={},
        card=Scorecard(weights=f"sha256:{scale}", marks={}), verdict=Verdict(outcome=outcome, checks=checks),
    )  # fmt: skip


def made(*children: Child) -> tuple[Iterator[Child], list[float]]:
    """The children, one at a time, and the scales of those that somebody asked for."""
    asked: list[float] = []

    def one_by_one() -> Iterator[Child]:
        for one in children:
            asked.append(one.merge_scale)
            yield one

    return one_by_one(), asked


def test_the_first_that_passes_is_kept_and_no_more_are_made() -> None:
    children, asked = made(child(1.0, "promoted"), child(0.8, "promoted"))
    assert [one.merge_scale for one in tried(children, lambda event: None)] == [1.0]
    assert asked == [1.0]


def test_what_drifts_is_tried_in_a_smaller_dose() -> None:
    events: list[Event] = []
    children, asked = made(child(1.0, "refused", "style"), child(0.8, "promoted"), child(0.6, "promoted"))
    assert [one.merge_scale for one in tried(children, events.append)] == [0.8, 1.0]
    assert asked == [1.0, 0.8]
    assert [event.text for event in events] == ["with 100% of its update refused: style fails"]


def test_where_none_passes_the_whole_update_is_what_was_refused() -> None:
    children, asked = made(child(1.0, "refused", "recall"), child(0.8, "inconclusive", "parent"))
    assert [one.merge_scale for one in tried(children, lambda event: None)] == [1.0, 0.8]
    assert asked == [1.0, 0.8]


@pytest.mark.parametrize("name", sorted(NOT_ENOUGH))
def test_what_learned_too_little_is_not_diluted(name: str) -> None:
    children, asked = made(child(1.0, "refused", "style", name), child(0.8, "promoted"))
    assert [one.verdict.outcome for one in tried(children, lambda event: None)] == ["refused"]
    assert asked == [1.0]
