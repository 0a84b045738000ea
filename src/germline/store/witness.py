"""The highest entry of a ledger that was ever seen on this machine, kept outside the lineage.

A ledger that is cut short, or an older copy of the whole home, is whole in itself: nothing inside it can
tell. A mark outside can. It is raised by every `append` and by every reading; of two processes that raise
it at once the lower may win, and the next reading makes it good.

A copy of a lineage shares its id and so its mark: two copies that both grow on one machine are a fork, and
the one that grew second is taken for damaged. Not promised: a mark on this machine tells nothing about
what happened before it was begun, nor where it was removed together with the lineage's last entries. For
that there is the checkpoint line, which an owner keeps elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from germline.errors import GermlineError, PlanError, StoreDamaged
from germline.records import Digest, canonical_json
from germline.store import disk, keys, reading
from germline.store.entry import Entry
from germline.store.home import Home
from germline.store.objects import is_digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """An entry that was seen: a ledger of this lineage that does not hold it there is not the one it was."""

    sequence: int
    digest: Digest
    home: str = field(default="", compare=False)
    """Where it was seen, as far as that is known."""

    def fault(self, found: Entry | None) -> str | None:
        """What is wrong with the entry in the place of this mark, as the end of a sentence about its file."""
        if found is None:
            return "is missing, though it was seen: the ledger was cut short, or is an older copy"
        if found.digest != self.digest:
            return "is not the entry that was seen there: the ledger was written anew, or is another copy"
        return None


def path_of(home: Home) -> Path:
    return keys.configuration() / "witness" / f"{home.charter.id}.json"


def mark(home: Home) -> Mark | None:
    """What this machine has seen of a lineage, or None if it never saw it."""
    path = path_of(home)
    if not reading.is_there(path):
        return None
    value = None
    with suppress(StoreDamaged):
        value = reading.parse(path, reading.read(path))
    if (
        value is None
        or value.keys() - {"home"} != {"sequence", "digest"}
        or type(value["sequence"]) is not int
        or value["sequence"] < 0
        or not is_digest(value["digest"])
        or type(value.get("home", "")) is not str
    ):
        raise StoreDamaged(f"{path} is no witness", hint=f"if `germline verify --checkpoint` is content, {_end(path)}")
    return Mark(**value)


def check(home: Home, seen: Mark | None, entries: Sequence[Entry]) -> None:
    """StoreDamaged if these are not all the entries, or not the ones, that were seen here before.

    `seen` is `mark(home)` from before the entries were read: what another process appends and marks
    meanwhile must not look like a loss.
    """
    if seen is None:
        return
    if fault := seen.fault(entries[seen.sequence] if seen.sequence < len(entries) else None):
        hint = f"restore the newest copy of the lineage; if there is none but this, {_end(path_of(home))}"
        if seen.home not in ("", _place(home)) and Path(seen.home).exists():
            fault += f", in {seen.home}"
            hint = f"that copy and this one have grown apart: go on with one; for this one, {_end(path_of(home))}"
        raise StoreDamaged(f"{home.ledger / f'{seen.sequence:06}.json'} {fault}", hint=hint)


def raise_to(home: Home, entry: Entry) -> None:
    """Keep in mind that `entry` was seen. A mark is never lowered."""
    seen = mark(home)
    if seen is None or seen.sequence < entry.sequence:
        path = path_of(home)
        disk.make_directory(path.parent)
        said = {"sequence": entry.sequence, "digest": entry.digest, "home": _place(home)}
        disk.replace(path, canonical_json(said))


def observe(home: Home, seen: Mark | None, entries: Sequence[Entry]) -> None:
    """`check`, then `raise_to` the last entry. Where the mark cannot be kept, reading goes on without it."""
    check(home, seen, entries)
    if entries:
        with suppress(GermlineError):
            raise_to(home, entries[-1])


def require_writable(home: Home) -> None:
    """GermlineError if no mark can be kept here: who appends unwitnessed could be rolled back unseen."""
    place = path_of(home).parent
    disk.make_directory(place)
    if not os.access(place, os.W_OK):
        raise GermlineError(
            f"{place} cannot be written to, and what is appended must be witnessed there",
            hint="make it writable, or name another directory with GERMLINE_CONFIG (keys and witnesses move along)",
        )


# --- the checkpoint line ------------------------------------------------------------------------------

_WORD = "germline-checkpoint"


def checkpoint(home: Home, entries: Sequence[Entry]) -> str:
    """One line to print, mail or pin to the wall: that the ledger held this entry last, signed."""
    if not entries:
        raise PlanError("this lineage has no entry yet", hint="germline init founds it from a base model")
    charter, last = home.charter, entries[-1]
    said = f"{_WORD} {charter.id} {last.sequence} {last.digest}"
    for public in charter.keys.values():
        if keys.is_here(public):
            return f"{said} {keys.sign(public, said.encode('ascii'))}"
    raise keys.missing(charter.keys["trainer"], "trainer")


def read_checkpoint(home: Home, line: str) -> Mark:
    """The mark in a checkpoint line of this lineage; StoreDamaged if no key of `lineage.json` signed it."""
    charter, parts = home.charter, line.split()
    good = len(parts) == 5 and parts[0] == _WORD and is_digest(parts[3]) and keys.is_signature(parts[4])
    if not (good and parts[2].isascii() and parts[2].isdigit() and len(parts[2]) <= 12):
        raise PlanError("this is no checkpoint line", hint="`germline checkpoint` prints one; give it in quotes, whole")
    if parts[1] != charter.id:
        raise PlanError(
            f"this checkpoint is of lineage {parts[1]}, and {home.root} holds {charter.id}",
            hint="name the right --home; if it is the right one, its lineage.json was exchanged",
        )
    said = " ".join(parts[:4]).encode("ascii", "replace")
    if not any(keys.verifies(public, parts[4], said) for public in charter.keys.values()):
        raise StoreDamaged(
            "no key that lineage.json names signed this checkpoint",
            hint="the line was altered, or lineage.json was exchanged: compare both with your copies",
        )
    return Mark(sequence=int(parts[2]), digest=parts[3])


def _place(home: Home) -> str:
    return str(home.root.absolute()).encode("utf-8", "backslashreplace").decode()


def _end(path: Path) -> str:
    return f"remove {path}, and what was seen is forgotten"
