"""Bytes, named by their SHA-256. An object is written once; putting the same bytes again costs a check.

Two places share this form: `objects/` (what a generation is made of) and `cache/` (merged weights, which
may be deleted and are rebuilt to the same bytes).
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from germline.errors import GermlineError, StoreDamaged
from germline.records import Digest, digest_of
from germline.store import disk, reading
from germline.store.failures import damaged, explained
from germline.store.home import Home

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class FileRef:
    """What bytes are meant, wherever they lie."""

    digest: Digest
    size: int


class Tally:
    """A sink that keeps no byte of what is written to it: only how many there were, and their hash."""

    def __init__(self) -> None:
        self._hashed, self.size = hashlib.sha256(), 0

    def write(self, data: bytes | memoryview) -> int:
        self._hashed.update(data)
        self.size += len(data)
        return len(data)

    @property
    def reference(self) -> FileRef:
        """All that was written so far."""
        return FileRef(f"sha256:{self._hashed.hexdigest()}", self.size)


def is_digest(value: object) -> bool:
    """Whether `value` is a well-formed digest. Nothing else is ever made part of a path."""
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def reference_from(value: Mapping[str, Any]) -> FileRef:
    """The reference that JSON holds; ValueError or TypeError if it holds none."""
    reference = FileRef(**value)
    if not is_digest(reference.digest) or type(reference.size) is not int or reference.size < 0:
        raise ValueError("not a reference to an object")
    return reference


def hexadecimal(digest: Digest) -> str:
    """The 64 digits of a digest; StoreDamaged if it is not one."""
    if not is_digest(digest):
        raise StoreDamaged(f"{digest!r} is not a digest", hint="germline verify finds the file that holds it")
    return digest.removeprefix("sha256:")


def place(directory: Path, digest: Digest) -> Path:
    """Where the bytes of `digest` lie under `objects/` or `cache/`, whether or not they are there."""
    name = hexadecimal(digest)
    return directory / name[:2] / name


def hash_file(path: Path) -> FileRef:
    """Digest and size of any file, read in blocks; links are followed."""
    tally = Tally()
    for block in _blocks(path):
        tally.write(block)
    return tally.reference


def put(home: Home, data: bytes) -> FileRef:
    """Keep `data` as an object. If it is kept already, its bytes are checked: StoreDamaged if they differ."""
    reference = FileRef(digest_of(data), len(data))
    final = place(home.objects, reference.digest)
    disk.make_directory(final.parent)
    try:
        disk.write_new(final, data)
    except FileExistsError:
        _require_same(final, reference)
    return reference


def put_file(home: Home, path: Path, *, move: bool = False) -> FileRef:
    """Keep a file's bytes as an object, streaming. With `move` the file itself becomes the object.

    The file is only ever removed with `move`, after its bytes are kept, and must then come from `disk.new_file`,
    which synced it. Where moving is not possible (another file system, a second hard link through which the
    bytes could still change) it is copied.
    """
    with explained(path):
        if not path.is_file():
            raise GermlineError(f"{path} is not a file", hint="name a regular file")
        movable = move and _is_movable(path, home.objects)
    if movable:
        return _move(home.objects, path)
    staged, reference = _copy(path, home.objects)
    try:
        _settle(home.objects, staged, reference)
    except BaseException:
        with suppress(GermlineError):
            disk.remove(staged)
        raise
    if move:
        disk.remove(path)
    return reference


def path_of(home: Home, digest: Digest) -> Path:
    """Where an object lies; StoreDamaged if it is missing or no regular file. Its bytes are not checked."""
    path = place(home.objects, digest)
    reading.require_regular(path)
    return path


def read(home: Home, digest: Digest) -> bytes:
    """An object's bytes, checked against its name: StoreDamaged if they differ."""
    path = path_of(home, digest)
    data = reading.read(path, most=sys.maxsize)
    if digest_of(data) != digest:
        raise damaged(path, f"is not what was put there: its bytes hash to {digest_of(data)}")
    return data


def cache_path(home: Home, digest: Digest) -> Path | None:
    """Where merged weights lie, or None if they must be rebuilt. Compare `hash_file` before trusting them."""
    path = place(home.cache, digest)
    return path if path.is_file() and not path.is_symlink() else None


def put_in_cache(home: Home, staged: Path) -> FileRef:
    """Move a file of merged weights, made by `disk.new_file` in `runs/` or the cache itself, into the cache."""
    return _move(home.cache, staged)


def _move(directory: Path, path: Path) -> FileRef:
    reference = hash_file(path)
    _settle(directory, path, reference)
    return reference


def _copy(source: Path, directory: Path) -> tuple[Path, FileRef]:
    """A staged copy next to the objects. What is hashed is what was copied, whatever the source does."""
    staged = disk.temporary_path(directory)
    tally = Tally()
    with explained(source):
        needed = source.stat().st_size
    with disk.new_file(staged, needed=needed) as copy:
        for block in _blocks(source):
            copy.write(block)
            tally.write(block)
    return staged, tally.reference


def _blocks(path: Path) -> Iterator[bytes]:
    with explained(path), path.open("rb", buffering=0) as file:
        while block := file.read(disk.BLOCK):
            yield block


def _settle(directory: Path, staged: Path, reference: FileRef) -> None:
    """Publish a staged file under its digest, or check the one that is there and drop the staged one."""
    final = place(directory, reference.digest)
    disk.make_directory(final.parent)
    try:
        disk.publish(staged, final)
    except FileExistsError:
        _require_same(final, reference)
        disk.remove(staged)


def _require_same(path: Path, reference: FileRef) -> None:
    reading.require_regular(path)
    found = hash_file(path)
    if found != reference:
        raise damaged(path, f"is not what was put there: its bytes hash to {found.digest}")
    disk.sync_directory(path.parent)  # whoever published it may have been stopped just before this


def _is_movable(path: Path, directory: Path) -> bool:
    status = os.lstat(path)
    alone = stat.S_ISREG(status.st_mode) and status.st_nlink == 1
    return alone and status.st_dev == directory.stat().st_dev
