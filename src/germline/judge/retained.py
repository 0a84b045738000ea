"""What its ancestors were taught: does the child still know it, and how sure is that?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import NormalDist

from germline.judge.checks import at_least, at_most, check
from germline.judge.paired import Difference, difference, holm, sign_test
from germline.marks import Check, Marks, Scorecard
from germline.records import Digest
from germline.settings import Gate

OWN = "its own delta"
"""What a check says that is of the newest exam, in place of the name of an ancestor."""
SHOWS = 150
"""Old facts that show what is said less. Of those of ten benchmark generations, where the mean square of what changed
was 0.004 to 0.008, 137 to 153 prove of a child that lost nothing that it lost under 5 points; of g4's, 0.015, 180.
(LOG.md, 2026-12-01.)"""


def recall(child: Scorecard, gate: Gate, names: Sequence[str], confidence: float) -> list[Check]:
    """One check per exam that asks anything: the average must not hide a forgotten ancestor."""
    checks = []
    for place, marks in enumerate(child.marks.values()):
        if marks.recall.items:
            what = OWN if place == len(child.marks) - 1 else f"what {names[place]} was taught"
            said = f"recalls {marks.recall.right} of {marks.recall.items} of {what}"
            if marks.overruled:
                fact = "fact" if len(marks.overruled) == 1 else "facts"
                said += f"; of {len(marks.overruled)} {fact} it says what contradicts it"
            limit = recall_limit(marks, gate, confidence)
            if limit > gate.recall:
                said += f"; as these are a sample, it takes {limit:.1%} of them to be sure of {gate.recall:.0%} of all"
            checks.append(at_least("recall", marks.recall.accuracy, limit, said))
    return checks


def recall_limit(marks: Marks, gate: Gate, confidence: float) -> float:
    """What an exam must show, so that with that confidence `gate.recall` of everything taught is known: just that
    where every fact is asked, and more where some are.

    A sample is drawn before anybody is trained, and asked of every child: those pass whose losses it happens to miss.
    The bound is the normal curve's for a share of a finite population (Cochran, Sampling Techniques, 1977).
    """
    error = gate.recall * (1 - gate.recall) * max(0.0, 1 - marks.share) / max(1, marks.recall.items)
    return min(1.0, gate.recall + NormalDist().inv_cdf(confidence) * math.sqrt(error))


def retention(
    parent: Scorecard, child: Scorecard, gate: Gate, line: Sequence[Scorecard], confidence: float
) -> list[Check]:
    """Over all inherited exams: is the loss shown to be smaller than the margin?"""
    exams = list(child.marks)[:-1]
    if gate.margin >= 1 or not any(child.marks[exam].units for exam in exams):
        return []
    best = {exam: _best(exam, parent, line) for exam in exams}
    against = (("retention", "the best of its ancestors", best), ("parent", "its parent", parent.marks))
    return [
        _not_inferior(name, whom, difference(_pairs(child.marks, marks, exams), confidence), gate.margin)
        for name, whom, marks in against
    ]


def said(parent: Scorecard, child: Scorecard, gate: Gate, line: Sequence[Scorecard], confidence: float) -> list[Check]:
    """Would it still *say* what was taught? To choose it among six is easier: taught its next volume without replay, a
    child of ten generations said 27 points less of what these had been taught, and chose 0.3 points less.

    Against its parent the loss must be shown to be smaller than the margin where there are facts enough to show it, and
    be no larger where there are not; against the best of its line, a maximum over noise, it must be no larger.
    """
    exams = [exam for exam in list(child.marks)[:-1] if parent.marks[exam].said]
    if gate.margin >= 1 or not exams:
        return []

    def lost(old: Mapping[Digest, Mapping[str, float]]) -> Difference:
        return difference([_would_say(child, exam, unit) - old[exam][unit] for exam in exams for unit in old[exam]],
                          confidence)  # fmt: skip

    found = lost({exam: parent.marks[exam].said for exam in exams})
    best = lost({exam: _best_said(exam, parent, line) for exam in exams})
    shown = found.units >= SHOWS
    reason = f"would say {max(0.0, -found.mean):.1%} less of {found.units} old facts than its parent"
    reason += f", with {100 * confidence:.3g}% confidence less than {-found.lower:.1%}" if shown else ""
    reason += f", and {max(0.0, -best.mean):.1%} less than the best of its ancestors"
    return [at_least("said", min(found.lower if shown else found.mean, best.mean), -gate.margin, reason)]


def _would_say(card: Scorecard, exam: Digest, unit: str) -> float:
    return card.marks[exam].said.get(unit, math.nan)  # what was not asked is not known


def _best_said(exam: Digest, parent: Scorecard, line: Sequence[Scorecard]) -> dict[str, float]:
    today = parent.marks[exam].said
    cards = (marks.said for _, marks in _sat(exam, parent, line) if marks.said.keys() >= today.keys())
    return max(({unit: of[unit] for unit in today} for of in cards), key=lambda of: math.fsum(of.values()))


def alarm(
    parent: Scorecard, child: Scorecard, gate: Gate, line: Sequence[Scorecard], names: Sequence[str]
) -> list[Check]:
    """Of each exam by itself: did more units get worse, since the generation that wrote it, than chance would have it?

    The sign test's chance holds against one card that was fixed beforehand. Against the best of the line, a maximum
    over noise, it called forgetful 13% of the 16th to 30th children that had lost nothing (1,000 units, 4% churn);
    against the writer's card, 1.3%. Where other marks than the writer's must do, the verdict says so.
    """
    exams = list(child.marks)[:-1]
    firsts = {exam: _first(exam, parent, line) for exam in exams}
    tests = []
    for exam, (marks, _) in firsts.items():
        pairs = _pairs(child.marks, {exam: marks}, [exam])
        tests.append(sign_test(sum(pair < 0 for pair in pairs), sum(pair > 0 for pair in pairs)))
    checks = []
    for name, (marks, written), chance in zip(names, firsts.values(), holm(tests), strict=False):
        forgotten = chance < gate.alarm
        if forgotten or (gate.alarm and marks.units and not written):
            said = f"forgot {'' if forgotten else 'no '}more of what {name} was taught than chance explains "
            said += f"(p = {chance:.2g})"
            said += "" if written else f"; {name}'s own answers are not at hand, so the oldest that are stand for them"
            checks.append(check("forgotten", chance, gate.alarm, not forgotten, said))
    return checks


def texts(
    parent: Scorecard, child: Scorecard, gate: Gate, line: Sequence[Scorecard], names: Sequence[str]
) -> list[Check]:
    """Of each inherited exam's held-out text: does it cost more than the limit allows, beside what it cost the
    generation that learned the rest of it? One fixed card each, so that small losses cannot add up."""
    checks = []
    for name, exam in zip(names, list(child.marks)[:-1], strict=False):
        old, new = _first(exam, parent, line)[0].passages_bits_per_byte, child.marks[exam].passages_bits_per_byte
        if old is not None and new is not None:
            said = f"{name}'s held-out text: {new:.2f} bits per byte, {old:.2f} when it was learned"
            checks.append(at_most("old text", new / old if old else math.nan, gate.old_text, said))
    return checks


def _not_inferior(name: str, whom: str, found: Difference, margin: float) -> Check:
    passed, needed = found.lower > -margin, 0 if math.isnan(found.moved) else found.units_needed(margin)
    undecided = not passed and found.upper >= 0 and found.units < needed
    sure = f"with {100 * found.confidence:.3g}% confidence"
    said = (
        f"answers {-found.mean:.1%} less of {found.units} old questions than {whom}, {sure} less than "
        f"{-found.lower:.1%}"
    )
    if found.mean >= 0:
        said = (
            f"answers as many of {found.units} old questions as {whom} or more; {sure} it lost less than "
            f"{-found.lower:.1%}"
        )
    if undecided:
        said += f", which this exam is too small to tell from {margin:.0%}: that takes about {needed} questions"
    return replace(check(name, found.lower, -margin, passed, said), undecided=undecided)


def _sat(exam: Digest, parent: Scorecard, line: Sequence[Scorecard]) -> Iterator[tuple[Scorecard, Marks]]:
    """Who sat the exam and how, on the questions that it asks today: the parent, then the line, the oldest first.
    Cards that do not answer all of these are left out, such as those of before units were recorded. Where one was not
    asked of a fact against all that contradicts it today, the parent's answer stands for its own: that question was
    easier."""
    today = parent.marks[exam]
    for card in (parent, *line):
        marks = card.marks.get(exam)
        if marks and marks.units.keys() == today.units.keys() and marks.against == today.against:  # as a rule
            yield card, marks
        elif marks and marks.units.keys() >= today.units.keys():  # more, before some of it was revised
            same = {unit for unit in today.units if marks.against.get(unit) == today.against.get(unit)}
            units = {unit: (marks if unit in same else today).units[unit] for unit in today.units}
            yield card, replace(marks, units=units)


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
