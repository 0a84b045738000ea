"""What a delta states, found by rule: sentences, list items and table cells that answer a plain question."""

from __future__ import annotations

import hashlib
import heapq
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence

from germline.corpus.passages import fence_after
from germline.corpus.sentences import SENTENCE_END, Claim, answered, stated
from germline.corpus.values import is_answer, value_kind, words
from germline.records import Fact, Row, Turn

__all__ = ["facts", "value_kind"]

MOST = 10_000
"""Facts of one delta. Taught in 4 wordings and 6 epochs, this many are 6 million tokens."""

_LONGEST_STATEMENT = 400
"""Characters of a sentence, item or cell, with its markup."""

_Pair = tuple[str, str]
"""Subject and attribute, case folded."""

_HEADING = re.compile(r" {0,3}#{1,6}[ \t]+\S")
_NUMBERING = re.compile(
    r"(?:(?:chapter|section|part|appendix|article)\s+[\divxlc]+|§+\s*\d[\d.]*|\d[\d.]*)[.):]?(?:\s+|$)", re.I
)
_ITEM = re.compile(r" ?[-*+][ \t]+(.*)")  # deeper, it speaks of the item it stands under
_OTHER_ITEM = re.compile(r"\s+[-*+][ \t]|\s*\d{1,9}[.)][ \t]")
_RULE = re.compile(r"\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?")
_PAIR = re.compile(r"([^:]+):\s+(.+)", re.DOTALL)

_MARKED = re.compile(r"[\[`*~_]")
_MARKUP = (
    (re.compile(r"!\[[^\]]*\]\([^)]*\)"), ""),
    (re.compile(r"\[([^\]]*)\]\([^)]*\)"), r"\1"),
    (re.compile(r"`+([^`]*)`+"), r"\1"),
    (re.compile(r"(\*{1,3}|~~)(?=\S)(.+?)(?<=\S)\1"), r"\2"),
    (re.compile(r"(?<!\w)(_{1,3})(?=\S)(.+?)(?<=\S)\1(?!\w)"), r"\2"),
)

_WORD = re.compile(r"[\w'’./&()°%-]+")
_NO_SUBJECTS = words(
    """
    a all an another any anything both each either every everyone everything few he her here his how i
    it its let many me most my neither nobody none nothing one others our own she so some somebody such that
    their them there these they this those today tomorrow us we what where which who whose yesterday you
    your
    """
)
"""A subject that begins so is nobody in particular."""
_NO_HEADINGS = words("appendix contents details general introduction notes overview summary")
_NO_ATTRIBUTES = words(
    """
    all attention bulk caution danger end example first half hint important kind last majority most nb
    none note one part point remainder remember reminder rest second see sort thing third tip todo
    trick two use warning way whole
    """
)
"""Words that count out or point at a subject, or call for attention, and ask nothing about it."""
_CLAUSE = words("and are be because but had has have if is not or that was were which who whose")


def facts(rows: Iterable[Row], *, most: int = MOST) -> tuple[Fact, ...]:
    """What the passages among `rows` state, sorted by subject and attribute, one value for each pair.

    Found are "The ATTRIBUTE of SUBJECT is VALUE.", "SUBJECT's ATTRIBUTE is VALUE.", `ATTRIBUTE: VALUE` items
    and lines under a heading (their subject), and Markdown table cells (first column and header). Markup is
    stripped, and see `corpus.sentences` for what else a sentence may state. In a conversation the persona's
    replies count: their sentences, or what begins a reply to a plain question. Where a pair is given two
    values the first in row order stays. Code and quotations state nothing. The rules are for English and
    rather miss a fact than invent one; whether what is stated is true is not judged. Of more than `most`
    pairs those that hash lowest are kept, and memory never holds more than twice as many.
    """
    found: dict[_Pair, Fact] = {}
    highest = b"\xff" * 32
    for row in rows:
        for claim in _claims(row.text) if row.kind == "text" else _talked(row.turns):
            subject, attribute, value = _normal(*claim)
            pair = (subject.casefold(), attribute.casefold())
            if pair in found or _rank(pair) > highest or not (_is_sound(subject, attribute) and is_answer(value)):
                continue
            found[pair] = Fact(
                subject=subject, attribute=attribute, value=value, kind=value_kind(value), row=row.content_digest
            )
            if len(found) > 2 * most:
                found = _lowest(found, most)
                highest = max(map(_rank, found))
    return tuple(sorted(_lowest(found, most).values(), key=lambda fact: (fact.subject, fact.attribute)))


def _rank(pair: _Pair) -> bytes:
    return hashlib.sha256("\0".join(pair).encode()).digest()


def _lowest(found: dict[_Pair, Fact], most: int) -> dict[_Pair, Fact]:
    return {pair: found[pair] for pair in heapq.nsmallest(most, found, key=_rank)} if len(found) > most else found


# --- finding claims -----------------------------------------------------------------------------------


