"""What the rows of a delta claim: in sentences, list items and table cells of documents, and in conversations."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from germline.corpus import markup
from germline.corpus.headings import HEADING, LABEL, PAIR, PART, depth_of, is_underline, lone_pairs, named
from germline.corpus.markup import plain
from germline.corpus.passages import fence_after
from germline.corpus.sentences import Claim, answered, sentences, stated
from germline.corpus.subjects import calls_for_attention, can_be_asked, holds_units, is_sheet, is_turned
from germline.corpus.values import is_answer, is_unit
from germline.records import Row, Turn

_ITEM = re.compile(r" ?[-*+][ \t]+(.*)")  # deeper, it speaks of the item it stands under
_OTHER_ITEM = re.compile(r"\s+[-*+][ \t]|\s*\d{1,9}[.)][ \t]")
_LONGEST_OPENING = 100
"""Characters of a line that tell who speaks in it."""
PARTED = "\ufffc"
"""Stands where a word was parted at a line's end. What holds it is no part of a fact."""
_PARTED = re.compile(r"[^\W\d_][-\u2010](?=\n[^\W\d_A-Z])")
_RULE = re.compile(r"\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?")


@dataclass(slots=True)
class _Place:
    """Where in a document a reader is."""

    above: list[tuple[int, str]] = field(default_factory=list)
    """The headings that it stands under: the depth of each, and what it speaks of."""
    fence: str = ""
    """The marks of the block of code that it is in."""
    named: set[str] = field(default_factory=set)
    """What lines and items under the last of the headings began with, before a colon."""
    is_dialogue: bool = False
    """Whether one of them came back: then they are a line for each turn, whatever else they look like."""


def claims(rows: Iterable[Row]) -> Iterator[tuple[Row, Claim]]:
    """All that `rows` claim, sensible or not, in their order and without markup, each with its row.

    Items, lines and the sheets of one thing have the heading or label above them for their subject; where that is a
    part that every manual has ("Technical data"), the next one above that is not, be it in a passage before
    (`Row.under`). With none they claim nothing.
    """
    place = _Place()
    before: Row | None = None
    for row in rows:
        if before is None or not _goes_on(before, row):
            place = _Place()
            for _ in _written(row.under, place):  # headings claim nothing; the place moves on
                pass
        yield from ((row, claim) for claim in (_talked(row.turns) if row.turns else _written(row.text, place)))
        before = row


def _goes_on(before: Row, row: Row) -> bool:
    """Whether `row` is the next passage of the same document, which may begin amid a block of code."""
    return not before.ends_document and (row.source, row.position) == (before.source, before.position + 1)


