"""Facts that have changed: what an ancestor was taught, and a younger one's owner put otherwise.

A delta that gives a known fact another value may be a revised manual, or poison; no rule can tell which. So both
values are replayed and asked, each with the other among its wrong answers, and a child that learns the new one has
forgotten the old, unless the owner says in the plan that the delta may revise (`data.revise`): then its value
takes the place of the older one, which is neither replayed nor asked from then on, by this child or any descendant.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from germline.corpus.facts import facts as stated_in
from germline.lineage import PLAN, Generation, Lineage
from germline.records import Digest, Event, Fact, OnEvent, Row, Stated, plain
from germline.settings import Plan
from germline.spellings import spelled_alike

TOLD = 3
"""Changed facts that an event names; it counts the others."""

Change = tuple[Fact, Fact, Generation]
"""A fact of a delta, the older one that it puts otherwise, and who was taught that."""
Replaced = Mapping[Digest, Sequence[Fact]]
"""Generation -> those of its facts whose place a younger one's have taken."""


def replaced(lineage: Lineage, line: Sequence[Generation], facts: Iterable[Fact] = ()) -> Replaced:
    """Of each generation of `line`, which is in order of birth. `facts` are those of a delta that may revise. What was
    and is no more neither takes a place nor loses it."""
    newest = _values(facts)
    found: dict[Digest, Sequence[Fact]] = {}
    for child in reversed(line):
        own = lineage.stated(child).now
        found[child.digest] = tuple(fact for fact in own if newest.get(_name(fact), _value(fact)) != _value(fact))
        if lineage.json(child, PLAN)["data"].get("revise", False):
            newest = _values(own) | newest
    return found


def disputed(told: Sequence[Stated]) -> list[dict[str, tuple[str, ...]]]:
    """Of what each generation, and perhaps a delta, was told: the facts that another puts otherwise, by unit, and how,
    in every spelling. What took another's place for good (`replaced`) is among it, and so is what it took the place
    of; what was and is no more is not."""
    facts = [(*one.now, *one.besides) for one in told]
    tellers = Counter(itertools.chain.from_iterable({_name(fact) for fact in each} for each in facts))
    shared = [[(_name(fact), fact) for fact in each if tellers[_name(fact)] > 1] for each in facts]
    values: dict[str, dict[str, str]] = defaultdict(dict)
    for name, fact in itertools.chain.from_iterable(shared):
        values[name].setdefault(fact.value, _value(fact))
    found = []
    for each in shared:
        own = {(name, _value(fact)) for name, fact in each}
        others = {
            fact.unit: tuple(said for said, value in values[name].items() if (name, value) not in own)
            for name, fact in each
        }
        found.append({unit: said for unit, said in others.items() if said})
    return found


def revising(plan: Plan, facts: Sequence[Fact]) -> Sequence[Fact]:
    """Those of a delta's facts that take the place of older ones."""
    return [fact for fact in facts if not fact.past] if plan.data.revise else ()


def tells(row: Row, facts: Sequence[Fact]) -> bool:
    """Whether a row names the subject of one of these facts, and its value: in whatever words, it may state it. Or
    states it in a way that only the rules read: in a table with units, in markup, under a heading."""
    if not facts:  # as nearly always, and a corpus may have a gigabyte
        return False
    text = " ".join(" ".join(row.texts).casefold().split())
    if any(_names(text, fact.subject.removeprefix("the ")) and _names(text, fact.value) for fact in facts):
        return True
    stated = {(_name(fact), _value(fact)) for fact in stated_in([row])}
    return any((_name(fact), _value(fact)) in stated for fact in facts)


def _names(text: str, name: str) -> bool:
    """As words, and a number as a whole one: 5 is named by neither 15 nor 5.2."""
    name = name.casefold()
    if name not in text:  # as nearly always; a pattern for each name costs 100 us
        return False
    return re.search(rf"(?<!\w)(?<!\d[.,]){re.escape(name)}(?!\w)(?![.,]\d)", text) is not None


def changed(lineage: Lineage, line: Sequence[Generation], facts: Sequence[Fact]) -> list[Change]:
    """Each of a delta's facts to which `line` holds another value: it, the youngest such fact, and whose that is."""
    stale = replaced(lineage, line)
    known: dict[str, tuple[Fact, Generation]] = {}
    for child in line:
        now = lineage.stated(child).now
        known |= {_name(fact): (fact, child) for fact in now if fact not in stale[child.digest]}
    pairs = ((fact, *known[_name(fact)]) for fact in facts if _name(fact) in known)
    return [(fact, old, child) for fact, old, child in pairs if _value(old) != _value(fact)]


def tell(lineage: Lineage, line: Sequence[Generation], delta: Stated, plan: Plan, on_event: OnEvent) -> None:
    """What of a delta is changed, and what becomes of it."""
    if found := changed(lineage, line, delta.now):
        _tell_changed(found, plan, on_event)
    if found := changed(lineage, line, delta.besides):
        s = "" if len(found) > 1 else "s"
        text = (
            f"{len(found)} of several values that the delta gives of one thing contradict{s} what ancestors were "
            f"taught: {_said(found)}. None of them is taught as a fact; whoever learns one has forgotten the old"
        )
        on_event(Event(kind="note", text=text, data={"revised": False, "facts": _plain(found)}))


def _tell_changed(found: Sequence[Change], plan: Plan, on_event: OnEvent) -> None:
    fact, s = ("fact", "s") if len(found) == 1 else ("facts", "")
    does = f"take{s} the place of" if plan.data.revise else f"contradict{s}"
    text = f"{len(found)} {fact} {does} what ancestors were taught: {_said(found)}"
    if not plan.data.revise:
        text += (
            ". Both are asked, so a child that learns the new ones has forgotten the old. If the new ones are right: "
            "germline evolve --restart --set data.revise=true"
        )
    on_event(Event(kind="note", text=text, data={"revised": plan.data.revise, "facts": _plain(found)}))


def _said(found: Sequence[Change]) -> str:
    told = [f"{fact.unit} is {fact.value}, and {child.name} was taught {old.value}" for fact, old, child in found]
    return "; ".join(told[:TOLD]) + (f"; and {len(told) - TOLD} more" if len(told) > TOLD else "")


def _plain(found: Sequence[Change]) -> list[dict[str, Any]]:
    return [{"new": plain(fact), "old": plain(old), "generation": child.name} for fact, old, child in found]


def _values(facts: Iterable[Fact]) -> dict[str, str]:
    return {_name(fact): _value(fact) for fact in facts}


def _name(fact: Fact) -> str:
    return f"{fact.attribute} of {fact.subject.removeprefix('the ')}".casefold()


def _value(fact: Fact) -> str:
    """The same for "6 p.m." and "18:00": a fact that is only spelled otherwise has not changed."""
    return spelled_alike(fact.value)
