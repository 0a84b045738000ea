"""One germline at a time in a lineage. Readers need no lock: what is published never changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from germline.errors import Locked
from germline.store import disk
from germline.store.failures import damaged, explained
from germline.store.home import Home


@contextmanager
def hold(home: Home) -> Iterator[None]:
    """Hold the lineage for the block; Locked at once if another process (or this one) does.

    The operating system lets go when a process dies, so that no lock outlives its holder. Not promised on
    network file systems that do not lock. The lock's file stays, empty, and means nothing by itself.
    Once it is held, the ledger is durable as it stands, also where the last holder died before it saw to that.
    """
    lock = FileLock(home.lock, timeout=0)
    with explained(home.lock):
        try:
            lock.acquire()
        except Timeout:
            raise Locked(
                f"another germline is working in {home.root}",
                hint="wait until it is done, or stop it, then run the command again",
            ) from None
    try:
        if not home.ledger.is_dir():
            raise damaged(home.ledger, "is missing")
        disk.sync_directory(home.ledger)
        yield
    finally:
        lock.release()
