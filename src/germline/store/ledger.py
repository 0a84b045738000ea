"""What happened in a lineage, one file per entry, each naming the hash of the entry before.

HEAD is not stored: it follows from the entries. The first entry's previous is the hash of `lineage.json`.
The number in a file's name is claimed by creating it, which only one process can; nothing is ever rewritten.

Not promised: a ledger that is cut short at its *end* reads as a shorter ledger. `verify` notices when a
generation is left that nothing names; beyond that only a copy of the last digest, kept elsewhere, tells.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from germline.errors import Locked, PlanError
from germline.records import FORMAT, Digest, canonical_json, digest_of
from germline.store import disk, generations, reading
from germline.store.failures import damaged, explained
from germline.store.home import Home
from germline.store.objects import FileRef, is_digest, reference_from

Kind = Literal["founded", "promoted", "refused", "inconclusive", "rolled_back"]

_TIME = "%Y-%m-%dT%H:%M:%SZ"
_BORN = ("founded", "promoted", "refused", "inconclusive")
_MOVES_HEAD = ("founded", "promoted", "rolled_back")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that happened. For `rolled_back`, generation and number are those gone back to."""

    sequence: int
    previous: Digest
    """Digest of the entry before; of `lineage.json` for the first."""
    kind: Kind
    generation: Digest
    number: int
    """The n of gn, in order of birth; a refused child is a fossil and keeps its number."""
    time: str
    """ISO 8601, UTC, whole seconds. For reading: order follows from `sequence` alone."""
    body: dict[str, Any] = field(default_factory=dict)
    """Anything else worth keeping, as JSON values."""
    files: dict[str, FileRef] = field(default_factory=dict)
    """Name -> object: what is known of the generation only after its birth, such as its scorecard."""
    format: int = FORMAT

    @property
    def digest(self) -> Digest:
        return digest_of(canonical_json(self))


def entry_path(home: Home, sequence: int) -> Path:
    return home.ledger / f"{sequence:06}.json"


def entries(home: Home) -> tuple[Entry, ...]:
    """All entries in order; StoreDamaged, naming the file, if one was edited, moved, lost or added."""
    listed = _listed(home)  # before reading, so that what is appended meanwhile is never taken for a gap
    found: list[Entry] = []
    previous = home.digest
    while (path := entry_path(home, len(found))).exists():
        entry = parse(path, reading.read(path))
        require_place(path, entry, len(found), previous)
        found.append(entry)
        previous = entry.digest
    if strays := listed - {entry_path(home, entry.sequence).name for entry in found}:
        raise damaged(home.ledger / min(strays), f"does not follow on: {path.name} is missing")
    return tuple(found)


def parse(path: Path, data: bytes) -> Entry:
    """The entry in `data`, read from `path`, checked against the digest that lies beside it."""
    value = reading.parse(path, data)
    fields = value.get("entry")
    if value.keys() != {"entry", "digest"} or not isinstance(fields, dict):
        raise damaged(path, "is not a ledger entry")
    if (found := digest_of(canonical_json(fields))) != value["digest"]:
        raise damaged(path, f"was edited: its entry hashes to {found}")
    reading.require_known_format(path, fields.get("format"))
    if not _is_entry(fields):
        raise damaged(path, "is not a ledger entry")
    try:
        files = {str(name): reference_from(value) for name, value in fields.pop("files").items()}
    except (AttributeError, TypeError, ValueError):
        raise damaged(path, "is not a ledger entry") from None
    return Entry(**fields, files=files)


def require_place(path: Path, entry: Entry, sequence: int, previous: Digest) -> None:
    """StoreDamaged unless `entry`, read from `path`, is number `sequence` and follows on `previous`."""
    if entry.sequence != sequence:
        raise damaged(path, f"is out of place: it holds entry {entry.sequence}")
    if entry.previous != previous:
        before = "the entry before it" if sequence else "the lineage.json that is here"
        raise damaged(path, f"does not follow on {before}")
    if (entry.kind == "founded") != (sequence == 0):
        raise damaged(path, f"cannot be {entry.kind} here: a lineage is founded once, and first")


