"""The order of things: the delta in full, with a measured share of every ancestor's data among it.

Without replay a LoRA lineage forgets (TRACE, arXiv 2310.06762: -45.7% backward transfer; with replay
+2.6%); that each generation gets its turn matters more than which of its rows are chosen (InsCL: smart
choice +3 over random). So ancestors share the replay equally, and each deals its items like a pack of
cards that holds those that are fading more than once, spread evenly.
"""

from __future__ import annotations

import hashlib
import itertools
from array import array
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from germline.curriculum.texts import Texts
from germline.settings import Curriculum


def epochs(texts: Texts, plan: Curriculum, seed: int) -> Iterator[NDArray[np.uint32]]:
    """Per epoch, the numbers of its texts in the order they are met. A pure function of its arguments.

    Facts of the delta come in up to `plan.forms` of their wordings, the next ones each epoch, conversations and laws
    in every epoch, documents in `plan.documents` of them, evenly spread. Replay is `plan.replay` of each epoch's
    tokens, to within one text per ancestor; where there is no ancestor, more epochs take its place, for whoever was
    taught nothing yet learns slowest.
    """
    delta, *ancestors = texts.pools
    streams = [
        _dealt(texts, pool, len(ancestors), f"{seed}:{len(ancestors)}:{index}")
        for index, pool in enumerate(ancestors) if pool
    ]  # fmt: skip
    owed = [0.0] * len(streams)
    count = plan.epochs if streams else round(plan.epochs / (1 - plan.replay))
    documents = round(plan.documents * count / plan.epochs)
    for number in range(count):
        reads = (number + 1) * documents // count > number * documents // count
        chosen = array("I")
        for item in delta:
            wordings = texts.wordings_of(item)
            if reads or texts.every_epoch[wordings.start]:
                chosen.extend(_turns(wordings, number, plan.forms))
        budget = int(texts.tokens(np.frombuffer(chosen, np.uint32)).sum()) * plan.replay / (1 - plan.replay)
        for index, stream in enumerate(streams):
            owed[index] += budget / len(streams)
            while owed[index] > 0:
                text = next(stream)
                owed[index] -= int(texts.tokens(np.array([text], np.uint32)).sum())
                chosen.append(text)
        yield _ordered(texts, np.frombuffer(chosen, np.uint32), plan.order, f"{seed}:{number}")


def _turns(wordings: range, number: int, forms: int) -> list[int]:
    count = min(forms, len(wordings)) if len(wordings) > 1 else 1
    return [wordings[(number * count + i) % len(wordings)] for i in range(count)]


def _dealt(texts: Texts, pool: range, turn: int, key: str) -> Iterator[int]:
    """The pool dealt again and again, reshuffled each time, each item in another of its wordings.

    One deal holds an item `texts.dealt` times: cut into so many equal stretches, once in each. A generation may use
    less than a whole deal; so that the next does not begin alike, `key` (the order) and `turn` (the first wording) must
    differ between generations.
    """
    often = texts.dealt[pool.start : pool.stop].astype(np.int64)
    places = np.repeat(np.arange(len(pool)), often)
    times = np.arange(len(places)) - np.repeat(np.cumsum(often) - often, often)
    for deal in itertools.count():
        luck = _ranks(len(pool), f"{key}:{deal}") / 2.0**64
        order = np.argsort((times + luck[places]) / often[places], kind="stable")
        for place, time in zip(places[order].tolist(), times[order].tolist(), strict=True):
            wordings = texts.wordings_of(pool[place])
            yield wordings[(turn + deal * int(often[place]) + time + place) % len(wordings)]


def _ordered(texts: Texts, chosen: NDArray[np.uint32], order: str, key: str) -> NDArray[np.uint32]:
    shuffled = chosen[_shuffled(len(chosen), key)]
    if order == "mixed":
        return shuffled
    return shuffled[np.argsort(texts.every_epoch[shuffled] != (order == "questions-first"), kind="stable")]


def _shuffled(count: int, key: str) -> NDArray[np.uint32]:
    """The numbers below `count`, shuffled the same on every platform and Python version: sorted by a hash."""
    return np.argsort(_ranks(count, key), kind="stable").astype(np.uint32)


def _ranks(count: int, key: str) -> NDArray[np.uint64]:
    hashes = (hashlib.sha256(f"{key}:{place}".encode()).digest()[:8] for place in range(count))
    return np.fromiter((int.from_bytes(digest, "big") for digest in hashes), np.uint64, count)
