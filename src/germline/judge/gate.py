"""The gate: the scorecards of a child and of its line, and a policy in; a verdict out. Pure; no clock, file or model.

A child passes where it is *shown* to have lost less than the margin, against its parent and against the best of its
ancestors on each exam; where it shows that it learned its delta; and where every limit holds. All must: so each test
keeps its own 5% and no correction is due (intersection-union, Berger 1982). Where several looks are taken at one exam,
each is told how sure to be (`germline.doses`). Only the alarm that asks of every exam by itself whether it was
forgotten looks many times at once, and is corrected by Holm. What fails is refused. What an exam this small cannot tell
is inconclusive, with the number of questions that could. A value that is not a number fails.
"""

from __future__ import annotations

from collections.abc import Sequence

from germline.judge import conduct, gained, retained
from germline.judge.checks import at_least, check
from germline.judge.paired import CONFIDENCE
from germline.judge.sound import comparable, no_numbers
from germline.marks import Marks, Scorecard, Verdict
from germline.settings import Gate


def judge(
    parent: Scorecard,
    child: Scorecard,
    gate: Gate,
    *,
    weight_change: float,
    ancestors: Sequence[str] = (),
    line: Sequence[Scorecard] = (),
    confidence: float = CONFIDENCE,
) -> Verdict:
    """Promoted when every check holds, refused when one fails, inconclusive when one cannot be decided.

    Both cards must be over the same exams. `line` holds the ancestors' cards as their births recorded them, the oldest
    first, each over the exams of its day; the best of these, and of the parent, is what the child is held against, so
    that small losses cannot add up, and whether an exam was forgotten is asked of the card that its writer's birth
    recorded. `weight_change` is the relative Frobenius norm of child minus parent: a child that equals its parent is
    refused however well it scores. `ancestors` names who wrote the inherited exams, in their order, for the reasons.
    `confidence` is how sure it must be, one-sided, that the child lost less than the margin, and where an exam is a
    sample, that `gate.recall` is known of all: more than 95% where this is one look of several. A delta without facts
    is judged by its held-out conversations, one without these by its passages, taught ones and held-out ones; one with
    nothing held out is inconclusive.
    """
    if list(parent.marks) != list(child.marks):
        raise AssertionError("parent and child sat different exams")
    if not comparable(parent, child):
        return _refused("the two scorecards do not answer the same questions, or hold what is no mark")
    names = [*ancestors, *(f"exam {exam[7:15]}" for exam in list(child.marks)[len(ancestors) : -1]), "its own delta"]
    if strange := no_numbers(child, names):
        more = f" and {len(strange) - 3} more" if len(strange) > 3 else ""
        return _refused(f"not a number among the child's marks: {'; '.join(strange[:3])}{more}")
    before, after = parent.newest, child.newest
    if before is None or after is None or not _asked(after):
        return _inconclusive("nothing that this delta teaches is asked: no fact was found in it, and no conversation")
    if not (after.wording.items or after.heldout.items or after.passages_bits_per_byte is not None):
        return _inconclusive("nothing of this delta was held out; more data, or a larger data.heldout, gives questions")
    checks = [
        *retained.recall(child, gate, names, confidence),
        *retained.retention(parent, child, gate, line, confidence),
        *retained.said(parent, child, gate, line, confidence),
        *retained.alarm(parent, child, gate, line, names),
        *retained.texts(parent, child, gate, line, names),
        *gained.generalization(child, before, after, gate),
        gained.learned(before, after),
        *conduct.style(child, gate),
        conduct.laws(child, gate),
        *conduct.cards(child, gate),
        at_least("weight change", weight_change, gate.weight_change, f"weights moved by {weight_change:.2%}"),
    ]
    failed = any(not check.passed and not check.undecided for check in checks)
    undecided = any(check.undecided for check in checks)
    return Verdict(outcome="refused" if failed else "inconclusive" if undecided else "promoted", checks=tuple(checks))


def _asked(marks: Marks) -> bool:
    """Whether anything that was taught is asked; of prose that was all held out, at least what was held out."""
    return bool(marks.recall.items or marks.taught or marks.passages_bits_per_byte is not None)


def _refused(why: str) -> Verdict:
    return Verdict(outcome="refused", checks=(check("scorecards", 0.0, 1.0, False, why),))


def _inconclusive(why: str) -> Verdict:
    return Verdict(outcome="inconclusive", checks=(check("questions", 0.0, 1.0, False, why),))
