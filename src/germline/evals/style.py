"""Does it still speak in its own voice? Answers to tone probes, held against the persona's own replies.

The measure is bits per character under a small character model of those replies (Witten-Bell smoothed
4-grams, Chen & Goodman 1998). Unlike a distance between frequency profiles it does not shrink merely
because an answer is long. Its limit is calibrated on the persona itself: the 99th percentile of its own
replies, each under a model of the others. So the persona passes its own test by construction. All
answers together have a limit of their own, nearer by far than one's: the 99th percentile of the means of
ten of its own replies. More probes than ten make the mean surer, and the limit no narrower: what a persona
says next year costs more than what it said today (2.7 and 2.4 bits in the benchmark), and the mean of forty
replies would be held against it. Burrows' Delta was tried in its place, and takes ten short answers of a model
that never heard the persona for the persona's own (1.02 of its limit; LOG.md).
Not promised: that a different voice with the same words and letters is told apart.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from germline.records import StyleMarks

ORDER = 4
FOLDS = 10
POOLS = 2000
POOL = 10
"""Most replies whose mean the limit of all answers together is drawn from, however many probes there are."""
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
    """Of the mean over all probes. None in exams that were written before it was drawn."""


def voice(replies: Sequence[str], probes: Sequence[str], boilerplate: Sequence[str]) -> Voice | None:
    """The voice of `replies`, or None when there are too few of them or no probes."""
    spoken = [reply.strip() for reply in replies if reply.strip()]
    if len(spoken) < LEAST_REPLIES or not probes:
        return None
    own: list[float] = []
    for fold in range(FOLDS):
        model = _model([reply for i, reply in enumerate(spoken) if i % FOLDS != fold])
        own += [_bits(model, reply) for i, reply in enumerate(spoken) if i % FOLDS == fold]
    dice = random.Random(0)
    size = min(len(probes), POOL)
    pools = sorted(sum(dice.choices(own, k=size)) / size for _ in range(POOLS))
    words = sorted(len(reply.split()) for reply in spoken)
    together = "\n".join(spoken).casefold()
    return Voice(
        probes=tuple(probes),
        replies=tuple(spoken),
        boilerplate=tuple(phrase for phrase in boilerplate if phrase.casefold() not in together),
        bits_limit=sorted(own)[math.ceil(0.99 * len(own)) - 1],
        own_bits=sum(own) / len(own),
        words_limit=math.ceil(1.5 * words[math.ceil(0.99 * len(words)) - 1]),
        pool_limit=pools[math.ceil(0.99 * len(pools)) - 1],
    )


def judge_answers(voice: Voice, answers: Sequence[str]) -> tuple[StyleMarks, list[str]]:
    """The marks for one answer per probe, and for each why it drifts (empty: it does not)."""
    model = _model(voice.replies)
    bits = [_bits(model, answer.strip()) for answer in answers]
    faults = [_fault(voice, answer.strip(), cost) for answer, cost in zip(answers, bits, strict=True)]
    marks = StyleMarks(
        probes=len(answers),
        drifts=sum(bool(fault) for fault in faults),
        bits_per_character=sum(bits) / len(bits),
        own_bits_per_character=voice.own_bits,
        limit_bits_per_character=voice.pool_limit,
    )
    return marks, faults


def _fault(voice: Voice, answer: str, bits: float) -> str:
    if not answer:
        return "says nothing"
    heard = answer.casefold()
    for phrase in voice.boilerplate:
        if phrase in heard:
            return f"boilerplate: {phrase!r}"
    words = len(answer.split())
    if words > voice.words_limit:
        return f"{words} words; the persona's limit is {voice.words_limit}"
    if not bits <= voice.bits_limit:
        return f"{bits:.2f} bits per character; the persona's limit is {voice.bits_limit:.2f}"
    return ""


_Model = dict[str, Counter[str]]


def _model(replies: Sequence[str]) -> _Model:
    counts: _Model = defaultdict(Counter)
    for reply in replies:
        text = _framed(reply)
        for end in range(ORDER - 1, len(text)):
            for start in range(end - ORDER + 1, end + 1):
                counts[text[start:end]][text[end]] += 1
    return counts


def _bits(model: _Model, reply: str) -> float:
    """Mean cost of the reply's characters and its ending, bits."""
    text = _framed(reply)
    costs = [
        -math.log2(_probability(model, text[end - ORDER + 1 : end], text[end])) for end in range(ORDER - 1, len(text))
    ]
    return sum(costs) / len(costs)


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
