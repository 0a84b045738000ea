"""Nothing but the write door changes a lineage: read off the source, and watched while the store is at work."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from germline.store import disk

SOURCE = Path(disk.__file__).parents[1]
ROOT = Path(__file__).resolve().parents[2]

ALLOWED = {
    ("store/lock.py", "FileLock"): "an empty file, which means nothing by itself",
    ("cli/watch.py", "FileLock"): "an empty file, which means nothing by itself",
    ("cli/feed.py", "FileLock"): "an empty file, which means nothing by itself",
    ("karma/book.py", "sqlite3"): "karma's own file, which no generation knows of; SQLite sees to its durability",
    ("karma/book.py", ".chmod"): "the same file, which an older germline left readable by all",
    ("cli/__init__.py", "os.open"): "os.devnull, in the place of a pipe that was closed",
    ("cli/output.py", ".open"): "os.devnull, in the place of a stream that was closed before we began",
    ("forge/machine.py", "shutil"): "shutil.which",
    ("model/gguf_import_file.py", "mmap"): "for reading",
    ("model/weights.py", "mmap"): "copy on write: what is changed stays in memory",
    ("corpus/whitelist.py", "os.open"): "for reading: O_NOFOLLOW and O_NONBLOCK, against what took a file's place",
    ("api.py", ".open"): "Lineage.open, for reading",
    ("budget.py", "shutil"): "shutil.disk_usage",
    ("run.py", "tempfile"): "tempfile.gettempdir, which is outside the lineage",
}
"""What would be found otherwise, and why it may be."""

FORBIDDEN_OF_OS = {
    "open", "write", "rename", "renames", "replace", "remove", "unlink", "mkdir", "makedirs", "rmdir", "removedirs",
    "link", "symlink", "truncate", "ftruncate", "chmod", "fchmod", "chown", "mkfifo", "mknod", "utime", "pwrite",
    "writev", "sendfile", "copy_file_range", "fdopen",
}  # fmt: skip
FORBIDDEN_METHODS = {
    "write_text", "write_bytes", "touch", "mkdir", "rename", "unlink", "rmdir", "symlink_to", "hardlink_to", "chmod",
    "lchmod", "tofile", "save_file", "save_pretrained", "extractall",
}  # fmt: skip
FORBIDDEN_MODULES = {"shutil", "tempfile", "sqlite3", "shelve", "dbm", "pickle", "tarfile", "zipfile", "mmap"}
FORBIDDEN_CALLS = {("torch", "save"), ("np", "save"), ("np", "savez"), ("np", "memmap"), ("numpy", "save")}


def writes(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Whatever could change a file: the line, and its name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", None) or ""
            names = {module.split(".")[0]} | {alias.name.split(".")[0] for alias in node.names if not module}
            yield from ((node.lineno, name) for name in names & FORBIDDEN_MODULES)
            if module == "os":
                yield from ((node.lineno, f"os.{a.name}") for a in node.names if a.name in FORBIDDEN_OF_OS)
        elif isinstance(node, ast.Call):
            yield from ((node.lineno, name) for name in _called(node))


def _called(node: ast.Call) -> Iterator[str]:
    if isinstance(node.func, ast.Name):
        if (node.func.id in ("open", "FileIO") and _may_write(node, 1)) or node.func.id in ("FileLock", "save_file"):
            yield node.func.id
    elif isinstance(node.func, ast.Attribute):
        owner, name = getattr(node.func.value, "id", ""), node.func.attr
        if owner == "os":
            if name in FORBIDDEN_OF_OS:
                yield f"os.{name}"
        elif (owner, name) in FORBIDDEN_CALLS:
            yield f"{owner}.{name}"
        elif owner == "disk":  # the door
            return
        elif name in FORBIDDEN_METHODS or (name == "replace" and len(node.args) == 1 and not node.keywords):
            yield f".{name}"
        elif name == "open" and owner not in ("Home", "Lineage", "cls") and _may_write(node, 0):
            yield ".open"


def _may_write(node: ast.Call, place: int) -> bool:
    """Whether a file is opened otherwise than for reading, as far as the source tells."""
    mode = next((word.value for word in node.keywords if word.arg == "mode"), None)
    if mode is None and len(node.args) > place:
        mode = node.args[place]
    return mode is not None and not (isinstance(mode, ast.Constant) and mode.value in ("r", "rb", "rt"))


def test_only_the_write_door_writes() -> None:
    found = {
        (path.relative_to(SOURCE).as_posix(), name): line
        for path in sorted(SOURCE.rglob("*.py"))
        if path != Path(disk.__file__)
        for line, name in writes(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert {f"{path}:{line} {name}" for (path, name), line in found.items() if (path, name) not in ALLOWED} == set()
    assert set(ALLOWED) <= set(found), "an exception that is needed no more"


def test_every_change_in_the_door_can_be_watched() -> None:
    """What disk.py calls of os goes through `_do`, but for reading and syncing."""
    tree = ast.parse(Path(disk.__file__).read_text(encoding="utf-8"))
    direct = {name for _, name in writes(tree)}
    assert direct == {"os.open"}  # of a directory, to sync it
    passed = {
        f"os.{node.args[0].attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") == "_do"
        and isinstance(node.args[0], ast.Attribute)
    }
    assert passed == {f"os.{name}" for name in
                      ("open", "write", "chmod", "link", "rename", "replace", "unlink", "mkdir", "rmdir")}  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["open(p, 'w')", "open(p, mode)", "p.open('ab')", "p.open(mode='r+b')", "os.rename(a, b)", "p.replace(q)",
     "p.touch()", "import shutil", "from tempfile import mkdtemp", "from os import unlink", "torch.save(x, p)",
     "x.tofile(p)"],
)  # fmt: skip
def test_the_lint_has_teeth(text: str) -> None:
    assert list(writes(ast.parse(text)))


@pytest.mark.parametrize(
    "text", ["open(p)", "p.open('rb')", "'a'.replace('b', 'c')", "disk.replace(p, data)", "os.stat(p)"]
)  # fmt: skip
def test_the_lint_lets_reading_be(text: str) -> None:
    assert not list(writes(ast.parse(text)))


@pytest.mark.parametrize("what", ["storage", pytest.param("evolve", marks=pytest.mark.tiny)])
def test_whoever_changes_a_lineage_comes_through_the_door(what: str, tmp_path: Path) -> None:
    """An audit hook sees what Python code asks of the system; it cannot be taken back, so it gets its own process."""
    command = [sys.executable, "-m", "tests.vault.audited", what, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, env=os.environ)
    assert done.returncode == 0, done.stdout + done.stderr
    seen, strangers = (int(word) for word in done.stdout.split()[-2:])
    assert strangers == 0, done.stdout
    assert seen > 100