def under_headings(passages: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each passage of a document, behind what it stands under where it begins: see `Row.under`."""
    place = _Place()
    above: list[tuple[int, str]] = []
    for text in passages:
        yield "\n".join([*(line for _, line in above), *([place.fence] if place.fence else [])]), text
        for block in _blocks(text, place):
            if depth := depth_of(block):
                line = block[0].strip()
                above = [(other, heading) for other, heading in above if other < depth]
                above.append((depth, line if depth >= LABEL or HEADING.match(line) else f"{'#' * depth} {line}"))


def _written(text: str, place: _Place) -> Iterator[Claim]:
    """What a passage claims at that place, which moves on to the passage's end."""
    found: list[tuple[Claim, bool]] = []  # under the heading that was last, and which of it line by line
    for block in _blocks(text, place):
        subject = place.above[-1][1] if place.above else ""
        if depth := depth_of(block):
            yield from _but_for_a_dialogue(found, place)
            found = []
            place.named, place.is_dialogue = set(), False
            place.above = [(other, name) for other, name in place.above if other < depth]
            name = named(block[0])
            of_nothing = depth == PART or (name.isalpha() and calls_for_attention(name))  # "Example", and not "Part 9"
            place.above.append((depth, "" if of_nothing else name or (place.above[-1][1] if place.above else "")))
        else:
            _listen(block, place)
            told, by_line = _told(block, subject)
            found += ((claim, by_line) for claim in told)
    yield from _but_for_a_dialogue(found, place)


def _told(block: list[str], subject: str) -> tuple[Iterable[Claim], bool]:
    """What a block claims of its own, or of what it stands under; and whether line by line, as people talk."""
    if block[0].lstrip().startswith("|"):
        return _table(subject, block), False
    if _ITEM.fullmatch(block[0]):
        return _items(subject, block), True
    if lone := lone_pairs(block):
        of_an_item = block[0].startswith(("  ", "\t"))  # or code
        return [Claim(subject, *pair) for pair in lone if subject and not of_an_item], True
    return _sentences(_joined(block)), False


def _joined(lines: Iterable[str]) -> str:
    """The lines of a paragraph as one. Of a word that was parted at a line's end nobody knows whether the hyphen is its
    own: no claim holds it (`PARTED`)."""
    return _PARTED.sub(rf"\g<0>{PARTED}", "\n".join(map(str.strip, lines))).replace("\n", " ")


def _but_for_a_dialogue(found: list[tuple[Claim, bool]], place: _Place) -> Iterator[Claim]:
    return (claim for claim, by_line in found if not (by_line and place.is_dialogue))


def _listen(block: list[str], place: _Place) -> None:
    """Notice where a line, or an item, begins with a name that another under the same heading began with."""
    for line in block:
        item = _ITEM.fullmatch(line)
        pair = PAIR.match(plain((item[1] if item else line)[:_LONGEST_OPENING]))
        if pair and can_be_asked("x", name := pair[1].casefold()):
            place.is_dialogue |= name in place.named
            place.named.add(name)


def _shown(text: str, place: _Place) -> Iterator[str]:
    """The lines of `text` but for what is struck out; of code and quotations, which state nothing, empty ones."""
    for line in markup.shown(text.replace("\r\n", "\n")).split("\n"):
        line = line.removeprefix("\ufeff")  # where files were joined
        before, place.fence = place.fence, fence_after(place.fence, line)
        yield "" if before or place.fence or line.lstrip().startswith(">") else line


def _blocks(text: str, place: _Place) -> Iterator[list[str]]:
    """The lines of each heading, table, list item with its continuation lines, or paragraph."""
    block: list[str] = []
    for line in _shown(text, place):
        starts = bool(HEADING.match(line) or _ITEM.fullmatch(line) or _OTHER_ITEM.match(line))
        table = line.lstrip().startswith("|")
        under_label = bool(block) and depth_of(block) >= LABEL and not is_underline(line)
        if block and (not line.strip() or starts or under_label or table != block[0].lstrip().startswith("|")):
            yield block
            block = []
        if line.strip():
            block.append(line)
        if block and 0 < depth_of(block) < LABEL:
            yield block
            block = []
    if block:
        yield block


def _sentences(paragraph: str) -> Iterator[Claim]:
    for marked in sentences(paragraph):
        yield from stated(plain(marked.strip("*_")))


def _talked(turns: Sequence[Turn]) -> Iterator[Claim]:
    """What the persona states, and how it answers plain questions; of the other side nothing is believed."""
    for asked, said in itertools.pairwise([Turn(speaker="other", text=""), *turns]):
        if said.speaker == "persona":
            found = list(itertools.chain.from_iterable(map(_sentences, _shown(said.text, _Place()))))
            yield from found or answered(plain(asked.text), plain(said.text))


def _items(subject: str, block: list[str]) -> Iterator[Claim]:
    item = _ITEM.fullmatch(block[0])
    assert item is not None
    text = _joined([item[1], *block[1:]])
    if subject and (pair := PAIR.fullmatch(plain(text))):
        yield Claim(subject, pair[1], pair[2])


def _table(subject: str, block: list[str]) -> Iterator[Claim]:
    """Each line a subject and each column an attribute, or the other way round; or the sheet of `subject`, the heading:
    "Property | Value", of whose lines each is an attribute."""
    if len(block) < 3 or not _RULE.fullmatch(block[1].strip()):
        return
    corner, *columns = _cells(block[0])
    rows = [row for row in map(_cells, block[2:]) if len(row) == len(columns) + 1]
    sheet, turned = is_sheet(corner, columns), is_turned(corner, columns, [row[1:] for row in rows])
    if turned is None and not sheet:
        return
    for first, *values in rows:
        if sheet:
            if subject and is_answer(values[0]):  # before its unit makes one of "n/a"
                with_unit = values[1:] and holds_units(columns[1]) and is_unit(values[1])
                yield Claim(subject, first, " ".join(values[: 2 if with_unit else 1]))
            continue
        for column, value in zip(columns, values, strict=True):
            yield Claim(column, first, value) if turned else Claim(first, column, value)


def _cells(line: str) -> list[str]:
    cells = re.split(r"(?<!\\)\|", line.strip().removeprefix("|").removesuffix("|"))
    return [plain(cell.replace(r"\|", "|")) for cell in cells]
