"""Re-derives everything a lineage claims, and lists all that is wrong. Never repairs, never removes.

What each file must be follows from the ledger: it names generations, they name objects and merged weights.
Two kinds of files that nothing names are not damage: the temporary files of interrupted writes, and, while
a run is in flight (a directory exists in `runs/`), whole files that its ledger entry will name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from germline.errors import GermlineError
from germline.records import Digest
from germline.store import generations, ledger, reading, witness
from germline.store.entry import Entry, parse
from germline.store.failures import damaged
from germline.store.generations import Manifest
from germline.store.held import held
from germline.store.home import Charter, Home
from germline.store.inspection import UNNAMED, Inspection, OnFile, Problem
from germline.store.objects import FileRef, hash_file, is_digest, place
from germline.store.rules import Course
from germline.store.witness import Mark


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What `verify` found. The lineage is whole if there are no problems."""

    files: int
    bytes: int
    problems: tuple[Problem, ...]
    leftovers: int
    """Temporary files of interrupted writes: harmless."""
    pending: int
    """Whole files that nothing names yet, while a run is in flight."""
    unwitnessed: int | None
    """The first entry that only the ledger itself vouches for: from there on it could be an older copy."""
    left_out: tuple[str, ...] = ()
    """Generations that are not here, because this is an archive of another: of them only the ledger was verified."""
    notes: tuple[Problem, ...] = ()
    """What is wrong outside the lineage and does not count: a broken witness that a checkpoint stands in for."""


def verify(home: Home, on_file: OnFile | None = None, checkpoint: Mark | None = None) -> Report:
    """Read and re-hash every byte of the lineage. Damage is collected, never raised.

    Not verified: `germline.toml`, `runs/` and whatever else the owner keeps in the home. What the ledger
    held is told by the witness of this machine, which is raised where all is well, and by a `checkpoint`. A witness
    that cannot be read is a problem, and with a checkpoint no more than a note.
    """
    while True:
        before = sorted(home.ledger.glob("*.json"))
        report = _report(home, on_file, checkpoint)
        if not report.problems or sorted(home.ledger.glob("*.json")) == before:
            return report  # else what was appended meanwhile may name what seemed to be named by nothing


def _report(home: Home, on_file: OnFile | None, checkpoint: Mark | None) -> Report:
    inspection = Inspection(home, on_file or (lambda path, size: None))
    charter = _charter(inspection)
    seen, broken = _seen(inspection, charter)
    if not checkpoint:
        inspection.problems += broken
    entries = _ledger(inspection, charter)
    unwitnessed = _unwitnessed(inspection, entries, [mark for mark in (seen, checkpoint) if mark])
    manifests, left_out = _generations(inspection, entries)
    objects, merged = _named(entries, manifests)
    _content(inspection, home.objects, objects, required=_required(entries, manifests, left_out))
    if os.path.lexists(home.cache):
        _content(inspection, home.cache, merged, required=())
    if charter and not inspection.problems:
        witness.observe(home, seen, entries)
    return Report(
        files=inspection.files,
        bytes=inspection.size,
        problems=tuple(inspection.problems),
        leftovers=inspection.leftovers,
        pending=inspection.pending,
        unwitnessed=unwitnessed,
        left_out=tuple(f"g{entry.number}" for entry in entries if entry.is_birth and entry.generation in left_out),
        notes=tuple(broken) if checkpoint else (),
    )


def _charter(inspection: Inspection) -> Charter | None:
    path = inspection.home.identity
    with inspection.collecting(path):
        inspection.count(path, len(reading.read(path)))
        return inspection.home.charter
    return None


def _seen(inspection: Inspection, charter: Charter | None) -> tuple[Mark | None, list[Problem]]:
    """What this machine has seen, and what is wrong with its witness, if anything."""
    if charter:
        with inspection.collecting(inspection.home.ledger):
            path = witness.path_of(inspection.home)
            try:
                return witness.mark(inspection.home), []
            except GermlineError as error:
                return None, [_broken(path, error)]
    return None, []


def _broken(path: Path, error: GermlineError) -> Problem:
    """The witness lies outside the home: it is named by its whole path, and with a cure of its own."""
    cause = error.__cause__
    what = f"cannot be read: {cause.strerror}" if isinstance(cause, OSError) else error.message.removeprefix(f"{path} ")
    return Problem(path=path.as_posix(), what=f"{what}; {error.hint}")


def _ledger(inspection: Inspection, charter: Charter | None) -> list[Entry]:
    """Every entry that can be read, in order. After a bad one, what it should follow on is not known."""
    home, now_at = inspection.home, Course(charter)
    found: list[Entry] = []
    for path in sorted(inspection.children(home.ledger), key=lambda path: (len(path.name), path.name)):
        digits = path.name.removesuffix(".json")
        number = int(digits) if re.fullmatch("[0-9]{6,12}", digits) else -1
        if number < 0 or path != ledger.entry_path(home, number):
            inspection.report(path, UNNAMED)
            continue
        if number != now_at.length:
            inspection.report(ledger.entry_path(home, now_at.length), f"is missing, though {path.name} exists")
            now_at.lose(number)
        with inspection.collecting(path):
            found.append(parse(path, inspection.read(path)))
            if fault := now_at.fault(found[-1]):
                raise damaged(path, fault)
            now_at.take(found[-1])
        if now_at.length == number:
            now_at.lose(number + 1)
    return found


