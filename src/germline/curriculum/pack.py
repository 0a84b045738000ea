"""From texts to batches: rows filled with whole texts, short rows for short texts, no text cut in two
unless it is longer than a row.

Attention costs the square of a row's length, and most texts (a fact, an exchange) have 20 to 60 tokens;
so texts are dealt into rows of 128 tokens where they fit and into full-length rows where they don't.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from germline.model.rows import Batch, Text, pack

SHORT_ROW = 128
_Piece = tuple[int, Text]  # its place in the order of texts, and what fits a row of it

OPEN_ROWS = 8
"""Rows that are filled at once: more wastes fewer tokens but moves texts further from their place."""


def batches(texts: Sequence[Text], *, row_tokens: int, batch_tokens: int) -> list[Batch]:
    """Batches of about `batch_tokens` tokens (whole rows), in the order of their texts.

    Every token of every text is in exactly one row; a text longer than `row_tokens` continues in the next
    row, with positions from zero and its first token there unlearned. A batch without a learned token is
    left out.
    """
    lengths = sorted({min(SHORT_ROW, row_tokens), row_tokens})
    dealt: dict[int, list[_Piece]] = {length: [] for length in lengths}
    for place, text in enumerate(texts):
        for start in range(0, len(text), row_tokens):
            cut = slice(start, start + row_tokens)
            piece = Text(text.tokens[cut], text.learned[cut])
            dealt[next(length for length in lengths if len(piece) <= length)].append((place, piece))
    made: list[tuple[int, Batch]] = []
    for length, pieces in dealt.items():
        rows = _fill(pieces, length)
        for group in _groups(rows, max(1, batch_tokens // length)):
            batch = pack([[text for _, text in row] for row in group], length)
            made.append((group[0][0][0], batch))
    return [batch for _, batch in sorted(made, key=lambda pair: pair[0]) if batch.learned_tokens]


def _fill(pieces: Sequence[_Piece], length: int) -> list[list[_Piece]]:
    """Best fit into a few open rows: a text goes where it leaves the least room."""
    closed: list[list[_Piece]] = []
    opened: list[tuple[int, list[_Piece]]] = []
    for piece in pieces:
        fitting = [place for place, (room, _) in enumerate(opened) if room >= len(piece[1])]
        if fitting:
            place = min(fitting, key=lambda place: opened[place][0])
            room, row = opened.pop(place)
        else:
            if len(opened) == OPEN_ROWS:
                fullest = min(range(len(opened)), key=lambda place: opened[place][0])
                closed.append(opened.pop(fullest)[1])
            room, row = length, []
        row.append(piece)
        opened.append((room - len(piece[1]), row))
    return sorted(closed + [row for _, row in opened], key=lambda row: row[0][0])


def _groups(rows: Sequence[list[_Piece]], size: int) -> Iterator[Sequence[list[_Piece]]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
