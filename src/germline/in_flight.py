"""What an age-up in flight is doing, for others to see: `runs/progress.json`, written at most once a second.

It is there to be looked at: an age-up never fails because it could not be written (a full disk; Windows, while somebody
reads it).
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil

from germline import foreign
from germline.errors import GermlineError
from germline.records import Event, OnEvent, canonical_json, finite
from germline.store import disk
from germline.store.home import Home

FILE = "progress.json"
EVERY_SECONDS = 1.0
KEYS = {"kind", "text", "data", "process", "memory_bytes", "time"}


@contextmanager
def shown(home: Home, on_event: OnEvent) -> Iterator[OnEvent]:
    """A callback for an age-up that also lets others see its last event. When the block ends the file is gone, unless
    it tells of another process: one that is at work while this one may not be."""
    told = 0.0

    def tell(event: Event) -> None:
        nonlocal told
        on_event(event)
        now = time.monotonic()
        if event.kind in ("stage", "step", "exam", "progress") and (now - told >= EVERY_SECONDS or told == 0.0):
            told = now
            _write(home, event)

    try:
        yield tell
    finally:
        if told:
            _remove_own(home)


def _write(home: Home, event: Event) -> None:
    with suppress(GermlineError, OSError, psutil.Error):
        memory = psutil.Process().memory_info().rss
        disk.make_directory(home.runs)
        disk.replace(home.runs / FILE, canonical_json({
            "kind": event.kind, "text": event.text, "data": finite(event.data), "process": os.getpid(),
            "memory_bytes": memory, "time": time.time(),
        }))  # fmt: skip


def _remove_own(home: Home) -> None:
    other = look(home)
    if other is None or other["process"] == os.getpid():
        with suppress(GermlineError, OSError):
            disk.remove(home.runs / FILE)


def look(home: Home) -> dict[str, Any] | None:
    """The last event of an age-up in flight; None where there is none, or its process has died."""
    try:
        found = foreign.parse_json(foreign.read(home.runs / FILE))
        known = isinstance(found, dict) and found.keys() == KEYS and isinstance(found["data"], dict)
        if not (known and isinstance(found["text"], str) and isinstance(found["memory_bytes"], int)):
            return None
        # A process that began later has only the same number: in a container each start has.
        began = psutil.Process(found["process"]).create_time()
        return found if began <= float(found["time"]) + EVERY_SECONDS < math.inf else None
    except (OSError, ValueError, TypeError, OverflowError, psutil.Error):
        return None  # it is there to be looked at, and vouches for nothing
