"""How a model speaks: many prompts side by side, greedy or sampled, each until it says its end."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from germline.model.continuous_batch import ContinuousBatch
from germline.model.decoder import Decoder

ROWS = 32
"""Prompts that are answered side by side."""
KEPT = 2 << 30
"""Bytes of keys and values that are held for prompts side by side, at the most: of models that keep much for each word,
fewer go on at once. SmolLM2-135M keeps 1.1 GB for 96 of 256 tokens in fp32, SmolLM2-1.7B 4.8 in bf16."""
COLDEST = 1e-4
"""Temperature below which logits that are divided by it are soon infinite."""
NUCLEUS = 1024
"""Words among which a nucleus is looked for before all are sorted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Temperature and nucleus (top-p) sampling from a seed; `greedy` is the absence of a Sampling."""

    temperature: float = 0.7
    """Above 0; COLDEST is the least that is told from it."""
    top_p: float = 0.95
    seed: int = 0


@torch.inference_mode()
def stream(
    decoder: Decoder,
    prompts: Sequence[Sequence[int]],
    *,
    limit: int,
    end: int,
    sampling: Sampling | None = None,
    rows: int = ROWS,
) -> Iterator[tuple[int, int]]:
    """(which prompt, its next token) as they come, until each has said `end`, which is not told, or `limit` tokens, or
    has filled the model's context, which a prompt must fit.

    `rows` prompts go on side by side, each as if alone (up to the rounding of batched matrix products); one that ends
    makes room for the next. Prompt n is sampled with seed + n.
    """
    batch, waiting = ContinuousBatch(decoder, _side_by_side(decoder, prompts, limit, rows)), deque(range(len(prompts)))
    reading: list[int] = []
    going: list[int] = []
    last = [0] * len(prompts)
    context = decoder.config.max_positions
    left = [min(limit, context + 1 - len(decoder.config.opened(prompt))) for prompt in prompts]
    luck = [torch.Generator().manual_seed(sampling.seed + n) for n in range(len(prompts))] if sampling else []
    while waiting or reading or going:
        while waiting and batch.has_room:
            batch.begin(prompts[waiting[0]])
            reading.append(waiting.popleft())
        logits = batch.go_on([last[n] for n in going]).cpu()
        whole = len(logits) - len(going)
        going, reading = going + reading[:whole], reading[whole:]
        tokens = logits.argmax(-1)
        if sampling and going:
            tokens = choose(logits, sampling, torch.stack([torch.rand(1, generator=luck[n]) for n in going]))
        for place, token in reversed([*enumerate(tokens.tolist())]):
            n = going[place]
            last[n], left[n] = token, left[n] - 1
            if token != end:
                yield n, token
            if token == end or not left[n]:
                batch.leave(place)
                going[place] = going[-1]
                going.pop()


def _side_by_side(decoder: Decoder, prompts: Sequence[Sequence[int]], limit: int, rows: int) -> int:
    """As many of `rows` as KEPT holds, each with the room that it may be given (`ContinuousBatch`). A function of model
    and prompts alone, since batches of another size round otherwise."""
    longest = 2 * (max(map(len, prompts), default=0) + len(decoder.config.opening) + limit)
    each = int(decoder.new_cache(1, 1).nbytes) * min(longest, decoder.config.max_positions)
    return max(1, min(rows, KEPT // each))


def generate(
    decoder: Decoder,
    prompts: Sequence[Sequence[int]],
    *,
    limit: int,
    end: int,
    sampling: Sampling | None = None,
    rows: int = ROWS,
) -> list[list[int]]:
    """The continuations of `prompts`, without `end`, at most `limit` tokens each: what `stream` tells, sorted."""
    answers: list[list[int]] = [[] for _ in prompts]
    for n, token in stream(decoder, prompts, limit=limit, end=end, sampling=sampling, rows=min(rows, len(prompts))):
        answers[n].append(token)
    return answers


def latest(prompt: list[int], limit: int, context: int) -> list[int]:
    """The end of a prompt that leaves room for an answer of `limit` tokens in a context of so many; half of the context
    is the prompt's, however long the answer may be."""
    return prompt[-(context - min(limit, context // 2)) :]


def choose(logits: Tensor, sampling: Sampling, luck: Tensor) -> Tensor:
    """The next token of each row [B] for logits [B, V], fp32, drawn by `luck` [B, 1] in [0, 1)."""
    probabilities = torch.softmax(logits / max(sampling.temperature, COLDEST), dim=-1)
    if sampling.top_p >= 1:  # sorting a vocabulary costs more than the model does
        return _drawn(probabilities.cumsum(-1), luck)
    ordered, indices = probabilities.topk(min(NUCLEUS, probabilities.shape[-1]), dim=-1)
    if float(ordered.sum(-1).amin()) < sampling.top_p:  # a nucleus this wide is rare
        ordered, indices = probabilities.sort(dim=-1, descending=True)
    ordered[ordered.cumsum(-1) - ordered > sampling.top_p] = 0.0
    return indices.gather(-1, _drawn(ordered.cumsum(-1), luck).unsqueeze(-1)).squeeze(-1)


def _drawn(sums: Tensor, luck: Tensor) -> Tensor:
    """One place of each row [B, V] of running sums, as likely as what it adds: inversion of a uniform draw.
    `torch.multinomial` draws a number for every word of the vocabulary, a third of the time of a step."""
    total = sums[:, -1:]
    below = torch.nextafter(total, torch.zeros(()))  # a draw that rounds up to the total would be past the end
    return torch.searchsorted(sums, torch.minimum(luck * total, below), right=True).squeeze(-1)
