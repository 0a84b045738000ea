"""How a model speaks: batched generation with a key/value cache, greedy or sampled, stopping at EOS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from germline.model.decoder import Cache, Decoder

NUCLEUS = 1024
"""Words among which a nucleus is looked for before all are sorted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Temperature and nucleus (top-p) sampling from a seed; `greedy` is the absence of a Sampling."""

    temperature: float = 0.7
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
) -> Iterator[list[int | None]]:
    """Per step, the next token of each prompt; None once that row has said `end` (which is not yielded).

    Prompts of different lengths are padded on the left and masked, so each is answered as if alone (up to
    the rounding of batched matrix products). Stops after `limit` tokens or when every row has ended.
    """
    tokens, real = _left_padded(prompts)
    positions = (real.cumsum(1) - 1).clamp_min(0)
    cache = Cache(decoder.memory(len(prompts), tokens.shape[1] + limit))
    random = torch.Generator().manual_seed(sampling.seed) if sampling else None
    done = [False] * len(prompts)
    for _ in range(limit):
        unread = slice(cache.length, None)
        sight = decoder.allowed(_visible(real, cache.length), positions[:, unread], positions)
        hidden = decoder(tokens[:, unread], sight, cache)
        chosen = choose(decoder.logits(hidden[:, -1]).cpu(), sampling, random)
        done = [finished or int(token) == end for finished, token in zip(done, chosen, strict=True)]
        if all(done):
            return
        yield [None if finished else int(token) for finished, token in zip(done, chosen, strict=True)]
        tokens = torch.cat((tokens, chosen.unsqueeze(1)), dim=1)
        real = torch.cat((real, torch.ones_like(real[:, :1])), dim=1)
        positions = torch.cat((positions, positions[:, -1:] + 1), dim=1)
        if not decoder.config.turning_points.isdisjoint(positions[:, -1].tolist()):
            cache.length = 0  # all of that text now turns differently: it is read anew


def generate(
    decoder: Decoder,
    prompts: Sequence[Sequence[int]],
    *,
    limit: int,
    end: int,
    sampling: Sampling | None = None,
) -> list[list[int]]:
    """The continuations of `prompts`, without `end`, at most `limit` tokens each."""
    answers: list[list[int]] = [[] for _ in prompts]
    if not prompts:
        return answers
    for step in stream(decoder, prompts, limit=limit, end=end, sampling=sampling):
        for answer, token in zip(answers, step, strict=True):
            if token is not None:
                answer.append(token)
    return answers


def _left_padded(prompts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Tokens [B, T], and which of them are real."""
    longest = max(len(prompt) for prompt in prompts)
    tokens = torch.zeros(len(prompts), longest, dtype=torch.int64)
    real = torch.zeros(len(prompts), longest, dtype=torch.bool)
    for row, prompt in enumerate(prompts):
        tokens[row, longest - len(prompt) :] = torch.tensor(prompt)
        real[row, longest - len(prompt) :] = True
    return tokens, real


def _visible(real: Tensor, start: int) -> Tensor:
    """[B, T, S]: what the tokens from `start` on may see of all S, which is the real ones up to themselves."""
    places = torch.arange(real.shape[1])
    own = places == places[start:, None]  # a padding token sees itself, or its softmax is 0/0
    return (real.unsqueeze(1) & (places <= places[start:, None])) | own


def choose(logits: Tensor, sampling: Sampling | None, random: torch.Generator | None) -> Tensor:
    """The next token of each row [B] for logits [B, V], fp32: the likeliest, or drawn with `random`."""
    if sampling is None:
        return logits.argmax(-1)
    probabilities = torch.softmax(logits / sampling.temperature, dim=-1)
    if sampling.top_p >= 1:  # sorting a vocabulary costs more than the model does
        return _drawn(probabilities.cumsum(-1), random)
    ordered, indices = probabilities.topk(min(NUCLEUS, probabilities.shape[-1]), dim=-1)
    if float(ordered.sum(-1).amin()) < sampling.top_p:  # a nucleus this wide is rare
        ordered, indices = probabilities.sort(dim=-1, descending=True)
    ordered[ordered.cumsum(-1) - ordered > sampling.top_p] = 0.0
    return indices.gather(-1, _drawn(ordered.cumsum(-1), random).unsqueeze(-1)).squeeze(-1)


def _drawn(sums: Tensor, random: torch.Generator | None) -> Tensor:
    """One place of each row [B, V] of running sums, as likely as what it adds: inversion of a uniform draw.
    `torch.multinomial` draws a number for every word of the vocabulary, a third of the time of a step."""
    total = sums[:, -1:]
    luck = torch.rand(sums.shape[0], 1, generator=random) * total
    below = torch.nextafter(total, torch.zeros(()))  # a draw that rounds up to the total would be past the end
    return torch.searchsorted(sums, torch.minimum(luck, below), right=True).squeeze(-1)
