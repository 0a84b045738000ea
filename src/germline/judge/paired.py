"""Two models on the same questions: how far apart they are, and how sure that is. Pure arithmetic.

A unit is one fact or one conversation, however many questions ask about it: questions about one fact rise and fall
together, and counting them as if they did not makes an exam look larger than it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

CONFIDENCE = 0.95
"""Of each bound by itself, one-sided, where nothing else is said."""
POWER = 0.975
"""An exam is large enough if it passes a child that lost nothing this often. On a smaller one, a child that does not
pass is inconclusive, not refused."""
ADDED = 2
"""Units that are added to what was seen, half of them lost and half of them won."""
FARTHER = 1
"""Units by which each bound lies farther out than the normal curve would have it: what is lost is skewed, and whole."""
_Z_POWER = NormalDist().inv_cdf(POWER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The mean of `units` paired differences, each in [-1, 1], with bounds that hold with `confidence` each."""

    units: int
    mean: float
    lower: float
    upper: float
    moved: float
    """Mean square of the differences: for single questions, the share that changed either way."""
    confidence: float

    def units_needed(self, margin: float) -> int:
        """How many units that move as these do would show, 97.5% of the time, that nothing was lost but `margin`."""
        k = (NormalDist().inv_cdf(self.confidence) + _Z_POWER) ** 2
        half = margin * FARTHER + k * self.moved / 2  # (margin * size - FARTHER)^2 = k * (moved * size + added)
        added = ADDED * (1 - self.moved)
        size = (half + math.sqrt(half**2 + margin**2 * (k * added - FARTHER**2))) / margin**2
        return math.ceil(size) - ADDED


def difference(pairs: Sequence[float], confidence: float = CONFIDENCE) -> Difference:
    """What paired differences in [-1, 1] say of their mean. NaN among them makes every number NaN.

    The interval is Bonett and Price's for paired proportions (J. Educ. Behav. Stat. 37, 2012), which adds a unit that
    was lost and one that was won to what was seen, and one unit wider to either side. By theirs alone a child that had
    lost 5 points passes a margin of 5 points in up to 9% of trials (80 units; 7% of 400; 95% confidence); by this in at
    most 4.5% at 80, 240, 400 and 800 units, and in at most 5.0% at any other size, 5.6% where nothing changes but what
    is lost (exact sums, as in `tests/unit/test_judge_paired.py`).
    So no number of units that all stayed as they were proves more than it can: with 64, a drop of 5 points is still
    possible.
    """
    count = len(pairs)
    squares = math.fsum(one * one for one in pairs)
    size, total = count + ADDED, math.fsum(pairs)
    mean = total / size
    deviation = math.sqrt(max(0.0, (squares + ADDED) / size - mean * mean) / size)
    error = NormalDist().inv_cdf(confidence) * deviation + FARTHER / size
    return Difference(
        units=count, mean=total / count if count else 0.0, lower=mean - error, upper=mean + error,
        moved=squares / count if count else 0.0, confidence=confidence,
    )  # fmt: skip


def sign_test(better: int, worse: int) -> float:
    """P(at least `better` of both | either is as likely): exact, one-sided; McNemar's test of single questions."""
    both = better + worse
    return float(sum(math.comb(both, k) for k in range(better, both + 1)) / 2**both)


def holm(values: Sequence[float]) -> list[float]:
    """P values adjusted for their number (Holm 1979), in the order given."""
    adjusted, highest = [0.0] * len(values), 0.0
    for rank, index in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        highest = max(highest, min(1.0, (len(values) - rank) * values[index]))
        adjusted[index] = highest
    return adjusted
