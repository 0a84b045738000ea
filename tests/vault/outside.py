"""Faults from outside: strace makes the kernel's answers to a process of its own, which knows of no test.

What the write door is told by its fault points, this tells it by the system calls themselves, so that a call that
goes past the door is hit, too.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

from germline.errors import GermlineError
from tests.vault import storage
from tests.vault.cycle import Cycle, Told, finish, require, require_sound
from tests.vault.deaths import after_this
from tests.vault.faults import forked, scratch
from tests.vault.proof import Proof

ROOT = Path(__file__).resolve().parents[2]
CALLS = ("write", "fsync", "link", "rename", "unlink", "mkdir", "fchmod", "chmod", "rmdir")
WAYS = ("error=EIO", "error=ENOSPC", "error=EROFS", "signal=KILL")
NO_HINT = 9


def why_not() -> str:
    """Why nothing can be traced here, or nothing."""
    if sys.platform != "linux" or not shutil.which("strace"):
        return "there is no strace"
    done = _traced(["-e", "trace=fsync", "-o", os.devnull], [sys.executable, "-c", ""])
    return "" if done.returncode == 0 else "strace may not trace here"


def system_calls(cycle: Cycle, seed: int) -> Proof:
    """One fault by chance at each system call of the storage cycle that changes the disk, once or from there on."""
    points = _points(cycle)

    def attempt(number: int, folder: Path) -> None:
        call, place = points[number]
        dice = random.Random(f"{seed} {number}")
        way, lasting = dice.choice(WAYS), dice.random() < 0.5
        world = folder / "world"
        cycle.new_world(world)
        fault = f"inject={call}:{way}:when={place}{'+' if lasting and way != 'signal=KILL' else ''}"
        with after_this(fault):
            done = _traced(["-e", fault, "-o", os.devnull], _living(world))
            killed = done.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL)
            require(done.returncode == 0 or killed, f"exit code {done.returncode}: {done.stderr[-1500:]}")
            told: list[Told] = [json.loads(line) for line in done.stdout.splitlines() if line.endswith("}")]
            forked(lambda tell: require_sound(cycle, world, told)).sound()
            forked(lambda tell: finish(cycle, world, told)).sound()

    return Proof(
        name=f"{cycle.name}-strace", attempts=len(points), attempt=attempt,
        about=f"{', '.join(WAYS)} by strace, once or lasting, at the {len(points)} writing system calls of the "
        f"{cycle.name} cycle: {', '.join(dict.fromkeys(call for call, _ in points))}",
        counts={"points": len(points)},
    )  # fmt: skip


def _points(cycle: Cycle) -> list[tuple[str, int]]:
    """Each writing system call of a life that nothing disturbs: its name, and the how-manieth of that name it is."""
    with scratch() as folder:
        cycle.new_world(folder / "world")
        log = folder / "log"
        done = _traced(["-e", f"trace={','.join(CALLS)}", "-o", str(log)], _living(folder / "world"))
        require(done.returncode == 0, done.stderr[-1500:])
        names = [line.split(None, 1)[1].partition("(")[0] for line in log.read_text("utf-8", "replace").splitlines()]
    seen: Counter[str] = Counter()
    points = []
    for name in names:
        if name in CALLS:
            seen[name] += 1
            points.append((name, seen[name]))
    return points


def _living(world: Path) -> list[str]:
    return [sys.executable, "-B", "-m", "tests.vault.outside", str(world)]


def _traced(options: list[str], command: list[str]) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    environment = {**os.environ, "PYTHONPATH": paths}
    return subprocess.run(
        ["strace", "-f", "-qq", *options, *command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def main(world: Path) -> int:
    """Live the cycle, and go on once more if it is stopped: the end, or an error that names its cure."""

    def tell(told: Told) -> None:
        os.writev(1, [json.dumps(told).encode() + b"\n"])  # a call that no fault is put into

    for _ in range(2):
        try:
            storage.live(world, tell)
        except GermlineError as error:
            if not error.hint:
                sys.stderr.write(f"no cure is named: {error}")
                return NO_HINT
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
