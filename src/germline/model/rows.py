"""What goes through the decoder at once: rows of tokens in which many texts lie side by side, unseen by
each other, and the positions whose prediction counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from germline.model.decoder import Decoder


@dataclass(frozen=True, slots=True)
class Text:
    """Token ids and, for each, whether it is to be predicted (its first token never is)."""

    tokens: tuple[int, ...]
    learned: tuple[bool, ...]

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True, slots=True)
class Batch:
    """B rows of T tokens, int64. `segments` names the text a token belongs to (-1: padding)."""

    tokens: Tensor
    segments: Tensor
    positions: Tensor
    learned: Tensor
    """Boolean [B, T]: the token is a target, predicted from the one before it in the same text."""

    @property
    def real_tokens(self) -> int:
        return int((self.segments >= 0).sum())

    @property
    def learned_tokens(self) -> int:
        return int(self.learned.sum())


class Batches(Protocol):
    """One batch for each step, built when it is asked for, and totals that do not take building them all."""

    @property
    def real_tokens(self) -> int: ...
    @property
    def learned_tokens(self) -> int: ...
    def __len__(self) -> int: ...
    def __getitem__(self, step: int, /) -> Batch: ...


def pack(rows: Sequence[Sequence[Text]], length: int) -> Batch:
    """One batch from rows of texts that fit `length` tokens each, padded on the right."""
    shape = (len(rows), length)
    tokens = torch.zeros(shape, dtype=torch.int64)
    segments = torch.full(shape, -1, dtype=torch.int64)
    positions = torch.zeros(shape, dtype=torch.int64)
    learned = torch.zeros(shape, dtype=torch.bool)
    for row, texts in enumerate(rows):
        start = 0
        for segment, text in enumerate(texts):
            place = slice(start, start + len(text))
            tokens[row, place] = torch.tensor(text.tokens)
            segments[row, place] = segment
            positions[row, place] = torch.arange(len(text))
            learned[row, place] = torch.tensor(text.learned)
            learned[row, start] = False
            start += len(text)
    return Batch(tokens, segments, positions, learned)


def beside(one: Batch, other: Batch) -> Batch:
    """The rows of both, which are of one length: the first's first."""
    return Batch(
        torch.cat((one.tokens, other.tokens)), torch.cat((one.segments, other.segments)),
        torch.cat((one.positions, other.positions)), torch.cat((one.learned, other.learned)),
    )  # fmt: skip


def predict(decoder: Decoder, batch: Batch, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """(hidden [N, D], targets [N]) at the N positions that carry loss, in row order. `noise`: the decoder's."""
    hidden = decoder(batch.tokens, decoder.within_texts(batch.segments, batch.positions), noise=noise)
    counted, targets = batch.learned[:, 1:].to(hidden.device), batch.tokens[:, 1:].to(hidden.device)
    return hidden[:, :-1][counted], targets[counted]
