"""Faults at the write door: what `disk.watch` may be set to, and processes that die of it."""

from __future__ import annotations

import errno
import json
import os
import select
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from germline.store import disk
from tests.vault.cycle import Lost, Tell, Told

Watch = Callable[..., Any]
ERRORS = ("EIO", "ENOSPC", "EDQUOT", "EROFS", "EACCES", "EMFILE", "ENFILE", "EINTR")


class Died(BaseException):
    """Death within a process: not even the clean-up of the write door reaches the disk any more."""


class Counting:
    """Lets everything happen, and counts it."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, primitive: Watch, *arguments: Any) -> Any:
        self.names.append(primitive.__name__)
        return primitive(*arguments)


class Killing(Counting):
    """SIGKILLs this very process at primitive number `point`, before or after it is done."""

    def __init__(self, point: int, *, after: bool) -> None:
        super().__init__()
        self.point, self.after = point, after

    def __call__(self, primitive: Watch, *arguments: Any) -> Any:
        struck = len(self.names) == self.point
        if struck and not self.after:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = super().__call__(primitive, *arguments)
        if struck:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer


class Failing(Counting):
    """An error at primitive number `point`: once, or from there on. A write that fails wrote half of its bytes.

    A write that is interrupted is made again by Python itself, for ever if need be: of these every other goes through.
    """

    def __init__(self, point: int, code: int, *, sticky: bool) -> None:
        super().__init__()
        self.point, self.code, self.sticky = point, code, sticky

    def __call__(self, primitive: Watch, *arguments: Any) -> Any:
        number = len(self.names)
        again = primitive is os.write and self.code == errno.EINTR and (number - self.point) % 2
        if number < self.point or (number > self.point and not self.sticky) or again:
            return super().__call__(primitive, *arguments)
        self.names.append(primitive.__name__)
        if primitive is os.write and self.code != errno.EINTR:
            descriptor, data = arguments
            os.write(descriptor, data[: len(data) // 2])
        raise OSError(self.code, os.strerror(self.code))


@contextmanager
def watching(watch: Watch) -> Iterator[None]:
    disk.watch = watch
    try:
        yield
    finally:
        disk.watch = None


@dataclass(frozen=True)
class Ending:
    """How a process ended: its answer, or the error it raised, or neither if it was killed; and what it told."""

    told: tuple[Told, ...]
    answer: Any
    error: str
    killed: bool

    def sound(self) -> Any:
        """The answer of a process that must have come to its end."""
        if self.error or self.killed:
            raise Lost(self.error or "killed by nobody")
        return self.answer


def forked(work: Callable[[Tell], Any], *, patience: float | None = None) -> Ending:
    """Do `work` in a process of its own, which is SIGKILLed after `patience` seconds."""
    return Child(work).end(patience)


class Child:
    """A forked process that does `work` and tells what it has done."""

    def __init__(self, work: Callable[[Tell], Any]) -> None:
        self._began = time.monotonic()
        self._pipe, writable = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            os.close(self._pipe)
            _be_the_child(work, writable)
        os.close(writable)

    def end(self, patience: float | None = None) -> Ending:
        """Wait for its end, or bring it about so many seconds after its start."""
        received = bytearray()
        while True:
            left = None if patience is None else max(0.0, self._began + patience - time.monotonic())
            if not select.select([self._pipe], [], [], left)[0]:
                os.kill(self._pid, signal.SIGKILL)
                patience = None
            elif block := os.read(self._pipe, 1 << 16):
                received += block
            else:
                break
        os.close(self._pipe)
        _, status = os.waitpid(self._pid, 0)
        lines = [json.loads(line) for line in received.split(b"\n")[:-1]]
        ends = {name: value for name, value in lines if name != "told"}
        return Ending(
            told=tuple(value for name, value in lines if name == "told"),
            answer=ends.get("answer"), error=ends.get("error", ""), killed=os.WIFSIGNALED(status),
        )  # fmt: skip


def _be_the_child(work: Callable[[Tell], Any], writable: int) -> None:
    """Never returns."""

    def send(name: str, value: Any) -> None:
        line = json.dumps([name, value]).encode() + b"\n"
        while line:
            line = line[os.write(writable, line) :]

    try:
        try:
            send("answer", work(lambda told: send("told", told)))
        except Lost as error:
            send("error", str(error))
        except BaseException:
            send("error", traceback.format_exc())
    finally:
        os._exit(0)


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory in memory where there is one: a process that dies does not need a disk to lose something."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 1 << 30
    folder = Path(tempfile.mkdtemp(prefix="germline-vault-", dir=memory if roomy else None)).resolve()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