def _unwitnessed(inspection: Inspection, entries: Iterable[Entry], marks: list[Mark]) -> int | None:
    """Hold what was seen against what is there, and say from which entry on nothing was seen."""
    there = {entry.sequence: entry for entry in entries}
    for mark in marks:
        path = ledger.entry_path(inspection.home, mark.sequence)
        unreadable = mark.sequence not in there and os.path.lexists(path)  # and reported as that already
        if not unreadable and (fault := mark.fault(there.get(mark.sequence))):
            inspection.report(path, fault)
    seen = max((mark.sequence + 1 for mark in marks), default=0)
    return seen if seen < len(there) or not marks else None


def _generations(inspection: Inspection, entries: list[Entry]) -> tuple[dict[Digest, Manifest], set[Digest]]:
    """Every manifest that can be read, and what an archive leaves out. All else that the ledger or a child names
    must be there."""
    home = inspection.home
    named = {entry.generation: f"ledger/{entry.sequence:06}.json names it" for entry in entries}
    manifests: dict[Digest, Manifest] = {}
    for path in inspection.children(home.generations):
        digest = "sha256:" + path.name.removesuffix(".json")
        if not is_digest(digest) or path.suffix != ".json":
            inspection.report(path, UNNAMED)
            continue
        with inspection.collecting(path):
            manifests[digest] = generations.parse(path, inspection.read(path))
            if digest not in named:
                inspection.unnamed(path)
    left_out = _left_out(inspection, entries, manifests)
    for digest, manifest in manifests.items():
        if manifest.parent is not None:
            named.setdefault(manifest.parent, f"generations/{digest[7:]}.json descends from it")
    for digest, why in named.items():
        path = generations.manifest_path(home, digest)
        if not os.path.lexists(path) and digest not in left_out:
            inspection.report(path, f"is missing, though {why}")
    return manifests, left_out


def _left_out(inspection: Inspection, entries: list[Entry], manifests: Mapping[Digest, Manifest]) -> set[Digest]:
    home = inspection.home
    with inspection.collecting(home.archive):
        if found := held(home):
            inspection.count(home.archive, len(found.to_bytes()))
            if found.generation not in {entry.generation for entry in entries} or found.entries > len(entries):
                raise damaged(home.archive, "is not of this ledger")
            return found.left_out(entries, {digest: manifest.parent for digest, manifest in manifests.items()})
    return set()


def _required(entries: Iterable[Entry], manifests: Mapping[Digest, Manifest], left_out: set[Digest]) -> set[Digest]:
    """The objects that must be there: all that are named, but for what is known of generations left out."""
    named = [reference for manifest in manifests.values() for reference in manifest.files.values()]
    for entry in entries:
        if entry.generation not in left_out or entry.kind == "pinned":
            named += entry.files.values()
    return {reference.digest for reference in named}


def _named(
    entries: Iterable[Entry], manifests: Mapping[Digest, Manifest]
) -> tuple[dict[FileRef, str], dict[FileRef, str]]:
    """What the manifests name, and what it is (`g2 exam.json`): objects, and weights for the cache."""
    entries = list(entries)
    numbers = {entry.generation: f"g{entry.number}" for entry in reversed(entries)}
    objects: dict[FileRef, str] = {}
    merged: dict[FileRef, str] = {}
    for digest, manifest in manifests.items():
        generation = numbers.get(digest, digest[7:19])
        for name, reference in manifest.files.items():
            objects.setdefault(reference, f"{generation} {name}")
        merged.setdefault(manifest.weights, f"{generation} merged weights")
    for entry in entries:
        for name, reference in entry.files.items():
            objects.setdefault(reference, f"ledger/{entry.sequence:06}.json {name}")
    return objects, merged


def _content(
    inspection: Inspection, directory: Path, wanted: Mapping[FileRef, str], *, required: Collection[Digest]
) -> None:
    """Each file under `directory` is what its name says and is wanted; what is required is there."""
    labels = {reference.digest: f"({label}) " for reference, label in wanted.items()}
    sizes: dict[Digest, int] = {}
    for path in _fanned_out(inspection, directory):
        digest = "sha256:" + path.name
        if not is_digest(digest) or path != place(directory, digest):
            inspection.report(path, UNNAMED)
            continue
        label = labels.get(digest, "")
        with inspection.collecting(path):
            reading.require_regular(path)
            found = hash_file(path)
            inspection.count(path, found.size)
            if found.digest != digest:
                inspection.report(path, f"{label}is not what was put there: its bytes hash to {found.digest}")
                continue
            sizes[digest] = found.size
            if not label:
                inspection.unnamed(path)
    for reference, label in wanted.items():
        path = place(directory, reference.digest)
        there = True
        with inspection.collecting(path):
            there = reading.is_there(path)
        if reference.digest in required and not there:
            inspection.report(path, f"({label}) is missing")
        elif sizes.get(reference.digest, reference.size) != reference.size:
            size = sizes[reference.digest]
            inspection.report(path, f"({label}) has {size} bytes, and its manifest says {reference.size}")


def _fanned_out(inspection: Inspection, directory: Path) -> Iterator[Path]:
    for fan in inspection.children(directory):
        if re.fullmatch("[0-9a-f]{2}", fan.name):
            yield from inspection.children(fan)
        else:
            inspection.report(fan, UNNAMED)
