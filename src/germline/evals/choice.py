"""Which of several answers a model finds likeliest, the wrong ones read no further than it takes to rule them out.

An answer's log-likelihood only falls with each token. So what a wrong answer has come to where it turns off from the
right one, over the bytes of all of it, is the most that it can come to, and it costs nothing: up to there it is
predicted where the right one is. Wrong answers are two thirds of what an exam has to read, and of a model that knows
its facts one in ten comes near the right one. What is chosen is what would be chosen if all were read whole, as far as
a score is the same in another batch (in bfloat16 a log-likelihood is some tenths of a nat another).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

from germline.evals.score import Encoded, Liking, Question, Tokenize, encoded, read
from germline.model.decoder import Decoder


class Choice(NamedTuple):
    option: int
    """The place among the question's options of the one with the highest log-likelihood per byte."""
    gold: Liking
    """What the model makes of the first option, the right one."""


def choose(decoder: Decoder, questions: Sequence[Question], tokenize: Tokenize) -> list[Choice]:
    """Per question, whose first option is the right one, what the model chooses.

    The right one is chosen if it is likelier per byte than each of the others: ties and scores that are not numbers go
    against it. Where another is chosen whose score is not a number, which one is not promised.
    """
    whole = [encoded(question, tokenize) for question in questions]
    glimpsed = read(decoder, [Encoded(prompt, _glimpses(*options)) for prompt, options in whole])
    most = [_per_byte(question.options, likings) for question, likings in zip(questions, glimpsed, strict=True)]
    left = [[place for place in range(1, len(row)) if not row[place] < row[0]] for row in most]
    texts = zip(whole, left, strict=True)
    rest = read(decoder, [Encoded(prompt, [options[place] for place in places]) for (prompt, options), places in texts])
    chosen = []
    for question, gold, bounds, places, likings in zip(questions, glimpsed, most, left, rest, strict=True):
        per_byte = _per_byte([question.options[place] for place in places], likings)
        chosen.append(Choice(_likeliest(bounds[0], dict(zip(places, per_byte, strict=True))), gold[0]))
    return chosen


def _glimpses(gold: list[int], *others: list[int]) -> list[list[int]]:
    """The right answer, and of each other what is predicted where it is: as far as they go together, and where they
    part one token more."""
    return [gold, *(other[: min(_along(other, gold) + 1, len(gold))] for other in others)]


def _along(one: list[int], other: list[int]) -> int:
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _per_byte(options: Sequence[str], likings: Sequence[Liking]) -> list[float]:
    return [liking.log_likelihood / len(option.encode()) for option, liking in zip(options, likings, strict=True)]


def _likeliest(gold: float, others: dict[int, float]) -> int:
    return 0 if all(gold > other for other in others.values()) else max(others, key=others.__getitem__)
