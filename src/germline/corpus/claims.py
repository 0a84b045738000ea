"""What the rows of a delta claim: in sentences, list items and table cells of documents, and in conversations."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from germline.corpus import markup
from germline.corpus.headings import HEADING, LABEL, PAIR, depth_of, is_label, is_underline, lone_pairs, named
from germline.corpus.markup import plain
from germline.corpus.passages import fence_after
from germline.corpus.sentences import Claim, answered, sentences, stated
from germline.corpus.subjects import holds_units, is_sheet, is_turned
from germline.corpus.values import is_answer, is_unit
from germline.records import Row, Turn

_ITEM = re.compile(r" ?[-*+][ \t]+(.*)")  # deeper, it speaks of the item it stands under
_OTHER_ITEM = re.compile(r"\s+[-*+][ \t]|\s*\d{1,9}[.)][ \t]")
_RULE = re.compile(r"\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?")


@dataclass(slots=True)
class _Place:
    """Where in a document a reader is."""

    above: list[tuple[int, str]] = field(default_factory=list)
    """The headings that it stands under: the depth of each, and what it speaks of."""
    fence: str = ""
    """The marks of the block of code that it is in."""


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
                above.append((depth, line if depth == LABEL or HEADING.match(line) else f"{'#' * depth} {line}"))


def _written(text: str, place: _Place) -> Iterator[Claim]:
    """What a passage claims at that place, which moves on to the passage's end."""
    pairs: list[Claim] = []  # lines by themselves, under the heading that was last
    for block in _blocks(text, place):
        subject = place.above[-1][1] if place.above else ""
        if depth := depth_of(block):
            yield from _of_a_thing(pairs)
            pairs = []
            place.above = [(other, name) for other, name in place.above if other < depth]
            place.above.append((depth, named(block[0]) or (place.above[-1][1] if place.above else "")))
        elif block[0].lstrip().startswith("|"):
            yield from _table(subject, block)
        elif _ITEM.fullmatch(block[0]):
            if subject:
                yield from _items(subject, block)
        elif lone := lone_pairs(block):
            if subject and not block[0].startswith(("  ", "\t")):  # indented, it is code or speaks of an item
                pairs += (Claim(subject, attribute, value) for attribute, value in lone)
        else:
            yield from _sentences(" ".join(map(str.strip, block)))
    yield from _of_a_thing(pairs)


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
        under_label = bool(block) and is_label(block) and not is_underline(line)
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
    text = " ".join([item[1], *map(str.strip, block[1:])])
    if pair := PAIR.fullmatch(plain(text)):
        yield Claim(subject, pair[1], pair[2])


def _of_a_thing(pairs: list[Claim]) -> list[Claim]:
    """None of the lines under a heading where one comes back: they are a dialogue then, with a line for each turn."""
    return pairs if len({pair.attribute for pair in pairs}) == len(pairs) else []


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
                with_unit = values[1:] and holds_units(columns[1]) and is_unit(values[1])
                yield Claim(subject, first, " ".join(values[: 2 if with_unit else 1]))
            continue
        for column, value in zip(columns, values, strict=True):
            yield Claim(column, first, value) if turned else Claim(first, column, value)


def _cells(line: str) -> list[str]:
    cells = re.split(r"(?<!\\)\|", line.strip().removeprefix("|").removesuffix("|"))
    return [plain(cell.replace(r"\|", "|")) for cell in cells]
