"""What was answered, what people thought of it, and what that was spent on: one SQLite file in the home.

It is no part of any generation. WAL and synchronous=FULL: once a call returns, what it wrote survives a kill and a
power cut, as far as SQLite promises (https://sqlite.org/pragma.html#pragma_synchronous). Events are appended and never
changed; what was spent is an event's number. Any process may write at any time: SQLite lets them take turns. It holds
what people said, and is its owner's alone to read.
"""

from __future__ import annotations

import errno
import json
import math
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from germline.errors import DoesNotFit, GermlineError, StoreDamaged
from germline.store import disk
from germline.store.home import Home

FILE = "karma.sqlite"
FORMAT = 1
LONGEST = 20_000
"""Characters of a correction."""
_DISK_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}
_TABLES = (
    "CREATE TABLE messages (id TEXT PRIMARY KEY, generation TEXT NOT NULL, time TEXT NOT NULL, exchange TEXT) STRICT",
    """CREATE TABLE events (sequence INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, time TEXT NOT NULL,
    kind TEXT NOT NULL, source TEXT NOT NULL, points REAL NOT NULL, message TEXT REFERENCES messages (id),
    correction TEXT NOT NULL, reason TEXT NOT NULL) STRICT""",
    """CREATE TABLE attempts (number INTEGER PRIMARY KEY AUTOINCREMENT, time TEXT NOT NULL, through INTEGER NOT NULL,
    entries INTEGER NOT NULL, outcome TEXT NOT NULL, ended TEXT NOT NULL) STRICT""",
)


class Unknown(GermlineError):
    """There is no such message: it was never answered here, or karma was not kept then."""


