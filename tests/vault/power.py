"""A simulated power cut: which files a disk may hold after it, given what the write door asked of it before.

The model: the bytes of a file are safe once the file was synced, a name (its making, its removal) once its directory
was. Everything else may have happened or not, in any combination; of bytes that were not synced any part may be there,
cut short or as zeros. Only a rename is one step. This is harsher than a journalling file system, which keeps order.

Not modelled: disks that lie about flushing, damage to what was synced, and that mode bits need a sync.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from germline.store import disk
from tests.vault.cycle import Told
from tests.vault.faults import Counting, Died

SOURCE = Path(disk.__file__).parents[1]
Tree = dict[str, tuple[bytes, int] | None]
"""Path -> bytes and mode of a file, or None for a directory. Parents come before what they hold."""
Act = tuple[Any, ...]
"""What the write door did: the primitive's name and its arguments; a sync also carries the line that asked for it."""


class Recording(Counting):
    """Lets everything happen under `world`, and notes it. After `deadly` primitives nothing happens any more."""

    def __init__(self, world: Path, deadly: int | None = None) -> None:
        super().__init__()
        self.world, self.deadly = world, deadly
        self.acts: list[Act] = []
        self._open: dict[int, int] = {}

    def tell(self, told: Told) -> None:
        self.acts.append(("told", told))

    def revive(self) -> None:
        """What died is started again, and the disk never noticed."""
        self.deadly = None

    def __call__(self, primitive: Callable[..., Any], *arguments: Any) -> Any:
        if self.deadly is not None and len(self.names) >= self.deadly:
            raise Died
        answer = super().__call__(primitive, *arguments)
        if primitive is disk.flush_directory and not arguments[0].is_relative_to(self.world):
            self.acts.append(("nothing",))  # the world itself is there
            return answer
        name, paths = primitive.__name__, [self._relative(a) for a in arguments if isinstance(a, Path)]
        if primitive is os.open:
            self._open[answer] = len(self.acts)
            mask = os.umask(0)
            os.umask(mask)
            self.acts.append((name, *paths, arguments[2] & ~mask))
        elif primitive is os.write:
            self.acts.append((name, self._open[arguments[0]], bytes(arguments[1][:answer])))
        elif primitive is disk.flush:
            self.acts.append((name, self._open[arguments[0]], _line_that_asks()))
        elif primitive is disk.flush_directory:
            self.acts.append((name, *paths, _line_that_asks()))
        elif primitive is os.chmod:
            self.acts.append((name, *paths, arguments[1]))
        else:
            self.acts.append((name, *paths))
        return answer

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.world).as_posix()


def _line_that_asks() -> str:
    frame = sys._getframe(2)
    while frame.f_code.co_name in ("_do", "sync_directory") and frame.f_back is not None:
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).relative_to(SOURCE).as_posix()}:{frame.f_lineno}"


def without_sync(acts: Iterable[Act], line: str) -> list[Act]:
    """What the disk would have been asked for without the sync in `line`: the mutant that has lost it."""
    return [("nothing",) if act[0] in ("flush", "flush_directory") and act[-1] == line else act for act in acts]


@dataclass(eq=False)
class File:
    mode: int
    now: bytes = b""
    safe: bytes = b""


@dataclass(eq=False)
class Folder:
    now: dict[str, File | Folder] = field(default_factory=dict)
    safe: dict[str, File | Folder] = field(default_factory=dict)


@dataclass(eq=False)
class Change:
    """One step in the naming of things: all of it will have happened, or none."""

    parts: list[tuple[Folder, str, File | Folder | None]]

    def happen(self, names: Callable[[Folder], dict[str, File | Folder]]) -> None:
        for folder, name, node in self.parts:
            names(folder).pop(name, None)
            if node is not None:
                names(folder)[name] = node


