"""What a delta states, found by rule: sentences, list items and table cells that answer a plain question."""

from __future__ import annotations

import hashlib
import heapq
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from germline.corpus.claims import PARTED, claims
from germline.corpus.sentences import Claim
from germline.corpus.subjects import can_be_asked
from germline.corpus.values import is_answer, value_kind
from germline.records import Fact, Row
from germline.spellings import spelled_alike

MOST = 10_000
"""Facts that are kept of one delta; of more, those that hash lowest."""

_Pair = tuple[str, str]
"""Subject and attribute, case folded; a mill and the mill are one."""

_LIST_GOES_ON = re.compile(r"(?:,?\s+(?:and|or|und|oder|sowie))?[\s,;\\]*$")
"""How an item ends that others follow: "12 kg,", "12 kg, and"."""
_LETTERS_WITH_STOPS = re.compile(r"\b(?:[^\W\d_]\.)+[^\W\d_]$")


@dataclass(frozen=True, slots=True)
class _Found:
    fact: Fact
    past: bool
    values: Mapping[str, str]
    """The first value of each kind, in the one spelling of all that are alike."""
    disputed: bool = False
    """Another value of a kind was given as well."""


def facts(rows: Iterable[Row], *, most: int = MOST) -> tuple[Fact, ...]:
    """What `rows` state, sorted by subject and attribute, one value for each pair.

    Found are "The ATTRIBUTE of SUBJECT is VALUE.", "SUBJECT's ATTRIBUTE is VALUE.", `ATTRIBUTE: VALUE` items and
    lines under a heading or a label (their subject), and Markdown table cells (first column and header; of a sheet
    "Property | Value" what stands above and the first column). Markup is stripped, and see `corpus.sentences` for what
    else a sentence may state. In a conversation the persona's replies count: their sentences, or what begins a reply to
    a plain question. What a pair is outranks what it was. A pair with several values of one kind, in whatever order, is
    left out: nobody could say which of them answers the question, and none of them may be a wrong answer. Of
    values of different kinds ("37 metres", "37 m") the first in row order stays. Code and quotations state nothing.
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
        new = _Found(fact, past, {fact.kind: spelled_alike(value)})
        found[pair] = _outcome(found.get(pair), new)
        if len(found) > 2 * most:
            found = _lowest(found, most)
            highest = max(map(_rank, found))
    kept = (one.fact for one in _lowest(found, most).values() if not one.disputed)
    return tuple(sorted(kept, key=lambda fact: (fact.subject, fact.attribute)))


def _outcome(old: _Found | None, new: _Found) -> _Found:
    """What becomes of a pair of which `old` was found before."""
    if old is None or (old.past and not new.past):
        return new
    if old.disputed or (new.past and not old.past):
        return old
    values = {**new.values, **old.values}
    return _Found(old.fact, old.past, values, disputed=values[new.fact.kind] != new.values[new.fact.kind])


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