def append(
    home: Home,
    kind: Kind,
    generation: Digest,
    number: int,
    body: dict[str, Any],
    now: datetime | None = None,
    *,
    files: dict[str, FileRef] | None = None,
) -> Entry:
    """Write the next entry, durably: the one commit point. Locked if another process wrote it first.

    `now` must know its time zone. Raises ValueError for what no ledger may hold (a second founder, a number
    twice); damage in what is there already is raised before anything is written.
    """
    so_far = entries(home)
    if (kind == "founded") != (not so_far):
        raise ValueError(f"{kind} cannot be entry {len(so_far)}")
    if kind in _BORN and number in dict(born(so_far)):
        raise ValueError(f"g{number} was born already")
    entry = Entry(
        sequence=len(so_far),
        previous=so_far[-1].digest if so_far else home.digest,
        kind=kind,
        generation=generation,
        number=number,
        time=(now or datetime.now(UTC)).astimezone(UTC).strftime(_TIME),
        body=body,
        files=files or {},
    )
    path = entry_path(home, entry.sequence)
    disk.make_directory(home.ledger)
    try:
        disk.write_new(path, canonical_json({"entry": entry, "digest": entry.digest}))
    except FileExistsError:
        raise Locked(
            f"another germline wrote {path} first", hint="look at germline log, then run the command again"
        ) from None
    return entry


def head(entries: Sequence[Entry]) -> Digest:
    """The generation that HEAD is; PlanError if nothing was founded yet."""
    return _head_entry(entries).generation


def born(entries: Sequence[Entry]) -> list[tuple[int, Digest]]:
    """Number and id of the founder and every child, promoted or not, in order of birth."""
    return [(entry.number, entry.generation) for entry in entries if entry.kind in _BORN]


def resolve(entries: Sequence[Entry], name: str, parent_of: Callable[[Digest], Digest | None]) -> Digest:
    """The generation meant by `g7`, `HEAD`, at least four hexadecimal digits, or one of these and `~2`.

    A refused generation can be named too. `parent_of` is asked for each step of `~`, usually
    `lambda digest: generations.load(home, digest).parent`. PlanError, saying what there is, if none is meant.
    """
    base, *steps = name.strip().split("~")
    digest = _base(entries, base)
    for step in steps:
        if step and not (step.isascii() and step.isdigit()):
            raise _unknown(entries, name)
        for _ in range(int(step or 1)):
            parent = parent_of(digest)
            if parent is None:
                raise _unknown(entries, name)
            digest = parent
    return digest


def ancestors(home: Home, digest: Digest) -> list[Digest]:
    """The way from the founder to a generation, both included."""
    way: list[Digest] = []
    current: Digest | None = digest
    while current is not None:
        way.append(current)
        current = generations.load(home, current).parent
    return way[::-1]


def _head_entry(entries: Sequence[Entry]) -> Entry:
    for entry in reversed(entries):
        if entry.kind in _MOVES_HEAD:
            return entry
    raise PlanError("this lineage has no generation yet", hint="germline init founds it from a base model")


def _base(entries: Sequence[Entry], base: str) -> Digest:
    if base == "HEAD":
        return head(entries)
    if re.fullmatch(r"g\d+", base) and (digest := dict(born(entries)).get(int(base[1:]))):
        return digest
    if prefix := re.fullmatch(r"(?:sha256:)?([0-9a-f]{4,64})", base.lower()):
        meant = {entry.generation for entry in entries if entry.generation[7:].startswith(prefix[1])}
        if len(meant) > 1:
            raise PlanError(f"{base!r} begins {len(meant)} hashes", hint=f"one of {', '.join(sorted(meant))}")
        if meant:
            return meant.pop()
    raise _unknown(entries, base)


def _unknown(entries: Sequence[Entry], name: str) -> PlanError:
    now = _head_entry(entries).number  # before anything else: without a HEAD there is nothing to choose from
    there = ", ".join(f"g{number}" for number, _ in born(entries)[-8:])
    return PlanError(f"there is no generation {name!r}", hint=f"there is {there}; HEAD is g{now}")


def _listed(home: Home) -> set[str]:
    with explained(home.ledger):
        names = {path.name for path in home.ledger.iterdir()} if home.ledger.is_dir() else set()
    return {name for name in names if name.endswith(".json") and not name.startswith(".")}


def _is_entry(fields: dict[str, Any]) -> bool:
    expected = {"sequence", "previous", "kind", "generation", "number", "time", "body", "files", "format"}
    return (
        fields.keys() == expected
        and type(fields["sequence"]) is int
        and type(fields["number"]) is int
        and fields["kind"] in get_args(Kind)
        and is_digest(fields["previous"])
        and is_digest(fields["generation"])
        and isinstance(fields["time"], str)
        and isinstance(fields["body"], dict)
    )
