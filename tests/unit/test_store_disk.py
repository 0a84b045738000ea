"""The write door: nothing half-written, nothing overwritten, every failure explained."""

from __future__ import annotations

import errno
import os
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from germline.errors import DoesNotFit, GermlineError
from germline.store import disk


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def failing(code: int, *, call: int = 1) -> Callable[..., None]:
    """A stand-in for an os function that fails at its nth call and does the real thing before and after."""
    calls = 0

    def fail(*args: object) -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            raise OSError(code, os.strerror(code))

    return fail


def disk_with(*, takes: int, holds: int = sys.maxsize) -> Callable[..., Any]:
    """A disk that takes so many bytes at a time, and no more than it holds."""
    held = 0

    def watch(primitive: Callable[..., Any], *arguments: Any) -> Any:
        nonlocal held
        if primitive is not os.write:
            return primitive(*arguments)
        descriptor, data = arguments
        if held >= holds:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = os.write(descriptor, data[:takes])
        held += written
        return written

    return watch


def test_a_published_file_is_whole_read_only_and_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    disk.write_new(path, b"bytes")
    assert path.read_bytes() == b"bytes"
    assert stat.S_IMODE(path.stat().st_mode) & 0o222 == 0
    assert names(tmp_path) == ["file"]


def test_pieces_are_written_in_order(tmp_path: Path) -> None:
    disk.write_new(tmp_path / "file", (bytes([n]) * n for n in range(50)))
    assert (tmp_path / "file").read_bytes() == b"".join(bytes([n]) * n for n in range(50))


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    disk.write_new(tmp_path / "file", b"first")
    with pytest.raises(FileExistsError):
        disk.write_new(tmp_path / "file", b"second")
    assert (tmp_path / "file").read_bytes() == b"first"
    assert names(tmp_path) == ["file"]


def test_nothing_is_overwritten_through_a_dangling_link(tmp_path: Path) -> None:
    (tmp_path / "file").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        disk.write_new(tmp_path / "file", b"bytes")
    assert names(tmp_path) == ["file"]


def test_private_files_stay_private(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        disk.write_new(tmp_path / "file", b"bytes")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o400


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "watch", disk_with(takes=7))
    data = os.urandom(3000)
    disk.write_new(tmp_path / "file", data)
    assert (tmp_path / "file").read_bytes() == data


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no interval timer")
def test_interrupted_calls_are_made_again(tmp_path: Path) -> None:
    """A real storm of signals, each of which interrupts whatever the system is doing."""
    interrupted = 0

    def note(number: int, frame: object) -> None:
        nonlocal interrupted
        interrupted += 1

    before = signal.signal(signal.SIGALRM, note)
    signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
    data = os.urandom(1 << 20)
    try:
        for number in range(20):
            disk.write_new(tmp_path / str(number), data)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert interrupted > 20
    assert all((tmp_path / str(number)).read_bytes() == data for number in range(20))


def test_a_full_disk_leaves_nothing_and_says_how_much_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "watch", disk_with(takes=10, holds=10))
    with pytest.raises(DoesNotFit) as failure:
        disk.write_new(tmp_path / "file", b"x" * 1000)
    assert names(tmp_path) == []
    assert str(tmp_path / "file") in failure.value.message
    assert "1,000 bytes needed" in failure.value.message
    assert failure.value.hint == "nothing was lost: free space and run the command again"


def test_a_file_size_limit_of_the_system_leaves_nothing(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # a real short write, then a real error
    try:
        with pytest.raises(GermlineError, match="File too large"):
            disk.write_new(tmp_path / "file", b"x" * 1500)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == []


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_failed_sync_is_not_repeated_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    synced: list[int] = []

    def fail(descriptor: int) -> None:
        synced.append(descriptor)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(GermlineError, match=os.strerror(code)) as failure:
        disk.write_new(tmp_path / "file", b"bytes")
    assert len(synced) == 1
    assert names(tmp_path) == []
    assert "nothing was lost" in failure.value.hint


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EACCES])
def test_a_failed_link_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    monkeypatch.setattr(os, "link", failing(code))
    with pytest.raises(GermlineError, match=os.strerror(code)):
        disk.write_new(tmp_path / "file", b"bytes")
    assert names(tmp_path) == []


def test_a_failed_directory_sync_is_told_and_leaves_a_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", failing(errno.EIO, call=2))
    with pytest.raises(GermlineError, match="Input/output error"):
        disk.write_new(tmp_path / "file", b"bytes")
    assert (tmp_path / "file").read_bytes() == b"bytes"
    assert names(tmp_path) == ["file"]


def test_a_directory_that_cannot_be_synced_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", failing(errno.EINVAL, call=2))
    disk.write_new(tmp_path / "file", b"bytes")
    assert (tmp_path / "file").read_bytes() == b"bytes"


