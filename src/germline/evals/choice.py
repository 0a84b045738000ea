"""Which of several answers a model finds likeliest, the wrong ones read no further than it takes to rule them out.

The log-likelihood of an answer only falls with each token. So its sum up to where a wrong answer departs from the right
one, over the bytes of all of it, is an upper bound of its score, and costs nothing: up to there both are predicted at
the same positions. Wrong answers are two thirds of what an exam has to read, and of a model that knows
its facts one in ten comes near the right one. What is chosen is what would be chosen if all were read whole, as far as
a score is the same in another batch (in bfloat16 a log-likelihood is some tenths of a nat another).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

from germline.evals.score import Encoded, Likelihood, Question, Tokenize, encoded, read
from germline.model.decoder import Decoder


class Choice(NamedTuple):
    option: int
    """The place among the question's options of the one with the highest log-likelihood per byte."""
    gold: Likelihood
    """What the model makes of the first option, the right one."""


def choose(decoder: Decoder, questions: Sequence[Question], tokenize: Tokenize) -> list[Choice]:
    """Per question, whose first option is the right one, what the model chooses.

    The right one is chosen if it is likelier per byte than each of the others: ties and scores that are not numbers go
    against it, and so does a right answer without tokens. Where another is chosen whose score is not a number, which
    one is not promised; nor that what comes after the reading has stopped is a number.
    """
    whole = [encoded(question, tokenize, decoder.config) for question in questions]
    glimpses = [Encoded(prompt, _glimpses(*options)) for prompt, options in whole]
    glimpsed = read(decoder, glimpses)
    rows = [
        [_per_byte(*option) for option in zip(question.options, text.options, scored, strict=True)]
        for question, text, scored in zip(questions, whole, glimpsed, strict=True)
    ]
    doubtful = list(map(_doubtful, rows, glimpses, whole))
    texts = zip(whole, doubtful, strict=True)
    rest = read(decoder, [Encoded(prompt, [options[place] for place in places]) for (prompt, options), places in texts])
    for question, row, places, scored in zip(questions, rows, doubtful, rest, strict=True):
        for place, likelihood in zip(places, scored, strict=True):
            row[place] = likelihood.log_likelihood / len(question.options[place].encode())
    return [Choice(_likeliest(*row), scored[0]) for row, scored in zip(rows, glimpsed, strict=True)]


def _glimpses(gold: list[int], *others: list[int]) -> list[list[int]]:
    """The right answer, and of each other what is predicted where it is: as far as they go together, and where they
    part one token more."""
    return [gold, *(other[: min(_along(other, gold) + 1, len(gold))] for other in others)]


def _along(one: list[int], other: list[int]) -> int:
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _doubtful(row: Sequence[float], glimpse: Encoded, text: Encoded) -> list[int]:
    """The options that may yet be likelier than the right one. What was read to its end is not read again: a tie would
    be none in another batch."""
    return [
        place for place, (seen, option) in enumerate(zip(glimpse.options, text.options, strict=True))
        if len(seen) < len(option) and not row[place] < row[0]
    ]  # fmt: skip


def _per_byte(option: str, tokens: list[int], likelihood: Likelihood) -> float:
    return likelihood.log_likelihood / len(option.encode()) if tokens else -math.inf


def _likeliest(gold: float, *others: float) -> int:
    return 0 if all(gold > other for other in others) else 1 + max(range(len(others)), key=others.__getitem__)
