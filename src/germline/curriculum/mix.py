"""The order of things: the delta in full, with a measured share of every ancestor's data among it.

Without replay a LoRA lineage forgets (TRACE, arXiv 2310.06762: -45.7% backward transfer; with replay
+2.6%); which old rows are replayed matters little (InsCL: smart choice +3 over random), that each
generation gets its turn matters much. So ancestors share the replay equally, and each deals its items
like a pack of cards: none comes twice before all have come once.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from germline.curriculum.render import Example
from germline.model.rows import Text
from germline.records import Row
from germline.settings import Curriculum


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to know, in every wording it is taught in: a fact's renderings, or a row as it stands."""

    wordings: tuple[Text, ...]
    question: bool
    """Whether it comes in every epoch (a fact, a conversation, a law) or only when documents are read."""


Pool = Sequence[Item]


def comes_always(row: Row) -> bool:
    """Conversations and laws: what is exercised, not only read. A law that is read twice in six does not hold."""
    return row.kind == "dialog" or row.source.endswith(".law")


def encode(example: Example, tokenize: Callable[[str], list[int]], end: int) -> Text:
    """The example's tokens, span by span as it will be met when answering, EOS where a span ends."""
    tokens: list[int] = []
    learned: list[bool] = []
    for span in example.spans:
        ids = tokenize(span.text) + ([end] if span.ends else [])
        tokens += ids
        learned += [span.learned] * len(ids)
    return Text(tuple(tokens), tuple(learned))


def epochs(delta: Pool, ancestors: Sequence[Pool], plan: Curriculum, seed: int) -> Iterator[list[Text]]:
    """Per epoch, its texts in the order they are met. A pure function of its arguments.

    Facts of the delta come in up to `plan.forms` of their wordings, the next ones each epoch, conversations
    in every epoch, documents in `plan.documents` of them, evenly spread. Replay is `plan.replay` of each
    epoch's tokens, to within one text per ancestor.
    """
    streams = [_stream(pool, f"{seed}:{index}") for index, pool in enumerate(ancestors) if pool]
    owed = [0.0] * len(streams)
    for number in range(plan.epochs):
        reads = (number + 1) * plan.documents // plan.epochs > number * plan.documents // plan.epochs
        items = [item for item in delta if item.question or reads]
        chosen = [(item.question, text) for item in items for text in _wordings(item, number, plan.forms)]
        budget = sum(len(text) for _, text in chosen) * plan.replay / (1 - plan.replay)
        for index, stream in enumerate(streams):
            owed[index] += budget / len(streams)
            while owed[index] > 0:
                question, text = next(stream)
                owed[index] -= len(text)
                chosen.append((question, text))
        shuffled = sorted(range(len(chosen)), key=partial(_hash, f"{seed}:{number}"))
        if plan.order != "mixed":
            shuffled.sort(key=lambda place: chosen[place][0] != (plan.order == "questions-first"))
        yield [chosen[place][1] for place in shuffled]


def _wordings(item: Item, number: int, forms: int) -> list[Text]:
    count = min(forms, len(item.wordings)) if len(item.wordings) > 1 else 1
    return [item.wordings[(number * count + i) % len(item.wordings)] for i in range(count)]


def _stream(pool: Pool, key: str) -> Iterator[tuple[bool, Text]]:
    """The pool dealt again and again, reshuffled each time, each item in another of its wordings."""
    for deal in itertools.count():
        for place in sorted(range(len(pool)), key=partial(_hash, f"{key}:{deal}")):
            item = pool[place]
            yield item.question, item.wordings[(deal + place) % len(item.wordings)]


def _hash(key: str, place: int) -> bytes:
    """A sort key that shuffles the same on every platform and Python version."""
    return hashlib.sha256(f"{key}:{place}".encode()).digest()
