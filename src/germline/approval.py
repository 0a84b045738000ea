"""A proposed child promoted with the second key, once its marks were judged again."""

from __future__ import annotations

from germline.doses import doses
from germline.errors import PlanError, StoreDamaged
from germline.judge.gate import judge
from germline.lineage import PARENT_SCORECARD, PLAN, WEIGHT_CHANGE, Generation, Lineage
from germline.marks import Verdict
from germline.records import finite
from germline.settings import kept_plan
from germline.store import ledger, lock
from germline.store.entry import APPROVES, Entry
from germline.store.home import Home


def approve(home: Home, name: str) -> tuple[Generation, Verdict, Entry]:
    """Check the proposal of `name`, append its approval and return both. Takes the lineage's lock.

    PlanError for what does not wait: a generation of another kind, or one that was judged by a HEAD or by
    laws that are no longer those in force.
    """
    with lock.hold(home):
        lineage = Lineage.open(home)
        child = lineage.resolve(name)
        outcome = lineage.outcome(child)
        if outcome != "proposed":
            raise PlanError(f"{child.name} does not wait for approval: it was {outcome}", hint="see `germline log`")
        if child.birth not in ledger.waiting(home, lineage.entries):
            raise PlanError(
                f"{child.name} no longer waits: HEAD or the laws are not what it was judged by",
                hint=f"HEAD was g{child.birth.body['parent']} then: roll back to it, or grow another child",
            )
        verdict = _judged_again(lineage, child)
        if lineage.weights_at_hand(child) is None:
            from germline.checkout import weights

            weights(lineage, child)
        entry = ledger.append(home, "promoted", child.digest, child.number, {APPROVES: child.birth.digest})
        return child, verdict, entry


def _judged_again(lineage: Lineage, child: Generation) -> Verdict:
    """The gate's verdict on the marks that lie in the store; StoreDamaged unless it is the recorded one."""
    way = lineage.ancestry(child)
    names = [ancestor.name for ancestor in way[1:-1]]
    try:
        before, after = lineage.scorecard(child, PARENT_SCORECARD), lineage.scorecard(child)
        plan = kept_plan(lineage.json(child, PLAN), source=f"{child.name} plan.json")
        confidence = doses(plan.training, first=not names)[child.birth.body.get("merge_scale", 1.0)]
        change = lineage.json(child, WEIGHT_CHANGE)["total"]["parent"]
        line = [lineage.scorecard(ancestor) for ancestor in way[1:-1]]
        verdict = judge(
            before, after, plan.gate, weight_change=change, ancestors=names, line=line, confidence=confidence
        )
    except (KeyError, TypeError, AttributeError, AssertionError):
        raise _not_what_it_says(child, "its marks are not those of its exams") from None
    if (before.weights, after.weights) != (way[-2].manifest.weights.digest, child.manifest.weights.digest):
        raise _not_what_it_says(child, "its marks are of other weights")
    if verdict.outcome != "promoted" or finite(verdict) != child.birth.body.get("verdict"):
        raise _not_what_it_says(child, "judged again, its marks do not give the verdict that was recorded")
    return verdict


def _not_what_it_says(child: Generation, what: str) -> StoreDamaged:
    return StoreDamaged(f"{child.name}: {what}", hint="do not approve it; `germline verify` finds damage in the store")
