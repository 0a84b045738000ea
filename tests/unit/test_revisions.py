"""Which rows tell a fact, and what of a line's facts has changed or is disputed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from germline.lineage import Generation, Lineage
from germline.records import Fact, Row, Stated
from germline.revisions import changed, disputed, replaced, tells


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("The pump has 5 stages.", True),
        ("Stages of the PUMP: 5", True),
        ("It is a pump. Of stages it has (5).", True),
        ("The pump was bought in 2015 from Miller.", False),
        ("The pumpkin soup needs 5 minutes.", False),
        ("The pump weighs 5.2 kg, or 1,5 hundredweight.", False),
        ("The gauge shows 5.", False),
    ],
)
def test_a_row_tells_a_fact_whose_subject_and_value_it_names_as_words(text: str, told: bool) -> None:
    fact = Fact(attribute="stage count", subject="the pump", value="5", kind="number", row="sha256:" + "0" * 64)
    assert tells(Row(kind="text", source="a.md", position=1, text=text), [fact]) is told


VOLTS = Fact(attribute="voltage", subject="the dredge pump", value="24 volts", kind="number volts", row="")


@pytest.mark.parametrize(
    "text",
    [
        "The voltage of the dredge\npump is 24 volts.",
        "The voltage of the dredge pump is 24\nvolts.",
        "The voltage of the dredge pump is **24** volts.",
        "The voltage of the [dredge](x.md) pump is 24 volts.",
        "The voltage of the dredge pump is 24&nbsp;volts.",
        "| Thing | Voltage |\n| --- | --- |\n| the dredge pump | **24** volts |",
        "## The dredge pump\n\n- Voltage: *24* volts",
    ],
)
def test_a_row_tells_what_the_rules_read_in_it(text: str) -> None:
    assert tells(Row(kind="text", source="a.md", position=1, text=text), [VOLTS])
    assert not tells(Row(kind="text", source="a.md", position=1, text=text.replace("24", "36")), [VOLTS])


def test_a_row_tells_what_it_states_of_the_heading_above_it() -> None:
    row = Row(kind="text", source="a.md", position=2, text="- Voltage: 24 volts", under="# The dredge pump")
    assert tells(row, [VOLTS])


@pytest.mark.parametrize(
    ("before", "now", "differs"),
    [("6 p.m.", "18:00", False), ("80 kilograms", "80 Kilograms", False), ("24 volts", "36 volts", True)],
)
@pytest.mark.parametrize("revise", [False, True])
def test_a_fact_in_another_spelling_has_not_changed(before: str, now: str, differs: bool, revise: bool) -> None:
    told_of = (("the pump", before), ("Pump", now))
    old, new = (Fact(attribute="a", subject=subject, value=value, kind="k", row="") for subject, value in told_of)
    facts = {"g1": (old,), "g2": (new,)}
    line = [cast(Generation, SimpleNamespace(digest=name)) for name in facts]
    lineage: Any = SimpleNamespace(
        stated=lambda child: Stated(facts=facts[child.digest]),
        json=lambda child, name: {"data": {"revise": revise and child.digest == "g2"}},
    )
    assert bool(changed(cast(Lineage, lineage), line[:1], [new])) is differs
    assert replaced(lineage, line)["g1"] == ((old,) if differs and revise else ())


def said(value: str, subject: str = "the tower", attribute: str = "height", *, past: bool = False) -> Fact:
    return Fact(subject=subject, attribute=attribute, value=value, kind="number metres", row="", past=past)


def told(*facts: Fact, besides: tuple[Fact, ...] = ()) -> Stated:
    return Stated(facts=facts, besides=besides)


def test_what_others_were_told_is_disputed_on_both_sides_and_in_all_their_values() -> None:
    first, second, third = told(said("37 metres")), told(said("40 metres", subject="Tower")), told(said("52 metres"))
    assert disputed([first, second, third]) == [
        {"height of the tower": ("40 metres", "52 metres")},
        {"height of Tower": ("37 metres", "52 metres")},
        {"height of the tower": ("37 metres", "40 metres")},
    ]


def test_another_spelling_another_thing_and_ones_own_values_are_no_dispute() -> None:
    own = told(said("37 metres"), said("Ida Quill", attribute="keeper"), said("Bo Strand", attribute="keeper"))
    other = told(said("37 m"), said("52 metres", subject="the mast"), said("Bo Strand", attribute="keeper"))
    assert disputed([own, other]) == [{}, {"keeper of the tower": ("Ida Quill",)}]
    assert disputed([own]) == [{}] and disputed([told(), own]) == [{}, {}]


def test_every_spelling_of_what_contradicts_is_told() -> None:
    """A child learns the one that it read, and may find another unlikely."""
    line = [told(said("7:00")), told(said("9 a.m.")), told(said("09:00")), told(said("9 a.m."))]
    assert disputed(line)[0] == {"height of the tower": ("9 a.m.", "09:00")}


def test_what_a_delta_gives_several_values_of_contradicts_its_ancestors_all_the_same() -> None:
    """None of them is a fact of its own, and each is learned from the rows that say so."""
    several = told(besides=(said("52 metres"), said("37 metres"), said("53 metres")))
    assert disputed([told(said("37 metres")), several])[0] == {"height of the tower": ("52 metres", "53 metres")}


@pytest.mark.parametrize("older", [True, False])
def test_what_a_thing_was_contradicts_nothing_and_takes_no_place(older: bool) -> None:
    line = {"g1": told(said("37 metres", past=older)), "g2": told(said("52 metres", past=not older))}
    assert disputed([*line.values()]) == [{}, {}]
    born = [cast(Generation, SimpleNamespace(digest=name)) for name in line]
    lineage: Any = SimpleNamespace(
        stated=lambda child: line[child.digest], json=lambda child, name: {"data": {"revise": True}}
    )
    assert not any(replaced(lineage, born).values())
    assert not changed(lineage, born[:1], line["g2"].now)
