"""Plain text and Markdown, cut into passages small enough to learn and whole enough to mean something."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TextIO

from germline.corpus.headings import HEADING, depth_of

LIMIT = 2_000
"""The most characters in a passage."""

_LONGEST_HEADING = 200
_LONGEST_GAP = 400
_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})(.*)", re.DOTALL)
"""Opens a block of code; one of the same marks, as many or more of them and nothing after, closes it (CommonMark)."""
_TABLE = re.compile(r" {0,3}\|")
_TABLE_HEAD = re.compile(r"[^\n]*\n {0,3}\|[ \t:|-]*-[ \t:|-]*\n")
_LIST = re.compile(r" {0,3}(?:[-*+]|\d{1,9}[.)])[ \t]|[^\W\d][^:\n]{0,40}: [^\n]{1,80}\n?$")
_INTERRUPTS = re.compile(r" {0,3}(?:(?:[-*+]|1[.)])[ \t]+\S|\|)")
"""What may follow the lines of a paragraph without a blank line; `1962. It was …` may not."""
_CUTS = [re.compile(r".*" + place, re.DOTALL) for place in (r"\n", r"[.!?…]\s", r"\s")]
"""The last line end, sentence end and white space: `.*` is greedy."""


def passages(stream: TextIO) -> Iterator[str]:
    """The text of `stream` in order, as passages of at most `LIMIT` characters, in constant memory.

    A heading opens a passage; paragraphs fill it as long as they fit, and only a paragraph longer than a
    passage is cut: at a line end, else a sentence end, else a space, else anywhere. A list or table that
    opens a passage is preceded by the heading or label above it, and a cut table by its header rows, because its
    cells mean nothing alone: that is the only text that appears twice. Lost are the blank lines and the
    one white space between two passages, and runs of blank lines beyond 400 characters. Underlined (setext)
    headings open no passage; nothing is a heading inside a code fence.
    """
    splitter = _Splitter()
    while piece := stream.readline(LIMIT):  # never a whole line: a file may be one line of a gigabyte
        yield from splitter.take(piece)
    yield from splitter.finish()


class _Splitter:
    """The passage being filled, the block (paragraph, list or table) being gathered, and the gap between."""

    def __init__(self) -> None:
        self.passage = ""
        self.bare = True  # the passage holds nothing but headings
        self.gap = ""
        self.block = ""
        self.kind = "prose"
        self.table_head = ""
        self.cut = False  # the block is the rest of one that was cut
        self.heading = ""
        self.fence = ""
        self.line_ended = True

    def take(self, piece: str) -> Iterator[str]:
        starts_line, self.line_ended = self.line_ended, piece.endswith("\n")
        before, self.fence = self.fence, fence_after(self.fence, piece) if starts_line else self.fence
        if starts_line and not (before or self.fence):
            if not piece.strip():
                yield from self.end_block()
                if len(self.gap) + len(piece) <= _LONGEST_GAP:
                    self.gap += piece
                return
            kind = _kind(piece)
            if not self.block or kind == "heading" or (self.kind == "prose" and _INTERRUPTS.match(piece)):
                yield from self.end_block()
                self.kind = kind
        self.block += piece
        if self.kind == "heading":
            yield from self.end_block()
        yield from self.shorten()

    def finish(self) -> Iterator[str]:
        yield from self.end_block()
        if self.passage:
            yield self.passage

    def shorten(self) -> Iterator[str]:
        """Place the front of a block that has outgrown a passage."""
        while len(self.block.rstrip("\n")) > (room := self.room()):
            if self.kind == "table" and not self.table_head:
                head = _TABLE_HEAD.match(self.block)
                self.table_head = head.group() if head and head.end() < room // 2 else ""
            front, rest = _cut(self.block, room, after=len(self.table_head))
            if front.strip():
                yield from self.place(front)
            self.block, self.cut = self.table_head + rest, True

    def room(self) -> int:
        """How long a block may be so that it fits beside the headings it must stand under."""
        lead = len(self.passage) + len(self.gap) if self.bare and not self.cut else 0
        if self.kind in ("list", "table") and self.heading:
            lead = max(lead, len(self.heading) + 2)
        return LIMIT - lead

    def end_block(self) -> Iterator[str]:
        block = self.block.rstrip("\n")
        if block.strip():
            yield from self.place(block)
        self.gap += self.block[len(block) :][:_LONGEST_GAP]
        self.block, self.kind, self.table_head, self.cut = "", "prose", "", False

    def place(self, text: str) -> Iterator[str]:
        """Append `text` to the passage, or to a new one where it does not belong or fit."""
        new_section = self.kind == "heading" and not self.bare
        too_long = len(self.passage) + len(self.gap) + len(text) > LIMIT
        if self.passage and (new_section or self.cut or too_long):
            yield self.passage
            self.passage, self.bare = "", True
        if not self.passage:
            self.gap = ""
            if self.kind in ("list", "table") and self.heading:
                self.passage, self.gap = self.heading, "\n\n"
        if self.kind == "heading" or not self.cut:
            self.heading = _stands_over(text) or self.heading
        self.passage += self.gap + text
        self.bare = self.bare and self.kind == "heading" and len(self.passage) <= LIMIT // 2
        self.gap = ""


def fence_after(open_fence: str, line: str) -> str:
    """The marks that opened the block of code in which the text after `line` lies; empty where it lies in none."""
    found = _FENCE.match(line)
    if not open_fence:
        return found[1] if found else ""
    closes = found and found[1].startswith(open_fence) and not found[2].strip()
    return "" if closes else open_fence


def _kind(line: str) -> str:
    if HEADING.match(line) and len(line) <= _LONGEST_HEADING:
        return "heading"
    if _TABLE.match(line):
        return "table"
    return "list" if _LIST.match(line) else "prose"


def _stands_over(block: str) -> str:
    """The heading or label that a block is, or begins with; empty where it is neither, or as long as a paragraph."""
    lines = block.split("\n", 2)
    found = next((lines[:count] for count in (2, 1) if depth_of(lines[:count])), [])
    return "\n".join(found) if len("\n".join(found)) <= _LONGEST_HEADING else ""


def _cut(text: str, room: int, after: int) -> tuple[str, str]:
    """`text` in two at the best place beyond `after` where the front is at most `room` long."""
    for cut in _CUTS:
        if match := cut.match(text, after + 1, room + 1):
            return text[: match.end() - 1], text[match.end() :]
    return text[:room], text[room:]
