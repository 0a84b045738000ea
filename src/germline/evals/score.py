"""The two things an exam asks of a model: how likely it finds each of several answers, and what it says.

The options of one question share its prompt in one row: each option sees the prompt and itself and no
other option, so a prompt is read once instead of once per option. The scores equal those of separate rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from germline.model.decoder import Decoder
from germline.model.generate import Sampling, generate, latest
from germline.model.shape import DecoderConfig

ROW_TOKENS = 256
BATCH_TOKENS = 2048
LOGIT_ROWS = 128

Tokenize = Callable[[str], list[int]]


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt and the texts that may follow it."""

    prompt: str
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Likelihood:
    """What a model makes of one option after its prompt."""

    log_likelihood: float
    """log p(option | prompt), summed over its tokens, nats."""
    greedy: bool
    """Whether each of its tokens is the likeliest where it stands: the greedy answer begins with it."""


class Encoded(NamedTuple):
    """A question in tokens."""

    prompt: list[int]
    options: list[list[int]]


@dataclass(slots=True)
class _Row:
    """Flat lists: of the tokens that are read, and of those that are scored. The last token of an option is scored
    and not read: nothing follows it."""

    tokens: list[int]
    segments: list[int]
    branches: list[int]
    positions: list[int]
    predictors: list[int]
    """Where in the row each scored token is predicted from."""
    targets: list[int]
    owners: list[int]
    """The option that each scored token is of, counted over all questions."""


def log_likelihoods(decoder: Decoder, questions: Sequence[Question], tokenize: Tokenize) -> list[list[float]]:
    """Per question, log p(option | prompt) of each option, summed over its tokens, nats."""
    return [[one.log_likelihood for one in scored] for scored in likelihoods(decoder, questions, tokenize)]


def likelihoods(decoder: Decoder, questions: Sequence[Question], tokenize: Tokenize) -> list[list[Likelihood]]:
    """Per question, what the model makes of each option."""
    return read(decoder, [encoded(question, tokenize, decoder.config) for question in questions])


def encoded(question: Question, tokenize: Tokenize, config: DecoderConfig) -> Encoded:
    """The question in tokens, behind what opens a text. Of a prompt that is longer than a row, or than what its longest
    option leaves of the model's context, the end is kept."""
    options = [tokenize(option) for option in question.options]
    left = config.room - max(map(len, options), default=0)
    return Encoded(config.opened(tokenize(question.prompt)[-max(1, min(ROW_TOKENS, left)) :]), options)


@torch.inference_mode()
def read(decoder: Decoder, questions: Sequence[Encoded]) -> list[list[Likelihood]]:
    """Per question, what the model makes of each option. What nothing stands before, such as the first token after an
    empty prompt, is not scored."""
    rows: list[_Row] = []
    count = 0
    for question in questions:
        _place(rows, question, count)
        count += len(question.options)
    scores = torch.zeros(count, dtype=torch.float64)
    unlikely = torch.zeros(count, dtype=torch.int64)
    rows = sorted((row for row in rows if row.targets), key=lambda row: len(row.tokens))
    start = 0
    while start < len(rows):
        stop = start + 1
        while stop < len(rows) and len(rows[stop].tokens) * (stop + 1 - start) <= BATCH_TOKENS:
            stop += 1
        _score(decoder, rows[start:stop], scores, unlikely)
        start = stop
    scored = (
        Likelihood(score, greedy=not others) for score, others in zip(scores.tolist(), unlikely.tolist(), strict=True)
    )
    return [list(itertools.islice(scored, len(question.options))) for question in questions]


def _place(rows: list[_Row], question: Encoded, first: int) -> None:
    """Add one question, whose first option is the `first` of all, to the last row with room for it, or to a new one."""
    prompt, options = question
    if not any(options):
        return
    apart = [
        option[:-1] if place == 0 or _turns_off(option, options[0]) else [] for place, option in enumerate(options)
    ]
    length = len(prompt) + sum(map(len, apart))
    if not rows or len(rows[-1].tokens) + length > ROW_TOKENS:
        rows.append(_Row([], [], [], [], [], [], []))
    row = rows[-1]
    segment = row.segments[-1] + 1 if row.segments else 0
    start = len(row.tokens)
    row.segments += [segment] * length
    row.tokens += prompt
    row.positions += range(len(prompt))
    row.branches += [0] * len(prompt)
    for branch, (option, own) in enumerate(zip(options, apart, strict=True), 1):
        here = len(row.tokens) if own else start + len(prompt)
        row.tokens += own
        row.positions += range(len(prompt), len(prompt) + len(own))
        row.branches += [branch] * len(own)
        places = [*[start + len(prompt) - 1] * bool(prompt), *range(here, here + len(option) - 1)][: len(option)]
        row.predictors += places
        row.targets += option[len(option) - len(places) :]
        row.owners += [first + branch - 1] * len(places)


def _turns_off(option: list[int], first: list[int]) -> bool:
    """Whether an option must be read for itself: not one that goes along with the first to its own last token, which
    is predicted where the first one's is."""
    return len(option) > len(first) or option[:-1] != first[: len(option) - 1]


def _score(decoder: Decoder, rows: Sequence[_Row], scores: Tensor, unlikely: Tensor) -> None:
    """Adds each scored token to its option: its log-likelihood, and whether another would have been likelier."""
    length = max(len(row.tokens) for row in rows)

    def table(lists: Sequence[list[int]], fill: int) -> Tensor:
        return torch.tensor([values + [fill] * (length - len(values)) for values in lists])

    segments = table([row.segments for row in rows], -1)
    branches = table([row.branches for row in rows], 0)
    same_text = segments.unsqueeze(2) == segments.unsqueeze(1)
    same_option = (branches.unsqueeze(1) == 0) | (branches.unsqueeze(2) == branches.unsqueeze(1))
    earlier = torch.ones(length, length, dtype=torch.bool).tril()
    tokens, positions = table([row.tokens for row in rows], 0), table([row.positions for row in rows], 0)
    hidden = decoder(tokens, decoder.allowed(same_text & same_option & earlier, positions, positions)).flatten(0, 1)
    predictors = torch.tensor([number * length + place for number, row in enumerate(rows) for place in row.predictors])
    targets = torch.tensor([token for row in rows for token in row.targets])
    owners = torch.tensor([option for row in rows for option in row.owners])
    # The options of a question begin at one place: what is likely there is worked out once.
    places, which = torch.unique(predictors, return_inverse=True)
    for start in range(0, len(places), LOGIT_ROWS):
        logits = decoder.logits(hidden[places[start : start + LOGIT_ROWS]]).cpu()
        total, likeliest = logits.logsumexp(1), logits.argmax(1)
        part = (which >= start) & (which < start + LOGIT_ROWS)
        state, target, owner = which[part] - start, targets[part], owners[part]
        scores.index_add_(0, owner, (logits[state, target] - total[state]).double())
        unlikely.index_add_(0, owner, (likeliest[state] != target).long())


def speak(
    decoder: Decoder,
    prompts: Sequence[str],
    tokenize: Tokenize,
    detokenize: Callable[[list[int]], str],
    *,
    limit: int,
    end: int,
    sampling: Sampling | None = None,
) -> list[str]:
    """The answer to each prompt, greedy without a `sampling`, at most `limit` tokens, in the order given.

    A prompt is cut on the left where it and so long an answer exceed the model's context, half of which is its own.
    """
    encoded = [latest(tokenize(prompt), limit, decoder.config.room) for prompt in prompts]
    return [detokenize(ids) for ids in generate(decoder, encoded, limit=limit, end=end, sampling=sampling)]
