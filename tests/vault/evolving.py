"""The whole evolve cycle of the tiny model: read, fitted, trained, merged, examined, judged, and in the ledger."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch._dynamo  # noqa: F401 - what an evolve loads late, loaded once for all that are forked from here

from germline.evolve import age_up
from germline.founding import found
from germline.pinning import pin
from germline.settings import load_plan
from germline.store import ledger
from germline.store.home import Home
from tests.tiny.conftest import NAMES, PLAN, quiet, write_batch
from tests.vault.cycle import MANUAL, Cycle, Tell, Told, configured, published, told_by
from tests.vault.faults import forked, scratch

SHORTER = {
    "epochs = 5": "epochs = 2",
    "batch_tokens = 512": "batch_tokens = 256",
    "checkpoint_every = 5": "checkpoint_every = 1",
    "choices = 4": "choices = 2\nreplies = 2",
    "answer_tokens = 8": "answer_tokens = 2",
}


def live(world: Path, tell: Tell) -> None:
    home = configured(world)
    tell(_history(home))
    if len(ledger.entries(home)) < 3:
        age_up(home, load_plan(home.plan), quiet)
        tell(_history(home))


def _history(home: Home) -> Told:
    return {"entries": len(ledger.entries(home)), "files": published(home)}


@contextmanager
def evolve_cycle() -> Iterator[Cycle]:
    """From a founded lineage to its first child. This process never computes, so that it may be forked."""
    with scratch() as folder:
        template, whole = folder / "template", folder / "whole"
        forked(lambda tell: prepare(template)).sound()
        shutil.copytree(template, whole)

        def once(tell: Tell) -> list[tuple[str, int, str]]:
            live(whole, tell)
            return list(told_by(configured(whole)))

        story = tuple((kind, number, generation) for kind, number, generation in forked(once).sound())
        shutil.rmtree(whole)

        def new_world(world: Path) -> None:
            shutil.copytree(template, world)

        yield Cycle(name="evolve", new_world=new_world, live=live, story=story)


def prepare(world: Path) -> None:
    world.mkdir()
    (world / "inputs").mkdir()
    (world / "inputs" / "manual.md").write_bytes(MANUAL)
    write_batch(world / "first", NAMES[:2], 0)
    (world / "probes.txt").write_text("How are you?\nAnything to say?\n", encoding="utf-8")
    home = configured(world)
    found(home.root, "scratch", name="tiny", size="tiny", texts=[world / "first"], on_event=quiet)
    plan = PLAN
    for setting, shorter in SHORTER.items():
        assert setting in plan
        plan = plan.replace(setting, shorter)
    home.plan.write_text(plan, encoding="utf-8")
    pin(home, load_plan(home.plan))
