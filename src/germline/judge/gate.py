"""The gate: the scorecards of a child and of its line, and a policy in; a verdict out. Pure; no clock, file or model.

A child passes where it is *shown* to have lost less than the margin, against its parent and against the best of its
ancestors on each exam; where it shows that it learned its delta; and where every limit holds. All must: so each test
keeps its own 5% and no correction is due (intersection-union, Berger 1982). Only the alarm that asks of every exam by
itself whether it was forgotten looks many times, and is corrected by Holm. What fails is refused. What an exam this
small cannot tell is inconclusive, with the number of questions that could. A value that is not a number fails.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from germline.judge.paired import CONFIDENCE, difference, holm, sign_test
from germline.marks import Check, Marks, Scorecard, Verdict
from germline.records import Digest, plain
from germline.settings import Gate

LEAST_UNITS = 5
"""All of five better is a chance of 1 in 32; of four, 1 in 16."""


def judge(
    parent: Scorecard,
    child: Scorecard,
    gate: Gate,
    *,
    weight_change: float,
    ancestors: Sequence[str] = (),
    line: Sequence[Scorecard] = (),
) -> Verdict:
    """Promoted when every check holds, refused when one fails, inconclusive when one cannot be decided.

    Both cards must be over the same exams. `line` holds the ancestors' cards as their births recorded them, the oldest
    first, each over the exams of its day; the best of these, and of the parent, is what the child is held against, so
    that small losses cannot add up, and whether an exam was forgotten is asked of the card that its writer's birth
    recorded. `weight_change` is the relative Frobenius norm of child minus parent: a child that equals its parent is
    refused however well it scores. `ancestors` names who wrote the inherited exams, in their order, for the reasons.
    A delta without facts is judged by its held-out conversations, one without these by its passages, taught ones and
    held-out ones; one with nothing held out is inconclusive.
    """
    if list(parent.marks) != list(child.marks):
        raise AssertionError("parent and child sat different exams")
    if not _comparable(_papers(parent), _papers(child)):
        return _refused("the two scorecards do not answer the same questions, or hold what is no mark")
    names = [*ancestors, *(f"exam {exam[7:15]}" for exam in list(child.marks)[len(ancestors) : -1]), "its own delta"]
    if strange := _no_numbers(child, names):
        more = f" and {len(strange) - 3} more" if len(strange) > 3 else ""
        return _refused(f"not a number among the child's marks: {'; '.join(strange[:3])}{more}")
    before, after = parent.newest, child.newest
    if before is None or after is None or not (after.recall.items or after.passages_bits_per_byte is not None):
        return _inconclusive("nothing that this delta teaches is asked: no fact was found in it, and no conversation")
    if not (after.wording.items or after.heldout.items or after.passages_bits_per_byte is not None):
        return _inconclusive("nothing of this delta was held out; more data, or a larger data.heldout, gives questions")
    checks = [
        *_recall(child, gate, names),
        *_retention(parent, child, gate, line),
        *_alarm(parent, child, line, names, gate.alarm),
        *_texts(parent, child, line, names, gate),
        *_generalization(child, before, after, gate),
        _learned(before, after),
        *_style(child, gate),
        _at_most("laws broken", len(child.broken_laws), gate.laws_broken, _laws(child)),
        *_cards(child, gate),
        _at_least("weight change", weight_change, gate.weight_change, f"weights moved by {weight_change:.2%}"),
    ]
    failed = any(not check.passed and not check.undecided for check in checks)
    undecided = any(check.undecided for check in checks)
    return Verdict(outcome="refused" if failed else "inconclusive" if undecided else "promoted", checks=tuple(checks))


def _papers(card: Scorecard) -> dict[str, Any]:
    return {
        exam: {
            **plain(replace(marks, answers=(), units={}, said={})), "answers": {},
            "units": {unit: dict(zip(("right", "bits"), found, strict=True)) for unit, found in marks.units.items()},
            "taught": dict(enumerate(marks.taught, 1)),
        }
        for exam, marks in card.marks.items()
    }  # fmt: skip


def _comparable(old: Any, new: Any, key: str = "") -> bool:
    """Whether both were asked the same, and every mark is of its kind: what only one of two cards holds would
    be skipped, and `"false"` be taken for a law that held."""
    if isinstance(old, dict) and isinstance(new, dict):
        held = key in ("laws", "cards")
        return old.keys() == new.keys() and all(_comparable(old[k], new[k], key if held else k) for k in old)
    if key in ("laws", "cards"):
        return type(old) is type(new) is bool
    if key in ("style", "passages_bits_per_byte", "limit_bits_per_character") and old is None:
        return new is None
    return {type(old), type(new)} <= {int, float} and (old == new or key not in ("items", "probes"))


def _no_numbers(card: Scorecard, names: Sequence[str]) -> list[str]:
    """Which marks are NaN or infinite. Of an inherited exam many decide nothing today; promoted, they would be what
    every descendant is compared with."""
    papers = zip(names, _papers(card).values(), card.marks.values(), strict=False)
    return [f"{name}: {place}" for name, paper, marks in papers for place in _not_finite({**paper, "said": marks.said})]


def _not_finite(marks: Mapping[str, Any]) -> Iterator[str]:
    for key, value in marks.items():
        if isinstance(value, Mapping):
            yield from (f"{key} > {place}" for place in _not_finite(value))
        elif isinstance(value, float) and not math.isfinite(value):
            yield key


def _refused(why: str) -> Verdict:
    return Verdict(outcome="refused", checks=(_check("scorecards", 0.0, 1.0, False, why),))


def _inconclusive(why: str) -> Verdict:
    return Verdict(outcome="inconclusive", checks=(_check("questions", 0.0, 1.0, False, why),))


def _recall(child: Scorecard, gate: Gate, names: Sequence[str]) -> list[Check]:
    """One check per exam that asks anything: the average must not hide a forgotten ancestor."""
    checks = []
    for place, marks in enumerate(child.marks.values()):
        if marks.recall.items:
            what = "its own delta" if place == len(child.marks) - 1 else f"what {names[place]} was taught"
            said = f"recalls {marks.recall.right} of {marks.recall.items} of {what}"
            checks.append(_at_least("recall", marks.recall.accuracy, gate.recall, said))
    return checks


def _retention(parent: Scorecard, child: Scorecard, gate: Gate, line: Sequence[Scorecard]) -> list[Check]:
    """Over all inherited exams: is the loss shown to be smaller than the margin?"""
    exams = list(child.marks)[:-1]
    if gate.margin >= 1 or not any(child.marks[exam].units for exam in exams):
        return []
    best = {exam: _best(exam, parent, line) for exam in exams}
    return [
        _not_inferior("retention", "the best of its ancestors", _pairs(child.marks, best, exams), gate.margin),
        _not_inferior("parent", "its parent", _pairs(child.marks, parent.marks, exams), gate.margin),
    ]


def _sat(exam: Digest, parent: Scorecard, line: Sequence[Scorecard]) -> Iterator[tuple[Scorecard, Marks]]:
    """Who sat the exam and how, on the questions that it asks today: the parent, then the line, the oldest first.
    Cards that do not answer all of these are left out, such as those of before units were recorded."""
    asked = parent.marks[exam].units
    for card in (parent, *line):
        marks = card.marks.get(exam)
        if marks and marks.units.keys() >= asked.keys():  # more, before some of it was revised
            yield card, replace(marks, units={unit: marks.units[unit] for unit in asked})


def _best(exam: Digest, parent: Scorecard, line: Sequence[Scorecard]) -> Marks:
    """The best marks that anybody of the line had. A maximum over noise, it asks too much rather than too little."""
    return max((marks for _, marks in _sat(exam, parent, line)), key=_share_right)


def _first(exam: Digest, parent: Scorecard, line: Sequence[Scorecard]) -> tuple[Marks, bool]:
    """The marks of the generation that wrote the exam, and True; where its card is not at hand, or answers less than
    is asked today, the oldest marks that do, at the latest the parent's, and False. Never chosen by their score."""
    (_, own), *others = _sat(exam, parent, line)
    written = (marks for card, marks in others if list(card.marks)[-1] == exam)
    found = next(written, None)
    return (found, True) if found else (others[0][1] if others else own, False)