def test_a_directory_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It could not be synced, so that its names would not be durable."""

    def watch(primitive: Callable[..., Any], *arguments: Any) -> Any:
        if primitive is disk.flush_directory:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return primitive(*arguments)

    monkeypatch.setattr(disk, "watch", watch)
    with pytest.raises(GermlineError, match="Permission denied") as failure:
        disk.write_new(tmp_path / "file", b"bytes")
    assert "check who may read" in failure.value.hint


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP])
def test_without_hard_links_publishing_still_refuses_to_overwrite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def no_links(*args: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", no_links)
    disk.write_new(tmp_path / "file", b"first")
    with pytest.raises(FileExistsError):
        disk.write_new(tmp_path / "file", b"second")
    assert (tmp_path / "file").read_bytes() == b"first"
    assert names(tmp_path) == ["file"]


def test_a_failure_in_the_source_leaves_nothing(tmp_path: Path) -> None:
    def pieces() -> object:
        yield b"some"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        disk.write_new(tmp_path / "file", pieces())  # type: ignore[arg-type]
    assert names(tmp_path) == []


def test_a_streamed_file_is_kept_when_whole_and_removed_when_not(tmp_path: Path) -> None:
    with disk.new_file(tmp_path / "staged") as file:
        file.write(b"all of it")
    assert (tmp_path / "staged").read_bytes() == b"all of it"
    with pytest.raises(RuntimeError), disk.new_file(tmp_path / "other") as file:
        file.write(b"some of it")
        raise RuntimeError
    with pytest.raises(FileExistsError), disk.new_file(tmp_path / "staged"):
        pass
    assert names(tmp_path) == ["staged"]


def test_publish_moves_a_staged_file_between_directories(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with disk.new_file(tmp_path / "staged") as file:
        file.write(b"bytes")
    disk.publish(tmp_path / "staged", tmp_path / "there" / "final")
    assert names(tmp_path) == ["there"]
    assert names(tmp_path / "there") == ["final"]
    with disk.new_file(tmp_path / "staged") as file:
        file.write(b"others")
    with pytest.raises(FileExistsError):
        disk.publish(tmp_path / "staged", tmp_path / "there" / "final")
    assert (tmp_path / "staged").exists()


def test_replace_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.json"
    disk.replace(path, b"one")
    disk.replace(path, b"two")
    assert path.read_bytes() == b"two"

    def fail(*args: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch, pytest.raises(GermlineError):
        patch.setattr(os, "replace", fail)
        disk.replace(path, b"three")
    with monkeypatch.context() as patch, pytest.raises(GermlineError):
        patch.setattr(os, "fsync", fail)
        disk.replace(path, b"three")
    assert path.read_bytes() == b"two"
    assert names(tmp_path) == ["state.json"]


def test_directories_are_made_with_their_parents(tmp_path: Path) -> None:
    disk.make_directory(tmp_path / "a" / "b" / "c")
    disk.make_directory(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(GermlineError, match="is not a directory"):
        disk.make_directory(tmp_path / "file")


def test_removing_what_is_not_there_is_explained(tmp_path: Path) -> None:
    disk.write_new(tmp_path / "file", b"bytes")
    disk.remove(tmp_path / "file")
    with pytest.raises(GermlineError, match="No such file"):
        disk.remove(tmp_path / "file")


def test_only_what_is_expendable_is_removed_as_a_tree(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    disk.make_directory(outside)
    disk.write_new(outside / "kept", b"bytes")
    home = tmp_path / "home"
    for directory in ("runs/one/deep", "cache/ab", "objects/ab"):
        disk.make_directory(home / directory)
    disk.write_new(home / "runs" / "one" / "deep" / "file", b"bytes")
    (home / "runs" / "one" / "link").symlink_to(outside)
    (home / "runs" / "away").symlink_to(outside)
    refused = [
        home,
        outside,
        home / "runs",
        home / "objects" / "ab",
        home / "runs" / "away",
        home / "runs" / ".." / "objects" / "ab",
        home / "runs" / "one" / "..",
        home / "runs" / "missing",
        home / "runs" / "one" / "deep" / "file",
    ]
    for path in refused:
        with pytest.raises(ValueError, match="not a directory under"):
            disk.remove_tree(home, path)
    disk.remove_tree(home, home / "runs" / "one")
    disk.remove_tree(home, home / "cache" / "ab")
    assert names(home / "runs") == ["away"]
    assert names(home / "cache") == []
    assert names(outside) == ["kept"]
    assert names(home / "objects") == ["ab"]


def test_temporary_names_are_known() -> None:
    assert disk.is_temporary(disk.temporary_path(Path("x")).name)
    assert not any(map(disk.is_temporary, [".tmp-", ".tmp-0123", "0" * 64, ".tmp-0123456789abcdeg", "tmp"]))


@pytest.fixture
def order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What reaches the disk, in order; a directory is synced by name."""
    done: list[str] = []
    link, fsync, mkdir, rename = os.link, os.fsync, os.mkdir, os.replace

    def note_sync(descriptor: int) -> None:
        is_directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        inside = {path.stat().st_ino: path.name for path in [tmp_path, *tmp_path.rglob("*")]}
        name = inside.get(os.fstat(descriptor).st_ino, "outside")
        done.append(f"sync {name}" if is_directory else "sync file")
        fsync(descriptor)

    def note_link(staged: Path, final: Path) -> None:
        done.append("link")
        link(staged, final)

    def note_rename(staged: Path, final: Path) -> None:
        done.append("rename")
        rename(staged, final)

    def note_mkdir(path: Path, mode: int) -> None:
        done.append(f"make {path.name}")
        mkdir(path, mode)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "link", note_link)
    monkeypatch.setattr(os, "replace", note_rename)
    monkeypatch.setattr(os, "mkdir", note_mkdir)
    return done


def test_bytes_are_durable_before_their_name_and_the_name_after(tmp_path: Path, order: list[str]) -> None:
    disk.write_new(tmp_path / "file", b"bytes")
    assert order == ["sync file", "link", f"sync {tmp_path.name}"]
    order.clear()
    disk.replace(tmp_path / "file", b"bytes")
    assert order == ["sync file", "rename", f"sync {tmp_path.name}"]
    order.clear()
    disk.make_directory(tmp_path / "a" / "b")
    assert order[-4:] == ["make a", f"sync {tmp_path.name}", "make b", "sync a"]
    order.clear()
    disk.remove(tmp_path / "file")
    assert order == [f"sync {tmp_path.name}"]
