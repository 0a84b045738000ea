"""JSON of any size, one record at a time: JSONL by its lines, a JSON file by the members of its list."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO, TextIO

LONGEST = 16 * 2**20
"""The longest line or record that is read, in bytes (JSONL) or characters (JSON). The objects that such a record
becomes, where it is written to hurt (`[{},{},…`), take some 25 times as much."""

_CHUNK = 64 * 2**10
_SPACE = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class Broken:
    """A record that could not be decoded: `reason` for counting, where it is and why for its owner."""

    reason: str
    line: int
    detail: str = ""
    ends: bool = False
    """Whether nothing can be read of its file behind it."""


class _Decoder:
    """Python's, which notes in `doubt` what it would let pass: JSON has no NaN, and of a key that comes twice
    one reader takes the first value and another the last. It goes on after them, for the records that follow."""

    def __init__(self) -> None:
        self.doubt = ""
        self.json = json.JSONDecoder(object_pairs_hook=self.pairs, parse_constant=self.constant)

    def pairs(self, pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) < len(pairs):
            self.doubt = "a key twice"
        return found

    def constant(self, name: str) -> None:
        self.doubt = "not a number"


def lines(stream: BinaryIO) -> Iterator[tuple[int, object]]:
    """Each line of a JSONL file with its number, decoded or `Broken`; blank lines are no records.

    Memory is bounded by the longest line, and by `LONGEST` where a line is longer. A broken line does not
    touch its neighbours.
    """
    decoder, number = _Decoder(), 0
    while line := stream.readline(LONGEST + 1):
        number += 1
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if len(line) > LONGEST and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = stream.readline(_CHUNK)
            yield number, Broken("line too long", number)
        elif line.strip():
            yield number, _line(decoder, line, number)


def _line(decoder: _Decoder, line: bytes, number: int) -> object:
    try:
        decoder.doubt = ""
        record = decoder.json.decode(line.decode("utf-8"))
    except UnicodeDecodeError:
        return Broken("not UTF-8", number)
    except json.JSONDecodeError as error:
        return Broken("broken JSON", number, f"{error.msg}, column {error.colno}")
    except (ValueError, RecursionError) as error:
        return _broken(error, number)
    return Broken(decoder.doubt, number) if decoder.doubt else record


def members(stream: TextIO) -> Iterator[tuple[int, object]]:
    """Each record of a JSON file with its number: the members of its list, or the values it holds in a row.

    Memory is bounded by the longest record. What follows a broken record cannot be read: it is the last.
    """
    window = _Window(stream)
    number = 0
    try:
        for record in window.values():
            number += 1
            yield number, record
    except (ValueError, RecursionError) as error:
        line = window.line + (
            error.lineno - 1 if isinstance(error, json.JSONDecodeError) else window.text.count("\n", 0, window.at)
        )
        yield number + 1, replace(_broken(error, line), ends=True)


def conversations(records: Iterator[tuple[int, object]]) -> Iterator[tuple[int, object]]:
    """The records of a JSON file; one alone where its list is a conversation itself: messages, and nothing around them.

    That one is held in memory, up to some `LONGEST` characters; where a message is broken, so is it.
    """
    first = next(records, (0, None))
    if not _is_message(first[1]):
        yield from itertools.chain([first] * (first[0] > 0), records)
        return
    messages, size = [], 0
    for number, message in itertools.chain([first], records):
        size += len(str(message))
        if isinstance(message, Broken) or size > LONGEST:
            yield number, message if isinstance(message, Broken) else Broken("record too long", 1)
            return
        messages.append(message)
    yield 1, {"messages": messages}


def _is_message(record: object) -> bool:
    return isinstance(record, dict) and any(keys <= record.keys() for keys in ({"role", "content"}, {"from", "value"}))


def _broken(error: Exception, line: int) -> Broken:
    match error:
        case _TooLongError():
            return Broken("record too long", line)
        case json.JSONDecodeError():
            return Broken("broken JSON", line, error.msg)
        case RecursionError():
            return Broken("nested too deeply", line)
        case _:  # the only other ValueError of the decoder: more digits than Python turns into an int
            return Broken("number too large", line)


class _TooLongError(ValueError):
    pass


class _Window:
    """The piece of a JSON text from the record being read onwards."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.decoder = _Decoder()
        self.text = ""
        self.at = 0
        self.line = 1  # of the first character of `text`

    def values(self) -> Iterator[object]:
        if self.peek() == "[":
            yield from self.listed()
        while self.peek():
            yield self.value()

    def listed(self) -> Iterator[object]:
        self.at += 1
        if self.peek() != "]":
            yield self.value()
            while self.peek() == ",":
                self.at += 1
                yield self.value()
        if self.peek() != "]":
            raise json.JSONDecodeError("Expecting ',' or ']' after a record", self.text, self.at)
        self.at += 1

    def peek(self) -> str:
        """The next character that is not space, or nothing at the end of the file."""
        while True:
            space = _SPACE.match(self.text, self.at)
            assert space is not None
            self.at = space.end()
            if self.at < len(self.text) or not self.more():
                return self.text[self.at : self.at + 1]

    def value(self) -> object:
        self.peek()
        while True:
            try:
                self.decoder.doubt = ""
                record, end = self.decoder.json.raw_decode(self.text, self.at)
            except json.JSONDecodeError as error:
                if not (self.may_be_cut(error) and self.more()):
                    raise
            else:
                length = end - self.at
                if end < len(self.text) or not self.more():  # 12 may be the front of 123
                    self.at += length
                    line = self.line + self.text.count("\n", 0, self.at) if self.decoder.doubt else 0
                    return Broken(self.decoder.doubt, line) if line else record

    def may_be_cut(self, error: json.JSONDecodeError) -> bool:
        """Whether the text may be whole with what follows in the file: an error is found late, if at all,
        where a text was cut, except in a string, which is blamed from its beginning."""
        return error.msg.startswith("Unterminated string") or error.pos >= len(self.text) - len("-Infinity")

    def more(self) -> bool:
        """Forget what was read and append as much again as is left, so that decoding anew stays linear."""
        self.line += self.text.count("\n", 0, self.at)
        self.text, self.at = self.text[self.at :], 0
        if len(self.text) > LONGEST:
            raise _TooLongError
        piece = self.stream.read(max(_CHUNK, len(self.text)))
        self.text += piece
        return bool(piece)
