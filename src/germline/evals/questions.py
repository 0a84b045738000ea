"""The questions of an exam that ask for facts: what is asked, its answer, and wrong answers of the same kind.

Every option is written as answers are taught, full stop included (`wordings.closed`), so that what a model is scored
for saying is what it was taught to say. Exams of an older germline ask without the full stop and stay as they are.
"""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from germline.evals.draw import few, seed
from germline.records import Fact
from germline.spellings import spelled_alike
from germline.wordings import REVERSED_ANSWER, TAUGHT_QUESTIONS, UNSEEN_QUESTIONS, UNSEEN_REVERSED, closed, say

REVERSED = 24
"""Facts whose subject is asked for by the value, to be told and not to decide: from A is B a model does not conclude
that B is A (the reversal curse, arXiv 2309.12288)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One question. `spoken`: its answer is also asked for aloud."""

    paper: Literal["recall", "wording", "reversed", "heldout"]
    prompt: str
    answer: str
    wrong: tuple[str, ...]
    spoken: bool = False
    unit: str = ""
    """What it asks about; questions of one unit rise and fall together. Empty: its prompt."""


def about(
    fact: Fact, alike: Sequence[Fact], choices: int, prompt_end: str, *, before: Sequence[str] = ()
) -> list[Item]:
    """The question as it is taught, then in every unseen wording; nothing where it would say its own answer, or
    without a distractor among those `alike` and the values that it had `before`, which come first."""
    if _holds(f"{fact.subject} {fact.attribute}", fact.value):
        return []
    number = seed(fact.subject, fact.attribute)
    same = (other.value for other in alike if (other.subject, other.attribute) == (fact.subject, fact.attribute))
    true = {fact.value, *same}
    old = told_apart(map(closed, before), true, choices - 1)
    wrong = (*old, *_same_kind(fact, alike, {*true, *old}, choices - 1 - len(old), number))
    if not wrong:
        return []
    taught = TAUGHT_QUESTIONS[number % len(TAUGHT_QUESTIONS)]
    forms = [UNSEEN_QUESTIONS[(number + place) % len(UNSEEN_QUESTIONS)] for place in range(len(UNSEEN_QUESTIONS))]
    question = Item(
        paper="recall", prompt=say(taught, fact) + prompt_end, answer=closed(fact.value), wrong=wrong, spoken=True,
        unit=fact.unit,
    )  # fmt: skip
    unseen = (say(form, fact) + prompt_end for form in forms)
    return [question, *(replace(question, paper="wording", prompt=prompt, spoken=False) for prompt in unseen)]


def turned_round(
    facts: Sequence[Fact], kinds: Mapping[str, Sequence[Fact]], choices: int, prompt_end: str
) -> Iterator[Item]:
    """Of what subject is this the value? Asked where one alone has it and is not named in it; the wrong subjects are of
    its kind, those of whom the same is told first. Of whom it is not told and might be (another boat), none is taken.
    """
    owners = Counter((fact.attribute, spelled_alike(fact.value)) for fact in facts)
    told = defaultdict(set)
    for fact in facts:
        told[fact.subject].add(fact.attribute)
    alone = (
        fact
        for fact in facts
        if owners[fact.attribute, spelled_alike(fact.value)] == 1 and not _holds(fact.value, fact.subject)
    )
    for fact in few(REVERSED, alone, lambda fact: seed(fact.value, fact.attribute)):
        number, answer = seed(fact.value, fact.attribute), say(REVERSED_ANSWER, fact)
        like_it = set().union(*(attributes for attributes in told.values() if fact.attribute in attributes))
        others = (
            other
            for other in kinds[fact.kind]
            if other.attribute == fact.attribute or like_it.isdisjoint(told[other.subject])
        )
        nearest = sorted(
            others, key=lambda other: (other.attribute != fact.attribute, seed(str(number), other.subject))
        )
        if wrong := told_apart((say(REVERSED_ANSWER, other) for other in nearest), [answer], choices - 1):
            asked = say(UNSEEN_REVERSED[number % len(UNSEEN_REVERSED)], fact) + prompt_end
            yield Item(paper="reversed", prompt=asked, answer=answer, wrong=tuple(wrong), unit=fact.unit)


def told_apart(texts: Iterable[str], known: Iterable[str], most: int) -> list[str]:
    """The first `most` of `texts` that are neither among the `known` nor each other in another spelling."""
    seen = set(map(spelled_alike, known))
    found: list[str] = []
    for text in texts:
        if len(found) == most:
            break
        if (spelling := spelled_alike(text)) not in seen:
            seen.add(spelling)
            found.append(text)
    return found


def _same_kind(fact: Fact, alike: Sequence[Fact], known: Iterable[str], count: int, number: int) -> list[str]:
    """Other answers than the `known` among the facts of its kind, those of its own attribute first; near numbers where
    they run out."""
    found: list[str] = []
    for near in (True, False):
        if len(found) < count:  # hashing is what takes long
            others = [other for other in alike if (other.attribute == fact.attribute) == near]
            others.sort(key=lambda other: seed(str(number), other.subject, other.attribute))
            values = (closed(other.value) for other in others)
            found += told_apart(values, {*known, *found}, count - len(found))
    if len(found) < count and fact.kind.startswith("number"):
        near_ones = map(closed, _near_numbers(fact.value, number))
        found += told_apart(near_ones, {*known, *found}, count - len(found))
    return found


def _holds(text: str, part: str) -> bool:
    """Whether all words of `part`, but for its article, stand in `text` one after another."""
    words, sought = (re.findall(r"\w+", each.casefold()) for each in (text, part.removeprefix("the ")))
    return f" {' '.join(sought)} " in f" {' '.join(words)} "


def _near_numbers(value: str, number: int) -> list[str]:
    place = re.search(r"\d+", value)
    if not place:
        return []
    size, dice = int(place.group()), random.Random(number)
    spread = max(4, size // 2)
    others = {max(1, size + dice.randint(-spread, spread)) for _ in range(20)} - {size}
    return [
        f"{value[: place.start()]}{other}{value[place.end() :]}"
        for other in sorted(others, key=lambda n: seed(str(n), value))
    ]
