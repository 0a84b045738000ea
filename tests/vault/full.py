"""Proof on real file systems: a tmpfs of every size, until the storage cycle fits; and one that is read-only."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from germline.errors import DoesNotFit, GermlineError
from tests.vault.cycle import Cycle, Tell, Told, finish, require, require_sound
from tests.vault.deaths import points
from tests.vault.faults import Killing, forked, watching
from tests.vault.proof import Proof


def why_not() -> str:
    """Why no file system can be mounted here, or nothing."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "only root may mount a file system"
    with_help = subprocess.run(["sh", "-c", "command -v mount"], capture_output=True, check=False)
    return "" if with_help.returncode == 0 else "there is no mount command"


@contextmanager
def mounted(path: Path, options: str) -> Iterator[None]:
    path.mkdir(exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "vault", path], capture_output=True, check=False)
    if done.returncode:
        raise OSError(f"cannot mount a tmpfs: {done.stderr.decode(errors='replace').strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def remount(path: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", path], check=True, capture_output=True)


def full_disks(cycle: Cycle, sizes: int) -> Proof:
    """Pages and inodes run out, each at every count in turn."""

    def attempt(number: int, folder: Path) -> None:
        world, home = folder / "world", folder / "world" / "home"
        cycle.new_world(world)
        count = number // 2 + 2
        options = f"size={4 * count}k,nr_inodes=100000" if number % 2 == 0 else f"size=64m,nr_inodes={count}"
        told: list[Told] = []
        with mounted(home, options):
            ending = forked(lambda tell: _until_full(cycle, world, tell))
            ending.sound()
            told += ending.told
            forked(lambda tell: require_sound(cycle, world, told)).sound()
            remount(home, "size=64m,nr_inodes=100000")
            forked(lambda tell: finish(cycle, world, told)).sound()

    return Proof(
        name="full-disks", attempts=2 * sizes, attempt=attempt,
        about=f"the {cycle.name} cycle on a tmpfs of 2 to {sizes + 1} pages, and one of as many inodes",
    )  # fmt: skip


def _until_full(cycle: Cycle, world: Path, tell: Tell) -> None:
    for _ in range(2):
        try:
            cycle.live(world, tell)
        except GermlineError as error:
            require(isinstance(error, DoesNotFit), f"{error!r} on a full disk")


def read_only(cycle: Cycle) -> Proof:
    """A lineage whose disk becomes read-only can be read and verified, and goes on when the cause is gone."""
    names = points(cycle)

    def attempt(number: int, folder: Path) -> None:
        world, home = folder / "world", folder / "world" / "home"
        cycle.new_world(world)
        with mounted(home, "size=64m"):

            def die(tell: Tell) -> None:
                with watching(Killing(number, after=True)):
                    cycle.live(world, tell)

            told = list(forked(die).told)
            remount(home, "ro")
            forked(lambda tell: _refused(cycle, world, tell)).sound()
            forked(lambda tell: require_sound(cycle, world, told)).sound()
            remount(home, "rw")
            forked(lambda tell: finish(cycle, world, told)).sound()

    return Proof(name="read-only", attempts=len(names), attempt=attempt,
                 about="the storage cycle on a disk that became read-only after each of its primitives")  # fmt: skip


def _refused(cycle: Cycle, world: Path, tell: Tell) -> None:
    try:
        cycle.live(world, tell)
    except GermlineError as error:
        require("ead-only" in error.message, f"{error!r} on a read-only disk")
        return
    require(False, "a read-only disk was written to")
