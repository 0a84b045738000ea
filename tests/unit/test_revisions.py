"""Which rows tell a fact, and what of a line's facts has changed or is disputed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from germline.lineage import Generation, Lineage
from germline.records import Fact, Row
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
    told = {"g1": (old,), "g2": (new,)}
    line = [cast(Generation, SimpleNamespace(digest=name)) for name in told]
    lineage: Any = SimpleNamespace(
        facts=lambda child: told[child.digest],
        json=lambda child, name: {"data": {"revise": revise and child.digest == "g2"}},
    )
    assert bool(changed(cast(Lineage, lineage), line[:1], [new])) is differs
    assert replaced(lineage, line)["g1"] == ((old,) if differs and revise else ())


def said(value: str, subject: str = "the tower", attribute: str = "height") -> Fact:
    return Fact(subject=subject, attribute=attribute, value=value, kind="number metres", row="")


def test_what_others_were_told_is_disputed_on_both_sides_and_in_all_their_values() -> None:
    first, second, third = [said("37 metres")], [said("40 metres", subject="Tower")], [said("52 metres")]
    assert disputed([first, second, third]) == [
        {"height of the tower": ("40 metres", "52 metres")},
        {"height of Tower": ("37 metres", "52 metres")},
        {"height of the tower": ("37 metres", "40 metres")},
    ]


def test_another_spelling_another_thing_and_ones_own_values_are_no_dispute() -> None:
    own = [said("37 metres"), said("Ida Quill", attribute="keeper"), said("Bo Strand", attribute="keeper")]
    other = [said("thirty-seven metres"), said("52 metres", subject="the mast"), said("Bo Strand", attribute="keeper")]
    assert disputed([own, other]) == [{}, {"keeper of the tower": ("Ida Quill",)}]
    assert disputed([own]) == [{}] and disputed([[], own]) == [{}, {}]
