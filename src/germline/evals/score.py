"""The two things an exam asks of a model: how likely it finds each of several answers, and what it says.

The options of one question share its prompt in one row: each option sees the prompt and itself and no
other option, so a prompt is read once instead of once per option. The scores equal those of separate rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from germline.model.decoder import Decoder
from germline.model.generate import Sampling, generate

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
class Liking:
    """What a model makes of one option after its prompt."""

    log_likelihood: float
    """log p(option | prompt), summed over its tokens, nats."""
    greedy: bool
    """Whether each of its tokens is the likeliest where it stands: the greedy answer begins with it."""


@dataclass(slots=True)
class _Row:
    """Flat lists over one row's tokens; `predictor` is where a scored token is predicted from (-1: nowhere)."""

    tokens: list[int]
    segments: list[int]
    branches: list[int]
    positions: list[int]
    predictor: list[int]
    option: list[int]


def log_likelihoods(decoder: Decoder, questions: Sequence[Question], tokenize: Tokenize) -> list[list[float]]:
    """Per question, log p(option | prompt) of each option, summed over its tokens, nats."""
    return [[liking.log_likelihood for liking in likings] for likings in liked(decoder, questions, tokenize)]


@torch.inference_mode()
def liked(decoder: Decoder, questions: Sequence[Question], tokenize: Tokenize) -> list[list[Liking]]:
    """Per question, what the model makes of each option.

    A prompt is cut on the left where question and options together exceed a row.
    """
    rows: list[_Row] = []
    owners: list[int] = []
    for index, question in enumerate(questions):
        _place(rows, tokenize(question.prompt), [tokenize(option) for option in question.options], len(owners))
        owners += [index] * len(question.options)
    scores = torch.zeros(len(owners), dtype=torch.float64)
    unlikely = torch.zeros(len(owners), dtype=torch.int64)
    rows.sort(key=lambda row: len(row.tokens))
    start = 0
    while start < len(rows):
        stop = start + 1
        while stop < len(rows) and len(rows[stop].tokens) * (stop + 1 - start) <= BATCH_TOKENS:
            stop += 1
        _score(decoder, rows[start:stop], scores, unlikely)
        start = stop
    results: list[list[Liking]] = [[] for _ in questions]
    for index, score, others in zip(owners, scores.tolist(), unlikely.tolist(), strict=True):
        results[index].append(Liking(score, greedy=not others))
    return results


def _place(rows: list[_Row], prompt: list[int], options: list[list[int]], first: int) -> None:
    """Add one question to the last row with room for it, or to a new row."""
    prompt = prompt[-max(1, ROW_TOKENS - sum(map(len, options))) :]
    length = len(prompt) + sum(map(len, options))
    if not rows or len(rows[-1].tokens) + length > ROW_TOKENS:
        rows.append(_Row([], [], [], [], [], []))
    row = rows[-1]
    segment = row.segments[-1] + 1 if row.segments else 0
    start = len(row.tokens)
    row.tokens += prompt
    row.positions += range(len(prompt))
    row.branches += [0] * len(prompt)
    row.predictor += [-1] * len(prompt)
    row.option += [-1] * len(prompt)
    for branch, option in enumerate(options, 1):
        here = len(row.tokens)
        row.tokens += option
        row.positions += range(len(prompt), len(prompt) + len(option))
        row.branches += [branch] * len(option)
        row.predictor += [start + len(prompt) - 1, *range(here, here + len(option) - 1)][: len(option)]
        row.option += [first + branch - 1] * len(option)
    row.segments += [segment] * length


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
    hidden = decoder(tokens, decoder.allowed(same_text & same_option & earlier, positions, positions))
    predictor, option = table([row.predictor for row in rows], -1), table([row.option for row in rows], -1)
    scored = predictor >= 0
    row_index = torch.arange(len(rows)).unsqueeze(1).expand_as(predictor)[scored]
    states, targets, owner = hidden[row_index, predictor[scored]], tokens[scored], option[scored]
    for start in range(0, len(targets), LOGIT_ROWS):
        part = slice(start, start + LOGIT_ROWS)
        logits = decoder.logits(states[part]).cpu()
        gold = logits.gather(1, targets[part].unsqueeze(1)).squeeze(1) - logits.logsumexp(1)
        scores.index_add_(0, owner[part], gold.double())
        unlikely.index_add_(0, owner[part], (logits.argmax(1) != targets[part]).long())


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

    A prompt is cut on the left where it and so long an answer exceed the model's context.
    """
    longest = max(1, decoder.config.max_positions - limit)
    encoded = [tokenize(prompt)[-longest:] for prompt in prompts]
    return [detokenize(ids) for ids in generate(decoder, encoded, limit=limit, end=end, sampling=sampling)]
