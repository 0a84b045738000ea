"""`germline watch`"""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime

import click
from filelock import FileLock, Timeout

from germline.cli import options, output, progress
from germline.errors import BudgetSpent, GermlineError, Interrupted, Locked, PlanError, is_closed_pipe
from germline.lineage import Lineage
from germline.records import canonical_json
from germline.settings import load_plan
from germline.store import disk
from germline.store.home import Home

HEARTBEAT, LOCK = "watch.json", "watch.lock"
"""Under runs/: when the watcher last looked, and what it saw."""
AGAIN = 3600.0
"""Seconds until a plan that could not be followed is tried again as it is: laws or probes may have been mended."""


@click.command("watch", epilog=options.examples("germline watch", "germline watch --every 600 --json"))
@click.option(
    "--every", type=options.Finite(0.1, 1e6), default=60.0, show_default=True, help="Seconds between two looks."
)
@options.home
@options.as_json
def command(every: float, home: Home, as_json: bool) -> None:
    """Grow a child whenever karma pays for one, until Ctrl-C.

    Each look is written to runs/watch.json, so that others can see that somebody watches. The child grows in a
    process of its own, at low priority. One watcher a lineage: another gets exit code 11.
    """
    disk.make_directory(home.runs)
    try:
        with FileLock(home.runs / LOCK, timeout=0):
            _watch(home, every, as_json)
    except Timeout:
        raise Locked(f"{home.root} is watched already", hint="stop the other `germline watch` first") from None


def _watch(home: Home, every: float, as_json: bool) -> None:
    from germline.aging import age_up_if_due

    said = seen = ""
    spent = stuck = tried = None
    waited = 0.0
    while True:
        tried, waited = None, waited + every
        with progress.report(as_json=as_json) as on_event:
            try:
                plan = load_plan(home.plan)
                entries = len(Lineage.open(home).entries)
                tried = plan, entries
                # Else it would load a model at every look, to be told the same.
                if (plan.budget, entries) != spent and (tried != stuck or waited >= AGAIN):
                    waited = 0.0
                    aged = age_up_if_due(home, plan, on_event)
                    seen = aged.outcome or aged.due.reason
            except Locked as error:
                seen = error.message
            except GermlineError as error:  # a plan that is being edited, a disk that is full: it may pass
                if isinstance(error, BudgetSpent):
                    spent = plan.budget, entries
                elif isinstance(error, PlanError):
                    stuck = tried
                elif isinstance(error, Interrupted):
                    raise
                seen = f"{error.message}; {error.hint}" if error.hint else error.message
            except OSError as error:  # no process can be begun just now
                if is_closed_pipe(error):
                    raise
                seen = f"{error.filename or home.root}: {error.strerror}"
        looked = datetime.now(UTC).isoformat(timespec="seconds")
        with suppress(GermlineError, OSError):  # others see that it was not written, and this one goes on watching
            disk.replace(home.runs / HEARTBEAT, canonical_json({"time": looked, "seen": seen, "every": every}))
        if seen != said:
            said = seen
            output.say(output.json_line({"event": "watch", "text": seen})) if as_json else output.note(seen)
        time.sleep(every)
