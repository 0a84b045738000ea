"""The tally that `verify` keeps while it goes through a lineage: what was read, and what is wrong."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from germline.errors import GermlineError
from germline.store import reading
from germline.store.disk import is_temporary
from germline.store.failures import explained
from germline.store.home import Home

OnFile = Callable[[Path, int], None]
"""Called with each file that was read, and its size."""
UNNAMED = "is named by nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong: `{path} {what}` is a sentence. `path` is relative to the home, POSIX."""

    path: str
    what: str


@dataclass(slots=True)
class Inspection:
    """The tally of one verification."""

    home: Home
    on_file: OnFile
    files: int = 0
    size: int = 0
    problems: list[Problem] = field(default_factory=list)
    leftovers: int = 0
    pending: int = 0
    was_in_flight: bool = field(init=False)

    def __post_init__(self) -> None:
        self.was_in_flight = self._in_flight()

    def count(self, path: Path, size: int) -> None:
        self.files += 1
        self.size += size
        self.on_file(path, size)

    def report(self, path: Path, what: str) -> None:
        relative = path.relative_to(self.home.root).as_posix()
        printable = relative.encode("utf-8", "backslashreplace").decode("utf-8")  # any bytes may be a name
        self.problems.append(Problem(path=printable, what=what))

    def unnamed(self, path: Path) -> None:
        """A whole file in its right place that nothing names. A run may also begin or end while we look."""
        if self.was_in_flight or self._in_flight():
            self.pending += 1
        else:
            self.report(path, UNNAMED + (" that can be read" if self._names_are_lost() else ""))

    def _names_are_lost(self) -> bool:
        """Whether what is damaged might name it: it is no litter then."""
        return any(
            problem.path.startswith(("ledger/", "generations/")) and not problem.what.startswith(UNNAMED)
            for problem in self.problems
        )

    @contextmanager
    def collecting(self, path: Path) -> Iterator[None]:
        """Report what goes wrong in the block, and go on after it."""
        try:
            yield
        except GermlineError as error:
            if isinstance(error.__cause__, OSError):
                self.report(path, f"cannot be read: {error.__cause__.strerror}")
            else:
                self.report(path, str(error).removeprefix(f"{path} "))

    def children(self, directory: Path) -> list[Path]:
        """What lies in a directory, in order of name, less the leftovers."""
        found: list[Path] = []
        with self.collecting(directory), explained(directory):
            if not os.path.lexists(directory):
                self.report(directory, "is missing")
            elif directory.is_symlink() or not directory.is_dir():
                self.report(directory, "is not a directory")
            else:
                found = sorted(directory.iterdir())
        leftovers = [path for path in found if is_temporary(path.name) and _is_regular(path)]
        self.leftovers += len(leftovers)
        return [path for path in found if path not in leftovers]

    def read(self, path: Path) -> bytes:
        data = reading.read(path)
        self.count(path, len(data))
        return data

    def _in_flight(self) -> bool:
        try:
            return bool(self.home.run_directories())
        except OSError:
            return False


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except FileNotFoundError:
        return True  # it was, and its writer is done with it
    except OSError:
        return False
