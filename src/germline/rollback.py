"""HEAD moved by its owner, back or forth."""

from __future__ import annotations

from germline.errors import PlanError
from germline.lineage import Generation, Lineage
from germline.store import ledger, lock
from germline.store.home import Home


def move(home: Home, name: str) -> tuple[Generation, Generation]:
    """Make `name` HEAD and return HEAD before and after; no entry is written where they are the same.

    One key is enough, of two as well. PlanError for a generation that was not promoted. Takes the lock.
    """
    with lock.hold(home):
        lineage = Lineage.open(home)
        before, after = lineage.head, lineage.resolve(name)
        outcome = lineage.outcome(after)
        if outcome not in ("founded", "promoted"):
            raise PlanError(
                f"{after.name} cannot be HEAD: it was {outcome}",
                hint=f"`germline show {after.name}` says why; `germline log` lists the promoted ones",
            )
        if before.digest != after.digest:
            ledger.append(home, "rolled_back", after.digest, after.number, {"from": before.number})
        return before, after