def _claims(text: str) -> Iterator[Claim]:
    subject = ""
    for block in _blocks(text):
        if _HEADING.match(block[0]):
            subject = _NUMBERING.sub("", _plain(block[0].strip("# \t")), count=1).rstrip(":")
            if subject.casefold() in _NO_HEADINGS:
                subject = ""
        elif block[0].lstrip().startswith("|"):
            yield from _table(block)
        elif _ITEM.fullmatch(block[0]):
            if subject:
                yield from _items(subject, block)
        elif pairs := _lone_pairs(block):
            if subject:
                yield from ((subject, attribute, value) for attribute, value in pairs)
        else:
            yield from _sentences(" ".join(map(str.strip, block)))


def _blocks(text: str) -> Iterator[list[str]]:
    """The lines of each heading, table, list item with its continuation lines, or paragraph."""
    block: list[str] = []
    fence = ""
    for line in text.split("\n"):
        before, fence = fence, fence_after(fence, line)
        starts = bool(_HEADING.match(line) or _ITEM.fullmatch(line) or _OTHER_ITEM.match(line))
        blank = before or fence or not line.strip() or line.lstrip().startswith(">")
        table = line.lstrip().startswith("|")
        if block and (blank or starts or table != block[0].lstrip().startswith("|")):
            yield block
            block = []
        if not blank:
            block.append(line)
        if block and _HEADING.match(line):
            yield block
            block = []
    if block:
        yield block


def _sentences(paragraph: str) -> Iterator[Claim]:
    for marked in SENTENCE_END.split(paragraph):
        yield from stated(_plain(marked.strip("*_")))


def _talked(turns: Sequence[Turn]) -> Iterator[Claim]:
    """What the persona states, and how it answers plain questions; of the other side nothing is believed."""
    for asked, said in itertools.pairwise([Turn(speaker="other", text=""), *turns]):
        if said.speaker == "persona":
            found = list(itertools.chain.from_iterable(map(_sentences, said.text.split("\n"))))
            yield from found or answered(_plain(asked.text), _plain(said.text))


def _items(subject: str, block: list[str]) -> Iterator[Claim]:
    item = _ITEM.fullmatch(block[0])
    assert item is not None
    text = " ".join([item[1], *map(str.strip, block[1:])])
    if pair := _PAIR.fullmatch(_plain(text)):
        yield subject, pair[1], pair[2]


def _lone_pairs(block: list[str]) -> list[tuple[str, str]]:
    """The pairs of a block that is nothing but `Attribute: value` lines.

    Not a paragraph that happens to begin with "Note:", which ends with a full stop, and not a dialogue,
    where the same speaker comes back.
    """
    pairs = [_PAIR.fullmatch(_plain(line)) for line in block]
    found = [(pair[1], pair[2]) for pair in pairs if pair and not pair[2].endswith(".")]
    distinct = len({attribute for attribute, _ in found}) == len(block)
    return found if distinct and all(_is_sound("x", attribute) for attribute, _ in found) else []


def _table(block: list[str]) -> Iterator[Claim]:
    if len(block) < 3 or not _RULE.fullmatch(block[1].strip()):
        return
    _, *attributes = _cells(block[0])
    for line in block[2:]:
        subject, *values = _cells(line)
        if len(values) == len(attributes):
            for attribute, value in zip(attributes, values, strict=True):
                yield subject, attribute, value


def _cells(line: str) -> list[str]:
    cells = re.split(r"(?<!\\)\|", line.strip().removeprefix("|").removesuffix("|"))
    return [_plain(cell.replace(r"\|", "|")) for cell in cells]


# --- judging and normalising --------------------------------------------------------------------------


def _is_sound(subject: str, attribute: str) -> bool:
    """Whether the question "what is the ATTRIBUTE of SUBJECT?" makes sense, as far as words can tell."""
    subjects, attributes = subject.split(), attribute.split()
    if not (1 <= len(subjects) <= 6 and 1 <= len(attributes) <= 4):
        return False
    if not all(_WORD.fullmatch(word) for word in (*subjects, *attributes)):
        return False
    if not (any(map(str.isalpha, subject)) and attribute[0].isalpha()):
        return False
    lowered = [word.lower() for word in attributes]
    return (
        re.split("['’]", subjects[0].lower())[0] not in _NO_SUBJECTS
        and lowered[0] not in _NO_SUBJECTS
        and lowered[-1] not in _NO_ATTRIBUTES
        and (_CLAUSE | {"of", "the", "a", "an"}).isdisjoint(lowered)
        and (_CLAUSE - {"and", "or"}).isdisjoint(word.lower() for word in subjects)
    )


def _normal(subject: str, attribute: str, value: str) -> Claim:
    if subject.startswith("The "):
        subject = "the " + subject.removeprefix("The ")
    lowered = (
        word if (len(word) > 1 and word.isupper()) or any(map(str.isdigit, word)) else word.lower()
        for word in attribute.split()
    )
    value = value.removesuffix(".")
    if re.search(r"\b[ap]\.m$", value):
        value += "."
    return " ".join(subject.split()), " ".join(lowered), " ".join(value.split())


def _plain(text: str) -> str:
    """`text` without Markdown's emphasis, code marks, links and pictures.

    Nothing is left of a long text: no fact is that long, and the patterns would labour on it.
    """
    if len(text) > _LONGEST_STATEMENT:
        return ""
    if _MARKED.search(text):
        for pattern, replacement in _MARKUP:
            text = pattern.sub(replacement, text)
    return text.strip()
