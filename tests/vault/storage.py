"""The storage cycle: founded, a child promoted, rolled back, a run given up and begun again, a child refused.

No model and no torch: the weights are bytes. What `run.py`, `founding.py` and `evolve.py` do with the store is done
here in the same order, so that it can be cut some thousand times a minute.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from germline.corpus.split import read_rows, snapshot
from germline.records import Digest, Row, canonical_json, digest_of
from germline.store import disk, generations, ledger, lock, objects, prune
from germline.store.generations import Manifest
from germline.store.home import Home
from germline.store.objects import FileRef
from tests.vault.cycle import MANUAL, Cycle, Tell, configured, published, told_by
from tests.vault.faults import forked, scratch

RUN = "run.json"
BODY = {"laws": digest_of(canonical_json([]))}
NOON = datetime(2030, 1, 2, 12, tzinfo=UTC)


def new_world(world: Path) -> None:
    (world / "inputs").mkdir(parents=True)
    (world / "inputs" / "manual.md").write_bytes(MANUAL)


def live(world: Path, tell: Tell) -> None:
    disk.BLOCK = 4096  # so that weights of a few KB are written in several pieces
    home = configured(world)
    home = Home.open(home.root) if os.path.lexists(home.identity) else Home.create(home.root, "vault")
    with lock.hold(home):
        for place, chapter in enumerate(CHAPTERS):
            if len(ledger.entries(home)) <= place:
                plan = f"plan {place}"
                disk.replace(home.plan, plan.encode())
                tell({"plan": plan})
                chapter(world, home, NOON - timedelta(days=place))  # the clock runs backwards
            tell({"entries": place + 1, "files": published(home)})


def storage_cycle() -> Cycle:
    """The storage cycle, lived once to know its ids."""
    cycle = Cycle(name="storage", new_world=new_world, live=live)
    with scratch() as folder:
        new_world(folder / "world")
        ending = forked(lambda tell: (live(folder / "world", tell), told_by(Home(folder / "world" / "home")))[1])
    story = tuple((kind, number, generation) for kind, number, generation in ending.sound())
    return Cycle(name=cycle.name, new_world=new_world, live=live, story=story)


def _found(world: Path, home: Home, now: datetime) -> None:
    run = home.runs / "g0"
    disk.make_directory(run)
    weights = objects.put_file(home, _staged(run, 0), move=True)
    files = {"model.safetensors": weights, "tokenizer.json": objects.put(home, b"what all generations share")}
    founder = generations.commit(home, Manifest(parent=None, files=files, weights=weights))
    ledger.append(home, "founded", founder, 0, BODY, now)
    disk.remove_tree(home.root, run)


def _promote(world: Path, home: Home, now: datetime) -> None:
    _bear(world, home, 1, "promoted", now)


def _go_back(world: Path, home: Home, now: datetime) -> None:
    ledger.append(home, "rolled_back", ledger.entries(home)[0].generation, 0, BODY, now)


def _refuse(world: Path, home: Home, now: datetime) -> None:
    _clear(home, begin(home, 2))  # evolve, given up
    _bear(world, home, 2, "refused", now)  # evolve --restart


CHAPTERS: tuple[Callable[[Path, Home, datetime], None], ...] = (_found, _promote, _go_back, _refuse)


def _bear(world: Path, home: Home, number: int, kind: ledger.Kind, now: datetime) -> None:
    run = begin(home, number)
    generation = child(home, run, number, {"input": objects.put_file(home, world / "inputs" / "manual.md")})
    card = objects.put(home, b"scorecard %d" % number)
    ledger.append(home, kind, generation, number, BODY, now, files={"scorecard.json": card})
    disk.remove_tree(home.root, run)


def child(home: Home, run: Path, number: int, files: dict[str, FileRef]) -> Digest:
    weights = objects.put_in_cache(home, _staged(run, number))
    files = files | {
        "delta/train.jsonl": objects.put_file(home, run / "delta" / "train.jsonl"),
        "delta/heldout.jsonl": objects.put_file(home, run / "delta" / "heldout.jsonl"),
        "shared": objects.put(home, b"what all generations share"),
        "adapter": objects.put(home, b"adapter %d" % number),
    }
    parent = ledger.head(ledger.entries(home))
    return generations.commit(home, Manifest(parent=parent, files=files, weights=weights))


def begin(home: Home, number: int) -> Path:
    """The run `number` as an earlier life left it, or a new one."""
    run = home.runs / f"g{number}"
    for leftover in sorted(home.runs.iterdir()):
        if leftover != run:
            _clear(home, leftover)
    return begun(home, run)


def begun(home: Home, run: Path) -> Path:
    if run.is_dir() and not (run / RUN).exists():
        disk.remove_tree(home.root, run)
    if not (run / RUN).exists():
        rows = [Row(kind="text", source="log", position=day, text=f"Day {day}: calm.") for day in range(6)]
        snapshot(rows, run / "delta", heldout_share=0.5)
        disk.replace(run / RUN, b"this run's delta is whole")
    for name in ("train", "heldout"):
        assert list(read_rows(run / "delta" / f"{name}.jsonl"))
    return run


def _clear(home: Home, run: Path) -> None:
    if (run / RUN).exists():
        prune.sweep(home)
        disk.remove(run / RUN)
    disk.remove_tree(home.root, run)


def _staged(run: Path, number: int) -> Path:
    path = disk.temporary_path(run)
    with disk.new_file(path) as file:
        file.writelines(bytes([number, piece]) * 1500 for piece in range(3))
    return path