def _share_right(marks: Marks) -> float:
    rights = [right for right, _ in marks.units.values()]
    return math.fsum(rights) / len(rights) if rights else 0.0


def _pairs(new: Mapping[Digest, Marks], old: Mapping[Digest, Marks], exams: Sequence[Digest]) -> list[float]:
    return [new[exam].units[unit][0] - right for exam in exams for unit, (right, _) in old[exam].units.items()]


def _not_inferior(name: str, whom: str, pairs: Sequence[float], margin: float) -> Check:
    found = difference(pairs)
    passed, needed = found.lower > -margin, 0 if math.isnan(found.moved) else found.units_needed(margin)
    undecided = not passed and found.upper >= 0 and found.units < needed
    said = (
        f"answers {-found.mean:.1%} less of {found.units} old questions than {whom}, with {CONFIDENCE:.0%} confidence "
        f"less than {-found.lower:.1%}"
    )
    if found.mean >= 0:
        said = (
            f"answers as many of {found.units} old questions as {whom} or more; with {CONFIDENCE:.0%} confidence "
            f"it lost less than {-found.lower:.1%}"
        )
    if undecided:
        said += f", which this exam is too small to tell from {margin:.0%}: that takes about {needed} questions"
    return replace(_check(name, found.lower, -margin, passed, said), undecided=undecided)