class Disk:
    """The state of the disk, as the processes see it and as a power cut may leave it."""

    def __init__(self, tree: Tree) -> None:
        self.root = Folder()
        self.pending: dict[int, Change] = {}
        """By the number of the act; in order."""
        self.files: dict[int, File] = {}
        """By the number of the act that made them."""
        self.done = 0
        for path, held in tree.items():
            parent, name = self._place(path)
            parent.now[name] = parent.safe[name] = Folder() if held is None else File(held[1], held[0], held[0])

    def act(self, act: Act) -> None:
        name, *arguments = act
        if name == "open":
            self.files[self.done] = File(arguments[1])
            self._name((arguments[0], self.files[self.done]))
        elif name == "write":
            self.files[arguments[0]].now += arguments[1]
        elif name == "flush":
            self.files[arguments[0]].safe = self.files[arguments[0]].now
        elif name == "flush_directory":
            self._make_safe(self._find(arguments[0]))
        elif name == "chmod":
            self._find(arguments[0]).mode = arguments[1]
        elif name == "mkdir":
            self._name((arguments[0], Folder()))
        elif name == "link":
            self._name((arguments[1], self._find(arguments[0])))
        elif name in ("rename", "replace"):
            self._name((arguments[0], None), (arguments[1], self._find(arguments[0])))
        elif name in ("unlink", "rmdir"):
            self._name((arguments[0], None))
        else:
            assert name in ("told", "nothing"), name
        self.done += 1

    def after(self, cut: Cut) -> Tree:
        """What is on the disk after a power cut."""
        kept = [change for number, change in self.pending.items() if cut.keeps(number)]
        names = {id(folder): dict(folder.safe) for folder in self._folders()}
        for change in kept:
            change.happen(lambda folder: names[id(folder)])
        held = {id(file): cut.bytes_of(number, file) for number, file in self.files.items() if file.now != file.safe}
        return dict(self._walk(self.root, "", names, held))

    def dirty(self) -> list[int]:
        return [number for number, file in self.files.items() if file.now != file.safe]

    def _walk(
        self, folder: Folder, prefix: str, names: dict[int, dict[str, File | Folder]], held: dict[int, bytes]
    ) -> Iterator[tuple[str, tuple[bytes, int] | None]]:
        for name, node in sorted(names[id(folder)].items()):
            if isinstance(node, File):
                yield prefix + name, (held.get(id(node), node.safe), node.mode)
            else:
                yield prefix + name, None
                yield from self._walk(node, f"{prefix}{name}/", names, held)

    def _folders(self) -> Iterator[Folder]:
        """All that any disk may hold: those that are safe, and those that pending changes name or hold."""
        found: dict[int, Folder] = {}
        waiting = [self.root, *(node for change in self.pending.values() for part in change.parts for node in part)]
        while waiting:
            node = waiting.pop()
            if isinstance(node, Folder) and id(node) not in found:
                found[id(node)] = node
                waiting += [*node.now.values(), *node.safe.values()]
        return iter(found.values())

    def _name(self, *parts: tuple[str, File | Folder | None]) -> None:
        change = Change([(*self._place(path), node) for path, node in parts])
        change.happen(lambda folder: folder.now)
        self.pending[self.done] = change

    def _make_safe(self, folder: Folder) -> None:
        for number, change in list(self.pending.items()):
            if any(part[0] is folder for part in change.parts):
                self.pending.pop(number).happen(lambda folder: folder.safe)

    def _place(self, path: str) -> tuple[Folder, str]:
        parent, _, name = path.rpartition("/")
        return self._find(parent), name

    def _find(self, path: str) -> Any:
        node: Any = self.root
        for name in path.split("/") if path and path != "." else ():
            node = node.now[name]
        return node


@dataclass(frozen=True)
class Cut:
    """One way in which a power cut may go: what of the pending is kept."""

    way: str
    """lost, kept, only, but, torn, zeros, or random."""
    which: int = -1
    """The number of an act, for only, but, torn and zeros; else a seed."""

    def keeps(self, number: int) -> bool:
        if self.way == "random":
            return random.Random(f"{self.which} {number}").random() < 0.5
        if self.way in ("only", "but"):
            return (self.way == "only") == (number == self.which)
        return self.way != "lost"

    def bytes_of(self, number: int, file: File) -> bytes:
        way, dice = self.way, random.Random(f"{self.which} {number} bytes")
        if way == "random":
            way = dice.choice(["lost", "kept", "torn", "zeros"])
        elif way in ("torn", "zeros") and number != self.which:
            way = "kept"
        safe, lost = file.safe, len(file.now) - len(file.safe)
        if way in ("lost", "only"):
            return safe
        if way == "zeros":
            return safe + bytes(lost)
        return file.now[: len(safe) + dice.randrange(lost)] if way == "torn" else file.now


def cuts(state: Disk, dice: random.Random, chances: int) -> Iterator[Cut]:
    """The ways in which the power may be cut now: the plain ones, and `chances` by chance."""
    yield Cut("lost")
    if not state.pending and not state.dirty():
        return
    yield Cut("kept")
    for number in state.pending:
        yield Cut("only", number)
        yield Cut("but", number)
    for number in state.dirty():
        yield Cut("torn", number)
        yield Cut("zeros", number)
    for _ in range(chances):
        yield Cut("random", dice.randrange(10**9))


def replayed(acts: Iterable[Act], start: Tree) -> Iterator[tuple[Disk, tuple[Told, ...]]]:
    """The disk after each act, and what had been told by then."""
    now = Disk(start)
    told: tuple[Told, ...] = ()
    yield now, told
    for act in acts:
        now.act(act)
        told += (act[1],) if act[0] == "told" else ()
        yield now, told


def read_tree(world: Path) -> Tree:
    """All that lies in a world, but the lock."""
    return {
        path.relative_to(world).as_posix(): None if path.is_dir() else (path.read_bytes(), path.stat().st_mode & 0o7777)
        for path in sorted(world.rglob("*"))
        if path != world / "home" / "lock"
    }


def write_tree(tree: Tree, world: Path) -> None:
    world.mkdir()
    for name, held in tree.items():
        if held is None:
            (world / name).mkdir()
        else:
            (world / name).write_bytes(held[0])
            (world / name).chmod(held[1])
