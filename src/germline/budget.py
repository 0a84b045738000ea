"""What a generation may cost, and what it has cost: written down before it is spent, and never given back.

runs/g4.spent.json lies beside the run and not in it, so that all attempts count: those that were killed, and
those that were given up with --restart. It goes once the ledger tells of the generation.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic

from germline.errors import BudgetSpent, DoesNotFit, GermlineError, PlanError
from germline.lineage import Lineage
from germline.records import Cost, Event, OnEvent, canonical_json
from germline.settings import Plan
from germline.store import disk
from germline.store.home import Home
from germline.store.prune import size_of

SPENT, GIB = ".spent.json", 1 << 30
AHEAD = 60.0
"""Seconds that are written down in advance. A kill costs at most so many, and the steps between two
checkpoints, that were never spent."""


@contextmanager
def metered(home: Home, plan: Plan, on_event: OnEvent) -> Iterator[Meter]:
    """A meter on one attempt at the next generation. Hold the lineage's lock."""
    meter = Meter(Lineage.open(home), plan, on_event)
    stopped = threading.Event()

    def beat() -> None:
        while not stopped.wait(AHEAD / 3):  # what takes long without a word is written down, too
            with suppress(GermlineError):  # the next event meets the same trouble, and says it aloud
                meter.write_ahead(meter.spent)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        meter.require()
        yield meter
    finally:
        stopped.set()
        thread.join()
        meter.close()


class Meter:
    """Counts what an attempt spends. At every instant its file says that much or more."""

    def __init__(self, lineage: Lineage, plan: Plan, on_event: OnEvent) -> None:
        """Begins an attempt, durably."""
        self.budget, self._every, self._on_event = plan.budget, plan.training.checkpoint_every, on_event
        self._run = lineage.home.runs / f"g{lineage.next_number}"
        self._file = self._run.with_name(self._run.name + SPENT)
        self._began, self._lock, self._finished = monotonic(), threading.Lock(), False
        disk.make_directory(lineage.home.runs)
        for path in sorted(lineage.home.runs.iterdir()):
            if disk.is_temporary(path.name) or (path.name.endswith(SPENT) and path != self._file):
                disk.remove(path)
        told = {entry.number: entry.body["spent"] for entry in lineage.entries if "spent" in entry.body}
        self._others = sum((Cost(**spent["all_attempts"]) for spent in told.values()), Cost())
        self._before = self._written = _read(self._file)
        self._here = Cost(attempts=1)
        self.write_ahead(self.spent)

    @property
    def spent(self) -> Cost:
        """By all attempts at this generation, up to now."""
        return self._before + self._here + Cost(seconds=monotonic() - self._began)

    def tell(self, event: Event) -> None:
        """Pass `event` on; BudgetSpent if time has run out. Between steps that is for `spend` to say."""
        self._on_event(event)
        self.write_ahead(self.spent)
        if event.kind not in ("step", "verdict"):
            self.require()

    def require(self) -> None:
        """BudgetSpent if more is spent than may be."""
        if halt := self._halt(self.spent):
            raise halt

    def spend(self, tokens: int, memory: Callable[[], int] = lambda: 0) -> BudgetSpent | None:
        """Count one step of `tokens`, durably and before it is made; or why it must not be made.

        The disk and `memory` (bytes held now) are looked at whenever something is written, which is seldom.
        """
        step = Cost(steps=1, tokens=tokens)
        wanted, room = self.spent + step, dict[str, float]()
        if not self._covers(wanted):
            room = {"disk_gb": size_of(self._run) / GIB, "memory_gb": memory() / GIB}
        if halt := self._halt(wanted, **room):
            return halt
        self.write_ahead(wanted, Cost(steps=self._every - 1, tokens=(self._every - 1) * tokens))
        self._here += step
        return None

    def foresee(self, training: Cost, room: float) -> None:
        """PlanError if `training` would exceed the budget; DoesNotFit if the disk has not `room` more bytes."""
        if said := self._exceeded(self.spent + training, disk_gb=(size_of(self._run) + room) / GIB):
            raise PlanError(
                f"{self._run.name} would exceed its budget: {said}",
                hint="raise it in germline.toml and run `germline evolve` again; or learn less (data.sources, "
                "curriculum.epochs) with `germline evolve --restart`",
            )
        if room > (free := shutil.disk_usage(self._run).free):
            raise DoesNotFit(
                f"{self._run.name} takes up to {room / GIB:.2f} GiB of disk, and {free / GIB:.2f} are free",
                hint="`germline prune` removes what can be made again; then run `germline evolve` again",
            )

    def write_ahead(self, reached: Cost, ahead: Cost | None = None) -> None:
        """Have the file say at least `reached`; and where it must be written, some more, so that this is seldom."""
        with self._lock:
            if not self._covers(reached + Cost(seconds=AHEAD / 2)) and not self._finished:
                self._write(self._written.at_least(reached + Cost(seconds=AHEAD) + (ahead or Cost())))

    def finish(self) -> None:
        """Stop counting: the ledger tells what all attempts cost, whether or not the file can be removed now."""
        with self._lock, suppress(GermlineError):
            self._finished = True
            disk.remove(self._file)

    def close(self) -> None:
        """Have the file say what was really spent. An attempt that began no run is as if it never was."""
        if self._finished:
            return
        if self._run.exists() or self._before.attempts:
            self._write(self.spent if self._run.exists() else self._before)
        else:
            disk.remove(self._file)

    def _covers(self, cost: Cost) -> bool:
        return self._written.at_least(cost) == self._written

    def _write(self, cost: Cost) -> None:
        disk.replace(self._file, canonical_json(cost))
        self._written = cost

    def _halt(self, cost: Cost, **room: float) -> BudgetSpent | None:
        if said := self._exceeded(cost, **room):
            hint = "raise it in germline.toml; then `germline evolve` goes on from here"
            return BudgetSpent(f"the budget of {self._run.name} is spent: {said}; nothing is lost", hint=hint)
        return None

    def _exceeded(self, cost: Cost, **room: float) -> str:
        """The first limit that is exceeded, and by what; nothing if all are kept. 0 is no limit."""
        total = self._others + cost
        values = {
            "steps": cost.steps, "tokens": cost.tokens, "minutes": cost.seconds / 60,
            "total_tokens": total.tokens, "total_minutes": total.seconds / 60, **room,
        }  # fmt: skip
        for name, value in values.items():
            limit = getattr(self.budget, name)
            if limit and not value <= limit:
                return f"budget.{name} is {limit:,}, and this comes to {round(value, 2):,}"
        return ""


def _read(path: Path) -> Cost:
    if not path.exists():
        return Cost()
    try:
        return Cost().at_least(Cost(**json.loads(path.read_bytes())))
    except (TypeError, ValueError):
        raise PlanError(f"{path}: what was spent is not known", hint="remove it to count from nothing") from None
