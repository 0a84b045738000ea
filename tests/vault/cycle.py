"""What a cycle of the store must survive, and how that is judged.

A `Cycle` is a story that is lived through the public functions of the store. It may be cut anywhere, and lived
again, until it is at its end. `require_sound` is asked after every cut, and `finish` takes the story to its end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from germline.records import digest_of
from germline.store import generations, ledger, objects
from germline.store.home import Home
from germline.store.verify import verify

Told = dict[str, Any]
"""What was acknowledged: {"entries": n, "files": {path: digest}}, or {"plan": text}."""
Tell = Callable[[Told], None]
Story = tuple[tuple[str, int, str], ...]
"""Kind, number and generation of every ledger entry."""


class Lost(AssertionError):
    """Something that was promised does not hold."""


def require(condition: object, message: str) -> None:
    if not condition:
        raise Lost(message)


@dataclass(frozen=True, kw_only=True)
class Cycle:
    name: str
    new_world: Callable[[Path], None]
    """Makes a directory with what the cycle starts from: `inputs/`, and perhaps a lineage in `home/`."""
    live: Callable[[Path, Tell], None]
    """Goes on with the story from wherever it stands, and tells what is done only once it is done."""
    story: Story = ()
    """The ledger of a life that nothing disturbed."""


@dataclass
class Acknowledged:
    """All that was told, taken together."""

    entries: int = 0
    plan: str | None = None
    files: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, told: Iterable[Told]) -> Acknowledged:
        known = cls()
        for message in told:
            known.entries = max(known.entries, message.get("entries", 0))
            known.plan = message.get("plan", known.plan)
            known.files |= message.get("files", {})
        return known


def configured(world: Path) -> Home:
    """The lineage of a world, whether or not it was founded; what belongs outside it lies in the world, too."""
    os.environ["GERMLINE_CONFIG"] = str(world / "config")
    return Home(world / "home")


def require_sound(cycle: Cycle, world: Path, told: Iterable[Told]) -> None:
    """Lost, unless all that must hold at any instant holds: see the messages."""
    home, known = configured(world), Acknowledged.of(told)
    require((world / "inputs" / "manual.md").read_bytes() == MANUAL, "an input was changed")
    if not os.path.lexists(home.identity):
        require(known == Acknowledged(), "there is no lineage, though something in it was acknowledged")
        return
    home = Home.open(home.root)
    problems = verify(home).problems
    require(not problems, f"verify: {'; '.join(f'{problem.path} {problem.what}' for problem in problems)}")
    entries = ledger.entries(home)
    story = told_by(home)
    require(story == cycle.story[: len(story)], f"another history: {story}, not {cycle.story}")
    require(
        len(story) in (known.entries, known.entries + 1),
        f"{len(story)} ledger entries, though {known.entries} were acknowledged",
    )
    for name, digest in known.files.items():
        path = home.root / name
        require(path.is_file() and digest_of(path.read_bytes()) == digest, f"{name} is not as it was acknowledged")
    if entries:
        manifest = generations.load(home, ledger.head(entries))
        for reference in manifest.files.values():
            objects.read(home, reference.digest)
    if known.plan is not None:
        text = home.plan.read_text(encoding="utf-8") if home.plan.exists() else ""
        require(text >= known.plan, f"the plan reads {text!r}, though {known.plan!r} was acknowledged")


def finish(cycle: Cycle, world: Path, told: Iterable[Told]) -> None:
    """Live the story to its end; Lost unless it ends as if nothing had been. Living it once more changes nothing."""
    known = list(told)
    cycle.live(world, known.append)
    require_sound(cycle, world, known)
    require(told_by(Home(world / "home")) == cycle.story, "the story did not come to its end")
    before = tree(world)
    cycle.live(world, known.append)
    require(tree(world) == before, "living a finished story again changed something")
    require_sound(cycle, world, known)


def told_by(home: Home) -> Story:
    return tuple((entry.kind, entry.number, entry.generation) for entry in ledger.entries(home))


def published(home: Home) -> dict[str, str]:
    """Path and digest of all that the ledger reaches, and that may never change again."""
    entries = ledger.entries(home)
    manifests = {entry.generation: generations.load(home, entry.generation) for entry in entries}
    holders = (*entries, *manifests.values())
    digests = {reference.digest for holder in holders for reference in holder.files.values()}
    paths = [
        home.identity, *(ledger.entry_path(home, entry.sequence) for entry in entries),
        *(generations.manifest_path(home, digest) for digest in manifests),
        *(objects.place(home.objects, digest) for digest in sorted(digests)),
    ]  # fmt: skip
    return {path.relative_to(home.root).as_posix(): digest_of(path.read_bytes()) for path in paths}


def tree(world: Path) -> dict[str, str]:
    """Path and digest of every file, but the lock, which means nothing."""
    return {
        path.relative_to(world).as_posix(): digest_of(path.read_bytes())
        for path in files_under(world)
        if path != world / "home" / "lock"
    }


def files_under(directory: Path) -> Iterator[Path]:
    return (path for path in sorted(directory.rglob("*")) if path.is_file())


MANUAL = b"The lamp is wound at dusk. " * 40
