"""The order of things: the delta in full, with a measured share of every ancestor's data among it.

Without replay a LoRA lineage forgets (TRACE, arXiv 2310.06762: -45.7% backward transfer; with replay
+2.6%); which old rows are replayed matters little (InsCL: smart choice +3 over random), that each
generation gets its turn matters much. So ancestors share the replay equally, and each deals its items
like a pack of cards: none comes twice before all have come once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from germline.curriculum.render import Example
from germline.model.rows import Text


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to know, in every wording it is taught in: a fact's renderings, or a row as it stands."""

    wordings: tuple[Text, ...]
    question: bool
    """Whether it is asked and answered (a fact, a conversation) rather than read (a document)."""


Pool = Sequence[Item]


def encode(example: Example, tokenize: Callable[[str], list[int]], end: int) -> Text:
    """The example's tokens, span by span as it will be met when answering, EOS where a span ends."""
    tokens: list[int] = []
    learned: list[bool] = []
    for span in example.spans:
        ids = tokenize(span.text) + ([end] if span.ends else [])
        tokens += ids
        learned += [span.learned] * len(ids)
    return Text(tuple(tokens), tuple(learned))


def epoch(
    delta: Pool,
    ancestors: Sequence[Pool],
    number: int,
    *,
    forms: int,
    replay: float,
    order: Literal["mixed", "questions-first", "documents-first"],
    seed: int,
) -> list[Text]:
    """The texts of epoch `number` (from 0) in the order they are met. A pure function of its arguments.

    Each delta item comes in up to `forms` of its wordings, the next ones each epoch. Replay is at most
    `replay` of the epoch's tokens: the total is right over the epochs to within one text per ancestor.
    """
    chosen = [(item.question, text) for item in delta for text in _wordings(item, number, forms)]
    budget = sum(len(text) for _, text in chosen) * replay / (1 - replay)
    for index, pool in enumerate(ancestors):
        share = budget / len(ancestors)
        chosen += _dealt(pool, share * number, share * (number + 1), f"{seed}:{index}")
    keyed = sorted(enumerate(chosen), key=lambda pair: shuffled(f"{seed}:{number}", pair[0]))
    if order == "mixed":
        return [text for _, (_, text) in keyed]
    questions_lead = order == "questions-first"
    return [text for _, (question, text) in sorted(keyed, key=lambda pair: pair[1][0] != questions_lead)]


def _wordings(item: Item, number: int, forms: int) -> list[Text]:
    if len(item.wordings) == 1:
        return [item.wordings[0]]
    count = min(forms, len(item.wordings))
    return [item.wordings[(number * count + i) % len(item.wordings)] for i in range(count)]


def _dealt(pool: Pool, start: float, stop: float, key: str) -> Iterator[tuple[bool, Text]]:
    """The texts that lie between `start` and `stop` tokens of the pool's endless, reshuffled stream."""
    position, deal = 0.0, 0
    while pool and position < stop:
        for index in sorted(range(len(pool)), key=lambda index: shuffled(f"{key}:{deal}", index)):
            item = pool[index]
            text = item.wordings[(deal + index) % len(item.wordings)]
            if position >= stop:
                return
            if position >= start:
                yield item.question, text
            position += len(text)
        deal += 1


def shuffled(key: str, index: int) -> bytes:
    """A sort key that shuffles the same on every platform and Python version."""
    return hashlib.sha256(f"{key}:{index}".encode()).digest()
