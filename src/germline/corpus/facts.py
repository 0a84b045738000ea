"""What a delta states, found by rule: sentences, list items and table cells that answer a plain question."""

from __future__ import annotations

import hashlib
import heapq
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from germline.corpus.claims import PARTED, claims
from germline.corpus.sentences import Claim
from germline.corpus.subjects import can_be_asked
from germline.corpus.values import is_answer, value_kind
from germline.records import Fact, Row, Stated
from germline.spellings import spelled_alike

MOST = 10_000
"""Facts that are kept of one delta; of more, those that hash lowest."""
VALUES = 8
"""Values that are kept of one pair."""

_Pair = tuple[str, str]
"""Subject and attribute, case folded; a mill and the mill are one."""

_LIST_GOES_ON = re.compile(r"(?:,?\s+(?:and|or|und|oder|sowie))?[\s,;\\]*$")
"""How an item ends that others follow: "12 kg,", "12 kg, and"."""
_LETTERS_WITH_STOPS = re.compile(r"\b(?:[^\W\d_]\.)+[^\W\d_]$")


@dataclass(frozen=True, slots=True)
class _Found:
    told: Mapping[str, Fact]
    """Each value of the pair in the one spelling of all that are alike -> the first fact that gave it."""
    past: bool
    """All of them are what it was, and none what it is."""

    @property
    def disputed(self) -> bool:
        """Several values of a kind were given."""
        return len(set(map(_sort, self.told.values()))) < len(self.told)

    @property
    def first(self) -> Fact:
        return next(iter(self.told.values()))

    @property
    def besides(self) -> Iterator[Fact]:
        """What contradicts the first value or, where nobody can say which is right, all; a number in another unit may
        be the same length in feet."""
        if not self.past:
            numbers = self.first.kind.startswith("number ") and not self.disputed
            told = [*self.told.values()][not self.disputed :]
            yield from (fact for fact in told if not (numbers and fact.kind.startswith("number ")))


def facts(rows: Iterable[Row]) -> tuple[Fact, ...]:
    """What `rows` state and may be asked for; see `stated`."""
    return stated(rows).facts


def stated(rows: Iterable[Row], *, most: int = MOST) -> Stated:
    """What `rows` state, sorted by subject and attribute, one value for each pair; other values are told besides.

    Found are "The ATTRIBUTE of SUBJECT is VALUE.", "SUBJECT's ATTRIBUTE is VALUE.", `ATTRIBUTE: VALUE` items and
    lines under a heading or a label (their subject), and Markdown table cells (first column and header; of a sheet
    "Property | Value" what stands above and the first column). Markup is stripped, and see `corpus.sentences` for what
    else a sentence may state. In a conversation the persona's replies count: their sentences, or what begins a reply to
    a plain question. What a pair is outranks what it was. A pair with several values of one kind, in whatever order, is
    left out: nobody could say which of them answers the question, and none of them may be a wrong answer. Of
    values of different kinds ("37 metres", "121 feet") the first in row order stays. Code and quotations state nothing.
    The rules are for English and rather miss a fact than invent one; whether what is stated is true is not judged.
    Of more than `most` pairs those that hash lowest are kept, and memory never holds more than twice as many.
    """
    found: dict[_Pair, _Found] = {}
    highest = b"\xff" * 32
    last: Row | None = None
    digest = ""
    for row, claim in claims(rows):
        subject, attribute, value, past = _normal(claim)
        pair = (subject.casefold().removeprefix("the "), attribute.casefold())
        if _rank(pair) > highest or PARTED in f"{subject}{attribute}{value}":
            continue
        if not (can_be_asked(subject, attribute) and is_answer(value)):
            continue
        if row is not last:  # a row may be a book of 16 MB, hashed whole
            last, digest = row, row.content_digest
        fact = Fact(subject=subject, attribute=attribute, value=value, kind=value_kind(value), row=digest)
        found[pair] = _outcome(found.get(pair), _Found({spelled_alike(value): replace(fact, past=past)}, past))
        if len(found) > 2 * most:
            found = _lowest(found, most)
            highest = max(map(_rank, found))
    kept = sorted(_lowest(found, most).values(), key=lambda one: (one.first.subject, one.first.attribute))
    besides = (fact for one in kept for fact in one.besides)
    return Stated(facts=tuple(one.first for one in kept if not one.disputed), besides=tuple(besides))


def _outcome(old: _Found | None, new: _Found) -> _Found:
    """What becomes of a pair of which `old` was found before."""
    if old is None or (old.past and not new.past):
        return new
    if (new.past and not old.past) or new.told.keys() <= old.told.keys() or len(old.told) == VALUES:
        return old
    return _Found({**old.told, **new.told}, old.past)


def _sort(fact: Fact) -> str:
    """The kind, of numbers with the unit by its sign: metres and m are one."""
    return spelled_alike(fact.kind.replace("number", "1", 1)) if fact.kind.startswith("number ") else fact.kind


def _rank(pair: _Pair) -> bytes:
    return hashlib.sha256("\0".join(pair).encode()).digest()


def _lowest(found: dict[_Pair, _Found], most: int) -> dict[_Pair, _Found]:
    return {pair: found[pair] for pair in heapq.nsmallest(most, found, key=_rank)} if len(found) > most else found


def _normal(claim: Claim) -> Claim:
    subject, attribute, value = (unicodedata.normalize("NFC", part) for part in claim[:3])
    if subject.startswith("The "):
        subject = "the " + subject.removeprefix("The ")
    lowered = (
        word if (len(word) > 1 and word.isupper()) or any(map(str.isdigit, word)) else word.lower()
        for word in attribute.split()
    )
    value = _LIST_GOES_ON.sub("", value).removesuffix(".")
    if _LETTERS_WITH_STOPS.search(value):  # p.m., the U.S.
        value += "."
    return Claim(" ".join(subject.split()), " ".join(lowered), " ".join(value.split()), claim.past)
