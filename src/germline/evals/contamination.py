"""Which questions that should be unseen stand in a training row after all, word for word.

An owner's own logs may hold "Do you know the height of the mill?", or one conversation twice. Such a question asks for
memory where the exam says understanding. Case and punctuation do not matter. Texts are compared by their stretches of
eight words (the 8-grams of PaLM's check, arXiv 2204.02311), all of which must be in one row: a phrase that a persona
uses all the time is no contamination. Not found: a paraphrase, and texts of fewer than four words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from germline.records import Row

LEAST, WORDS = 4, 8
_WORD = re.compile(r"\w+")
_Stretch = tuple[str, ...]


def contaminated(texts: Sequence[str], rows: Iterable[Row]) -> set[int]:
    """The places in `texts` of those that stand in one of `rows`, which are gone through once and not held."""
    wanted = [set(_stretches(_words(text), WORDS)) for text in texts]
    owners: dict[_Stretch, list[int]] = {}
    for place, stretches in enumerate(wanted):
        for stretch in stretches:
            owners.setdefault(stretch, []).append(place)
    lengths: dict[_Stretch, set[int]] = {}
    for stretch in owners:
        lengths.setdefault(stretch[:LEAST], set()).add(len(stretch))
    found: set[int] = set()
    for row in rows:
        words = _words(" ".join(row.texts))
        here = {
            tuple(words[start : start + length])
            for start in range(len(words) - LEAST + 1)
            for length in lengths.get(tuple(words[start : start + LEAST]), ())
        }
        hits = Counter(place for stretch in here for place in owners.get(stretch, ()))
        found |= {place for place, count in hits.items() if count == len(wanted[place])}
    return found


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _stretches(words: Sequence[str], length: int) -> Iterator[_Stretch]:
    """Every run of `length` words; the whole text where it is shorter, and long enough to mean anything."""
    if LEAST <= len(words) < length:
        yield tuple(words)
    else:
        yield from (tuple(words[start : start + length]) for start in range(len(words) - length + 1))
