"""The delta as immutable files: what is trained on, what is held out, and what was refused."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from germline.corpus.facts import facts
from germline.errors import DataError
from germline.records import Delta, Digest, Refusal, Row, Turn, canonical_json, digest_of_delta, plain
from germline.store import disk

BEGINNINGS = ("# Gull Rock", "# Gull Rock\n```", "# Gull Rock\n~~~")
"""What a passage states may hang on a heading above it, and on whether it begins amid a block of code: its content
alone decides, wherever it stands."""


def snapshot(rows: Iterable[Row | Refusal], directory: Path, *, heldout_share: float) -> Delta:
    """Write `rows` to `train.jsonl` and `heldout.jsonl` in `directory`, and refusals to `refused.jsonl`.

    A row is held out by its content alone, never by its place or company, so that a text once held out is
    held out in every generation. The share is therefore met on average, not exactly. A row that states a fact is
    never held out: nobody could know it then, and what is unseen of it are the wordings that exams ask in. Nor is a
    passage of a law, which a child is refused for not keeping. So the share is of the other rows. `train_bytes`
    counts the UTF-8 bytes of text in the training rows. A delta without rows is no error here. `directory` is made;
    the files must not exist, and are durable on return; if `rows` raises, none is left.
    """
    disk.make_directory(directory)
    paths = {name: directory / f"{name}.jsonl" for name in ("train", "heldout", "refused")}
    reasons: Counter[str] = Counter()
    sources: set[str] = set()
    with ExitStack() as stack:
        train, heldout, refused = (_File(stack.enter_context(disk.new_file(p))) for p in paths.values())
        for row in rows:
            sources.add(row.source)
            if isinstance(row, Refusal):
                reasons[row.reason] += 1
                refused.add(row)
            elif is_held_out(row, heldout_share):
                heldout.add(row)
            else:
                train.add(row)
    disk.sync_directory(directory)
    return Delta(
        digest=digest_of_delta(train.digest, heldout.digest),
        train=paths["train"],
        heldout=paths["heldout"],
        train_rows=train.lines,
        heldout_rows=heldout.lines,
        train_bytes=train.text_bytes,
        rows_in=train.lines + heldout.lines + refused.lines,
        refused=dict(sorted(reasons.items())),
        sources=len(sources),
    )


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a file that `snapshot` wrote. They are read anew each time, and never held."""

    path: Path

    def __iter__(self) -> Iterator[Row]:
        return read_rows(self.path)


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a file that `snapshot` wrote, in their order and in constant memory.

    Raises DataError, where it is reached, for a line that `snapshot` would not have written just so. That
    a whole line is missing is for the file's own hash to show, not for this function.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    row = _row(line)
                except (ValueError, TypeError, KeyError, RecursionError):
                    row = None
                if row is None or _line(row) != line:
                    raise DataError(f"{path} line {number} is damaged", hint="make the delta again")
                yield row
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error


class _File:
    """A file of canonical JSON lines, with its books."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.lines = 0
        self.text_bytes = 0

    def add(self, record: Row | Refusal) -> None:
        line = _line(record)
        self._file.write(line)
        self._hash.update(line)
        self.lines += 1
        if isinstance(record, Row):
            self.text_bytes += sum(len(text.encode()) for text in record.texts)

    @property
    def digest(self) -> Digest:
        return f"sha256:{self._hash.hexdigest()}"


def _line(record: Row | Refusal) -> bytes:
    """A record as it stands in its file. Rows had no headings at first, and one without any is still written so."""
    table = plain(record)
    if not table.get("under"):
        table.pop("under", None)
    return canonical_json(table) + b"\n"


def is_held_out(row: Row, share: float) -> bool:
    """See `snapshot`."""
    digits = row.content_digest.removeprefix("sha256:")[:8]
    if int(digits, 16) / 2**32 >= share or row.source.lower().endswith(".law"):
        return False
    return not any(facts([replace(row, under=under)]) for under in ([""] if row.turns else BEGINNINGS))


def _row(line: bytes) -> Row | None:
    fields = json.loads(line)
    turns = tuple(Turn(**turn) for turn in fields.pop("turns"))
    row = Row(**fields, turns=turns)
    sound = (
        row.kind == ("dialog" if turns else "text")
        and type(row.position) is int
        and type(row.ends_document) is bool
        and all(isinstance(text, str) for text in (row.source, row.under, row.text, *row.texts))
        and all(turn.speaker in ("persona", "other") for turn in turns)
    )
    return row if sound else None
