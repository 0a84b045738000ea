"""What share of a trained update may be merged, and how sure the gate must be of each that is tried. By the plan alone.

Every share that is tried is another look at the same exam. So that all of them together let a child that lost too much
pass no more often than one look would, the 5% that the gate may err are divided among them.
"""

from __future__ import annotations

from germline.judge.paired import CONFIDENCE
from germline.settings import Training

FIRST_LOOK = 0.8
"""Share of the permitted error that the first of several looks has; the others divide the rest. All of 38 benchmark
children were promoted at the first, for which 68 units that stayed as they were are proof enough, where one look of its
own takes 65 and an even third 79; what comes after it takes 91."""


def doses(training: Training, *, first: bool) -> dict[float, float]:
    """The shares of the update that may be tried, in that order, each with the one-sided confidence of its look.

    What was trained in full replaces, and has no smaller dose. A `first` generation has nothing to forget, and the
    largest is tried first.
    """
    if training.method == "full" or training.embeddings:
        return {1.0: CONFIDENCE}
    shares = sorted(training.merge_scales, reverse=True) if first else training.merge_scales
    others, error = len(shares) - 1, 1 - CONFIDENCE
    if not others:
        return {shares[0]: CONFIDENCE}
    return {share: 1 - error * ((1 - FIRST_LOOK) / others if look else FIRST_LOOK) for look, share in enumerate(shares)}
