"""Proofs by killing and failing: SIGKILL at every primitive and at random times, and every error of the disk."""

from __future__ import annotations

import errno
import random
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from germline.errors import DoesNotFit, GermlineError
from tests.vault.cycle import Cycle, Lost, Tell, Told, finish, require, require_sound
from tests.vault.faults import ERRORS, Counting, Failing, Killing, Watch, forked, scratch, watching
from tests.vault.proof import Proof

FULL = (errno.ENOSPC, errno.EDQUOT)


def points(cycle: Cycle) -> list[str]:
    """The primitives of a life that nothing disturbs."""
    with scratch() as folder:
        cycle.new_world(folder / "world")

        def count(tell: Tell) -> list[str]:
            with watching(counting := Counting()):
                cycle.live(folder / "world", tell)
            return counting.names

        names: list[str] = forked(count).sound()
    return names


def kills(cycle: Cycle, seed: int) -> Proof:
    """Before and after each primitive; then the life that goes on is killed, too, at a primitive by chance."""
    names = points(cycle)

    def attempt(number: int, folder: Path) -> None:
        point, side = divmod(number, 2)
        dice = random.Random(f"{seed} {number}")
        world, told = folder / "world", list[Told]()
        cycle.new_world(world)
        for struck, after in ((point, side == 1), (dice.randrange(len(names)), dice.random() < 0.5)):
            where = f"killed {'after' if after else 'before'} primitive {struck}"
            with after_this(f"{where} ({names[struck]})"):
                told += _lived(cycle, world, Killing(struck, after=after))
                _settled(cycle, world, told, to_the_end=False)
        with after_this(f"killed at {point} ({names[point]}) and again"):
            _settled(cycle, world, told, to_the_end=True)

    about = f"SIGKILL before and after each of the {len(names)} primitives of the {cycle.name} cycle, and again after"
    return Proof(
        name=f"{cycle.name}-kills", about=about, attempts=2 * len(names), attempt=attempt,
        counts={"points": len(names), "kills for each attempt": 2},
    )  # fmt: skip


def random_kills(cycle: Cycle, seed: int, kills: int) -> Proof:
    """At a time by chance, from the start to a little after the end."""
    with scratch() as folder:
        times = []
        for number in range(5):
            cycle.new_world(folder / str(number))
            began = time.monotonic()
            forked(lambda tell, world=folder / str(number): cycle.live(world, tell)).sound()  # type: ignore[misc]
            times.append(time.monotonic() - began)
    seconds = statistics.median(times)

    def attempt(number: int, folder: Path) -> None:
        patience = random.Random(f"{seed} {number}").uniform(0, 1.1 * seconds)
        cycle.new_world(folder / "world")
        ending = forked(lambda tell: cycle.live(folder / "world", tell), patience=patience)
        require(not ending.error, ending.error)
        with after_this(f"killed after {patience * 1000:.2f} ms"):
            _settled(cycle, folder / "world", list(ending.told), to_the_end=True)

    return Proof(
        name=f"{cycle.name}-random-kills", attempts=kills, attempt=attempt,
        about=f"SIGKILL at a uniform time in [0, 1.1 x {seconds * 1000:.0f} ms], the length of the {cycle.name} cycle",
        counts={"cycle_seconds": round(seconds, 4)},
    )  # fmt: skip


def errors(cycle: Cycle, seed: int, *, each: bool = True) -> Proof:
    """Each error of `ERRORS`, once and from there on, at each primitive; or one of these 16 by chance at each."""
    names = points(cycle)
    ways = [(getattr(errno, name), sticky) for name in ERRORS for sticky in (False, True)]

    def attempt(number: int, folder: Path) -> None:
        point, way = divmod(number, len(ways)) if each else (number, random.Random(f"{seed} {number}").randrange(16))
        code, sticky = ways[way]
        world = folder / "world"
        cycle.new_world(world)
        failing = Failing(point, code, sticky=sticky)
        with after_this(f"{errno.errorcode[code]} {'from' if sticky else 'at'} primitive {point} ({names[point]})"):
            ending = forked(lambda tell: _stopped_cleanly(cycle, world, tell, failing))
            ending.sound()
            _settled(cycle, world, list(ending.told), to_the_end=True)

    return Proof(
        name=f"{cycle.name}-errors", attempts=len(names) * (len(ways) if each else 1), attempt=attempt,
        about=f"{', '.join(ERRORS)}, once and lasting, at the {len(names)} primitives of the {cycle.name} cycle",
        counts={"points": len(names), "ways": len(ways)},
    )  # fmt: skip


def _stopped_cleanly(cycle: Cycle, world: Path, tell: Tell, failing: Failing) -> None:
    """Live under the fault, and go on once more while it lasts: the end, or an error with its cure."""
    with watching(failing):
        for _ in range(2):
            try:
                cycle.live(world, tell)
            except GermlineError as error:
                require(error.hint, f"no cure is named: {error}")
                require(failing.code not in FULL or isinstance(error, DoesNotFit), f"{error!r} for a full disk")


def _lived(cycle: Cycle, world: Path, watch: Watch) -> tuple[Told, ...]:
    """What was told by a life that may be killed."""

    def live(tell: Tell) -> None:
        with watching(watch):
            cycle.live(world, tell)

    ending = forked(live)
    require(not ending.error, ending.error)
    return ending.told


def _settled(cycle: Cycle, world: Path, told: list[Told], *, to_the_end: bool) -> None:
    """Look after what is left; and live to the end."""

    def settle(tell: Tell) -> None:
        require_sound(cycle, world, told)
        if to_the_end:
            finish(cycle, world, told)

    forked(settle).sound()


@contextmanager
def after_this(what: str) -> Iterator[None]:
    """What is lost in the block, is lost after this."""
    try:
        yield
    except Lost as error:
        raise Lost(f"{what}: {error}") from None
