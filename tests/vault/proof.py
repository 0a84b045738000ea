"""Many attempts to lose something, dealt to several processes; what was tried and what was lost."""

from __future__ import annotations

import json
import os
import random
import select
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.vault.cycle import Lost
from tests.vault.faults import scratch


@dataclass(frozen=True, kw_only=True)
class Proof:
    """Attempt number `i` depends on nothing but `i` and on what the proof was made with, and may run anywhere."""

    name: str
    about: str
    attempts: int
    attempt: Callable[[int, Path], None]
    """Is given an empty directory; raises what went wrong."""
    counts: dict[str, Any] = field(default_factory=dict)
    """How many of what there are."""
    each: int = 1
    """Faults in one attempt."""


@dataclass(frozen=True, kw_only=True)
class Tally:
    name: str
    about: str
    tried: int
    of: int
    lost: tuple[str, ...]
    seconds: float
    seed: int
    counts: dict[str, Any]
    each: int

    @property
    def faults(self) -> int:
        return self.tried * self.each


def spread(proof: Proof, most: int | None, seed: int) -> Sequence[int]:
    """All attempts, or `most` of them: one by chance from each of as many equal stretches."""
    if most is None or most >= proof.attempts:
        return range(proof.attempts)
    dice, step = random.Random(seed), proof.attempts / most
    return [int((place + dice.random()) * step) for place in range(most)]


def prove(proof: Proof, chosen: Sequence[int], *, seed: int, workers: int, say: Callable[[str], None]) -> Tally:
    """Make the chosen attempts. What is lost is said at once, with its number."""
    began = heard = time.monotonic()
    pipes = [_worker(proof, chosen[place::workers]) for place in range(min(workers, len(chosen)))]
    buffers: dict[int, bytes] = dict.fromkeys((pipe for pipe, _ in pipes), b"")
    tried, lost = 0, list[str]()
    while buffers:
        for pipe in select.select(list(buffers), [], [])[0]:
            block = os.read(pipe, 1 << 16)
            *lines, buffers[pipe] = (buffers[pipe] + block).split(b"\n")
            if not block:
                del buffers[pipe]
            for number, failure in map(json.loads, lines):
                tried += 1
                if failure:
                    lost.append(f"{proof.name} {number} (seed {seed}): {failure}")
                    say(f"LOST  {lost[-1]}")
        if (now := time.monotonic()) > heard + 5 and tried:
            heard, left = now, (now - began) / tried * (len(chosen) - tried)
            say(f"{proof.name}: {tried} of {len(chosen)}, {len(lost)} lost, eta {left / 60:.1f} min")
    for _, pid in pipes:
        os.waitpid(pid, 0)
    if tried != len(chosen):
        lost.append(f"{proof.name}: {len(chosen) - tried} attempts came to no end")
    seconds = round(time.monotonic() - began, 1)
    say(f"{proof.name}: {tried} of {proof.attempts} tried, {len(lost)} lost, {seconds:.0f} s")
    return Tally(
        name=proof.name, about=proof.about, tried=tried, of=proof.attempts, lost=tuple(lost), seconds=seconds,
        seed=seed, counts=proof.counts, each=proof.each,
    )  # fmt: skip


def _worker(proof: Proof, numbers: Sequence[int]) -> tuple[int, int]:
    """The pipe and the id of a process that makes these attempts and writes a line for each."""
    readable, writable = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        os.close(writable)
        return readable, pid
    os.close(readable)
    try:
        with scratch() as folder:
            for number in numbers:
                (folder / "attempt").mkdir()
                line = json.dumps([number, _failure(proof, number, folder / "attempt")]).encode() + b"\n"
                while line:
                    line = line[os.write(writable, line) :]
                shutil.rmtree(folder / "attempt")
    finally:
        os._exit(0)


def _failure(proof: Proof, number: int, folder: Path) -> str:
    try:
        proof.attempt(number, folder)
    except Lost as error:
        return str(error)
    except Exception:
        return traceback.format_exc()
    return ""
