"""What the rows of a delta claim: in sentences, list items and table cells of documents, and in conversations."""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from germline.corpus.passages import fence_after
from germline.corpus.sentences import Claim, answered, sentences, stated
from germline.corpus.subjects import can_be_asked, holds_units, is_generic, is_sheet, is_turned
from germline.corpus.values import is_answer, is_unit
from germline.records import Row, Turn

_LONGEST_STATEMENT = 400
"""Characters of a sentence, item or cell, with its markup."""

_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+\S")
_CLOSING_MARKS = re.compile(r"[ \t]+#+[ \t]*$")
_UNDERLINE = re.compile(r" {0,3}(?:(={3,})|-{3,})[ \t]*")
_NO_HEADINGS = ("|", "-", "*", "+")
"""How a line begins that is none, though the next be a rule: a table's or a list's."""
_NUMBERING = re.compile(
    r"(?:(?P<part>part|article|teil|artikel)|chapter|section|appendix|kapitel|abschnitt|anhang)"
    r"\s+(?:\d[\d.]*|[ivxlc]+)[.):]?(?:\s+|$)"
    r"|(?:(?:§+|art\.|sec\.)\s*\d[\d.]*[a-z]?(?:\s+abs\.?\s*\d+)?[.):]?"
    r"|\(\d{1,2}\)|(?-i:[IVX]{2,}\.)"
    r"|\d+(?:\.\d+)*[.):]"  # 1. or 1.2)
    r"|\d{1,2}(?:\.\d+)*(?=\s+(?-i:[^\W\d_a-z][^\W\d_A-Z]{2}))"  # 1 or 1.2 before a word with a capital
    r"(?!\s+(?:volts?|watts?|amps?|inch|zoll|lit(?:er|re)s?|met(?:er|re)s?|tonn?e?s?|bits?|minutes?|hours?|days?"
    r"|euros?|cents?|stars?|sterne?|stunden?|tage?|monate?|jahre?|person(?:en|s)?)\b)"
    r")(?:\s+|$)",
    re.IGNORECASE,
)
"""What numbers a heading. A number anywhere else tells a thing from its like: Pump 100, Pump 200."""
_ITEM = re.compile(r" ?[-*+][ \t]+(.*)")  # deeper, it speaks of the item it stands under
_OTHER_ITEM = re.compile(r"\s+[-*+][ \t]|\s*\d{1,9}[.)][ \t]")
_RULE = re.compile(r"\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?")
_PAIR = re.compile(r"([^:]+):\s+(.+)", re.DOTALL)

_STRUCK_OUT = re.compile(r"(?<![~\\])~~(?=[^\s~])(?:[^~\n]|~(?!~))*(?<=[^\s~])~~(?!~)")
_MARKED = re.compile(r"[\[`*_\\<&]")
_LITERAL = re.compile(r"`+([^`]*)`+|\\([^\w\s\\]|_)")
"""Code, and a mark that is meant as it stands."""
_HIDDEN = 0xE000
"""Characters from here on, of private use, stand for what is literal while markup is stripped."""
_PRIVATE = re.compile("[\ue000-\uf8ff]")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z]\w{1,30});")
_TAG = "a|abbr|b|big|code|em|font|i|kbd|mark|small|span|strong|sub|sup|tt|u|var"
_MARKUP = (
    (re.compile(r"!\[[^\]]*\]\([^)]*\)|\[\^[^\]]+\]"), ""),
    (re.compile(r"\[([^\]]*)\](?:\((?:[^()]|\([^()]*\))*\)|\[[^\]]*\])"), r"\1"),
    (re.compile(r"<br[ ]*/?>", re.IGNORECASE), " "),
    (re.compile(rf"</?(?:{_TAG})(?:\s[^<>]*)?>", re.IGNORECASE), ""),
    (re.compile(r"(?<![\w*])(\*{1,3})(?=\S)(.+?)(?<=\S)\1(?![\w*])"), r"\2"),
    (re.compile(r"(?<![\w_])(_{1,3})(?=\S)(.+?)(?<=\S)\1(?!\w)"), r"\2"),
)


@dataclass(slots=True)
class _Place:
    """Where in a document a reader is."""

    above: list[tuple[int, str]] = field(default_factory=list)
    """The headings that it stands under: the depth of each, and what it speaks of."""
    fence: str = ""
    """The marks of the block of code that it is in."""


