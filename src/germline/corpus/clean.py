"""Rows not worth learning, or learned already, are refused here."""

from __future__ import annotations

import unicodedata
from collections.abc import Container, Iterable, Iterator

from germline.records import Digest, Refusal, Row

SHORTEST_PASSAGE = 20
"""Characters. Less teaches no more than that such a line exists; a reply in a conversation may be short."""


class Digests:
    """A growing set of digests that takes some 20 bytes for each, where a set of strings takes 160.

    128 bits of each are kept, in as many heaps as their first 16 bits tell apart: that one of a billion
    rows is taken for another has a probability below 1 in 10^19.
    """

    def __init__(self, digests: Iterable[Digest] = ()) -> None:
        self._heaps = [bytearray() for _ in range(2**16)]
        for digest in digests:
            self.add(digest)

    def add(self, digest: Digest) -> None:
        self._heaps[int(digest[7:11], 16)] += bytes.fromhex(digest[11:39])

    def __contains__(self, digest: object) -> bool:
        return isinstance(digest, str) and bytes.fromhex(digest[11:39]) in self._heaps[int(digest[7:11], 16)]


def keep(rows: Iterable[Row | Refusal], *, seen: Container[Digest]) -> Iterator[Row | Refusal]:
    """`rows` in their order, where those without words, too short, found twice or in `seen` (the content
    digests of what ancestors learned) have become refusals. Refusals pass through.

    Only exact duplicates are found, the first being kept. Memory grows by 20 bytes for every row kept.
    """
    kept = Digests()
    for row in rows:
        if isinstance(row, Refusal):
            yield row
        elif reason := _fault(row) or _known(row.content_digest, kept, seen):
            yield Refusal(source=row.source, position=row.position, reason=reason)
        else:
            kept.add(row.content_digest)
            yield row


def _fault(row: Row) -> str | None:
    learned = row.text or "".join(turn.text for turn in row.turns if turn.speaker == "persona")
    if not any(map(_speaks, learned)):
        return "empty"
    if row.kind == "text" and len(row.text) < SHORTEST_PASSAGE:
        return "too short"
    return None


def _speaks(character: str) -> bool:
    """Letters, digits and pictures (an emoji is an answer); not punctuation, rules or spaces."""
    category = unicodedata.category(character)
    return category[0] in "LN" or category == "So"


def _known(digest: Digest, kept: Container[Digest], seen: Container[Digest]) -> str | None:
    if digest in kept:
        return "duplicate"
    return "learned before" if digest in seen else None
