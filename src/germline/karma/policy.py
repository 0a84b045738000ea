"""What events are worth, and whether they are worth an age-up: pure functions of the book and the plan."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from germline.karma.book import Attempt, KarmaEvent
from germline.settings import Karma

PAID = ("promoted",)
FAILED = ("refused", "inconclusive", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """Whether an age-up is due, and why, or why not."""

    ready: bool
    balance: float
    threshold: float
    reason: str
    through: int
    """The last event that is counted."""


def earned(events: Sequence[KarmaEvent], policy: Karma) -> list[float]:
    """The points of each event, in order of time.

    Of what one source says of one answer only the last counts: ten clicks are one opinion. Praise counts up to a quota
    a day (UTC) for each source, and for all together: nobody can buy a generation in an afternoon. What was granted on
    another day is not charged again where the source stays with it, nor what it takes back and says again within the
    day. Blame always counts.
    """
    points: dict[int, float] = {}
    last: dict[tuple[str, str], int] = {}
    # What an answer's praise by a source was at most on a day, its beginning included: quotas have paid for so much.
    highest: dict[tuple[object, str, str], float] = {}
    by_source: dict[tuple[object, str], float] = defaultdict(float)
    by_day: dict[object, float] = defaultdict(float)
    for event in events:
        worth = event.points * policy.per_event if event.kind == "feedback" else event.points
        worth += policy.per_correction if event.correction else 0.0
        day, before = event.time.date(), 0.0
        if event.message is not None:
            if (other := last.get((event.source, event.message))) is not None:
                before, points[other] = max(0.0, points[other]), 0.0
            before = max(before, highest.get((day, event.source, event.message), 0.0))
            last[event.source, event.message] = event.sequence
        if worth > before:
            left = min(policy.source_quota - by_source[day, event.source], policy.day_quota - by_day[day])
            more = max(0.0, min(worth - before, left))
            by_source[day, event.source] += more
            by_day[day] += more
            worth = before + more
        if event.message is not None:
            highest[day, event.source, event.message] = max(before, worth)
        points[event.sequence] = worth
    return list(points.values())


def due(
    events: Sequence[KarmaEvent], attempts: Sequence[Attempt], policy: Karma, *, generations: int, now: datetime
) -> Due:
    """Whether what was earned since the last promotion pays for an age-up. `generations`: promoted so far.

    That is all that was earned, less what the events up to the promotion had earned by then: an answer that was paid
    for and is rated again by the same source counts by what its rating changed.
    """
    spent = max((one.through for one in attempts if one.outcome in PAID), default=0)
    paid = earned([event for event in events if event.sequence <= spent], policy)
    balance = math.fsum([*earned(events, policy), *(-points for points in paid)])  # exact: what was paid leaves no dust
    threshold = policy.threshold * policy.growth**generations
    last = attempts[-1] if attempts else None
    ready, reason = True, f"{balance:g} points reach the threshold of {threshold:g}"
    if policy.threshold <= 0:
        ready, reason = False, "karma.threshold is 0: no age-up is paid by karma"
    elif last is not None and last.outcome == "proposed":
        ready, reason = False, "a child waits for its second key"
    elif last is not None and last.outcome == "":
        reason = "an age-up that was begun is not at its end"
    elif balance < threshold:
        ready, reason = False, f"{threshold - balance:g} points are missing"
    elif last is not None and last.outcome in FAILED and last.ended is not None:
        free = last.ended + timedelta(hours=policy.cooldown_hours)
        if now < free:
            ready, reason = False, f"the last one was {last.outcome}; the next may begin at {free:%Y-%m-%d %H:%M} UTC"
    through = max((event.sequence for event in events), default=0)
    return Due(ready=ready, balance=balance, threshold=threshold, reason=reason, through=through)
