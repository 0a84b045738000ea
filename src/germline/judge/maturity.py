"""Is a lineage still growing? Read off what its births recorded: no clock, file or model.

A generation's fresh gain is the share of what its own exam asks about that it knows and its parent did not, less what
only its parent knew. Where even the upper bound of that is small, twice running, more of the same data teaches nothing:
the lineage stands still. Where its weights hardly move any more and its voice does not change either, three times
running, it is mature.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from germline.judge.paired import CONFIDENCE, difference
from germline.marks import Scorecard
from germline.settings import Maturity

STILL, MATURE = 2, 3
"""Births in a row."""

Stage = Literal["growing", "still", "mature"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Age:
    stage: Stage
    reason: str
    """In one sentence."""


def fresh_gain(parent: Scorecard, child: Scorecard) -> dict[str, float] | None:
    """What a birth records of its gain: `units` asked about, `mean` and `upper` (95%) share newly known, less what is
    known no more. None where the newest exam asks about nothing that was taught. What both know adds nothing."""
    before, after = parent.newest, child.newest
    if before is None or after is None or not after.units or before.units.keys() != after.units.keys():
        return None
    found = difference([after.units[unit][0] - right for unit, (right, _) in before.units.items()])
    return {"units": found.units, "mean": found.mean, "upper": min(1.0, found.upper)}


def age(births: Sequence[Mapping[str, Any]], policy: Maturity) -> Age:
    """The stage that the births of HEAD and its ancestors show, given as their bodies in the ledger, the oldest first:
    no refused child, and none of a branch that was left. What was not recorded shows growth."""
    last = births[-MATURE:]
    gains = [_gain(birth) for birth in births[-STILL:]]
    newest = gains[-1] if gains else math.nan
    if len(gains) < STILL or not all(gain < policy.fresh_gain for gain in gains):
        said = f"of its own delta the last generation newly knows up to {newest:.0%}" + _too_few(births, policy)
        return Age(stage="growing", reason=said if math.isfinite(newest) else "nothing is recorded of a gain yet")
    gained = (
        f"the last {STILL} generations newly know less than {policy.fresh_gain:.0%} of their own delta "
        f"(with {CONFIDENCE:.0%} confidence)"
    )
    moves = [_number(birth.get("weight_change")) for birth in last]
    drifts = [_drifts(birth) for birth in last]
    steady = max(drifts, default=math.nan) - min(drifts, default=math.nan) <= policy.style_drifts
    if len(last) == MATURE and all(move < policy.weight_change for move in moves) and steady:
        said = (
            f"{gained}, and for {MATURE} the weights moved by less than {policy.weight_change:.1%} and the voice held"
        )
        return Age(stage="mature", reason=said)
    return Age(stage="still", reason=f"{gained}: other data, or none, is what it needs")


def _too_few(births: Sequence[Mapping[str, Any]], policy: Maturity) -> str:
    """Told where the last exam could not show so small a gain if there was none at all."""
    units = (births[-1].get("fresh_gain") or {}).get("units") if births else None
    if not isinstance(units, int) or difference([0.0] * units).upper < policy.fresh_gain:
        return ""
    return f", and an exam of {units} questions could show no less than {policy.fresh_gain:.0%}"


def _gain(birth: Mapping[str, Any]) -> float:
    return _number((birth.get("fresh_gain") or {}).get("upper"))


def _drifts(birth: Mapping[str, Any]) -> float:
    """Tone probes adrift, of more than ten so many in ten; without a voice, none."""
    scores = birth.get("scores") or {}
    probes = scores.get("style_probes") or 0
    return _number(scores.get("style_drifts")) / max(1.0, probes / 10) if probes else 0.0


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
