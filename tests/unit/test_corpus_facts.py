"""Facts found by rule: what is stated plainly is found, what only looks like a fact is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from germline.corpus.facts import facts, value_kind
from germline.corpus.values import is_answer
from germline.records import Row, Turn


def stated(*texts: str) -> list[tuple[str, str, str]]:
    rows = [Row(kind="text", source="a.md", position=n, text=text) for n, text in enumerate(texts, 1)]
    return [(fact.subject, fact.attribute, fact.value) for fact in facts(rows)]


MANUAL = """# 1. The mill

The height of the mill is 21 metres. It was measured twice. The builder of the mill was *Jan Tol*, and
he was proud. The colour of
the north door is `sea green`. Nobody knows why. The mill's founder is Ada Brook.

## 1.2 The mill stone:

The stone is heavy, so mind your feet.

- **Weight**: 900 kilograms
- Maker: [Brook and
  Daughters](https://example.org)
- Turning day: Monday.
- Safety: never touch it while it is turning
- Turn it slowly.
  - Depth: 3 metres
1. Order: first

| Boat | Hull colour | MMSI code | Crew |
| :--- | --- | --- | ---: |
| The Gull | red | 12345 | - |
| **Grey Wether** | navy \\| blue |  | 3 |
| Odd row | white |

> The height of the roof is 3 metres.

```
The depth of the well is 9 metres.
- Depth: 9 metres
```
"""


def test_a_manual() -> None:
    assert stated(MANUAL) == [
        ("Grey Wether", "crew", "3"),
        ("Grey Wether", "hull colour", "navy | blue"),
        ("the Gull", "MMSI code", "12345"),
        ("the Gull", "hull colour", "red"),
        ("the mill", "founder", "Ada Brook"),
        ("the mill", "height", "21 metres"),
        ("the mill stone", "maker", "Brook and Daughters"),
        ("the mill stone", "turning day", "Monday"),
        ("the mill stone", "weight", "900 kilograms"),
        ("the north door", "colour", "sea green"),
    ]


@pytest.mark.parametrize(
    ("sentence", "fact"),
    [
        ("The height of the tower is 37 metres.", ("the tower", "height", "37 metres")),
        ("The builder of Gull Rock was Corwin Adlard.", ("Gull Rock", "builder", "Corwin Adlard")),
        ("The first keeper of the station is Ann Wark.", ("the station", "first keeper", "Ann Wark")),
        ("The VHF channel of the port is 16.", ("the port", "VHF channel", "16")),
        ("The greasing month of the davit is May.", ("the davit", "greasing month", "May")),
        ("The closing hour of the shop is 9 p.m.", ("the shop", "closing hour", "9 p.m.")),
        ("The owner of the inn is Mrs. Hill. She is kind.", ("the inn", "owner", "Mrs. Hill")),
        ("Ostrel Light’s lamp oil is colza.", ("Ostrel Light", "lamp oil", "colza")),
        ("**The height of the tower is 37 metres.** So.", ("the tower", "height", "37 metres")),
        ("The height of the [tower](t.md) is **37 metres**. So.", ("the tower", "height", "37 metres")),
        ("The tower's colours are red, white and blue.", ("the tower", "colours", "red, white and blue")),
    ],
)
def test_sentences_that_state_a_fact(sentence: str, fact: tuple[str, str, str]) -> None:
    assert stated(sentence) == [fact]


@pytest.mark.parametrize(
    "sentence",
    [
        "Is the height of the tower 37 metres?",
        "The height of the tower is 37 metres!",
        "The height of the tower is 37 metres",
        "Perhaps the height of the tower is 37 metres.",
        "The lamp of the tower is checked by the mate.",
        "The lamp of the tower is to be kept clean.",
        "The lamp of the tower is kept in oil.",
        "The lamp of the tower is locked.",
        "The lamp of the tower is not red.",
        "The lamp of the tower isn't red.",
        "The colour of the tower is one that sailors know.",
        "The colour of the tower is red, which is rare.",
        "The colour of the tower is red because it rains.",
        "The colour of the tower is red, so look for it.",
        "The colour of the tower is important.",
        "The colour of the tower is the same.",
        "The colour of the tower is as before.",
        "The colour of it is red.",
        "The colour of each door is red.",
        "The colour of a door is red.",
        "The rest of the crew is Danish.",
        "The end of the rope is red.",
        "The smell of what was left is sweet cider.",
        "The length and width of the tower are 3 metres.",
        "The colour of the tower that fell is red.",
        "The colour of the tower is a deep shade seen once in many years.",
        "It's colour is red.",
        "Nobody's dinner is stew.",
        "Today's dinner is stew.",
        "The rock's own boat is slower.",
        "The keeper says the height of the tower is 37 metres.",
    ],
)
def test_sentences_that_do_not(sentence: str) -> None:
    assert stated(sentence) == []


def test_lines_under_a_heading() -> None:
    assert stated("### Chapter 3. The fog horn\n\nRange: 5 miles\nBlast length: 4 seconds") == [
        ("the fog horn", "blast length", "4 seconds"),
        ("the fog horn", "range", "5 miles"),
    ]


def test_code_states_nothing_and_what_follows_it_does() -> None:
    text = "~~~\n```\n# Install\n\n- Height: 3\n\n~~~\n\nThe colour of the mill is red."
    assert stated(text) == [("the mill", "colour", "red")]


@pytest.mark.parametrize(
    "text",
    [
        "Range: 5 miles",
        "- Range: 5 miles",
        "# Summary\n\n- Range: 5 miles",
        "# The horn\n\nNote: wet paint",
        "# The horn\n\nRange: the horn can be heard\nfar out at sea.",
        "# The horn\n\nRange: five miles.",
        "# Talk\n\nAnna: Good evening\nBen: Morning\nAnna: Goodbye",
        "# Ostrel Light, Station Manual, First Part\n\n- Range: 5 miles",
        "# What one should know about the old horn\n\n- Range: 5 miles",
        "# The horn\n\n- 06:30: tea",
        "# The horn\n\n- [ ] Range: 5 miles",
        "# The horn\n\n- Range: n/a\n- Depth: —\n- Oil: ?\n- Paint: TBD",
        "| Horn | Range |\n| The horn | 5 miles |",
        "| No. | Range |\n| --- | --- |\n| 7 | 5 miles |",
    ],
)
def test_lists_and_tables_that_state_nothing(text: str) -> None:
    assert stated(text) == []


def test_the_first_of_two_values_stays() -> None:
    one, two = "The height of the tower is 37 metres.", "The Height of the Tower is 38 metres."
    assert stated(one, two, one) == [("the tower", "height", "37 metres")]


@pytest.mark.parametrize(
    "text",
    [
        "The x of y is z of y is " * 20_000,
        "*a " * 200_000,
        "[" * 400_000,
        "# " + " #" * 200_000 + "a",
        "|-" * 200_000,
    ],
)
def test_long_texts_take_no_long_time(text: str) -> None:
    assert stated(f"{text}\n\nThe height of the tower is 37 metres.") == [("the tower", "height", "37 metres")]


@given(st.permutations(range(12)), st.integers(1, 14))
def test_of_too_many_facts_the_same_are_kept_in_any_order(order: list[int], most: int) -> None:
    rows = [
        Row(kind="text", source="a.md", position=1, text=f"The height of tower {n} is {n} metres.") for n in range(12)
    ]
    kept = facts([rows[n] for n in order], most=most)
    assert kept == facts(rows, most=most)
    assert len(kept) == min(most, 12)
    assert set(kept) <= set(facts(rows))


def test_a_fact_names_its_row_and_the_other_side_of_a_conversation_states_nothing() -> None:
    text = "The height of the tower is 37 metres."
    talk = Row(kind="dialog", source="a", position=1, turns=(Turn(speaker="other", text=text),))
    row = Row(kind="text", source="b", position=1, text=text)
    (fact,) = facts([talk, row])
    assert (fact.row, fact.kind) == (row.content_digest, "number metres")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("14 seconds", "number seconds"),
        ("1,200 Litres", "number litres"),
        ("3.5 km/h", "number km/h"),
        ("40 to 50 metres", "number metres"),
        ("about 12 minutes", "number minutes"),
        ("twenty-one metres", "number metres"),
        ("seven", "number"),
        ("168", "number"),
        ("12 %", "number %"),
        ("5°C", "number °c"),
        ("£5", "number £"),
        ("Thursday", "weekday"),
        ("Mondays", "weekday"),
        ("May", "month"),
        ("3 May", "date"),
        ("3rd of May 1962", "date"),
        ("May 3, 1962", "date"),
        ("1962-05-03", "date"),
        ("21:40", "clock time"),
        ("9 p.m.", "clock time"),
        ("half past six", "clock time"),
        ("noon", "clock time"),
        ("1962", "year"),
        ("Corwin Adlard", "name"),
        ("Pellow and Daughters", "name"),
        ("Émile", "name"),
        ("red gneiss", "phrase"),
        ("Red gneiss", "phrase"),
        ("霧笛", "phrase"),
    ],
)
def test_value_kind(value: str, kind: str) -> None:
    assert value_kind(value) == kind
    assert is_answer(value)


@given(
    st.text(max_size=300)
    | st.lists(st.sampled_from(["|", "- ", ": ", "a", "# ", "\n", "The ", " of ", " is ", "`", "*", "."])).map("".join)
)
def test_nothing_raises(text: str) -> None:
    for subject, attribute, value in stated(text):
        assert subject
        assert attribute
        assert value
