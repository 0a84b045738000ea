"""The write door: every creation, replacement, rename, removal and directory in a home goes through here.

A file is published in one order: a temporary file next to its place, all bytes, fsync, write bits off, a
hard link as the final name (which never overwrites), the temporary name gone, fsync of the directory. A
crash in between leaves at most a temporary file, whose name `is_temporary` knows.

A failed fsync is never repeated: the kernel may have dropped the pages and called them clean, so that a
second fsync succeeds over lost data. The file is removed and the error raised.

Not promised: durability on disks that lie about flushing, and of *names* on Windows, which cannot sync a
directory. On file systems without hard links publishing falls back to a check and a rename, which holds
off another process only as long as both take the lineage's lock.

Every OSError becomes a GermlineError that names the file and the cure, except FileExistsError, which is an
answer: the name is taken.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedWriter, FileIO
from pathlib import Path
from typing import BinaryIO

from germline.errors import GermlineError
from germline.store.failures import explained

BLOCK = 1 << 20
"""Files are read, hashed and written in pieces of this many bytes."""

_TEMPORARY = re.compile(r"\.tmp-[0-9a-f]{16}")
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_NO_DIRECTORY_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EACCES}
_WINDOWS = os.name == "nt"


def temporary_path(directory: Path) -> Path:
    """A fresh name in `directory` that everyone knows as unfinished. Nothing is created."""
    return directory / f".tmp-{secrets.token_hex(8)}"


def is_temporary(name: str) -> bool:
    """Whether `name` is one that an interrupted write may have left behind."""
    return _TEMPORARY.fullmatch(name) is not None


def write_new(path: Path, data: bytes | Iterable[bytes], *, mode: int = 0o666) -> None:
    """Publish `data` as `path`, whole, durable and read-only, or leave nothing there.

    Raises FileExistsError, and changes nothing, if `path` exists. If the very last step fails (making the
    name durable), the file is there and whole, but its name may not survive a power cut.
    """
    staged = temporary_path(path.parent)
    needed = len(data) if isinstance(data, bytes) else 0
    with new_file(staged, needed=needed, shown_as=path, mode=mode) as file:
        file.writelines([data] if isinstance(data, bytes) else data)
    try:
        publish(staged, path)
    except BaseException:
        with suppress(OSError):
            _unlink(staged)
        raise


@contextmanager
def new_file(path: Path, *, needed: int = 0, shown_as: Path | None = None, mode: int = 0o666) -> Iterator[BinaryIO]:
    """A new file at a staging path to stream into: whole and on disk after the block, gone if it fails.

    Raises FileExistsError if `path` exists. Leave the file open: it is flushed, synced and closed here.
    `needed` (bytes, where known) and `shown_as` only serve the message of an error. `mode` is
    what the file may be at most: 0o600 keeps it from everyone but its owner.
    """
    with explained(shown_as or path, needed):
        descriptor = os.open(path, _CREATE, mode)
        file = BufferedWriter(FileIO(descriptor, "wb"), BLOCK)
        try:
            yield file
            file.flush()
            _sync(descriptor)
            file.close()
        except BaseException:
            with suppress(OSError):
                file.close()
            with suppress(OSError):
                _unlink(path)
            raise


def publish(staged: Path, final: Path) -> None:
    """Give a finished, synced file (see `new_file`) its final name, durably, and make it read-only.

    Both must lie on one file system. Raises FileExistsError if `final` exists; on any error before the
    name is given `staged` stays where it is, and is the caller's to remove.
    """
    with explained(final):
        staged.chmod(stat.S_IMODE(staged.stat().st_mode) & 0o444)
        _rename_without_overwriting(staged, final)
    sync_directory(final.parent)
    if staged.parent != final.parent:
        sync_directory(staged.parent)


def publish_directory(staged: Path, final: Path) -> None:
    """Give a finished directory, all of it synced, its final name, durably. `final` must be missing or empty."""
    with explained(final):
        if _WINDOWS and final.is_dir():  # elsewhere rename replaces an empty one
            final.rmdir()
        staged.rename(final)
    sync_directory(final.parent)


def replace(path: Path, data: bytes) -> None:
    """Make `data` the content of a mutable file: a crash leaves all of the old or all of the new."""
    with replacing(path, needed=len(data)) as file:
        file.write(data)


@contextmanager
def replacing(path: Path, *, needed: int = 0) -> Iterator[BinaryIO]:
    """`replace` for what is written piece by piece: the old content goes when the block has ended."""
    staged = temporary_path(path.parent)
    with new_file(staged, needed=needed, shown_as=path) as file:
        yield file
    with explained(path):
        try:
            staged.replace(path)
        except BaseException:
            with suppress(OSError):
                _unlink(staged)
            raise
    sync_directory(path.parent)


def make_directory(path: Path) -> None:
    """Make `path` and whatever parents it lacks, durably. A directory that exists is fine."""
    if path.is_dir():
        sync_directory(path.parent)  # a process killed before this line may have made it
        return
    if path.parent != path:
        make_directory(path.parent)
    with explained(path), suppress(FileExistsError):
        path.mkdir()
    if not path.is_dir():
        raise GermlineError(f"{path} is not a directory", hint=f"move {path} away, then run the command again")
    sync_directory(path.parent)


def remove(path: Path) -> None:
    """Remove one file. Meant for what may be rebuilt or was never published; the caller answers for that."""
    with explained(path):
        _unlink(path)
    sync_directory(path.parent)


def remove_tree(root: Path, path: Path) -> None:
    """Remove a directory under `runs/` or `cache/` of the home at `root`, or an unfinished one, with all it holds.

    Anything else is refused with ValueError before anything is touched. Links are removed, not followed.
    """
    real = path.parent.resolve() / path.name
    expendable = any(real.parent.is_relative_to(root.resolve() / name) for name in ("runs", "cache"))
    expendable = expendable or is_temporary(real.name)
    if not expendable or path.name in ("", "..") or path.is_symlink() or not path.is_dir():
        raise ValueError(f"not a directory under runs/ or cache/ of {root}: {path}")
    with explained(path):
        _remove_directory(real)
    sync_directory(real.parent)


def sync_file(path: Path) -> None:
    """Bring a file that someone else wrote to the disk, before it is published."""
    with explained(path):
        _sync_path(path, os.O_RDWR if _WINDOWS else os.O_RDONLY)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable, where the system can."""
    if _WINDOWS:
        return
    with explained(path):
        try:
            _sync_path(path, os.O_RDONLY)
        except OSError as error:
            if error.errno not in _NO_DIRECTORY_SYNC:
                raise


def _sync_path(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        _sync(descriptor)
    finally:
        os.close(descriptor)


def _sync(descriptor: int) -> None:
    if sys.platform == "darwin":
        import fcntl

        # On macOS fsync stops at the drive's cache; only this flushes it.
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
    else:
        os.fsync(descriptor)


def _rename_without_overwriting(staged: Path, final: Path) -> None:
    if not _WINDOWS:  # there, rename itself refuses to overwrite, and a read-only link cannot be removed
        try:
            os.link(staged, final)
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
        else:
            with suppress(OSError):  # published all the same; the other name is a known leftover
                _unlink(staged)
            return
        if os.path.lexists(final):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(final))
    staged.rename(final)


def _remove_directory(path: Path) -> None:
    for child in list(path.iterdir()):
        if child.is_dir() and not child.is_symlink():
            _remove_directory(child)
        else:
            _unlink(child)
    path.rmdir()


def _unlink(path: Path) -> None:
    if _WINDOWS:  # which does not remove read-only files
        path.chmod(stat.S_IREAD | stat.S_IWRITE)
    path.unlink()