def _alarm(
    parent: Scorecard, child: Scorecard, line: Sequence[Scorecard], names: Sequence[str], alarm: float
) -> list[Check]:
    """Of each exam by itself: did more units get worse, since the generation that wrote it, than chance would have it?

    The sign test's chance holds against one card that was fixed beforehand. Against the best of the line, a maximum
    over noise, it called 13% of the children 16 to 30 forgetful that had lost nothing (1,000 units, 4% churn), by this
    1%. Where other marks than the writer's must do, the verdict says so.
    """
    exams = list(child.marks)[:-1]
    firsts = {exam: _first(exam, parent, line) for exam in exams}
    tests = []
    for exam, (marks, _) in firsts.items():
        pairs = _pairs(child.marks, {exam: marks}, [exam])
        tests.append(sign_test(sum(pair < 0 for pair in pairs), sum(pair > 0 for pair in pairs)))
    checks = []
    for name, (marks, written), chance in zip(names, firsts.values(), holm(tests), strict=False):
        forgotten = chance < alarm
        if forgotten or (alarm and marks.units and not written):
            said = f"forgot {'' if forgotten else 'no '}more of what {name} was taught than chance explains "
            said += f"(p = {chance:.2g})"
            said += "" if written else f"; {name}'s own answers are not at hand, so the oldest that are stand for them"
            checks.append(_check("forgotten", chance, alarm, not forgotten, said))
    return checks


def _generalization(child: Scorecard, before: Marks, after: Marks, gate: Gate) -> list[Check]:
    """A fact must be known in any wording. Which reply a persona gave to what nobody taught cannot be known: most
    openings fit most prompts, and children that know every fact find 1 of 8. So held-out conversations decide only
    where there are no facts, and then as passages do: the true replies must have become likelier."""
    talks = f"{after.heldout.right} of {after.heldout.items} held-out conversations"
    if after.wording.items:
        said = f"{after.wording.right} of {after.wording.items} unseen wordings"
        said += f", {talks}" if after.heldout.items else ""
        return [_at_least("generalization", child.generalization, gate.generalization, said)]
    if after.heldout.items:
        old, new = before.heldout.bits_per_byte, after.heldout.bits_per_byte
        said = f"{_cost('replies in held-out conversations', old, new)}; {talks} chosen right"
        return [_check("generalization", old - new, 0.0, old - new > 0.0, said)]
    if after.recall.items or after.taught:  # else `_learned` goes by these
        return [_cheaper("generalization", before, after)]
    return []