def claims(rows: Iterable[Row]) -> Iterator[tuple[Row, Claim]]:
    """All that `rows` claim, sensible or not, in their order and without markup, each with its row.

    Items, lines and the sheets of one thing have the heading above them for their subject; where that is a part that
    every manual has ("Technical data"), the next one above that is not, be it in a passage before (`Row.under`). With
    none they claim nothing.
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
            if depth := _depth(block):
                line = block[0].strip()
                above = [(other, heading) for other, heading in above if other < depth]
                above.append((depth, line if _HEADING.match(line) else f"{'#' * depth} {line}"))


def _written(text: str, place: _Place) -> Iterator[Claim]:
    """What a passage claims at that place, which moves on to the passage's end."""
    pairs: list[Claim] = []  # lines by themselves, under the heading that was last
    for block in _blocks(text, place):
        subject = place.above[-1][1] if place.above else ""
        if depth := _depth(block):
            yield from _of_a_thing(pairs)
            pairs = []
            place.above = [(other, name) for other, name in place.above if other < depth]
            place.above.append((depth, _named(block[0]) or (place.above[-1][1] if place.above else "")))
        elif block[0].lstrip().startswith("|"):
            yield from _table(subject, block)
        elif _ITEM.fullmatch(block[0]):
            if subject:
                yield from _items(subject, block)
        elif lone := _lone_pairs(block):
            if subject and not block[0].startswith(("  ", "\t")):  # indented, it is code or speaks of an item
                pairs += (Claim(subject, attribute, value) for attribute, value in lone)
        else:
            yield from _sentences(" ".join(map(str.strip, block)))
    yield from _of_a_thing(pairs)


def _depth(block: list[str]) -> int:
    """How deep a heading it is; 0 for what is none. A line is one, too, where the next underlines it."""
    if heading := _HEADING.match(block[0]):
        return len(heading[1])
    line = _UNDERLINE.fullmatch(block[1]) if len(block) == 2 else None
    if (
        not line
        or block[0].lstrip().startswith(_NO_HEADINGS)
        or block[0].rstrip().endswith(".")
        or _lone_pairs(block[:1])
    ):
        return 0
    return 1 if line[1] else 2


def _named(heading: str) -> str:
    """What the lines under a heading speak of; empty where it does not say."""
    plain = _plain(_CLOSING_MARKS.sub("", heading).lstrip("# \t"))
    numbering = _NUMBERING.match(plain)
    name = plain[numbering.end() if numbering else 0 :].rstrip(":")
    if numbering and numbering["part"] and not name:  # a thing has several of them: Part C, Article 5
        return plain.rstrip(":")
    return "" if is_generic(name) else name


def _shown(text: str, place: _Place) -> Iterator[str]:
    """The lines of `text` but for what is struck out; of code and quotations, which state nothing, empty ones."""
    for line in _STRUCK_OUT.sub("", _without_comments(text.replace("\r\n", "\n"))).split("\n"):
        line = line.removeprefix("\ufeff")  # where files were joined
        before, place.fence = place.fence, fence_after(place.fence, line)
        yield "" if before or place.fence or line.lstrip().startswith(">") else line


def _without_comments(text: str) -> str:
    """Nothing is shown of a comment, and what is never closed is one to its end."""
    shown, *parts = text.split("<!--")
    return shown + "".join(part.partition("-->")[2] for part in parts)


def _blocks(text: str, place: _Place) -> Iterator[list[str]]:
    """The lines of each heading, table, list item with its continuation lines, or paragraph."""
    block: list[str] = []
    for line in _shown(text, place):
        starts = bool(_HEADING.match(line) or _ITEM.fullmatch(line) or _OTHER_ITEM.match(line))
        table = line.lstrip().startswith("|")
        if block and (not line.strip() or starts or table != block[0].lstrip().startswith("|")):
            yield block
            block = []
        if line.strip():
            block.append(line)
        if block and _depth(block):
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
            found = list(itertools.chain.from_iterable(map(_sentences, _shown(said.text, _Place()))))
            yield from found or answered(_plain(asked.text), _plain(said.text))


def _items(subject: str, block: list[str]) -> Iterator[Claim]:
    item = _ITEM.fullmatch(block[0])
    assert item is not None
    text = " ".join([item[1], *map(str.strip, block[1:])])
    if pair := _PAIR.fullmatch(_plain(text)):
        yield Claim(subject, pair[1], pair[2])


def _lone_pairs(block: list[str]) -> list[tuple[str, str]]:
    """The pairs of a block that is nothing but `Attribute: value` lines.

    Not a paragraph that happens to begin with "Note:", which ends with a full stop, and not one in which an attribute
    comes back (`_of_a_thing`).
    """
    pairs = [_PAIR.fullmatch(_plain(line)) for line in block]
    found = [(pair[1], pair[2]) for pair in pairs if pair and not pair[2].endswith(".")]
    distinct = len({attribute for attribute, _ in found}) == len(block)
    return found if distinct and all(can_be_asked("x", attribute) for attribute, _ in found) else []


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
    return [_plain(cell.replace(r"\|", "|")) for cell in cells]


def _plain(text: str) -> str:
    """`text` without Markdown's and HTML's emphasis, code marks, links, footnotes and pictures.

    Nothing is left of a long text: no fact is that long, and the patterns would labour on it.
    """
    if len(text) > _LONGEST_STATEMENT:
        return ""
    if _MARKED.search(text):
        literal: list[str] = []

        def hidden(found: re.Match[str]) -> str:
            literal.append(found[1] or found[2] or "")
            return chr(_HIDDEN + len(literal) - 1)

        text = _LITERAL.sub(hidden, _PRIVATE.sub("", text))
        for pattern, replacement in _MARKUP:
            text = pattern.sub(replacement, text)
        text = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
        text = text.translate({_HIDDEN + place: mark for place, mark in enumerate(literal)})
    return text.strip()
