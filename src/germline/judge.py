"""The gate: two scorecards and a policy in, a verdict out. Pure; it reads no clock, file or model.

Every check states its number, its limit and its reason. A value that is not a number fails its check.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from germline.records import Check, Marks, Scorecard, Verdict, plain
from germline.settings import Gate


def judge(
    parent: Scorecard, child: Scorecard, gate: Gate, *, weight_change: float, ancestors: Sequence[str] = ()
) -> Verdict:
    """Promoted when every check holds, refused when one fails, inconclusive when the delta cannot be asked about.

    Both cards must be over the same exams. `weight_change` is the relative Frobenius norm of child minus
    parent: a child that equals its parent is refused however well it scores. `ancestors` names who wrote the
    inherited exams, in their order, for the reasons. A delta without facts or
    conversations is judged by its held-out passages; one with nothing held out is inconclusive.
    """
    if list(parent.marks) != list(child.marks):
        raise AssertionError("parent and child sat different exams")
    if not _comparable(_papers(parent), _papers(child)):
        said = "the two scorecards do not answer the same questions, or hold what is no mark"
        return Verdict(outcome="refused", checks=(_check("scorecards", 0.0, 1.0, False, said),))
    before, after = parent.newest, child.newest
    if before is None or after is None or not (after.recall.items or after.passages_bits_per_byte is not None):
        return _inconclusive("no question could be written from this delta")
    if not (after.wording.items or after.heldout.items or after.passages_bits_per_byte is not None):
        return _inconclusive("nothing of this delta was held out; more data, or a larger data.heldout, gives questions")
    checks = [
        *_recall(child, gate, ancestors),
        *_generalization(child, after, gate),
        _learned(before, after),
        *_style(child, gate),
        _at_most("laws broken", len(child.broken_laws), gate.laws_broken, _laws(child)),
        *_cards(child, gate),
        _at_least("weight change", weight_change, gate.weight_change, f"weights moved by {weight_change:.2%}"),
    ]
    passed = all(check.passed for check in checks)
    return Verdict(outcome="promoted" if passed else "refused", checks=tuple(checks))


def _papers(card: Scorecard) -> dict[str, Any]:
    return {exam: {**plain(replace(marks, answers=())), "answers": {}} for exam, marks in card.marks.items()}


def _comparable(old: Any, new: Any, key: str = "") -> bool:
    """Whether both were asked the same, and every mark is of its kind: what only one of two cards holds would
    be skipped, and `"false"` be taken for a law that held."""
    if isinstance(old, dict) and isinstance(new, dict):
        held = key in ("laws", "cards")
        return old.keys() == new.keys() and all(_comparable(old[k], new[k], key if held else k) for k in old)
    if key in ("laws", "cards"):
        return type(old) is type(new) is bool
    if key in ("style", "passages_bits_per_byte") and old is None:
        return new is None
    numbers = {type(old), type(new)} <= {int, float}
    return numbers and (old == new or key not in ("items", "probes"))


def _inconclusive(why: str) -> Verdict:
    return Verdict(outcome="inconclusive", checks=(_check("questions", 0.0, 1.0, False, why),))


def _recall(child: Scorecard, gate: Gate, ancestors: Sequence[str]) -> list[Check]:
    """One check per exam that asks anything: the average must not hide a forgotten ancestor."""
    checks = []
    for place, (exam, marks) in enumerate(child.marks.items()):
        if marks.recall.items:
            author = ancestors[place] if place < len(ancestors) else f"exam {exam[7:15]}"
            what = "its own delta" if place == len(child.marks) - 1 else f"what {author} was taught"
            said = f"recalls {marks.recall.right} of {marks.recall.items} of {what}"
            checks.append(_at_least("recall", marks.recall.accuracy, gate.recall, said))
    return checks


def _generalization(child: Scorecard, newest: Marks, gate: Gate) -> list[Check]:
    if not (newest.wording.items or newest.heldout.items):
        return []
    said = (
        f"{newest.wording.right} of {newest.wording.items} unseen wordings and "
        f"{newest.heldout.right} of {newest.heldout.items} held-out conversations"
    )
    return [_at_least("generalization", child.generalization, gate.generalization, said)]


def _learned(before: Marks, after: Marks) -> Check:
    """The child must know its own delta better than its parent does: retention alone rewards standing still."""
    what, old, new = "the delta's answers", before.recall.bits_per_byte, after.recall.bits_per_byte
    if not after.recall.items:
        what, old, new = "held-out text", before.passages_bits_per_byte or 0.0, after.passages_bits_per_byte or 0.0
    said = f"{what}: {new:.2f} bits per byte, {old:.2f} before"
    return _check("learned", old - new, 0.0, old - new > 0.0, said)


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
    """What is not a finite number never passes, whichever way it compares."""
    return Check(name=name, value=value, limit=limit, passed=passed and math.isfinite(value), reason=said)
