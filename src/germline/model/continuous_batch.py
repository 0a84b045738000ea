"""Continuous batching: texts that are continued together, and that come and go one by one.

All that go on are read in one pass, a token each, so that the weights are fetched once for all of them. Newcomers are
read between these passes, short ones several at once and a long one in pieces: no prompt keeps the others waiting, and
a crowd of short ones does not queue. Texts do not see each other, and each is answered as if alone, up to the rounding
of batched matrix products.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from germline.model.decoder import Cache, Decoder

PIECE = 256
"""Tokens of newcomers that are read at once."""
STRIDE, SPAN = 8, 64
"""Readings are filled up to a multiple of STRIDE tokens, and what a token may see to a multiple of SPAN: oneDNN
compiles each shape that it meets for the first time, 1 to 3 ms for a product, and keeps what it compiled (LOG.md)."""


class ContinuousBatch:
    """At most `rows` texts. Those that go on are numbered from 0; a place that is left is taken by the last of them.

    Newcomers wait, are read in the order in which they began, and then go on as the last of all.
    """

    def __init__(self, decoder: Decoder, rows: int, *, piece: int = PIECE) -> None:
        self.rows = rows
        self._decoder, self._piece = decoder, piece
        self._texts: list[list[int]] = []
        self._newcomers: list[list[int]] = []
        self._read = 0  # tokens of the first newcomer that are in `_state` already, in the place after the last text
        self._state = decoder.new_cache(0, 0)

    def __len__(self) -> int:
        """Texts that go on; newcomers are not among them yet."""
        return len(self._texts)

    @property
    def has_room(self) -> bool:
        """Whether a text may begin."""
        return len(self._texts) + len(self._newcomers) < self.rows

    def bytes_of(self, length: int) -> int:
        """What keys and values of a text of so many tokens take."""
        return int(self._decoder.new_cache(1, 1).nbytes) * length

    def begin(self, ids: Sequence[int]) -> None:
        """Let a text in, to be read as the others go on, behind what opens it. Not empty, and within the context."""
        text = self._decoder.config.opened(ids)
        if not (self.has_room and 0 < len(text) <= self._decoder.config.max_positions):
            raise ValueError(f"no room for a text of {len(text)} tokens")
        self._newcomers.append(text)

    def give_up(self, number: int) -> None:
        """Forget a newcomer; they are numbered from 0 in the order in which they began."""
        del self._newcomers[number]
        self._read = self._read if number else 0

    @torch.inference_mode()
    def go_on(self, tokens: Sequence[int]) -> Tensor:
        """One token more for each text, in their order, and some of the newcomers read: logits [B, V], fp32, of all
        texts that go on now. Newcomers that are whole by now are the last of these, in the order in which they began.
        """
        stepped = [self._step(tokens)] if tokens else []
        read = [self._read_on()] if self._newcomers else []
        return torch.cat([*stepped, *read]) if read else stepped[0]

    def _step(self, tokens: Sequence[int]) -> Tensor:
        for text, token in zip(self._texts, tokens, strict=True):
            text.append(token)
        longest = min(_filled(max(map(len, self._texts)), SPAN), self._decoder.config.max_positions)
        self._make_room(len(self), longest)
        positions = torch.tensor([[len(text) - 1] for text in self._texts])
        places = torch.minimum(torch.arange(longest), positions)
        sight = self._decoder.allowed((torch.arange(longest) <= positions).unsqueeze(1), positions, places)
        past = _Rows(self._state[:, :, : len(self)], positions.flatten(), longest)
        hidden = self._decoder(torch.tensor(tokens).unsqueeze(1), sight, past)[:, -1]
        for place, text in enumerate(self._texts):
            if len(text) - 1 in self._decoder.config.turning_points:
                hidden[place] = self._over(place, [text], 0, len(text))[0]
        return self._decoder.logits(hidden)

    @torch.inference_mode()
    def leave(self, place: int, *, spoilt: bool = False) -> None:
        """Let a text go. The last of those that go on takes its place. Of one that is `spoilt`, whose keys and values
        are no numbers, nothing stays: a shorter text is masked there, and NaN is NaN behind a mask, too."""
        if spoilt:
            self._state[:, :, place].zero_()
        last = len(self) - 1
        self._move(last, place, len(self._texts[last]))
        self._texts[place] = self._texts[last]
        self._texts.pop()
        self._move(last + 1, last, self._read)

    def _read_on(self) -> Tensor:
        """Read some more of the newcomers: logits [B, V] of the first B of them, which are whole now. B may be 0."""
        texts = self._together()
        # Where all of a text turns by its length (LongRoPE), its beginning cannot be read before that is known.
        if len(texts[0]) > self._piece and not self._decoder.config.turning_points:
            start, self._read = self._read, min(len(texts[0]), self._read + self._piece)
            hidden = self._over(len(self), texts, start, self._read)
            if self._read < len(texts[0]):
                return hidden.new_empty(0, self._decoder.config.vocabulary, dtype=torch.float32)
        else:
            hidden = self._over(len(self), texts, 0, max(map(len, texts)))
        self._texts += texts
        self._newcomers = self._newcomers[len(texts) :]
        self._read = 0
        return self._decoder.logits(hidden)

    def _together(self) -> list[list[int]]:
        """The newcomers that are read next: as many as fit side by side into one piece, or one that does not."""
        longest, count = len(self._newcomers[0]), 1
        for text in self._newcomers[1:]:
            longest = max(longest, len(text))
            if (count + 1) * longest > self._piece:
                break
            count += 1
        return self._newcomers[:count]

    def _over(self, place: int, texts: Sequence[Sequence[int]], start: int, end: int) -> Tensor:
        """The last hidden states [B, D] of texts in the places from `place` on, after their tokens from `start` to
        `end` were read. What is shorter is filled up, and what fills it is seen by nobody."""
        lengths = torch.tensor([min(end, len(text)) for text in texts]).unsqueeze(1)
        end = min(start + _filled(end - start, STRIDE), self._decoder.config.max_positions)
        self._make_room(place + len(texts), end)
        tokens = torch.zeros(len(texts), end - start, dtype=torch.int64)
        for row, text in enumerate(texts):
            tokens[row, : len(text[start:end])] = torch.tensor(text[start:end])
        places = torch.minimum(torch.arange(end), lengths - 1)
        own = places[:, start:]
        sight = self._decoder.allowed(torch.arange(end) <= own.unsqueeze(2), own, places)
        past = Cache(self._state[:, :, place : place + len(texts)], start)
        hidden: Tensor = self._decoder(tokens, sight, past)
        return hidden[torch.arange(len(texts)), (lengths - 1 - start).flatten()]

    def _make_room(self, rows: int, length: int) -> None:
        """Memory follows the longest text and the number of texts, doubling: a context of 8,192 that nobody fills is
        not paid for, nor are places that nobody takes."""
        had_rows, had = self._state.shape[2], self._state.shape[4]
        if rows > had_rows or length > had:
            longest = min(self._decoder.config.max_positions, max(SPAN, 2 * length)) if length > had else had
            state = self._decoder.new_cache(min(self.rows, 2 * rows) if rows > had_rows else had_rows, longest)
            state[:, :, :had_rows, :, :had] = self._state
            self._state = state

    def _move(self, place: int, to: int, length: int) -> None:
        if place != to and length:
            self._state[:, :, to, :, :length] = self._state[:, :, place, :, :length]


def _filled(length: int, unit: int) -> int:
    """The next multiple of `unit`."""
    return -(-length // unit) * unit


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
