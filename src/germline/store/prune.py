"""Removes what no ledger entry reaches: it is left over, or can be made again.

An entry reaches every digest that stands anywhere in it, and in the manifests of the generations among these,
parents included; refused generations are reached like any other. What has not the form of something that
germline wrote is never touched: it is for `verify` to name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from germline.errors import GermlineError
from germline.records import Digest, canonical_json
from germline.store import disk, generations, ledger, lock
from germline.store.entry import Entry
from germline.store.generations import Manifest
from germline.store.held import held
from germline.store.home import BEGUN, Home
from germline.store.objects import is_digest, place

KEEP_WEIGHTS = 2
_DIGEST = re.compile(rb"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Something that can go. `path` is relative to the home, POSIX."""

    path: str
    size: int
    what: str
    in_use: bool = False
    """It could not be removed: on Windows, what another process reads stays."""


def prune(home: Home, *, keep_weights: int = KEEP_WEIGHTS, dry_run: bool = False) -> list[Item]:
    """Remove, under the lineage's lock, what no ledger entry reaches, and return it; with `dry_run` only return it.

    Merged weights stay in the cache for HEAD and its nearest ancestors, `keep_weights` in all, and none where an
    archive left HEAD out. Generations go before what they are made of, so that nothing half there is ever named.
    A process that reads a file goes on reading it (POSIX) or keeps it (Windows: `in_use`); one that is just about
    to open cached weights, or is making them, fails and succeeds when it is run again. StoreDamaged, before
    anything is removed, if the ledger or a manifest that it reaches is not whole, or less than this machine has seen:
    what cannot be read may reach anything.
    """
    with lock.hold(home):
        found = list(_expendable(home, keep_weights))
        return found if dry_run else [_removed(home, item) for item in found]


def sweep(home: Home) -> None:
    """Remove what a run that is given up has put away already: all that no ledger entry reaches, and nothing else.

    The caller holds the lock, and removes the run's directory after it: while that is there, `verify` takes what
    nothing names for the run's own. Raises as `prune` does.
    """
    entries = ledger.witnessed(home)
    if entries:
        reached = _reached(home, entries)
        for path, _ in [*_unreached(home, reached), *_cached(home, keep=reached)]:
            disk.remove(path)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a directory; links count as themselves."""
    if path.is_symlink() or not path.is_dir():
        return os.lstat(path).st_size if os.path.lexists(path) else 0
    return sum(size_of(child) for child in path.iterdir())


def _expendable(home: Home, keep_weights: int) -> Iterator[Item]:
    entries = ledger.witnessed(home)
    head = ledger.head(entries)  # a lineage that was never founded has nothing that can go
    reached = _reached(home, entries)
    line = ledger.ancestors(home, head) if generations.is_held(home, head) else []
    kept = {generations.load(home, one).weights.digest for one in line[::-1][:keep_weights]}
    going_on = _going_on(home, 1 + max(entry.number for entry in entries))

    def item(path: Path, what: str) -> Item:
        return Item(path=path.relative_to(home.root).as_posix(), size=size_of(path), what=what)

    for path, what in (*_unreached(home, reached), *_cached(home, keep=kept)):
        yield item(path, what)
    for path in home.run_directories():
        if path != going_on:
            yield item(path, "a run that was given up")
    folders = [home.objects, home.generations, home.ledger, home.cache, home.runs]
    for path in [child for folder in folders for inner in (folder, *_fans(folder)) for child in _children(inner)]:
        if disk.is_temporary(path.name) and _is_file(path):
            yield item(path, "left by an interrupted write")


def _going_on(home: Home, number: int) -> Path | None:
    """The run that the next evolve goes on with: that of its number, or the one that a restart had set aside and was
    stopped before it could take its place."""
    run = home.runs / f"g{number}"
    return next((one for one in (run, run.with_name(f"{run.name}-before")) if (one / BEGUN).exists()), None)


def _unreached(home: Home, reached: Collection[Digest]) -> Iterator[tuple[Path, str]]:
    """Generations and objects that nothing reached names: no manifest comes after one of its files."""
    for path in _children(home.generations):
        digest = "sha256:" + path.name.removesuffix(".json")
        if is_digest(digest) and path == generations.manifest_path(home, digest) and digest not in reached:
            yield path, "a generation that no ledger entry names"
    for path in _digests(home.objects):
        if "sha256:" + path.name not in reached:
            yield path, "named by nothing"


def _cached(home: Home, *, keep: Collection[Digest]) -> Iterator[tuple[Path, str]]:
    for path in _digests(home.cache):
        if "sha256:" + path.name not in keep:
            yield path, "merged weights, made again when they are needed"


def _reached(home: Home, entries: Sequence[Entry]) -> set[Digest]:
    """Every digest that stands in an entry, or in a manifest that is reached.

    StoreDamaged if a generation that an entry or a child names is missing, and no archive left it out.
    """
    reached: set[Digest] = set()
    manifests: dict[Digest, Manifest] = {}
    waiting: list[Entry | Manifest] = list(entries)
    while waiting:
        for digest in {found.decode() for found in _DIGEST.findall(canonical_json(waiting.pop()))} - reached:
            reached.add(digest)
            if os.path.lexists(generations.manifest_path(home, digest)):
                manifests[digest] = generations.load(home, digest)
                waiting.append(manifests[digest])
    needed = {entry.generation for entry in entries} | {one.parent for one in manifests.values() if one.parent}
    archive = held(home)
    left_out = archive.left_out(entries, {one: manifests[one].parent for one in manifests}) if archive else set()
    for digest in needed - manifests.keys() - left_out:
        generations.load(home, digest)
    return reached


def _removed(home: Home, item: Item) -> Item:
    path = home.root / item.path
    try:
        disk.remove_tree(home.root, path) if path.is_dir() else disk.remove(path)
    except GermlineError as error:
        if not isinstance(error.__cause__, PermissionError | FileNotFoundError):  # whoever wrote it was quicker
            raise
        return replace(item, in_use=path.exists())
    return item


def _digests(folder: Path) -> Iterator[Path]:
    """The files in `folder` that lie where the digest that is their name says."""
    for path in (child for fan in _fans(folder) for child in _children(fan)):
        digest = "sha256:" + path.name
        if is_digest(digest) and path == place(folder, digest) and _is_file(path):
            yield path


def _fans(folder: Path) -> list[Path]:
    return [path for path in _children(folder) if re.fullmatch("[0-9a-f]{2}", path.name)]


def _children(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()
