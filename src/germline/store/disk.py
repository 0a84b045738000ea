"""The write door: every creation, replacement, rename, removal and directory in a home goes through here.

A file is published in one order: a temporary file next to its place, all bytes, fsync, write bits off, a
hard link as the final name (which never overwrites), the temporary name gone, fsync of the directory. A
crash in between leaves at most a temporary file, whose name `is_temporary` knows.

A short write is completed, an interrupted call (EINTR) made again. A failed fsync is never repeated: the
kernel may have dropped the pages and called them clean, so that a second fsync succeeds over lost data. The
file is removed and the error raised. A directory whose fsync failed keeps the new name: that may still be lost.

Not promised: durability on disks that lie about flushing; on macOS, on file systems that know no F_FULLFSYNC
(there fsync stops at the drive's cache); on Windows, of *names*, because it cannot sync a directory, so that a
power cut may undo the last renames and removals. Anywhere, that a file is still read-only after a power cut. On
file systems without hard links publishing falls back to a check and a rename, which holds off another process
only as long as both take the lineage's lock.

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
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedWriter, FileIO
from pathlib import Path
from typing import Any, BinaryIO, ParamSpec, TypeVar

from germline.errors import GermlineError, PlanError
from germline.store.failures import explained

BLOCK = 1 << 20
"""Files are read, hashed and written in pieces of this many bytes."""

watch: Callable[..., Any] | None = None
"""Called, where a test sets it, in place of each primitive, with the primitive and its arguments: it can look on,
fail, die, or do otherwise. The primitives are `flush`, `flush_directory`, and of os: open, write, chmod, link, rename,
replace, unlink, mkdir, rmdir. None in production."""

_Arguments = ParamSpec("_Arguments")
_Answer = TypeVar("_Answer")
_TEMPORARY = re.compile(r"\.tmp-[0-9a-f]{16}")
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_NOT_SUPPORTED = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_WINDOWS = os.name == "nt"
_LOOKS = 11
"""How often Windows is asked to rename or remove what another program has open, over some 10 s: a virus scanner, an
indexer or a cloud's client opens what was just written, for a moment, and until it is closed again both are refused."""


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
    """A new file at a staging path to stream into: its bytes on disk after the block, gone if it fails.

    Its name is durable only once it is published, or `sync_directory` was called. Raises FileExistsError if `path`
    exists. Leave the file open: it is flushed, synced and closed here. `needed` (bytes, where known) and
    `shown_as` only serve the message of an error. `mode` is what the file may be at most: 0o600 keeps it from
    everyone but its owner.
    """
    with explained(shown_as or path, needed):
        descriptor = _do(os.open, path, _CREATE, mode)
        file = BufferedWriter(_Raw(descriptor, "wb"), BLOCK)
        try:
            yield file
            file.flush()
            _do(flush, descriptor)
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
    name is given `staged` stays where it is, and is the caller's to remove. That the staged name is gone is
    not made durable.
    """
    with explained(final):
        _do(os.chmod, staged, stat.S_IMODE(staged.stat().st_mode) & 0o444)
        _rename_without_overwriting(staged, final)
    sync_directory(final.parent)


def require_free(path: Path) -> None:
    """PlanError unless a directory may be published as `path`: it is missing, or empty and may be replaced."""
    with explained(path):
        if not os.path.lexists(path):
            return
        if not path.is_dir() or any(path.iterdir()):
            raise PlanError(f"{path} is there already, and is not empty", hint="name a directory that is not there")
        stays = os.path.ismount(path) or path.samefile(Path.cwd()) or not os.access(path.absolute().parent, os.W_OK)
        if stays:  # it would be replaced, and what is mounted, worked in or another's cannot be
            raise PlanError(f"{path} is empty, but cannot be replaced", hint="name one in it that is not there")


def publish_directory(staged: Path, final: Path) -> None:
    """Give a finished directory, all of it synced, its final name, durably. `final` must be missing or empty."""
    with explained(final):
        if _WINDOWS and final.is_dir():  # elsewhere rename replaces an empty one
            _do(os.rmdir, final)
        _do(os.rename, staged, final)
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
            _do(os.replace, staged, path)
        except BaseException:
            with suppress(OSError):
                _unlink(staged)
            raise
    sync_directory(path.parent)


def make_directory(path: Path, *, mode: int = 0o777) -> None:
    """Make `path` and whatever parents it lacks, durably. A directory that exists is fine. `mode` is what `path` may be
    at most where it is made: 0o700 keeps others from looking into it."""
    if path.is_dir():
        if os.access(path.parent, os.W_OK):  # else no process of ours made it
            sync_directory(path.parent)  # one killed before this line may have
        return
    if path.parent != path:
        make_directory(path.parent)
    with explained(path), suppress(FileExistsError):
        _do(os.mkdir, path, mode)
    if not path.is_dir():
        raise GermlineError(f"{path} is not a directory", hint=f"move {path} away, then run the command again")
    sync_directory(path.parent)


def remove(path: Path) -> None:
    """Remove one file, durably. Meant for what may be rebuilt or was never published; the caller answers for that."""
    with explained(path):
        _unlink(path)
    sync_directory(path.parent)


def remove_tree(root: Path, path: Path) -> None:
    """Remove a directory under `runs/` or `cache/` of the home at `root`, or an unfinished one, with all it holds.

    Anything else is refused with ValueError before anything is touched. Links are removed, not followed. Not
    durable: after a power cut any part of it may be back, so remove first, with `remove`, what vouches for the rest.
    """
    real = path.parent.resolve() / path.name
    expendable = any(real.parent.is_relative_to((root / name).resolve()) for name in ("runs", "cache"))
    expendable = expendable or is_temporary(real.name)
    if not expendable or path.name in ("", "..") or path.is_symlink() or not path.is_dir():
        raise ValueError(f"not a directory under runs/ or cache/ of {root}: {path}")
    with explained(path):
        _remove_directory(real)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable, where the system can."""
    if not _WINDOWS:
        with explained(path):
            _do(flush_directory, path)


