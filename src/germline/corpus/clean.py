"""Rows not worth learning, or learned already, are refused here."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet

from germline.records import Digest, Refusal, Row

SHORTEST_PASSAGE = 20
"""Characters. Less teaches no more than that such a line exists; a reply in a conversation may be short."""


def keep(rows: Iterable[Row | Refusal], *, seen: AbstractSet[Digest]) -> Iterator[Row | Refusal]:
    """`rows` in their order, where those without words, too short, found twice or in `seen` (the content
    digests of what ancestors learned) have become refusals. Refusals pass through.

    Only exact duplicates are found, the first being kept. Holds one digest in memory for every row kept.
    """
    kept: set[Digest] = set()
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


def _known(digest: Digest, kept: AbstractSet[Digest], seen: AbstractSet[Digest]) -> str | None:
    if digest in kept:
        return "duplicate"
    return "learned before" if digest in seen else None