class Conflict(GermlineError):
    """The key of an event was used before, for another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KarmaEvent:
    """`feedback`: points are a score from -1 to 1. `added`: points as they stand."""

    sequence: int
    time: datetime
    kind: Literal["feedback", "added"]
    source: str
    points: float
    message: str | None
    correction: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """An age-up that karma began. It pays with the events up to `through`, if it ends in a promotion."""

    number: int
    time: datetime
    through: int
    entries: int
    """Length of the ledger when it began: what came of it is an entry from there on."""
    outcome: str
    """Empty while it is under way; else as the ledger says, or `failed`, or `not begun`, which cools nothing down."""
    ended: datetime | None


class Book:
    """One connection, used by any thread, one at a time. GermlineError for a file that cannot be used, that another
    program holds for longer than `patience` (seconds), or in whose place there is another since it was opened."""

    def __init__(self, home: Home, *, patience: float = 30.0) -> None:
        self.path, self._patience = home.root / FILE, patience
        self._lock = threading.Lock()
        try:
            _keep_private(self.path)
            self._base = sqlite3.connect(self.path, timeout=patience, isolation_level=None, check_same_thread=False)
            self._write_ahead()
            self._base.execute("PRAGMA synchronous = FULL")
            self._base.execute("PRAGMA foreign_keys = ON")
            self._prepare()
            self._opened = _which(self.path)
        except (sqlite3.Error, OSError) as error:
            raise _explained(self.path, error) from error

    def close(self) -> None:
        self._base.close()

    def remember(
        self, message: str, generation: str, exchange: Sequence[dict[str, str]] | None, *, wait: bool = True
    ) -> None:
        """An answer that may be rated. `exchange`: its words after all before them, where they are kept."""
        kept = None if exchange is None else json.dumps(list(exchange))
        with self._writing(self._patience if wait else 0.0) as base:
            base.execute("INSERT INTO messages VALUES (?, ?, ?, ?)", (message, generation, _now(), kept))

    def feedback(self, message: str, score: float, *, correction: str, source: str, key: str) -> KarmaEvent:
        """Write down what somebody thought of an answer, once for each key. Unknown, Conflict."""
        if not (math.isfinite(score) and -1 <= score <= 1) or len(correction) > LONGEST:
            raise GermlineError("a score lies between -1 and 1, and a correction is shorter than 20,000 letters")
        return self._append("feedback", source, score, message, correction, "", key)

    def add(self, points: float, *, reason: str, source: str, key: str) -> KarmaEvent:
        """Write points down that did not come of an answer, once for each key. Conflict."""
        if not (math.isfinite(points) and abs(points) <= 1e6):
            raise GermlineError("points are a number of at most a million")
        return self._append("added", source, points, None, "", reason, key)

    def events(self) -> list[KarmaEvent]:
        """All of them, in order."""
        columns = "sequence, time, kind, source, points, message, correction, reason"
        rows = self._read(f"SELECT {columns} FROM events ORDER BY sequence")
        return [_event(row) for row in rows]

    def exchanges(self) -> dict[str, list[dict[str, str]]]:
        """The words of each answer that were kept."""
        rows = self._read("SELECT id, exchange FROM messages WHERE exchange IS NOT NULL ORDER BY time, id")
        return {str(name): json.loads(str(words)) for name, words in rows}

    def attempts(self) -> list[Attempt]:
        rows = self._read("SELECT number, time, through, entries, outcome, ended FROM attempts ORDER BY number")
        return [_attempt(row) for row in rows]

    def begin(self, through: int, entries: int) -> Attempt:
        """An age-up begins, to be paid by the events up to `through`."""
        with self._writing() as base:
            values = (_now(), through, entries, "", "")
            base.execute("INSERT INTO attempts (time, through, entries, outcome, ended) VALUES (?, ?, ?, ?, ?)", values)
        return self.attempts()[-1]

    def end(self, attempt: Attempt, outcome: str) -> None:
        """What came of it. Told twice, the first holds, but for a proposal: refused, it may yet be promoted."""
        with self._writing() as base:
            still_open = "(outcome IN ('', 'proposed') OR outcome = 'refused' AND ? = 'promoted')"
            base.execute(f"UPDATE attempts SET outcome = ?, ended = ? WHERE number = ? AND {still_open}",
                         (outcome, _now(), attempt.number, outcome))  # fmt: skip

    def _append(
        self, kind: str, source: str, points: float, message: str | None, correction: str, reason: str, key: str
    ) -> KarmaEvent:
        values = (kind, source, float(points), message, correction, reason)
        for text in (source, message or "", correction, reason, key):
            if any("\ud800" <= sign <= "\udfff" for sign in text):
                raise GermlineError(f"{text!r:.80} holds bytes that are no UTF-8", hint="say it in plain text")
        columns = "kind, source, points, message, correction, reason"
        with self._writing() as base:
            if message and not base.execute("SELECT 1 FROM messages WHERE id = ?", (message,)).fetchone():
                raise Unknown(f"there is no answer {message!r:.80}", hint="rate an answer by the id that came with it")
            found = base.execute(f"SELECT {columns} FROM events WHERE key = ?", (key,)).fetchone()
            if found is not None and tuple(found) != values:
                raise Conflict(f"the key {key!r:.80} was used for another event", hint="each event has its own key")
            if found is None:
                base.execute(f"INSERT INTO events (key, time, {columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                             (key, _now(), *values))  # fmt: skip
            row = base.execute(f"SELECT sequence, time, {columns} FROM events WHERE key = ?", (key,)).fetchone()
        return _event(row)

    @contextmanager
    def _writing(self, patience: float | None = None) -> Iterator[sqlite3.Connection]:
        """One transaction: all of the block, durably, or nothing."""
        with self._lock:
            try:
                seconds = self._patience if patience is None else patience
                self._base.execute(f"PRAGMA busy_timeout = {round(seconds * 1000)}")
                if _which(self.path) != self._opened:  # what is written now, nobody would find again
                    raise GermlineError(f"{self.path} was moved, or another was put in its place, while it was in use",
                                        hint="start what uses it again")  # fmt: skip
                with self._transaction() as base:
                    yield base
            except sqlite3.Error as error:
                raise _explained(self.path, error) from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._base.execute("BEGIN IMMEDIATE")
        try:
            yield self._base
            self._base.execute("COMMIT")
        except BaseException:
            if self._base.in_transaction:
                self._base.execute("ROLLBACK")
            raise

    def _read(self, query: str) -> list[tuple[object, ...]]:
        with self._lock:
            try:
                return self._base.execute(query).fetchall()
            except sqlite3.Error as error:
                raise _explained(self.path, error) from error

    def _write_ahead(self) -> None:
        """Turn a new file to WAL. That takes the file for itself and asks no busy timeout: who meets another that does
        the same tries again, for as long as one would wait."""
        until = time.monotonic() + self._patience
        while True:
            try:
                self._base.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                    raise
            time.sleep(0.01)

    def _prepare(self) -> None:
        """Make the tables of a new file, once, however many processes open it first."""
        if self._version() == FORMAT:
            return
        with self._transaction() as base:
            version = self._version()
            if version > FORMAT:
                raise GermlineError(f"{self.path} was written by a newer germline", hint="update germline")
            for statement in (*_TABLES, f"PRAGMA user_version = {FORMAT}") if version < FORMAT else ():
                base.execute(statement)

    def _version(self) -> int:
        return int(self._base.execute("PRAGMA user_version").fetchone()[0])


def _keep_private(path: Path) -> None:
    """Let nobody but the owner read the book: a new one from the moment it is there, one that is there from now on.

    SQLite makes -wal and -shm with the mode of the file they belong to.
    """
    if not os.path.lexists(path):
        with suppress(FileExistsError), disk.new_file(path, mode=0o600):  # empty, which SQLite takes for a new one
            pass
    if os.name == "nt":
        return
    for name in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))):
        # By name: closing a descriptor of the file would let go of the locks of another Book in this process.
        with suppress(FileNotFoundError, PermissionError):  # SQLite removed it meanwhile, or it is another user's
            if name.stat().st_mode & 0o077:
                name.chmod(0o600)


def _which(path: Path) -> tuple[int, int] | None:
    """What tells one file from another of its name; None where there is none."""
    with suppress(FileNotFoundError):
        return (told := path.stat()).st_dev, told.st_ino
    return None


def _explained(path: Path, error: Exception) -> GermlineError:
    if getattr(error, "sqlite_errorcode", None) in _DISK_FULL or getattr(error, "errno", None) == errno.ENOSPC:
        return DoesNotFit(f"{path}: {error}", hint="nothing was lost: free space and try again")
    if "malformed" in str(error) or "not a database" in str(error):
        return StoreDamaged(
            f"{path}: {error}", hint="stop what uses it; put a copy in its place, or move it away: karma begins anew"
        )
    return GermlineError(f"{path}: {error}", hint="check who may write there, and the disk's space; then try again")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _event(row: Sequence[object]) -> KarmaEvent:
    names = ("sequence", "time", "kind", "source", "points", "message", "correction", "reason")
    told = dict(zip(names, row, strict=True))
    return KarmaEvent(**{**told, "time": datetime.fromisoformat(str(told["time"]))})  # type: ignore[arg-type]


def _attempt(row: Sequence[object]) -> Attempt:
    told = dict(zip(("number", "time", "through", "entries", "outcome", "ended"), row, strict=True))
    ended = datetime.fromisoformat(str(told["ended"])) if told["ended"] else None
    return Attempt(**{**told, "time": datetime.fromisoformat(str(told["time"])), "ended": ended})  # type: ignore[arg-type]
