"""`germline feed`"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import click
import tomlkit
from filelock import FileLock, Timeout
from tomlkit.items import Array

from germline.cli import options, output
from germline.errors import Locked, PlanError, did_you_mean
from germline.settings import load_plan
from germline.store import disk
from germline.store.home import Home

LOCK, PATIENCE = "feed.lock", 10.0
"""In `runs/`, and seconds that one feed waits for another."""


@click.command(
    "feed",
    epilog=options.examples("germline feed ../notes ../manual.md", "germline feed --drop ../notes", "germline feed"),
)
@click.argument("paths", metavar="[PATH]...", nargs=-1)
@click.option("--drop", is_flag=True, help="Remove these sources instead of adding them.")
@options.home
@options.as_json
def command(paths: tuple[str, ...], drop: bool, home: Home, as_json: bool) -> None:
    """Name what to learn from, or list it.

    PATH is a file, a folder or a glob; it goes into [data] sources of germline.toml. Nothing is read or
    copied before `germline evolve`, and what ancestors learned already is skipped there.
    """
    with _alone(home) if paths else nullcontext():
        before = list(dict.fromkeys(load_plan(home.plan).data.sources))  # one that is listed twice is one
        after = list(before)
        for path in map(os.path.expanduser, paths):  # cmd.exe hands on ~ as it stands
            _drop(home, after, path) if drop else _add(home, after, path)
        if after != before:
            _write(home, after)
    if as_json:
        changed = {
            "added": [s for s in after if s not in before],
            "dropped": [s for s in before if s not in after],
        }
        output.say_json({"sources": after, **changed})
    else:
        output.say(after or "no sources yet; `germline feed PATH` adds one")


@contextmanager
def _alone(home: Home) -> Iterator[None]:
    """Of two feeds at once the second sees what the first has written. Not the lineage's lock, which an age-up holds
    for hours."""
    disk.make_directory(home.runs)
    try:
        with FileLock(home.runs / LOCK, timeout=PATIENCE):
            yield
    except Timeout as error:
        raise Locked("another `germline feed` is at work in this lineage", hint="run it again in a moment") from error


def _add(home: Home, sources: list[str], path: str) -> None:
    if not path:
        raise PlanError("an empty path names nothing", hint="name a file, a folder or a glob; nothing was changed")
    if Path(path).resolve() == home.root.resolve():
        hint = "name what is to be learned, a folder in it, say; nothing was changed"
        raise PlanError(f"{path} is the lineage itself, which learns nothing from its own files", hint=hint)
    found = glob.iglob(_stored(home, Path(path)), root_dir=home.root, recursive=True)  # noqa: PTH207 - as the corpus
    if not Path(path).exists() and not any(found):
        raise PlanError(f"{path}: there is no such file or folder", hint="check the path; nothing was changed")
    if known := _same(home, sources, path):
        output.note(f"{known} is a source already")
        return
    if Path(path).is_file():
        from germline.corpus.read import FILE_TYPES
        from germline.delta import CURES

        if Path(path).suffix.lower() not in FILE_TYPES:
            output.note(f"{path} will be refused: {CURES['unknown file type']}")
    sources.append(_stored(home, Path(path)))


def _drop(home: Home, sources: list[str], path: str) -> None:
    """A source may be dropped by the words that `feed` lists, or by any path to it, also when it is gone."""
    known = path if path in sources else _same(home, sources, path)
    if known is None:
        hint = did_you_mean(path, sources) if sources else "there are no sources"
        raise PlanError(f"{path} is not a source", hint=hint)
    sources.remove(known)


def _same(home: Home, sources: Sequence[str], path: str) -> str | None:
    wanted, stored = Path(path).resolve(), _stored(home, Path(path))
    return next((one for one in sources if one == stored or (home.root / one).resolve() == wanted), None)


def _stored(home: Home, path: Path) -> str:
    """Relative to the home where it lies in or beside it, so that both can move together; else absolute."""
    whole, root = path.resolve(), home.root.resolve()
    if any("\ud800" <= sign <= "\udfff" for sign in str(whole)):  # bytes that are no UTF-8, as POSIX names may hold
        raise PlanError(f"{str(whole)!r} cannot stand in a plan", hint="rename it, or name the folder it is in")
    near = root.parent if root.parent != root.parent.parent else root  # "beside" must not mean the whole disk
    named = Path(os.path.relpath(whole, root)) if whole.is_relative_to(near) else whole
    if whole.exists():
        return named.as_posix()
    # Of a pattern the folders that are there are no part, whatever they are called: `a [b]/*.md`.
    there = next((above for above in whole.parents if above.exists()), Path(whole.anchor))  # a drive may be gone
    pattern = len(whole.parts) - len(there.parts)
    return Path(*map(glob.escape, named.parts[:-pattern]), *named.parts[-pattern:]).as_posix()


def _write(home: Home, sources: Sequence[str]) -> None:
    """Change [data] sources and nothing else: comments and order stay as their owner wrote them."""
    document: Any = tomlkit.parse(home.plan.read_bytes().decode("utf-8-sig"))  # with the line ends that it has
    data = document.setdefault("data", tomlkit.table())
    found = data.get("sources")
    array = found if isinstance(found, Array) else tomlkit.array()
    listed = list(array)
    for place in reversed(range(len(listed))):
        if listed[place] not in sources or listed[place] in listed[:place]:
            del array[place]
    for source in sources:
        if source not in array:
            array.append(source)
    data["sources"] = array.multiline(len(array) > 1)
    disk.replace(home.plan.resolve(), tomlkit.dumps(document).encode("utf-8"))  # a plan may be linked from elsewhere
