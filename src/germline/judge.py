"""The gate: two scorecards and a policy in, a verdict out. Pure; it reads no clock, file or model.

Every check states its number, its limit and its reason. A value that is not a number fails its check.
"""

from __future__ import annotations

import math

from germline.records import Check, Scorecard, Verdict
from germline.settings import Gate


def judge(parent: Scorecard, child: Scorecard, gate: Gate, *, weight_change: float) -> Verdict:
    """Promoted when every check holds, refused when one fails, inconclusive when nothing could be asked.

    Both cards must be over the same exams. `weight_change` is the relative Frobenius norm of child minus
    parent: a child that equals its parent is refused however well it scores.
    """
    if list(parent.marks) != list(child.marks):
        raise AssertionError("parent and child sat different exams")
    newest = child.newest
    if newest is None or not any(marks.recall.items for marks in child.marks.values()):
        nothing = _check("questions", 0.0, 1.0, False, "no question could be written from this delta")
        return Verdict(outcome="inconclusive", checks=(nothing,))
    checks = [
        *_recall(child, gate),
        *_generalization(child, gate),
        *_learned(parent, child),
        *_style(child, gate),
        _at_most("laws broken", len(child.broken_laws), gate.laws_broken, _laws(child)),
        *_cards(child, gate),
        _at_least("weight change", weight_change, gate.weight_change, f"weights moved by {weight_change:.2%}"),
    ]
    passed = all(check.passed for check in checks)
    return Verdict(outcome="promoted" if passed else "refused", checks=tuple(checks))


def _recall(child: Scorecard, gate: Gate) -> list[Check]:
    """One check per exam that asks anything: the average must not hide a forgotten ancestor."""
    checks = []
    for place, (exam, marks) in enumerate(child.marks.items(), 1):
        if marks.recall.items:
            age = "its own delta" if place == len(child.marks) else f"ancestor exam {place} ({exam[7:15]})"
            said = f"recalls {marks.recall.right} of {marks.recall.items} of {age}"
            checks.append(_at_least("recall", marks.recall.accuracy, gate.recall, said))
    return checks


def _generalization(child: Scorecard, gate: Gate) -> list[Check]:
    newest = child.newest
    assert newest is not None
    items = newest.wording.items + newest.heldout.items
    if not items:
        return []
    said = (
        f"{newest.wording.right} of {newest.wording.items} unseen wordings and "
        f"{newest.heldout.right} of {newest.heldout.items} held-out conversations"
    )
    return [_at_least("generalization", child.generalization, gate.generalization, said)]


def _learned(parent: Scorecard, child: Scorecard) -> list[Check]:
    """The child must know its own delta better than its parent does: retention alone rewards standing still."""
    before, after = parent.newest, child.newest
    assert before is not None and after is not None
    if not after.recall.items:
        return []
    gain = before.recall.bits_per_byte - after.recall.bits_per_byte
    said = f"the delta's answers cost {after.recall.bits_per_byte:.2f} bits per byte, {before.recall.bits_per_byte:.2f} before"
    return [Check(name="learned", value=gain, limit=0.0, passed=gain > 0.0, reason=said)]


def _style(child: Scorecard, gate: Gate) -> list[Check]:
    style = child.style
    if style is None:
        return []
    said = f"{style.drifts} of {style.probes} tone probes drift from the persona's voice"
    return [_at_most("style drift", style.drifts, gate.style_drifts, said)]


def _laws(child: Scorecard) -> str:
    broken = child.broken_laws
    return f"breaks {', '.join(broken)}" if broken else f"all {child.laws} law cards hold"


def _cards(child: Scorecard, gate: Gate) -> list[Check]:
    passed, asked = child.cards_passed
    if not asked:
        return []
    return [_at_least("challenge cards", passed / asked, gate.cards, f"passes {passed} of {asked} challenge cards")]


def _at_least(name: str, value: float, limit: float, said: str) -> Check:
    return _check(name, value, limit, value >= limit, said)


def _at_most(name: str, value: float, limit: float, said: str) -> Check:
    return _check(name, value, limit, value <= limit, said)


def _check(name: str, value: float, limit: float, passed: bool, said: str) -> Check:
    """NaN compares False with everything, and so never passes."""
    return Check(name=name, value=value, limit=limit, passed=passed and not math.isnan(value), reason=said)
