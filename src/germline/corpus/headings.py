"""What opens a part of a document, how deep, and what the lines under it speak of."""

from __future__ import annotations

import re

from germline.corpus.markup import plain
from germline.corpus.sentences import stated
from germline.corpus.subjects import calls_for_attention, can_be_asked, is_generic, is_numbered_thing, is_thing

HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+\S")
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
_BOLD = re.compile(r" ?(\*\*|__)(?=\S)(?:(?!\1).)+(?<=\S)\1:?[ \t]*")
_ENDS_IN_COLON = re.compile(r" ?[^\W\d_][^:.!?]{0,60}:[ \t]*")
LABEL, PART = 7, 8
"""The depth of a label, and of a line that names a part of what it stands under: that of a heading is 1 to 6."""
PAIR = re.compile(r"([^:]+):\s+(.+)", re.DOTALL)


def depth_of(block: list[str]) -> int:
    """How deep a heading it is; 0 for what is none. A line is one, too, where the next underlines it, and so is a
    label, deeper than any other but a part."""
    if heading := HEADING.match(block[0]):
        return len(heading[1])
    if is_label(block):
        return LABEL
    if _is_part(block):
        return PART
    line = _UNDERLINE.fullmatch(block[1]) if len(block) == 2 else None
    no_heading = block[0].lstrip().startswith(_NO_HEADINGS) and not is_label(block[:1])
    if not line or no_heading or not _may_stand_over(block[0]):
        return 0
    return 1 if line[1] else 2


def is_label(block: list[str]) -> bool:
    """Whether it is a line by itself that stands over others as a heading does: all of it bold ("**Feed pump**"), or
    a thing told from its like by a number ("Pump 200:"). Not what states something, or calls for attention ("**Note**",
    "Step 1:")."""
    line = block[0]
    bold = _BOLD.fullmatch(line)
    if len(block) > 1 or not (bold or _ENDS_IN_COLON.fullmatch(line)) or not _may_stand_over(line):
        return False
    name = plain(line).rstrip(":")
    is_name = bool(name) and not (calls_for_attention(name) or any(stated(f"{name}.")))
    return is_name and (bold is not None or is_numbered_thing(name))


def _is_part(block: list[str]) -> bool:
    """Whether it is a line by itself like "Motor:". Whether what it stands over speaks of the motor or of the pump, or
    how much the motor of that pump is meant, a reader knows and no rule does: lines under it claim nothing."""
    name = plain(block[0]).rstrip(":")
    is_lone = len(block) == 1 and _ENDS_IN_COLON.fullmatch(block[0]) and _may_stand_over(block[0])
    return bool(is_lone) and is_thing(name) and not calls_for_attention(name)


def is_underline(line: str) -> bool:
    """Whether it makes a heading of the line before it."""
    return _UNDERLINE.fullmatch(line) is not None


def _may_stand_over(line: str) -> bool:
    return not (line.rstrip("*_: \t").endswith(".") or lone_pairs([line]))


def named(heading: str) -> str:
    """What the lines under a heading or label speak of; empty where it does not say."""
    shown = plain(_CLOSING_MARKS.sub("", heading).lstrip("# \t"))
    numbering = _NUMBERING.match(shown)
    name = shown[numbering.end() if numbering else 0 :].rstrip(":")
    if numbering and numbering["part"] and not name:  # a thing has several of them: Part C, Article 5
        return shown.rstrip(":")
    return "" if is_generic(name) else name


def lone_pairs(block: list[str]) -> list[tuple[str, str]]:
    """The pairs of a block that is nothing but `Attribute: value` lines.

    Not a paragraph that happens to begin with "Note:", which ends with a full stop, and not one in which an attribute
    comes back: that is a dialogue.
    """
    pairs = [PAIR.fullmatch(plain(line)) for line in block]
    found = [(pair[1], pair[2]) for pair in pairs if pair and not pair[2].endswith(".")]
    distinct = len({attribute for attribute, _ in found}) == len(block)
    return found if distinct and all(can_be_asked("x", attribute) for attribute, _ in found) else []
