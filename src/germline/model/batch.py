"""Continuous batching: texts that are continued together, and that come and go one by one.

All that go on are read in one pass, a token each, so that the weights are fetched once for all of them. A newcomer is
read in pieces between these passes: a long prompt does not keep the others waiting. Texts do not see each other, and
each is answered as if alone, up to the rounding of batched matrix products.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from germline.model.decoder import Cache, Decoder

PIECE = 256
"""Tokens of a newcomer that are read at once."""


class Batch:
    """At most `rows` texts. Those that go on are numbered from 0; a place that is left is taken by the last of them."""

    def __init__(self, decoder: Decoder, rows: int, *, piece: int = PIECE) -> None:
        self.rows = rows
        self._decoder, self._piece = decoder, piece
        self._texts: list[list[int]] = []
        self._newcomer: list[int] = []
        self._read = 0
        self._state = decoder.memory(rows, 0)

    def __len__(self) -> int:
        """Texts that go on; a newcomer is not among them yet."""
        return len(self._texts)

    @property
    def has_room(self) -> bool:
        """Whether a text may begin: one newcomer at a time."""
        return not self._newcomer and len(self) < self.rows

    def begin(self, ids: Sequence[int]) -> None:
        """Let a text in; `read` it until it tells what may follow. Not empty, and within the model's context."""
        if not (self.has_room and 0 < len(ids) <= self._decoder.config.max_positions):
            raise ValueError(f"no room for a text of {len(ids)} tokens")
        self._newcomer, self._read = list(ids), 0

    def give_up(self) -> None:
        """Forget the newcomer."""
        self._newcomer = []

    @torch.inference_mode()
    def read(self) -> Tensor | None:
        """Read some more of the newcomer. Once it is whole, it goes on as the last of all: logits [V], fp32."""
        text, place = self._newcomer, len(self)
        # Where all of a text turns by its length (LongRoPE), its beginning cannot be read before that is known.
        piece = len(text) if self._decoder.config.turning_points else self._piece
        start, self._read = self._read, min(len(text), self._read + piece)
        hidden = self._over(place, text, start, self._read)
        if self._read < len(text):
            return None
        self._texts.append(text)
        self._newcomer = []
        return self._decoder.logits(hidden)

    @torch.inference_mode()
    def step(self, tokens: Sequence[int]) -> Tensor:
        """Go on with one token for each text, in their order: logits [B, V], fp32."""
        for text, token in zip(self._texts, tokens, strict=True):
            text.append(token)
        longest = max(map(len, self._texts))
        self._make_room(longest)
        positions = torch.tensor([[len(text) - 1] for text in self._texts])
        places = torch.minimum(torch.arange(longest), positions)
        sight = self._decoder.allowed((torch.arange(longest) <= positions).unsqueeze(1), positions, places)
        past = _Rows(self._state[:, :, : len(self)], positions.flatten(), longest)
        hidden = self._decoder(torch.tensor(tokens).unsqueeze(1), sight, past)[:, -1]
        for place, text in enumerate(self._texts):
            if len(text) - 1 in self._decoder.config.turning_points:
                hidden[place] = self._over(place, text, 0, len(text))
        return self._decoder.logits(hidden)

    @torch.inference_mode()
    def leave(self, place: int) -> None:
        """Let a text go. The last of those that go on takes its place."""
        last = len(self) - 1
        self._move(last, place, len(self._texts[last]))
        self._texts[place] = self._texts[last]
        self._texts.pop()
        if self._newcomer:
            self._move(last + 1, last, self._read)

    def _over(self, place: int, text: Sequence[int], start: int, end: int) -> Tensor:
        """The last hidden state [D] of a text after its tokens from `start` to `end` were read."""
        self._make_room(end)
        positions = torch.arange(end).unsqueeze(0)
        own = positions[:, start:]
        sight = self._decoder.allowed(positions.unsqueeze(1) <= own.unsqueeze(2), own, positions)
        past = Cache(self._state[:, :, place : place + 1], start)
        hidden: Tensor = self._decoder(torch.tensor([text[start:end]]), sight, past)
        return hidden[0, -1]

    def _make_room(self, length: int) -> None:
        """Memory follows the longest text, doubling: a context of 8,192 that nobody fills is not paid for."""
        had = self._state.shape[4]
        if length > had:
            state = self._decoder.memory(self.rows, min(self._decoder.config.max_positions, max(PIECE, 2 * length)))
            state[:, :, :, :, :had] = self._state
            self._state = state

    def _move(self, place: int, to: int, length: int) -> None:
        if place != to:
            self._state[:, :, to, :, :length] = self._state[:, :, place, :, :length]


class _Rows:
    """A past of rows of different lengths: each gets one token more, at a position of its own."""

    def __init__(self, state: Tensor, positions: Tensor, longest: int) -> None:
        self._state, self._longest = state, longest
        self._positions, self._rows = positions.to(state.device), torch.arange(len(positions), device=state.device)

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        for kind, added in enumerate((key, value)):
            self._state[layer, kind][self._rows, :, self._positions] = added[:, :, 0]
        keys, values = self._state[layer, :, :, :, : self._longest]
        return keys, values

    def advance(self, tokens: int) -> None:
        """The lengths are the batch's to keep."""