def _learned(before: Marks, after: Marks) -> Check:
    """The child must know its own delta better than its parent did: retention alone rewards standing still."""
    if not after.recall.items:
        if not after.taught:  # an exam that was written before it had any
            return _cheaper("learned", before, after)
        old, new = (math.fsum(marks.taught) / len(marks.taught) for marks in (before, after))
        return _likelier("its passages", old, new, *(dict(enumerate(marks.taught)) for marks in (before, after)))
    old, new = before.recall.bits_per_byte, after.recall.bits_per_byte
    bits = [{unit: bits for unit, (_, bits) in marks.units.items()} for marks in (before, after)]
    check = _likelier("the delta's answers", old, new, *bits)
    if not after.units:
        return check
    known, knows = (sum(right == 1 for right, _ in marks.units.values()) for marks in (before, after))
    return replace(check, reason=f"{check.reason}; {known} were known before it was taught, {knows} are now")


def _likelier(what: str, old: float, new: float, before: Mapping[Any, float], after: Mapping[Any, float]) -> Check:
    """Do more of these cost fewer bits than chance would have it, and all together too?"""
    said = _cost(what, old, new)
    if not after:
        return _check("learned", old - new, 0.0, old - new > 0.0, said)
    gains = [before[one] - bits for one, bits in after.items()]
    better, worse = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
    chance = sign_test(better, worse)
    sound = all(map(math.isfinite, (*gains, old, new)))
    passed = sound and chance < 1 - CONFIDENCE and new < old
    undecided = sound and not passed and better > worse and len(gains) < LEAST_UNITS
    said += f"; {better} of {len(gains)} are likelier than before, {worse} less likely (p = {chance:.2g})"
    if undecided:
        said += f", which fewer than {LEAST_UNITS} cannot tell from chance"
    return replace(_check("learned", chance, 1 - CONFIDENCE, passed, said), undecided=undecided)


def _cheaper(name: str, before: Marks, after: Marks) -> Check:
    old, new = before.passages_bits_per_byte or 0.0, after.passages_bits_per_byte or 0.0
    return _check(name, old - new, 0.0, old - new > 0.0, _cost("held-out text", old, new))


def _texts(
    parent: Scorecard, child: Scorecard, line: Sequence[Scorecard], names: Sequence[str], gate: Gate
) -> list[Check]:
    """Of each inherited exam's held-out text: does it cost more than the limit allows, beside what it cost the
    generation that learned the rest of it? One fixed card each, so that small losses cannot add up."""
    checks = []
    for name, exam in zip(names, list(child.marks)[:-1], strict=False):
        old, new = _first(exam, parent, line)[0].passages_bits_per_byte, child.marks[exam].passages_bits_per_byte
        if old is not None and new is not None:
            said = f"{name}'s held-out text: {new:.2f} bits per byte, {old:.2f} when it was learned"
            checks.append(_at_most("old text", new / old if old else math.nan, gate.old_text, said))
    return checks


def _cost(what: str, old: float, new: float) -> str:
    return f"{what}: {new:.2f} bits per byte, {old:.2f} before"


def _style(child: Scorecard, gate: Gate) -> list[Check]:
    style = child.style
    if style is None:
        return []
    said = f"{style.drifts} of {style.probes} tone probes drift from the persona's voice"
    checks = [_at_most("style drift", style.drifts, gate.style_drifts * max(1.0, style.probes / 10), said)]
    if style.limit_bits_per_character is not None:
        bits, limit = style.bits_per_character, style.limit_bits_per_character
        said = f"together they cost {bits:.2f} bits per character, the persona's own text {limit:.2f} at the most"
        checks.append(_at_most("style", bits / limit, gate.style_distance, said))
    return checks


def _laws(child: Scorecard) -> str:
    """Where none of n is broken, 95% confidence leaves the share p of such cards that would be: (1 - p)^n = 5%."""
    broken = child.broken_laws
    if broken:
        return f"breaks {', '.join(broken)}"
    if not child.laws:
        return "no law card is asked"
    share = 1 - (1 - CONFIDENCE) ** (1 / child.laws)
    return f"all {child.laws} law cards hold: less than {share:.0%} of such cards would fail"


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
