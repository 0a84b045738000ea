"""Where a lineage lies. The home is one directory; everything the lineage is lies inside it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from germline.errors import GermlineError, NoLineage
from germline.records import FORMAT, Digest, canonical_json, digest_of
from germline.store import disk, reading
from germline.store.failures import damaged, explained

_DIRECTORIES = ("objects", "generations", "ledger", "cache", "runs")


@dataclass(frozen=True, slots=True)
class Home:
    """A lineage's directory. `Home(root)` checks nothing: use `create`, `open` or `find`."""

    root: Path

    @property
    def identity(self) -> Path:
        """`lineage.json`: what makes a directory a lineage. Written once; the ledger starts from it."""
        return self.root / "lineage.json"

    @property
    def plan(self) -> Path:
        return self.root / "germline.toml"

    @property
    def objects(self) -> Path:
        return self.root / "objects"

    @property
    def generations(self) -> Path:
        return self.root / "generations"

    @property
    def ledger(self) -> Path:
        return self.root / "ledger"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def name(self) -> str:
        """The lineage's name, read from `lineage.json`."""
        return _identity(self.identity)[0]

    @property
    def digest(self) -> Digest:
        """Hash of `lineage.json`: what the first ledger entry calls its previous."""
        return _identity(self.identity)[1]

    @classmethod
    def create(cls, root: Path, name: str) -> Home:
        """Make a new lineage called `name` in `root`, which must be missing or hold nothing but hidden files.

        A create that was interrupted may be repeated: `lineage.json` is written last.
        """
        if not name.strip() or not name.isprintable():
            raise GermlineError(f"{name!r} cannot be a lineage's name", hint="give it one line of plain text")
        home = cls(Path(os.path.abspath(root)))  # noqa: PTH100 - links in the path are the owner's to keep
        if os.path.lexists(home.identity):
            raise GermlineError(f"there is a lineage in {home.root} already", hint="germline log shows it")
        with explained(home.root):
            foreign = sorted(filter(_is_foreign, home.root.iterdir())) if home.root.is_dir() else []
        if foreign:
            raise GermlineError(
                f"{home.root} is not empty: it holds {foreign[0].name}",
                hint="a lineage wants a directory of its own: name a new or an empty one",
            )
        for directory in _DIRECTORIES:
            disk.make_directory(home.root / directory)
        disk.write_new(home.identity, canonical_json({"format": FORMAT, "name": name}))
        return home

    @classmethod
    def open(cls, root: Path) -> Home:
        """The lineage in exactly this directory; NoLineage if there is none."""
        home = cls(Path(os.path.abspath(root)))  # noqa: PTH100
        if not os.path.lexists(home.identity):
            raise _no_lineage(f"there is no lineage in {home.root}")
        _identity(home.identity)
        return home

    @classmethod
    def find(cls, given: Path | None = None) -> Home:
        """The lineage that is meant: `given` (--home), else GERMLINE_HOME, else the nearest one upward.

        The first two name a home exactly; only without them is the working directory searched upward.
        """
        named = given or (Path(os.environ["GERMLINE_HOME"]) if os.environ.get("GERMLINE_HOME") else None)
        if named is not None:
            return cls.open(named)
        here = Path.cwd()
        for directory in (here, *here.parents):
            if os.path.lexists(cls(directory).identity):
                return cls.open(directory)
        raise _no_lineage(f"there is no lineage in {here} or above it")


def _identity(path: Path) -> tuple[str, Digest]:
    data = reading.read(path)
    value = reading.parse(path, data)
    reading.require_known_format(path, value.get("format"))
    if value.keys() != {"format", "name"} or not isinstance(value["name"], str):
        raise damaged(path, "does not name a lineage")
    return value["name"], digest_of(data)


def _is_foreign(path: Path) -> bool:
    """Whether a new lineage must not share its directory with `path`."""
    left_by_us = path.name in _DIRECTORIES and path.is_dir() and not any(path.iterdir())
    return not path.name.startswith(".") and not left_by_us


def _no_lineage(message: str) -> NoLineage:
    return NoLineage(message, hint="germline init makes one; --home or GERMLINE_HOME names one elsewhere")
