"""HEAD moved by its owner, back or forth."""

from __future__ import annotations

from dataclasses import dataclass

from germline.errors import PlanError
from germline.lineage import Generation, Lineage
from germline.records import Digest
from germline.store import generations, ledger, lock
from germline.store.home import Home


class CannotMove(PlanError):
    """HEAD stays: the generation may not be HEAD, or HEAD is not what the asker saw."""


@dataclass(frozen=True, slots=True)
class Former:
    """What the ledger tells of the generation that was HEAD, which an archive may have left out."""

    digest: Digest
    number: int

    @property
    def name(self) -> str:
        return f"g{self.number}"


def move(home: Home, name: str, *, seen: str = "") -> tuple[Former, Generation]:
    """Make `name` HEAD and return HEAD before and after; no entry is written where they are the same.

    With `seen`, HEAD must still be that generation. One key is enough, of two as well. CannotMove where it is not,
    or where `name` was not promoted; PlanError where there is no such generation. Takes the lock.
    """
    with lock.hold(home):
        lineage = Lineage.open(home)
        head = ledger.head(lineage.entries)
        before, after = Former(head, lineage.birth(head).number), lineage.resolve(name)
        outcome = lineage.outcome(after)
        if seen and _meant(lineage, seen) != head:
            raise CannotMove(f"HEAD is {before.name}, not {seen}, by now", hint="look at the lineage again")
        if outcome not in ("founded", "promoted"):
            raise CannotMove(
                f"{after.name} cannot be HEAD: it was {outcome}",
                hint=f"`germline show {after.name}` says why; `germline log` lists the promoted ones",
            )
        if before.digest != after.digest:
            ledger.append(home, "rolled_back", after.digest, after.number, {"from": before.number})
        return before, after


def _meant(lineage: Lineage, name: str) -> Digest:
    """The generation that `lineage.resolve` finds, also where it is not here."""
    return ledger.resolve(lineage.entries, name, lambda child: generations.load(lineage.home, child).parent)
