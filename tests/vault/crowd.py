"""Proof by a crowd: two and eight processes that write, some without the lock, and one that reads, killed at random."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from germline.errors import Locked
from germline.store import disk, ledger, lock, objects
from germline.store.home import Home
from germline.store.verify import verify
from tests.vault.cycle import Cycle, Tell, Told, configured, published, require
from tests.vault.faults import Child
from tests.vault.proof import Proof
from tests.vault.storage import BODY, begun, child

BIRTHS = 3
DEADLINE = 120.0


def crowd(cycle: Cycle, seed: int, rounds: int) -> Proof:
    def attempt(number: int, folder: Path) -> None:
        dice = random.Random(f"{seed} {number}")
        world = folder / "world"
        cycle.new_world(world)
        Child(lambda tell: cycle.live(world, tell)).end().sound()
        home = configured(world)
        before = published(home)
        reader = Child(lambda tell: _read(world, tell))
        try:
            told = _waves(world, (2, 8)[number % 2], dice)
        finally:
            (world / "stop").touch()
        looks = reader.end().sound()
        require(looks, "the reader never looked")
        _judge(home, before, told, (2, 8)[number % 2])

    return Proof(
        name="crowd", attempts=rounds, attempt=attempt,
        about="two and eight processes that bear children (even ones) or roll back without a lock (odd ones), killed "
        "at random twice, beside one that verifies all the time",
    )  # fmt: skip


def _waves(world: Path, size: int, dice: random.Random) -> list[Told]:
    """All of them at once, three times; the first two times they die by chance, unless they are done before."""
    told: list[Told] = []
    for mortal in (True, True, False):
        workers = [
            Child(_worker(world, place, dice.uniform(0.0, 0.6) if mortal else 0.0, dice.randrange(10**9)))
            for place in range(size)
        ]
        for ending in [worker.end() for worker in workers]:
            require(not ending.error, ending.error)
            require(mortal or not ending.killed, "a worker died of its own")
            told += ending.told
    return told


def _worker(world: Path, place: int, patience: float, seed: int) -> Callable[[Tell], None]:
    def work(tell: Tell) -> None:
        signal.setitimer(signal.ITIMER_REAL, patience)  # SIGALRM kills as abruptly as SIGKILL
        home, dice, deadline = configured(world), random.Random(seed), time.monotonic() + DEADLINE
        for birth in range(BIRTHS):
            number = 100 + 10 * place + birth
            while number not in dict(ledger.born(ledger.entries(home))):
                require(time.monotonic() < deadline, "a worker never had its turn")
                try:
                    if place % 2:
                        ledger.append(home, "rolled_back", ledger.entries(home)[0].generation, 0, BODY | {"by": number})
                        tell({"back": number})
                        break
                    _bear(home, number)
                    tell({"born": number})
                except Locked:
                    time.sleep(dice.uniform(0.0, 0.01))
        signal.setitimer(signal.ITIMER_REAL, 0)

    return work


def _bear(home: Home, number: int) -> None:
    with lock.hold(home):
        run = begun(home, home.runs / f"g{number}")
        generation = child(home, run, number, {"own": objects.put(home, b"number %d" % number)})
        ledger.append(home, "refused", generation, number, BODY, datetime.now(UTC))
        disk.remove_tree(home.root, run)


def _read(world: Path, tell: Tell) -> int:
    """Whatever the others do: the ledger only grows, and nothing is ever wrong."""
    home, looks = configured(world), 0
    seen: tuple[ledger.Entry, ...] = ()
    while not (world / "stop").exists():
        entries = ledger.entries(home)
        require(entries[: len(seen)] == seen, "the ledger was rewritten")
        seen, looks = entries, looks + 1
        problems = verify(home).problems
        require(not problems, f"a reader sees: {problems}")
    return looks


def _judge(home: Home, before: dict[str, str], told: list[Told], size: int) -> None:
    problems = verify(home).problems
    require(not problems, f"verify: {problems}")
    entries = ledger.entries(home)
    born = [number for number, _ in ledger.born(entries)]
    wanted = {100 + 10 * place + birth for place in range(0, size, 2) for birth in range(BIRTHS)}
    require(len(born) == len(set(born)) and wanted <= set(born), f"born: {born}")
    back = [entry.body["by"] for entry in entries if "by" in entry.body]
    require({message["back"] for message in told if "back" in message} <= set(back), "a rollback was lost")
    now = published(home)
    require(before.items() <= now.items(), "an earlier generation was changed")
