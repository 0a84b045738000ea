"""Does it still speak in its own voice? Answers to tone probes, held against the persona's own replies.

The measure is bits per character under a small character model of those replies (Witten-Bell smoothed
4-grams, Chen & Goodman 1998). Unlike a distance between frequency profiles it does not shrink merely
because an answer is long. Its limit is calibrated on the persona itself: the 99th percentile of its own
replies, each under a model of the others. So the persona passes its own test by construction. All
answers together, as if they were one text, have a limit of their own, nearer by far than one's: the 99th
percentile of what ten of its own replies cost together. As one text, since in a mean over answers a reply of
one name weighs as much as a paragraph. More than ten probes make it surer, and the limit no narrower (LOG.md).
A persona that only says "No." any more is as near its text as one can be; so of ten answers as many must differ
as of ten of its own replies, half of them at most.
Not promised: that a different voice with the same words and letters is told apart.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from germline.marks import StyleMarks
from germline.spellings import plainly

ORDER = 4
FOLDS = 10
POOLS = 2000
POOL = 10
"""Most replies that the limit of all answers together is drawn from, however many probes there are."""
VARIETY = 0.5
"""Share of ten answers that may be asked to differ. Benchmark children have 0.97 to 1.00, their clerk himself 0.70 or
more 99 times of 100."""
LONGER = 1.5
"""An answer may have so many times the words of the persona's longest replies (the 99th percentile)."""
LEAST_REPLIES = 20
"""Fewer replies than this are not a voice that anything can be held against."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """The persona's own replies, the probes, and the limits drawn from the replies before training."""

    probes: tuple[str, ...]
    replies: tuple[str, ...]
    boilerplate: tuple[str, ...]
    bits_limit: float
    own_bits: float
    words_limit: int
    pool_limit: float | None = None
    """Of all answers together, bits per character. None in exams that were written before it was drawn."""
    least_variety: float | None = None
    """Share of different ones among so many answers as there are probes, ten at the most. None as above."""


def voice(replies: Sequence[str], probes: Sequence[str], boilerplate: Sequence[str]) -> Voice | None:
    """The voice of `replies`, or None when there are too few of them or no probes."""
    spoken = [reply.strip() for reply in replies if reply.strip()]
    if len(spoken) < LEAST_REPLIES or not probes:
        return None
    own: list[_Cost] = []
    for fold in range(FOLDS):
        model = _model([reply for i, reply in enumerate(spoken) if i % FOLDS != fold])
        own += [_cost(model, reply) for i, reply in enumerate(spoken) if i % FOLDS == fold]
    alone = sorted(_per_character([cost]) for cost in own)
    dice = random.Random(0)
    size = min(len(probes), POOL)
    pools = sorted(_per_character(dice.choices(own, k=size)) for _ in range(POOLS))
    different = sorted(len(set(dice.choices(spoken, k=size))) / size for _ in range(POOLS))
    words = sorted(len(reply.split()) for reply in spoken)
    together = plainly("\n".join(spoken))
    return Voice(
        probes=tuple(probes),
        replies=tuple(spoken),
        boilerplate=tuple(phrase for phrase in boilerplate if plainly(phrase) not in together),
        bits_limit=alone[math.ceil(0.99 * len(own)) - 1],
        own_bits=_per_character(own),
        words_limit=math.ceil(LONGER * words[math.ceil(0.99 * len(words)) - 1]),
        pool_limit=pools[math.ceil(0.99 * len(pools)) - 1],
        least_variety=min(VARIETY, different[len(different) // 100]),
    )


def judge_answers(voice: Voice, answers: Sequence[str]) -> tuple[StyleMarks, list[str]]:
    """The marks for one answer per probe, and for each why it drifts (empty: it does not)."""
    model = _model(voice.replies)
    costs = [_cost(model, answer.strip()) for answer in answers]
    faults = [
        _fault(voice, answer.strip(), _per_character([cost])) for answer, cost in zip(answers, costs, strict=True)
    ]
    marks = StyleMarks(
        probes=len(answers),
        drifts=sum(bool(fault) for fault in faults),
        bits_per_character=_per_character(costs),
        own_bits_per_character=voice.own_bits,
        limit_bits_per_character=voice.pool_limit,
        variety=None if voice.least_variety is None else _variety([answer.strip() for answer in answers]),
        least_variety=voice.least_variety,
    )
    return marks, faults


def _fault(voice: Voice, answer: str, bits: float) -> str:
    if not answer:
        return "says nothing"
    heard = plainly(answer)
    for phrase in voice.boilerplate:
        if plainly(phrase) in heard:
            return f"boilerplate: {phrase!r}"
    words = len(answer.split())
    if words > voice.words_limit:
        return f"{words} words; the persona's limit is {voice.words_limit}"
    if not bits <= voice.bits_limit:
        return f"{bits:.2f} bits per character; the persona's limit is {voice.bits_limit:.2f}"
    return ""


def _variety(answers: Sequence[str]) -> float:
    """The share of different ones among ten of these answers, on average over all tens; of fewer, among all of them."""
    size, count = min(len(answers), POOL), len(answers)
    without = (math.comb(count - same, size) / math.comb(count, size) for same in Counter(answers).values())
    return math.fsum(1 - missed for missed in without) / size


_Model = dict[str, Counter[str]]


def _model(replies: Sequence[str]) -> _Model:
    counts: _Model = defaultdict(Counter)
    for reply in replies:
        text = _framed(reply)
        for end in range(ORDER - 1, len(text)):
            for start in range(end - ORDER + 1, end + 1):
                counts[text[start:end]][text[end]] += 1
    return counts


_Cost = tuple[float, int]
"""Bits of a reply, and how many characters they are of, its ending included."""


def _cost(model: _Model, reply: str) -> _Cost:
    text = _framed(reply)
    places = range(ORDER - 1, len(text))
    return -sum(math.log2(_probability(model, text[end - ORDER + 1 : end], text[end])) for end in places), len(places)


def _per_character(costs: Sequence[_Cost]) -> float:
    """What replies cost as one text, bits."""
    return math.fsum(bits for bits, _ in costs) / sum(count for _, count in costs)


def _probability(model: _Model, context: str, character: str) -> float:
    """Witten-Bell: trust a context by how often it was seen against how many successors it had."""
    lower = 1 / 256 if not context else _probability(model, context[1:], character)
    seen = model.get(context)
    if not seen:
        return lower
    total, kinds = sum(seen.values()), len(seen)
    return (seen[character] + kinds * lower) / (total + kinds)


def _framed(reply: str) -> str:
    return "\x02" * (ORDER - 1) + reply.casefold() + "\x03"
