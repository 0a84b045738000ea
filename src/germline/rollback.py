"""HEAD moved by its owner, back or forth."""

from __future__ import annotations

from germline.errors import PlanError
from germline.lineage import Generation, Lineage
from germline.store import ledger, lock
from germline.store.home import Home


class CannotMove(PlanError):
    """HEAD stays: the generation may not be HEAD, or HEAD is not what the asker saw."""


def move(home: Home, name: str, *, seen: str = "") -> tuple[Generation, Generation]:
    """Make `name` HEAD and return HEAD before and after; no entry is written where they are the same.

    With `seen`, HEAD must still be that generation. One key is enough, of two as well. CannotMove where it is not,
    or where `name` was not promoted; PlanError where there is no such generation. Takes the lock.
    """
    with lock.hold(home):
        lineage = Lineage.open(home)
        before, after = lineage.head, lineage.resolve(name)
        outcome = lineage.outcome(after)
        if seen and lineage.resolve(seen).digest != before.digest:
            raise CannotMove(f"HEAD is {before.name}, not {seen}, by now", hint="look at the lineage again")
        if outcome not in ("founded", "promoted"):
            raise CannotMove(
                f"{after.name} cannot be HEAD: it was {outcome}",
                hint=f"`germline show {after.name}` says why; `germline log` lists the promoted ones",
            )
        if before.digest != after.digest:
            ledger.append(home, "rolled_back", after.digest, after.number, {"from": before.number})
        return before, after
