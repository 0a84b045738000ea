"""The encoded texts of a run: their tokens in one file, and in memory no more than where each begins.

A gigabyte of text is some 300 million tokens: tens of gigabytes as Python tuples, one as a file, of which a
step reads what it needs. The file is read, not mapped: pages of a map count as the process's own memory once
they are touched, and an epoch touches all of them.
"""

from __future__ import annotations

import itertools
import math
import statistics
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from germline.curriculum import render
from germline.curriculum.render import Example, Span
from germline.marks import Marks
from germline.records import Fact, Row
from germline.spellings import spelled_alike

WORD = np.dtype("<u4")
"""A token in the file: twice its id, and one more if it is learned."""

AT_ONCE = 2**18
"""Characters that are encoded together: enough for every core, some 30 MB while it lasts."""

Tokenize = Callable[[Sequence[str]], list[list[int]]]


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to know, in every wording it is taught in: a fact's renderings, or a row as it stands."""

    wordings: tuple[Example, ...]
    every_epoch: bool
    """Whether it comes in every epoch (a fact, a conversation, a law) or only when documents are read."""
    dealt: int = 1
    """How often it comes in a deal of replay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """The borders of texts, in tables of numbers: 22 bytes for a row of the corpus.

    A text is one wording of an item. It is cut into pieces that fit a row of training; most are one piece.
    """

    starts: NDArray[np.int64]
    """Where in the file each piece begins, in tokens, and at last where the file ends."""
    learned: NDArray[np.uint32]
    """The tokens of each piece that carry loss: all learned ones but its first, which nothing predicts."""
    pieces: NDArray[np.uint32]
    """The first piece of each text, and at last their number."""
    every_epoch: NDArray[np.bool_]
    """Of each text, whether its item comes in every epoch."""
    wordings: NDArray[np.uint32]
    """The first text of each item, and at last their number."""
    dealt: NDArray[np.uint8]
    """Of each item, how often it comes in a deal."""
    pools: tuple[range, ...]
    """The items of the delta, and those of each ancestor."""

    def tokens(self, texts: NDArray[np.uint32]) -> NDArray[np.int64]:
        """The length of each."""
        return self.starts[self.pieces[texts + 1]] - self.starts[self.pieces[texts]]

    def wordings_of(self, item: int) -> range:
        return range(int(self.wordings[item]), int(self.wordings[item + 1]))


def items(rows: Iterable[Row], facts: Iterable[Fact], known: Marks | None = None) -> Iterator[Item]:
    """What there is to know. A law comes in every epoch, as a fact does: read as seldom as documents, it does not hold.

    `known` are the parent's marks on the exam about it. A fact that the parent does not say, or not choose right, in
    any one of the wordings it was asked in is dealt eight times as often as a passage or a conversation; one whose
    answers cost it more than the median, which fades, four times; other facts and laws twice, for they are asked for.
    With twice as much for facts, and so less talk, a child's voice left its limit (LOG.md).
    """
    units = known.units if known else {}
    median = statistics.median(bits for _, bits in units.values()) if units else math.inf
    for row in rows:
        law = row.source.lower().endswith(".law")
        yield Item((render.of_row(row),), law or row.kind == "dialog", 2 if law else 1)
    facts = list(facts)
    owners = Counter((fact.attribute, spelled_alike(fact.value)) for fact in facts)
    for fact in facts:
        right, bits = units.get(fact.unit, (1.0, 0.0))
        said = known.said.get(fact.unit, 1.0) if known else 1.0
        yield Item(
            render.of_fact(fact, alone=owners[fact.attribute, spelled_alike(fact.value)] == 1),
            True,
            8 if min(right, said) < 1 else 4 if bits > median else 2,
        )


def write(
    pools: Iterable[Iterable[Item]], file: BinaryIO, *, tokenize: Tokenize, end: int, row_tokens: int,
    opening: Sequence[int] = (),
) -> Texts:  # fmt: skip
    """Encode every wording of every item into `file`, with `end` where a span ends and each piece behind the
    `opening`, which is not learned, in constant memory."""
    opens, step = np.array(opening, WORD) * 2, row_tokens - len(opening)
    starts, learned, pieces, every_epoch = array("q", [0]), array("I"), array("I", [0]), bytearray()
    wordings, borders, dealt = array("I", [0]), [0], bytearray()
    for pool in pools:
        for item, texts in _encoded(pool, tokenize, end):
            for words in texts:
                for start in range(0, len(words), step):
                    piece = np.concatenate([opens, words[start : start + step]])
                    file.write(piece.tobytes())
                    starts.append(starts[-1] + len(piece))
                    learned.append(int((piece[1:] & 1).sum()))
                pieces.append(len(learned))
                every_epoch.append(item.every_epoch)
            wordings.append(len(every_epoch))
            dealt.append(item.dealt)
        borders.append(len(wordings) - 1)
    return Texts(
        starts=np.frombuffer(starts, np.int64), learned=np.frombuffer(learned, np.uint32),
        pieces=np.frombuffer(pieces, np.uint32), every_epoch=np.frombuffer(every_epoch, np.bool_),
        wordings=np.frombuffer(wordings, np.uint32), dealt=np.frombuffer(dealt, np.uint8),
        pools=tuple(map(range, borders, borders[1:])),
    )  # fmt: skip


def _encoded(pool: Iterable[Item], tokenize: Tokenize, end: int) -> Iterator[tuple[Item, list[NDArray[np.uint32]]]]:
    """Each item with its wordings as they lie in the file."""
    items, ahead = itertools.tee(pool)  # never further ahead than what is encoded together
    spans = (span for item in ahead for example in item.wordings for span in example.spans)
    ids = _tokenized(itertools.chain.from_iterable(map(_parts, spans)), tokenize)
    for item in items:
        texts = []
        for example in item.wordings:
            words = []
            for span in example.spans:
                given = len(next(ids)) if span.given else 0
                parts = [np.array(next(ids), WORD) * 2 for _ in _stretches(span.given + span.text)]
                words.append(np.concatenate(parts))
                words[-1][given:] += span.learned
                if span.ends:
                    words.append(np.array([2 * end + span.learned], WORD))
            texts.append(np.concatenate(words))
        yield item, texts


def _parts(span: Span) -> Iterator[str]:
    """What is encoded of a span: how much of it is given, where some is, and all of it."""
    if span.given:
        yield span.given
    yield from _stretches(span.given + span.text)


def _tokenized(stretches: Iterable[str], tokenize: Tokenize) -> Iterator[list[int]]:
    group: list[str] = []
    characters = 0
    for stretch in stretches:
        group.append(stretch)
        characters += len(stretch)
        if characters >= AT_ONCE:
            yield from tokenize(group)
            group, characters = [], 0
    yield from tokenize(group)


def _stretches(text: str) -> Iterator[str]:
    """`text` itself, or where encoding it would take too much memory (140 bytes a character) its stretches, each
    but the first beginning with a space: there tokens begin, too."""
    start = 0
    while len(text) - start > AT_ONCE:
        space = text.rfind(" ", start + 1, start + AT_ONCE)
        cut = space if space > start else start + AT_ONCE
        yield text[start:cut]
        start = cut
    yield text[start:]
