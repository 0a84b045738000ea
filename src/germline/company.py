"""Other programs on this machine, and how threads wait for one another beside them."""

from __future__ import annotations

import os
import sys

ASLEEP = {"GOMP_SPINCOUNT": "1000"}
"""For a process that computes beside others: a thread that waits looks so many times whether it may go on, and sleeps
then. GNU's OpenMP, which torch brings on Linux, looks 300 times as often, on the core that the thread it waits for has
lost to somebody else (`benchmarks/company.md`)."""
CHOSEN = frozenset({"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"})
"""Names by which an owner says how threads wait: then nothing is said here."""
ALONE = 0.5
"""Others who keep fewer cores than this busy count as nobody."""
MOMENT = 0.25
"""Seconds over which the load is measured."""


def make_room() -> str:
    """Have this process's threads sleep while they wait, if others keep the cores busy now; what is to be told of it,
    or nothing. Call it before torch is loaded, which reads this but once. Alone, waiting asleep costs 7 to 15%."""
    if sys.platform != "linux" or "torch" in sys.modules or CHOSEN & os.environ.keys():
        return ""
    import psutil

    busy = psutil.cpu_percent(interval=MOMENT) / 100 * (psutil.cpu_count() or 1)
    if busy < ALONE:
        return ""
    os.environ.update(ASLEEP)
    return f"other programs keep {busy:.1f} of {psutil.cpu_count()} cores busy: training takes longer beside them"
