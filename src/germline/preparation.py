"""What a child is to be taught and asked, and what its parent makes of that: all that is known before it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from germline import examination, revisions, sources
from germline import run as runs
from germline.corpus.facts import stated
from germline.corpus.split import Rows
from germline.doses import doses
from germline.errors import PlanError
from germline.evals.exams import Exam
from germline.forge.machine import Arithmetic
from germline.judge.perfect import enough, foreseen
from germline.lineage import EXAM, Lineage
from germline.marks import Scorecard, Verdict
from germline.records import Event, OnEvent, Stated, finite
from germline.run import Run
from germline.settings import Plan

_CURES: Mapping[str, str] = (
    dict.fromkeys(
        ("retention", "parent"),
        "; these are of what was taught before, which no new document adds to: germline evolve --restart --set "
        "gate.margin=1 goes without this proof",
    )
    | dict.fromkeys(("learned", "questions", "generalization"), "; more facts or conversations in the delta can tell")
    | {
        "recall": ", for it cannot say what ancestors were taught as well",
    }
)
"""By the check that no child can pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    train: Rows
    delta: Stated
    """What is stated in it."""
    exam: Exam
    line_exams: list[Exam]
    """Those of its ancestors, the oldest first, and `exam`, each asked against what another delta says instead."""
    parent_card: Scorecard
    """On these."""
    foreseen: Verdict
    """On a child that would answer all of them as it should."""


def prepare(lineage: Lineage, run: Run, on: Arithmetic, on_event: OnEvent) -> Prepared:
    """Find what the delta of `run` states, write its exam, and let the parent sit it. Told are facts that ancestors
    were taught otherwise, exams that let no child pass, and such as will let none of its children.

    Raises as `write_exam`; NothingNew or GermlineError, and the run is given up, as `run.refuse_a_repeat`; PlanError
    for several candidates that no question can tell apart.
    """
    train, heldout, plan = Rows(run.delta.train), Rows(run.delta.heldout), run.plan
    delta, line = stated(train), lineage.trained_line(run.parent)
    revisions.tell(lineage, line, delta, plan, on_event)
    others = revisions.disputed([*map(lineage.stated, line), delta])[-1]
    inherited = examination.inherited(lineage, run.parent, delta=delta, revise=plan.data.revise)
    exam = examination.write_exam(
        run.directory / EXAM,
        plan.exams,
        lineage.home.root,
        train,
        heldout,
        delta.facts,
        inherited,
        on_event,
        laws=sources.laws(lineage),
        replayed=examination.learned(lineage, run.parent),
        others=others,
    )
    runs.refuse_a_repeat(lineage, run, exam.digest)
    _require_choice(plan, exam)
    line_exams = [*inherited, exam.against(others)]
    parent_card = examination.parent_card(lineage, run.parent, line_exams, plan.exams, on, on_event)
    best = foreseen(
        parent_card, plan.gate, ancestors=[ancestor.name for ancestor in line], line=[*map(lineage.scorecard, line)],
        confidence=_surest(plan, first=not line),
    )  # fmt: skip
    if best.outcome != "promoted":
        on_event(Event(kind="note", text=_in_vain(run, best), data=finite(best)))
    elif too_few := _too_few_for_heirs(run, parent_card):
        on_event(Event(kind="note", text=too_few))
    return Prepared(train=train, delta=delta, exam=exam, line_exams=line_exams, parent_card=parent_card, foreseen=best)


def _require_choice(plan: Plan, exam: Exam) -> None:
    """Before anybody is trained: several candidates can be told apart."""
    training = plan.training
    if training.candidates > 1 and not exam.selection:
        one = "--set training.candidates=1" + " --set training.merge_candidates=false" * training.merge_candidates
        raise PlanError("no fact was found in this delta by which candidates could be told apart",
                        hint=f"germline evolve --restart {one}")  # fmt: skip


def _surest(plan: Plan, *, first: bool) -> float:
    """The confidence of the look that asks for the fewest questions."""
    return min(doses(plan.training, first=first).values())


def _too_few_for_heirs(run: Run, parent_card: Scorecard) -> str:
    """What is asked of this child is all that its own children are asked about what came before."""
    margin, asked = run.plan.gate.margin, sum(len(marks.units) for marks in parent_card.marks.values())
    if margin >= 1 or not asked or asked >= (needed := enough(margin, _surest(run.plan, first=False))):
        return ""
    return (
        f"of g{run.number}'s own children none could become HEAD: they are asked {asked} questions about what came "
        f"before, and fewer than {needed} cannot show that less than {margin:.0%} was lost. More documents now, before "
        f"g{run.number}, cure it, or later --set gate.margin=1"
    )


def _in_vain(run: Run, best: Verdict) -> str:
    first = next(check for check in best.checks if not check.passed)
    return f"g{run.number} cannot become HEAD, however well it learns: {first.reason}{_CURES.get(first.name, '')}"
