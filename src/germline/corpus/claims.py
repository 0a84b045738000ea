"""What the rows of a delta claim: in sentences, list items and table cells of documents, and in conversations."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence

from germline.corpus.passages import fence_after
from germline.corpus.sentences import Claim, answered, sentences, stated
from germline.corpus.subjects import can_be_asked, is_generic, is_sheet, is_turned
from germline.corpus.values import is_answer
from germline.records import Row, Turn

_LONGEST_STATEMENT = 400
"""Characters of a sentence, item or cell, with its markup."""

_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+\S")
_NUMBERING = re.compile(
    r"(?:(?:chapter|section|part|appendix|article|kapitel|abschnitt|teil|anhang|artikel)\s+(?:\d[\d.]*|[ivxlc]+)[.):]?"
    r"|§+\s*\d[\d.]*[.):]?"
    r"|\d+(?:\.\d+)*[.):]"  # 1. or 1.2)
    r"|\d{1,2}(?:\.\d+)*(?=\s+(?-i:[^\W\d_a-z][^\W\d_A-Z]{2}))"  # 1 or 1.2 before a word with a capital
    r"(?!\s+(?:volts?|watts?|amps?|inch|zoll|lit(?:er|re)s?|met(?:er|re)s?|tonn?e?s?|bits?|minutes?|hours?|days?)\b)"
    r")(?:\s+|$)",
    re.IGNORECASE,
)
"""What numbers a heading. A number anywhere else tells a thing from its like: Pump 100, Pump 200."""
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


_Above = list[tuple[int, str]]
"""The headings that something stands under: the depth of each, and what it speaks of."""


def claims(rows: Iterable[Row]) -> Iterator[tuple[Row, Claim]]:
    """All that `rows` claim, sensible or not, in their order and without markup, each with its row.

    Items, lines and the sheets of one thing have the heading above them for their subject; where that is a part that
    every manual has ("Technical data"), the next one above that is not, be it in the passage before. With none they
    claim nothing.
    """
    above: _Above = []
    before: Row | None = None
    for row in rows:
        if before is None or not _goes_on(before, row):
            above = []
        yield from ((row, claim) for claim in (_talked(row.turns) if row.turns else _written(row.text, above)))
        before = row


def _goes_on(before: Row, row: Row) -> bool:
    """Whether `row` is the next passage of the same document. Where one is missing, its headings are, too."""
    return not before.ends_document and (row.source, row.position) == (before.source, before.position + 1)


def _written(text: str, above: _Above) -> Iterator[Claim]:
    """What a passage claims under the headings `above`, to which its own are added."""
    for block in _blocks(text):
        subject = above[-1][1] if above else ""
        if heading := _HEADING.match(block[0]):
            depth = len(heading[1])
            above[:] = [(other, name) for other, name in above if other < depth]
            above.append((depth, _named(block[0]) or (above[-1][1] if above else "")))
        elif block[0].lstrip().startswith("|"):
            yield from _table(subject, block)
        elif _ITEM.fullmatch(block[0]):
            if subject:
                yield from _items(subject, block)
        elif pairs := _lone_pairs(block):
            if subject:
                yield from (Claim(subject, attribute, value) for attribute, value in pairs)
        else:
            yield from _sentences(" ".join(map(str.strip, block)))


def _named(heading: str) -> str:
    """What the lines under a heading speak of; empty where it does not say."""
    plain = _plain(heading.strip("# \t"))
    numbering = _NUMBERING.match(plain)
    name = plain[numbering.end() if numbering else 0 :].rstrip(":")
    return "" if is_generic(name) else name


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
    for marked in sentences(paragraph):
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
        yield Claim(subject, pair[1], pair[2])


def _lone_pairs(block: list[str]) -> list[tuple[str, str]]:
    """The pairs of a block that is nothing but `Attribute: value` lines.

    Not a paragraph that happens to begin with "Note:", which ends with a full stop, and not a dialogue,
    where the same speaker comes back.
    """
    pairs = [_PAIR.fullmatch(_plain(line)) for line in block]
    found = [(pair[1], pair[2]) for pair in pairs if pair and not pair[2].endswith(".")]
    distinct = len({attribute for attribute, _ in found}) == len(block)
    return found if distinct and all(can_be_asked("x", attribute) for attribute, _ in found) else []


def _table(subject: str, block: list[str]) -> Iterator[Claim]:
    """Each line a subject and each column an attribute, or the other way round; or the sheet of `subject`, the heading:
    "Property | Value", of whose lines each is an attribute."""
    if len(block) < 3 or not _RULE.fullmatch(block[1].strip()):
        return
    corner, *columns = _cells(block[0])
    sheet, turned = is_sheet(corner, columns), is_turned(corner, columns)
    for line in block[2:]:
        first, *values = _cells(line)
        if len(values) != len(columns):
            continue
        if sheet:
            if subject and is_answer(values[0]):  # before its unit makes one of "n/a"
                yield Claim(subject, first, " ".join(filter(None, values)))
            continue
        for column, value in zip(columns, values, strict=True):
            yield Claim(column, first, value) if turned else Claim(first, column, value)


def _cells(line: str) -> list[str]:
    cells = re.split(r"(?<!\\)\|", line.strip().removeprefix("|").removesuffix("|"))
    return [_plain(cell.replace(r"\|", "|")) for cell in cells]


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
