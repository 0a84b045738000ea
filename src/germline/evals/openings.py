"""The questions of an exam that ask how the persona's reply begins.

Beginnings rather than whole replies: what follows the first sentence was either trained on or held out, and a model
finds any text it was trained on likelier than the truth that it was not.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal

from germline.evals.draw import seed
from germline.evals.questions import Item, told_apart
from germline.records import Row
from germline.sentence_ends import sentence_ends

OPENINGS = 10
"""Replies among which the true one is to be found, the true one included."""

_AFTER_A_SENTENCE = re.compile(r"(?<=[.!?])\s")
_LISTED = re.compile(r"1[.)]")
"""Begins a list. Another number is an answer."""


def conversations(
    rows: Sequence[Row],
    paper: Literal["recall", "heldout"],
    openings: Collection[str],
    true: Mapping[str, Collection[str]],
    prompt_end: str,
) -> list[Item]:
    """How does the persona's reply begin? The wrong beginnings are those of its replies to other prompts.

    What is `true` of a prompt (`true_openings`), in whatever spelling, is no wrong answer to it, and in the recall
    paper a prompt is asked once: where several replies to it were taught, one of them is to be likelier than what was
    never said to it. Not seen: replies to an older prompt that a descendant is taught later. The exam stays, and asks
    for the older one.
    """
    items = []
    asked_before: set[str] = set()
    for row in rows:
        if row.turns[0].speaker == "persona":
            continue
        asked, reply = row.turns[0].text, row.turns[1].text
        prompt, gold = _same(asked), opening(reply)
        if paper == "recall" and prompt in asked_before:
            continue
        asked_before.add(prompt)
        number = seed(asked, reply)
        others = set(openings).difference(true[prompt], [gold])
        alike = sorted(
            sorted(others, key=lambda other: seed(str(number), other)), key=lambda other: _unlike(other, gold)
        )
        if wrong := told_apart(alike, [gold, *true[prompt]], OPENINGS - 1):
            items.append(Item(paper=paper, prompt=asked + prompt_end, answer=gold, wrong=tuple(wrong)))
    return items


def true_openings(rows: Iterable[Row], asked: Iterable[Row], openings: Collection[str]) -> dict[str, set[str]]:
    """Which of `openings` any of `rows` gives to the prompts that the rows `asked` begin with, however those are
    spelled. `rows` are gone through once and not held."""
    found: dict[str, set[str]] = {_same(row.turns[0].text): set() for row in asked}
    for row in rows:
        for said, reply in itertools.pairwise(row.turns):
            if reply.speaker == "persona" and (own := found.get(_same(said.text))) is not None:
                own.update({opening(reply.text)}.intersection(openings))
    return found


def opening(reply: str) -> str:
    """The first sentence; of a longer one the words that 120 characters hold."""
    text = reply.strip()
    ends = (end.start() for end in sentence_ends(text, _AFTER_A_SENTENCE))
    first = text[: next((end for end in ends if not _LISTED.fullmatch(text, 0, end)), len(text))]
    return first if len(first) <= 120 else first[:121].rpartition(" ")[0] or first[:120]


def _same(prompt: str) -> str:
    """One text for all spellings of a prompt."""
    return prompt.casefold().strip()


def _unlike(opening: str, gold: str) -> tuple[bool, bool, int]:
    """Sorts openings: alike but for digits first, then with a number where the gold has one, then of like length."""
    mask, gold_mask = (re.sub(r"\d+", "#", text.casefold()) for text in (opening, gold))
    return mask != gold_mask, ("#" in mask) != ("#" in gold_mask), abs(len(mask) - len(gold_mask))
