"""What the child itself was taught: did it learn it, and not by heart alone?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from germline.judge.checks import at_least, check, cost
from germline.judge.paired import CONFIDENCE, sign_test
from germline.marks import Check, Marks, Scorecard
from germline.settings import Gate

LEAST_UNITS = 5
"""All of five better is a chance of 1 in 32; of four, 1 in 16."""


def generalization(child: Scorecard, before: Marks, after: Marks, gate: Gate) -> list[Check]:
    """A fact must be known in any wording. Which reply a persona gave to what nobody taught cannot be known: most
    openings fit most prompts, and children that know every fact find 1 of 8. So held-out conversations decide only
    where there are no facts, and then as passages do: the true replies must have become likelier."""
    talks = f"{after.heldout.right} of {after.heldout.items} held-out conversations"
    if after.wording.items:
        said = f"{after.wording.right} of {after.wording.items} unseen wordings"
        said += f", {talks}" if after.heldout.items else ""
        return [at_least("generalization", child.generalization, gate.generalization, said)]
    if after.heldout.items:
        old, new = before.heldout.bits_per_byte, after.heldout.bits_per_byte
        said = f"{cost('replies in held-out conversations', old, new)}; {talks} chosen right"
        return [check("generalization", old - new, 0.0, old - new > 0.0, said)]
    if after.recall.items or after.taught:  # else `learned` goes by these
        return [_cheaper("generalization", before, after)]
    return []


def learned(before: Marks, after: Marks) -> Check:
    """The child must know its own delta better than its parent did: retention alone rewards standing still."""
    if not after.recall.items:
        if not after.taught:  # an exam that was written before it had any
            return _cheaper("learned", before, after)
        old, new = (math.fsum(marks.taught) / len(marks.taught) for marks in (before, after))
        return _likelier("its passages", old, new, *(dict(enumerate(marks.taught)) for marks in (before, after)))
    old, new = before.recall.bits_per_byte, after.recall.bits_per_byte
    bits = [{unit: bits for unit, (_, bits) in marks.units.items()} for marks in (before, after)]
    found = _likelier("the delta's answers", old, new, *bits)
    if not after.units:
        return found
    known, knows = (sum(right == 1 for right, _ in marks.units.values()) for marks in (before, after))
    return replace(found, reason=f"{found.reason}; {known} were known before it was taught, {knows} are now")


def _likelier(what: str, old: float, new: float, before: Mapping[Any, float], after: Mapping[Any, float]) -> Check:
    """Do more of these cost fewer bits than chance would have it, and all together too?"""
    said = cost(what, old, new)
    if not after:
        return check("learned", old - new, 0.0, old - new > 0.0, said)
    gains = [before[one] - bits for one, bits in after.items()]
    better, worse = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
    chance = sign_test(better, worse)
    sound = all(map(math.isfinite, (*gains, old, new)))
    passed = sound and chance < 1 - CONFIDENCE and new < old
    undecided = sound and not passed and better > worse and len(gains) < LEAST_UNITS
    said += f"; {better} of {len(gains)} are likelier than before, {worse} less likely (p = {chance:.2g})"
    if undecided:
        said += f", which fewer than {LEAST_UNITS} cannot tell from chance"
    return replace(check("learned", chance, 1 - CONFIDENCE, passed, said), undecided=undecided)


def _cheaper(name: str, before: Marks, after: Marks) -> Check:
    old, new = before.passages_bits_per_byte or 0.0, after.passages_bits_per_byte or 0.0
    return check(name, old - new, 0.0, old - new > 0.0, cost("held-out text", old, new))
