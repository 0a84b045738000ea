"""A chat as WhatsApp exports it: text, each entry stamped with its time and who says it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from typing import TextIO

from germline.corpus.chat_log import LONGEST, Entry

_HEAD = 2**16
"""Characters in which a log is known by its first line and its speakers."""

_MARKS = "\u200e\u200f\u202a\u202c\ufeff"
"""Which way to write. iOS sets one before what the app says."""
_LINE = re.compile(
    rf"[{_MARKS}]*\[?(?P<date>\d{{1,4}}[./-]\d{{1,2}}[./-]\d{{1,4}}),?\s(?P<hour>\d{{1,2}})[:.](?P<minute>\d\d)"
    r"(?:[:.]\d\d)?(?:\s?(?P<half>[ap])\.?\s?m\.?)?(?:\]\s| - )(?P<said>.*)",
    re.IGNORECASE,
)
_SPEAKER = re.compile(r"(?P<name>[^:]{1,80}?):(?:\s(?P<words>.*))?")
_LEFT_OUT = re.compile(
    r"(?:<[^<>\n]{1,80}>|[\w.-]+\.\w{2,5} \([^()\n]{1,40}\))(?:\n.*)?|null"
    r"|(?:this message was deleted|you deleted this message|diese nachricht wurde gelöscht"
    r"|du hast diese nachricht gelöscht)\.?",
    re.DOTALL | re.IGNORECASE,
)
"""What Android says in the place of a picture or file (`<Media omitted>`, `IMG-1.jpg (file attached)`; what was written
below it goes with it) or of words that were taken back."""
_EDITED = re.compile(rf"\s*[{_MARKS}]*<[^<>\n]*(?:edited|bearbeitet)[^<>\n]*>\s*$", re.IGNORECASE)
_FILE = re.compile(r"(?:^|/)(?:_chat|[^/]*whatsapp[^/]*)\.(?:txt|text)$", re.IGNORECASE)


def is_one(stream: TextIO, file: str, names: Set[str]) -> bool:
    """Whether a text file is such a log: its first line is stamped as its lines are, and it is called as WhatsApp
    calls them, or one of `names` (lower case) speaks near its beginning. A ship's log is a document. The stream is at
    its beginning before and after."""
    head = stream.read(_HEAD)
    stream.seek(0)
    found = [_LINE.fullmatch(line) for line in head.strip().splitlines()]
    if not found or not found[0]:
        return False
    return bool(_FILE.search(file)) or any(_name(line) in names for line in found if line)


def entries(stream: TextIO) -> Iterator[tuple[int, Entry]]:
    """Each entry with the number of its first line. Lines without a stamp belong to the one before; what is longer than
    `LONGEST` goes on in the next."""
    stamped: re.Match[str] | None = None
    lines: list[str] = []
    at = size = told = 0
    for number, line in enumerate(iter(lambda: stream.readline(LONGEST), ""), 1):
        found = _LINE.fullmatch(line.removesuffix("\n"))
        if stamped and (found or size > LONGEST):
            yield at, _entry(stamped, "".join(lines), first=not told)
            lines, at, size, told = [], number, 0, told + 1
        if found:
            stamped, at = found, number
            line = _words(found) + "\n"
        lines.append(line)
        size += len(line)
    if stamped:
        yield at, _entry(stamped, "".join(lines), first=not told)


def _entry(line: re.Match[str], words: str, *, first: bool) -> Entry:
    hour = int(line["hour"])
    if line["half"]:
        hour = hour % 12 + 12 * (line["half"].lower() == "p")
    words = words.strip()
    of_app = words.startswith(tuple(_MARKS))  # so iOS marks what it puts into somebody's mouth: a picture was sent, and
    name = "" if of_app and first else _name(line)  # first of all that everything is encrypted
    return Entry(
        names=(name,) if name else (),
        words=_EDITED.sub("", words).translate(dict.fromkeys(map(ord, _MARKS))),
        date=line["date"],
        minute=60 * hour + int(line["minute"]),
        read=not of_app and not _LEFT_OUT.fullmatch(words),
    )


def _name(line: re.Match[str]) -> str:
    said = _SPEAKER.fullmatch(line["said"])
    return said["name"].strip(f"{_MARKS}~ \u202f\u00a0").lower() if said else ""


def _words(line: re.Match[str]) -> str:
    said = _SPEAKER.fullmatch(line["said"])
    return (said["words"] or "") if said else ""
