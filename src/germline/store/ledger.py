"""What happened in a lineage, one file per entry, each naming the hash of the entry before, each signed.

HEAD is not stored: it follows from the entries. The first entry's previous is the hash of `lineage.json`,
which names the keys. What may follow on what is in `rules`. The number in a file's name is claimed by
creating it, which only one process can; nothing is ever rewritten.

Not told by the entries themselves: that a ledger was cut short at its *end*, or is an older copy. That is
what a witness is for (`witness`), or a checkpoint line that the owner kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from germline.errors import GermlineError, Locked, PlanError
from germline.records import Digest, digest_of
from germline.store import disk, generations, keys, reading, witness
from germline.store.entry import APPROVES, LAWS, Entry, Kind, message, parse, to_bytes
from germline.store.failures import damaged, explained
from germline.store.home import Charter, Home
from germline.store.objects import FileRef
from germline.store.rules import Course, course

NO_LAWS = digest_of(b"[]")
"""The digest of a list of laws that is empty."""


def entry_path(home: Home, sequence: int) -> Path:
    return home.ledger / f"{sequence:06}.json"


def entries(home: Home) -> tuple[Entry, ...]:
    """All entries in order, every signature verified; StoreDamaged, naming the file, if any was edited,
    moved, lost, added, forged or not allowed. Whether the last of them is the last there was: `witness`.
    """
    return _read(home)[0]


def witnessed(home: Home) -> tuple[Entry, ...]:
    """`entries`, and StoreDamaged also where they are behind what this machine has seen of them."""
    seen = witness.mark(home)
    found = entries(home)
    witness.observe(home, seen, found)
    return found


def length(home: Home) -> int:
    """How many entries there are, by their files' names alone: enough to see that something was appended."""
    return len(_listed(home))


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
    """Write the next entry, signed and durably: the one commit point. Locked if another process wrote it first.

    It is signed with the key that may sign it and is on this machine, the trainer's before the arbiter's;
    GermlineError where there is none. `now` must know its time zone. The laws in force are added to `body`.

    Raises ValueError for what no ledger may hold (a second founder, a number twice, an approval of nothing).
    Damage in what is there, a ledger that is behind its witness and a witness that cannot be raised are
    errors before anything is written. The witness is raised after the entry is durable: dying in between is
    harmless, because the next reading raises it.
    """
    seen = witness.mark(home)
    so_far, now_at = _read(home)
    witness.check(home, seen, so_far)
    witness.require_writable(home)
    entry = Entry(
        sequence=now_at.length,
        previous=now_at.previous or "",
        kind=kind,
        generation=generation,
        number=number,
        time=(now or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        body={LAWS: now_at.laws or NO_LAWS, **body},
        files=files or {},
    )
    proposal = now_at.proposals.get(str(body.get(APPROVES)))
    signer = _signer(home.charter, kind, proposal)
    entry = replace(entry, signatures={signer: keys.sign(signer, message(entry.digest))})
    if fault := now_at.fault(entry):
        raise ValueError(f"entry {entry.sequence} {fault}")
    path = entry_path(home, entry.sequence)
    disk.make_directory(home.ledger)
    try:
        disk.write_new(path, to_bytes(entry))
    except FileExistsError:
        raise Locked(
            f"another germline wrote {path} first", hint="look at germline log, then run the command again"
        ) from None
    with suppress(GermlineError):
        witness.raise_to(home, entry)
    return entry


def require_ready(home: Home, kind: Kind = "refused") -> None:
    """GermlineError unless an entry could be signed and witnessed here: what takes hours ends in one."""
    witness.require_writable(home)
    keys.sign(_signer(home.charter, kind), b"germline is ready\n")


def head(entries: Sequence[Entry]) -> Digest:
    """The generation that HEAD is; PlanError if nothing was founded yet."""
    return _head_entry(entries).generation


def born(entries: Sequence[Entry]) -> list[tuple[int, Digest]]:
    """Number and id of the founder and every child, promoted or not, in order of birth."""
    return [(entry.number, entry.generation) for entry in entries if entry.is_birth]


def waiting(home: Home, entries: Sequence[Entry]) -> list[Entry]:
    """The proposals that can be approved: HEAD and the laws are still those that they were judged by."""
    found = course(home.charter, entries)
    return [
        proposal
        for proposal in found.proposals.values()
        if head(entries[: proposal.sequence]) == found.head[1] and proposal.body[LAWS] == found.laws
    ]


def resolve(entries: Sequence[Entry], name: str, parent_of: Callable[[Digest], Digest | None]) -> Digest:
    """The generation meant by `g7`, `HEAD`, at least four hexadecimal digits, or one of these and `~2`.

    A refused generation can be named too. `parent_of` is asked for each step of `~`, usually
    `lambda digest: generations.load(home, digest).parent`. PlanError, saying what there is, if none is meant.
    """
    base, *steps = name.strip().split("~")
    digest = _base(entries, base)
    for step in steps:
        if step and not re.fullmatch("[0-9]{1,12}", step):
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


def _read(home: Home) -> tuple[tuple[Entry, ...], Course]:
    listed = _listed(home)  # before reading, so that what is appended meanwhile is never taken for a gap
    now_at = Course(home.charter)
    found: list[Entry] = []
    while (path := entry_path(home, now_at.length)).exists():
        entry = parse(path, reading.read(path))
        if fault := now_at.fault(entry):
            raise damaged(path, fault)
        now_at.take(entry)
        found.append(entry)
    if strays := listed - {entry_path(home, entry.sequence).name for entry in found}:
        raise damaged(home.ledger / min(strays), f"does not follow on: {path.name} is missing")
    return tuple(found), now_at


def _signer(charter: Charter, kind: Kind, proposal: Entry | None = None) -> str:
    """The first key on this machine that may sign such an entry, the trainer's before the arbiter's."""
    only = {"arbiter"} if kind == "pinned" and "arbiter" in charter.keys else charter.keys.keys()
    signed = proposal.signatures if proposal else {}
    able = {owner: key for owner, key in charter.keys.items() if owner in only and key not in signed}
    for public in able.values():
        if keys.is_here(public):
            return public
    owner, public = next(iter((able or charter.keys).items()))
    raise keys.missing(public, owner)


def _head_entry(entries: Sequence[Entry]) -> Entry:
    for entry in reversed(entries):
        if entry.moves_head:
            return entry
    raise PlanError("this lineage has no generation yet", hint="germline init founds it from a base model")


def _base(entries: Sequence[Entry], base: str) -> Digest:
    if base == "HEAD":
        return head(entries)
    if re.fullmatch(r"g\d{1,12}", base) and (digest := dict(born(entries)).get(int(base[1:]))):
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