def flush(descriptor: int) -> None:
    """Primitive: all bytes of an open file to the disk."""
    if sys.platform == "darwin":
        import fcntl

        try:  # there fsync stops at the drive's cache
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
        except OSError as error:
            if error.errno not in _NOT_SUPPORTED | {errno.ENOTTY}:
                raise
    os.fsync(descriptor)


def flush_directory(path: Path) -> None:
    """Primitive: all names in a directory to the disk, unless its file system cannot."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        flush(descriptor)
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise
    finally:
        os.close(descriptor)


def _do(primitive: Callable[_Arguments, _Answer], *arguments: _Arguments.args, **named: _Arguments.kwargs) -> _Answer:
    """Every change of the disk is made here."""
    patient = _WINDOWS and primitive in (os.rename, os.replace, os.unlink, os.rmdir)
    for look in range(_LOOKS if patient else 1):
        if look:
            time.sleep(0.005 * 2**look)
        try:
            answer: _Answer = watch(primitive, *arguments, **named) if watch else primitive(*arguments, **named)
        except PermissionError as error:
            refused = error
            continue
        return answer
    raise refused


class _Raw(FileIO):
    def write(self, data: Any) -> int:
        return _do(os.write, self.fileno(), data)


def _rename_without_overwriting(staged: Path, final: Path) -> None:
    if not _WINDOWS:  # there, rename itself refuses to overwrite, and a read-only link cannot be removed
        try:
            _do(os.link, staged, final)
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
        else:
            with suppress(OSError):  # published all the same; the other name is a known leftover
                _unlink(staged)
            return
        if os.path.lexists(final):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(final))
    _do(os.rename, staged, final)


def _remove_directory(path: Path) -> None:
    for child in list(path.iterdir()):
        if child.is_dir() and not child.is_symlink():
            _remove_directory(child)
        else:
            _unlink(child)
    _do(os.rmdir, path)


def _unlink(path: Path) -> None:
    if _WINDOWS:  # which does not remove read-only files
        _do(os.chmod, path, stat.S_IREAD | stat.S_IWRITE)
    _do(os.unlink, path)
