"""The restore cycle: a lineage of one entry comes out of its archive, and is there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from germline.store import archive, disk, generations, ledger, lock, objects, restore
from germline.store.generations import Manifest
from germline.store.home import Home
from tests.vault.cycle import MANUAL, Cycle, Tell, configured, published, told_by
from tests.vault.faults import forked, scratch
from tests.vault.storage import BODY, NOON

ARCHIVE = Path("inputs") / "g0.tar"


def live(world: Path, tell: Tell) -> None:
    home = configured(world)
    if not os.path.lexists(home.identity):
        for leftover in world.glob(".tmp-*"):  # of a restore that was cut: it means nothing
            shutil.rmtree(leftover)
        restore.restore(world / ARCHIVE, home.root, None, lambda path, size: None)
    tell({"entries": len(ledger.entries(home)), "files": published(home)})


@contextmanager
def restore_cycle() -> Iterator[Cycle]:
    with scratch() as folder:
        template, whole = folder / "template", folder / "whole"
        forked(lambda tell: _prepare(template)).sound()

        def new_world(world: Path) -> None:
            shutil.copytree(template, world)

        def once(tell: Tell) -> list[tuple[str, int, str]]:
            new_world(whole)
            live(whole, tell)
            return list(told_by(configured(whole)))

        story = tuple((kind, number, generation) for kind, number, generation in forked(once).sound())
        yield Cycle(name="restore", new_world=new_world, live=live, story=story)


def _prepare(world: Path) -> None:
    """A founded lineage, in cold storage; what it was made in is gone."""
    disk.BLOCK = 4096
    (world / "inputs").mkdir(parents=True)
    (world / "inputs" / "manual.md").write_bytes(MANUAL)
    made = configured(world / "made")
    home = Home.create(made.root, "vault")
    with lock.hold(home):
        weights = objects.put(home, bytes(range(256)) * 50)
        founder = generations.commit(home, Manifest(parent=None, files={"model.safetensors": weights}, weights=weights))
        ledger.append(home, "founded", founder, 0, BODY, NOON)
    archive.archive(home, founder, world / ARCHIVE, lambda path, size: None)
    shutil.rmtree(world / "made")
