"""Where a lineage lies. The home is one directory; everything the lineage is lies inside it."""

from __future__ import annotations

import os
import re
import secrets
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from germline.errors import GermlineError, NoLineage, PlanError
from germline.records import FORMAT, Digest, canonical_json, digest_of
from germline.store import disk, keys, reading
from germline.store.failures import damaged, explained

_DIRECTORIES = ("objects", "generations", "ledger", "cache", "runs")
BEGUN = "run.json"
"""What vouches for an unfinished run, in its directory in `runs/`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Charter:
    """What `lineage.json` says: which lineage this is, who may sign for it, and how many must."""

    name: str
    id: str
    """32 random digits: two lineages are never taken for one another, whatever they are called."""
    keys: dict[str, str]
    """`trainer`, and `arbiter` where there is one -> public key."""
    threshold: int
    """How many different keys a promotion needs: 1 or 2."""
    digest: Digest
    """Hash of the file: what the first ledger entry calls its previous."""

    def owner(self, public: str) -> str:
        return next((owner for owner, key in self.keys.items() if key == public), public[:16])


@dataclass(frozen=True, slots=True)
class Home:
    """A lineage's directory. `Home(root)` checks nothing: use `create`, `open` or `find`."""

    root: Path

    @property
    def identity(self) -> Path:
        """`lineage.json`: what makes a directory a lineage. Written once; the ledger starts from it."""
        return self.root / "lineage.json"

    @property
    def archive(self) -> Path:
        """`archive.json`: what the archive held that the lineage was restored from, if it was (see `held`)."""
        return self.root / "archive.json"

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

    def run_directories(self) -> list[Path]:
        """What germline made in `runs/`, in order of name. Whatever else lies there is its owner's."""
        found = sorted(self.runs.iterdir()) if self.runs.is_dir() else []
        return [path for path in found if _is_ours(path.name) and path.is_dir() and not path.is_symlink()]

    def require_outside(self, path: Path) -> None:
        """PlanError where `path` is one that a lineage keeps for itself: what is made for others lies elsewhere."""
        whole = path.resolve()
        kept = (self.objects, self.generations, self.ledger, self.cache, self.runs)
        own = (self.identity, self.lock, self.archive)
        if any(whole.is_relative_to(one.resolve()) for one in kept) or whole in [one.resolve() for one in own]:
            raise PlanError(f"{path} lies inside the lineage", hint="it belongs elsewhere: name another place")

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def charter(self) -> Charter:
        """What `lineage.json` says, read and checked anew each time."""
        return _charter(self.identity)

    @property
    def name(self) -> str:
        return self.charter.name

    @classmethod
    def create(cls, root: Path, name: str, *, arbiter: str | None = None) -> Home:
        """Make a new lineage called `name` in `root`, which must be missing or hold nothing but hidden files.

        A key is made for it, kept outside (see `keys`). With an `arbiter`, a public key, promotions need both.
        A create that was interrupted may be repeated: `lineage.json` is written last.
        """
        if not name.strip() or not name.isprintable():
            raise GermlineError(f"{name!r} cannot be a lineage's name", hint="give it one line of plain text")
        home = cls(Path(os.path.abspath(root)))  # noqa: PTH100 - links in the path are the owner's to keep
        if keys.configuration().resolve().is_relative_to(home.root.resolve()):
            raise PlanError("private keys must not lie inside a lineage", hint="name another GERMLINE_CONFIG, or DIR")
        with explained(home.root):
            foreign = sorted(filter(_is_foreign, home.root.iterdir())) if home.root.is_dir() else []
        if os.path.lexists(home.identity):  # asked second: what is foreign may be another init's
            raise _taken(home)
        if foreign:
            raise GermlineError(
                f"{home.root} is not empty: it holds {foreign[0].name}",
                hint="a lineage wants a directory of its own: name a new or an empty one",
            )
        for directory in _DIRECTORIES:
            disk.make_directory(home.root / directory)
        signers = {"trainer": keys.make()} | ({"arbiter": arbiter} if arbiter else {})
        charter = {"name": name, "id": secrets.token_hex(16), "keys": signers, "threshold": len(signers)}
        try:
            disk.write_new(home.identity, canonical_json({"format": FORMAT, **charter}))
        except FileExistsError:  # another init was quicker
            raise _taken(home) from None
        return home

    @classmethod
    def open(cls, root: Path) -> Home:
        """The lineage in exactly this directory; NoLineage if there is none."""
        home = cls(Path(os.path.abspath(root)))  # noqa: PTH100
        if not os.path.lexists(home.identity):
            raise _no_lineage(f"there is no lineage in {home.root}")
        _charter(home.identity)
        return home

    @classmethod
    def find(cls, given: Path | None = None) -> Home:
        """The lineage that is meant: `given` (--home), else GERMLINE_HOME, else the nearest one upward.

        The first two name a home exactly; only without them is the working directory searched upward.
        """
        return cls.open(cls.meant(given))

    @classmethod
    def meant(cls, given: Path | None = None) -> Path:
        """The directory that `find` opens, whatever is in it. NoLineage if there is none."""
        named = given or (Path(os.environ["GERMLINE_HOME"]) if os.environ.get("GERMLINE_HOME") else None)
        if named is not None:
            return named
        here = Path.cwd()
        for directory in (here, *here.parents):
            if os.path.lexists(cls(directory).identity):
                return directory
        raise _no_lineage(f"there is no lineage in {here} or above it")


def _charter(path: Path) -> Charter:
    data = reading.read(path)
    value = reading.parse(path, data)
    reading.require_known_format(path, value.pop("format", None))
    if value.keys() != {"name", "id", "keys", "threshold"} or not _shows(value["name"]):
        raise damaged(path, "does not name a lineage")
    if not isinstance(value["id"], str) or not re.fullmatch("[0-9a-f]{32}", value["id"]):
        raise damaged(path, "has no lineage id")
    signers = value["keys"]
    if not isinstance(signers, dict) or signers.keys() not in ({"trainer"}, {"trainer", "arbiter"}):
        raise damaged(path, "does not name who signs")
    if not all(map(keys.is_public, signers.values())):
        raise damaged(path, "names a key that is none")
    if type(value["threshold"]) is not int or not 1 <= value["threshold"] <= len(set(signers.values())):
        raise damaged(path, "asks for a number of keys that there is not")
    value["keys"] = {owner: signers[owner] for owner in ("trainer", "arbiter") if owner in signers}  # in this order
    return Charter(**value, digest=digest_of(data))


def _shows(name: object) -> bool:
    """Whether a name is one line of text that a terminal shows, and obeys in nothing: a lineage may be a stranger's.

    A sign that this Python does not know yet (Cn) may have been let pass by a newer one.
    """
    known = isinstance(name, str) and name.strip()
    return bool(known) and all(sign.isprintable() or unicodedata.category(sign) == "Cn" for sign in str(name))


def _is_foreign(path: Path) -> bool:
    """Whether a new lineage must not share its directory with `path`."""
    left_by_us = path.name in _DIRECTORIES and path.is_dir() and not any(path.iterdir())
    return not path.name.startswith(".") and not left_by_us


def _taken(home: Home) -> GermlineError:
    return GermlineError(f"there is a lineage in {home.root} already", hint="germline log shows it")


def _no_lineage(message: str) -> NoLineage:
    return NoLineage(message, hint="germline init makes one; --home or GERMLINE_HOME names one elsewhere")


def _is_ours(name: str) -> bool:
    return re.fullmatch(r"g\d+(?:-before)?|pin", name) is not None or disk.is_temporary(name)
