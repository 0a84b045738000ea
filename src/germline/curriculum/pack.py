"""From texts to batches: rows filled with whole texts, short rows for short texts, no text cut in two
unless it is longer than a row.

Attention costs the square of a row's length, and most texts (a fact, an exchange) have 20 to 60 tokens;
so texts are dealt into rows of 128 tokens where they fit and into full-length rows where they don't.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from germline.curriculum.texts import Texts

SHORT_ROW = 128
_Numbers = NDArray[np.uint32]

OPEN_ROWS = 8
"""Rows that are filled at once: more wastes fewer tokens but moves texts further from their place."""


@dataclass(frozen=True, slots=True)
class Plot:
    """What a batch is made of: the length of its rows, its pieces, and the row of each."""

    length: int
    pieces: _Numbers
    rows: _Numbers


def batches(texts: Texts, order: _Numbers, *, row_tokens: int, batch_tokens: int) -> Iterator[Plot]:
    """Batches of about `batch_tokens` tokens (whole rows), in the order of their texts.

    Every piece of every text is in exactly one row, those of a text that was cut with positions from zero.
    A batch without a learned token is left out. Memory: some 40 bytes for each text of `order`.
    """
    lengths = sorted({min(SHORT_ROW, row_tokens), row_tokens})
    shelves = [
        _shelved(texts, pieces, places, length, max(1, batch_tokens // length))
        for length, (pieces, places) in zip(lengths, _dealt(texts, order, lengths), strict=True)
    ]
    for _, plot in heapq.merge(*shelves, key=lambda batch: batch[0]):
        if texts.learned[plot.pieces].any():
            yield plot


def _dealt(texts: Texts, order: _Numbers, lengths: Sequence[int]) -> list[tuple[_Numbers, _Numbers]]:
    """For each length of rows, the pieces that go there and the places of their texts in `order`."""
    texts_pieces = map(range, texts.pieces[order], texts.pieces[order + 1])
    pieces = np.fromiter(itertools.chain.from_iterable(texts_pieces), np.uint32)
    places = np.repeat(np.arange(len(order), dtype=np.uint32), texts.pieces[order + 1] - texts.pieces[order])
    shelves = np.searchsorted(lengths, texts.starts[pieces + 1] - texts.starts[pieces]).astype(np.uint8)
    return [(pieces[shelves == shelf], places[shelves == shelf]) for shelf in range(len(lengths))]


def _shelved(texts: Texts, pieces: _Numbers, places: _Numbers, length: int, height: int) -> Iterator[tuple[int, Plot]]:
    """Batches of `height` rows, each with the place of its first text: they come in the order of these."""
    sizes = (int(texts.starts[piece + 1] - texts.starts[piece]) for piece in pieces)
    rows = np.fromiter(_filled(sizes, length), np.uint32, len(pieces))
    by_row = np.argsort(rows, kind="stable").astype(np.uint32)
    rows, pieces, places = rows[by_row], pieces[by_row], places[by_row]
    cuts = map(int, np.flatnonzero(np.diff(rows // height)) + 1)
    for begin, end in itertools.pairwise(itertools.chain([0], cuts, [len(rows)])):
        if begin < end:
            yield int(places[begin]), Plot(length, pieces[begin:end], rows[begin:end] - rows[begin])


def _filled(sizes: Iterable[int], length: int) -> Iterator[int]:
    """The row of each piece, numbered as they are opened. Best fit: it goes where it leaves the least room."""
    opened: dict[int, int] = {}
    number = itertools.count()
    for size in sizes:
        fitting = [row for row, room in opened.items() if room >= size]
        if fitting:
            row = min(fitting, key=opened.__getitem__)
        else:
            if len(opened) == OPEN_ROWS:
                del opened[min(opened, key=opened.__getitem__)]
            row = next(number)
        opened[row] = opened.pop(row, length) - size
        yield row
