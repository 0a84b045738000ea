"""Facts found by rule: what is stated plainly is found, what only looks like a fact is not."""

from __future__ import annotations

import itertools
from dataclasses import replace
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from germline.corpus.claims import under_headings
from germline.corpus.facts import VALUES, facts
from germline.corpus.facts import stated as all_stated
from germline.corpus.passages import passages
from germline.corpus.values import is_answer, value_kind
from germline.records import Row, Turn


def stated(*texts: str) -> list[tuple[str, str, str]]:
    rows = [Row(kind="text", source="a.md", position=n, text=text) for n, text in enumerate(texts, 1)]
    return [(fact.subject, fact.attribute, fact.value) for fact in facts(rows)]


def of_passages(document: str, *, alone: bool = False) -> list[tuple[str, str, str]]:
    """What a document states that is cut as a file is; `alone`: where each passage is read without the one before."""
    rows = [
        Row(kind="text", source="a.md", position=n, text=text, under=under, ends_document=alone)
        for n, (under, text) in enumerate(under_headings(passages(StringIO(document))))
    ]
    assert len(rows) > 1
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
        ("The author of the manual is J. Smith. So.", ("the manual", "author", "J. Smith")),
        ("The author of the manual is C.S. Lewis. So.", ("the manual", "author", "C.S. Lewis")),
        ("The head of the school is Prof. Berg. So.", ("the school", "head", "Prof. Berg")),
        ("The weight of the pump is approx. 5 kg. It hums.", ("the pump", "weight", "approx. 5 kg")),
        ("The producer of the ore is the U.S. It sells it.", ("the ore", "producer", "the U.S.")),
        ("The maker of the winch is Miller Co. It is old.", ("the winch", "maker", "Miller Co")),
        ("The address of the club is P.O. Box 12. So.", ("the club", "address", "P.O. Box 12")),
        ("The voltage of the fan is 230 V. Mind it.", ("the fan", "voltage", "230 V")),
        ("The vitamin of the lemon is vitamin C. It is sour.", ("the lemon", "vitamin", "vitamin C")),
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
        "The author of the manual is J. Because he is old.",
        "The month of the fair is Jan. Everybody comes.",
        "The maker of the winch is Miller Co. Tom likes it.",
        "The weight of the pump is max. In summer it is less.",
        "Anna's glad Tom is home.",
        "Anna's glad dogs are home.",
        "Anna's visiting Tom is a pity.",
        "Anna has a cup of tea.",
        "The room has a view of the sea.",
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
        "# Das Horn\n\n- Preis: k. A.\n- Maße: k.A.\n- Farbe: keine\n- Form: entfällt\n- Öl: keine Angabe",
        "# The horn\n\n- Step 1: Open the lid\n- Figure 3: the lid\n- Table 1: weights\n- Answer: 5 kg",
        "# Das Horn\n\n- Achtung: heiß\n- Hinweis: sehr laut\n- Schritt 2: einschalten\n- Wann: mittags",
        "# The horn\n\n- When: noon\n- Where: the tower\n- Why: rust",
        "| Horn | Range |\n| The horn | 5 miles |",
        "| No. | Range |\n| --- | --- |\n| 7 | 5 miles |",
        "# The horn\n\n## Example\n\n- Range: 5 miles\n\n### Note\n\n- Depth: 3 m",
        "The weight of the pres-\nsure valve is 12 kg. The maker of the pump is Gar-\nrowby Foundry.",
        "# The horn\n\n- Maker: Gar-\n  rowby Foundry\n- Mate-\n  rial: steel",
        "| | Basic | Pro |\n| --- | --- | --- |\n| Storage | 5 GB | 100 GB |",
    ],
)
def test_lists_and_tables_that_state_nothing(text: str) -> None:
    assert stated(text) == []


HEIGHT = "The height of the mast {}."


@pytest.mark.parametrize(
    ("told", "value"),
    [
        (["is 37 metres", "is 38 metres"], ""),
        (["is 37 metres", "is 38 metres", "is 37 metres"], ""),
        (["was 37 metres", "was 38 metres"], ""),
        (["was 30 metres", "was 31 metres", "is 37 metres"], "37 metres"),
        (["is 37 metres", "was 30 metres"], "37 metres"),
        (["is three metres", "is 3 Metres", "is 3 metres"], "three metres"),
        (["is 37 metres", "is 37 m"], "37 metres"),
        (["is 37 metres", "is 37 m", "is 38 m"], ""),
        (["is 37 m", "is 37 metres", "is 38 m"], ""),
        (["is 37 m", "is 38 m", "is 37 metres"], ""),
        (["is −5 °C", "is 5 °C"], ""),
        (["is ≥ 10 bar", "is ≤ 10 bar"], ""),
        (["is −5 °C", "is -5 °C"], "−5 °C"),
    ],
)
def test_of_a_pair_with_several_values_one_kind_none_is_a_fact_unless_one_alone_is_present(
    told: list[str], value: str
) -> None:
    assert stated(*map(HEIGHT.format, told)) == ([("the mast", "height", value)] if value else [])


@pytest.mark.parametrize(
    ("table", "found"),
    [
        ("| Property | Value |\n| --- | --- |\n| Weight | 12 kg |\n| Hose | 3 m |",
         [("Pump 100", "hose", "3 m"), ("Pump 100", "weight", "12 kg")]),
        ("| Parameter | Value | Unit |\n|---|---|---|\n| Weight | 12 | kg |\n| Colour | red | |\n"
         "| Depth | | m |\n| Width | n/a | m |",
         [("Pump 100", "colour", "red"), ("Pump 100", "weight", "12 kg")]),
        ("| Eigenschaft | Wert |\n|---|---|\n| Gewicht | 12 kg |", [("Pump 100", "gewicht", "12 kg")]),
        ("| Property | Pump 200 | Pump 300 |\n|---|---|---|\n| Weight | 14 kg | 19 kg |",
         [("Pump 200", "weight", "14 kg"), ("Pump 300", "weight", "19 kg")]),
        ("| Parameter | Default |\n|---|---|\n| Timeout | 30 s |", [("Timeout", "default", "30 s")]),
        ("| Feature | Free | Premium |\n|---|---|---|\n| Storage | 5 GB | 100 GB |\n| Price | 0 € | 12 € |",
         [("Free", "price", "0 €"), ("Free", "storage", "5 GB"), ("Premium", "price", "12 €"),
          ("Premium", "storage", "100 GB")]),
        ("| | Exact | Worst |\n|---|---|---|\n| Rank 16 | 0.94 | 0.90 |\n| Rank 32 | 0.95 | 0.88 |",
         [("Rank 16", "exact", "0.94"), ("Rank 16", "worst", "0.90"), ("Rank 32", "exact", "0.95"),
          ("Rank 32", "worst", "0.88")]),
        ("| Pump | Value |\n|---|---|\n| Pump 7 | 12 euros |", [("Pump 7", "value", "12 euros")]),
        ("| Property | Value | Notes |\n|---|---|---|\n| Weight | 12 kg | dry |", [("Pump 100", "weight", "12 kg")]),
        ("| Technische Daten | Wert |\n|---|---|\n| Gewicht | 12 kg |", [("Pump 100", "gewicht", "12 kg")]),
        ("| | Pump 200 | Pump 300 |\n|---|---|---|\n| Weight | 14 kg | 19 kg |",
         [("Pump 200", "weight", "14 kg"), ("Pump 300", "weight", "19 kg")]),
        ("| Property | Value | Unit |\n|---|---|---|\n| Acidity | 7 | - |\n| Class | 2 | n/a |\n| Load | 9 | % |",
         [("Pump 100", "acidity", "7"), ("Pump 100", "class", "2"), ("Pump 100", "load", "9 %")]),
    ],
)  # fmt: skip
def test_a_sheet_tells_of_what_its_heading_names(table: str, found: list[tuple[str, str, str]]) -> None:
    assert stated(f"# Pump 100\n\n## Technical data\n\n{table}") == found


def test_a_sheet_without_a_heading_tells_of_nothing() -> None:
    assert stated("| Property | Value |\n| --- | --- |\n| Weight | 12 kg |") == []


@pytest.mark.parametrize(
    "value",
    ["siehe Tabelle 3", "see below", "s. u.", "auf Anfrage", "on request", "je nach Modell", "TODO check", "XXX",
     "{{date}}"],
)  # fmt: skip
def test_a_reference_or_a_blank_is_no_value(value: str) -> None:
    assert stated(f"# Pump 100\n\n- Weight: {value}") == []


@pytest.mark.parametrize(
    "sentence",
    [
        "The doors will open at 19:00.", "The new ticket will cost 5 euros.", "Please leave at 9:00.",
        "Yes the ferry leaves at 9:40.", "Tom thinks Anna's height is 2 metres.", "From May the museum opens at 11:00.",
        "No bridge was built in 1962.", "The depth of the mill is est. 50 m.", "The owner of the mill is Gen. Lee.",
    ],
)  # fmt: skip
def test_words_around_a_subject_are_none_of_it(sentence: str) -> None:
    assert stated(sentence) == []


def test_a_mill_and_the_mill_are_one_and_a_manual_that_contradicts_itself_states_neither_value() -> None:
    assert stated("# Mill\n\n- Weight: 6 kg\n\nThe weight of the mill is 5 kg.") == []
    assert stated("# Mill\n\n- Weight: 6 kg\n\nThe weight of the mill is 6 kg.") == [("Mill", "weight", "6 kg")]


def test_a_dialogue_under_a_heading_states_nothing_of_it() -> None:
    assert stated("# Talk\n\nAnna: Good evening\n\nBen: Morning\n\nAnna: Goodbye") == []
    assert stated("# Chat\n\nAnna: Hello, how much is it?\n\nTom: 12 euros\n\nAnna: Thank you.\n") == []
    assert stated("# Chat\n\n- Anna: Hello.\n- Ben: 12 euros\n- Anna: Thanks a lot.\n") == []
    noted = "# Pump\n\n- Note: keep it dry.\n- Weight: 5 kg\n- Note: wear gloves.\n"
    assert stated(noted) == [("Pump", "weight", "5 kg")]
    both = "# Chat\n\nAnna: Hello.\n\nTom: 12 euros\n\nAnna: Bye.\n\nThe weight of the ticket is 5 g.\n\n"
    assert stated(both + "# Pump\n\n- Weight: 5 kg") == [("Pump", "weight", "5 kg"), ("the ticket", "weight", "5 g")]


def test_a_dialogue_goes_on_in_the_next_passage() -> None:
    turns = [
        f"Anna: This is what I say in turn {n}, at some length, so that it fills the passage.\n" for n in range(40)
    ]
    assert of_passages("# Chat\n\n" + "\n".join([*turns, "Ben: 12 euros\n", "Anna: Thanks.\n"])) == []


@pytest.mark.parametrize("label", ["**Pump 100**", "Pump 100\n--------", "Pump 100:", "**Pump 100**\nMaker: Strand"])
def test_a_list_or_table_that_opens_a_passage_is_told_of_its_label(label: str) -> None:
    prose = "The pump was oiled and put away for the winter. " * 40
    sheet = "| Property | Value |\n|---|---|\n| Weight | 12 kg |\n| Power | 5 kW |\n"
    items = "".join(f"- Part{n} weight: {n + 5} kg\n" for n in range(150))
    for text, alone in itertools.product((f"{prose}\n\n{sheet}", items), (False, True)):
        found = of_passages(f"# Depot\n\n{label}\n\n{text}", alone=alone)
        assert len(found) >= 2 and {subject for subject, _, _ in found} == {"Pump 100"}


def test_of_a_part_of_a_thing_nothing_is_told() -> None:
    text = "# Pump 100\n\n{}\n\n- Weight: 20 kg\n- Maker: Strand\n"
    assert stated(text.format("Motor:")) == []
    assert stated(text.format("Motor:\n- Power: 3 kW")) == []
    whole = [("Pump 100", "maker", "Strand"), ("Pump 100", "weight", "20 kg")]
    for line in (
        "The pump has these ratings:",
        "Technical data:",
        "As of 2024:",
        "Note:",
        "It comes with:",
        "Kenndaten:",
    ):
        assert stated(text.format(line)) == whole, line
    assert stated(text.format("Motor:") + "\n## Pump 200\n\n- Weight: 5 kg\n") == [("Pump 200", "weight", "5 kg")]
    long = "# Pump 100\n\nMotor:\n\n" + "".join(f"- Part{n} weight: {n + 5} kg\n" for n in range(150))
    assert of_passages(long) == []


@pytest.mark.parametrize("text", [
    "# Pump\r\n\r\n- Weight: 12 kg\r\n\r\nCrane\r\n===\r\n\r\n- Power: 5 kW",
    "# Pump\n\n- Weight: 12 kg\n\n\ufeff# Crane\n\n- Power: 5 kW",
])  # fmt: skip
def test_lines_that_end_as_on_windows_and_files_that_were_joined(text: str) -> None:
    assert stated(text) == [("Crane", "power", "5 kW"), ("Pump", "weight", "12 kg")]


def test_a_row_is_hashed_once_however_much_it_states(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = []
    with monkeypatch.context() as patch:
        patch.setattr(Row, "content_digest", property(lambda row: hashed.append(row) or "sha256:0"))
        assert len(stated("# Mill\n\n" + "".join(f"- Price {n}: {n} euros\n" for n in range(40)))) == 40
    assert len(hashed) == 1


def test_no_port_of_call_is_the_port() -> None:
    table = "| Ship | Port |\n| --- | --- |\n| Anna | Hull |\n| Anna | Leith |\n| Berta | Leith |"
    assert stated(table) == [("Berta", "port", "Leith")]


@pytest.mark.parametrize(
    ("heading", "subject"),
    [
        ("Pump 100", "Pump 100"),
        ("Boeing 747-8", "Boeing 747-8"),
        ("Boiler for H2 gas", "Boiler for H2 gas"),
        ("3D printer", "3D printer"),
        ("12 Volt pump", "12 Volt pump"),
        ("24 V pump", "24 V pump"),
        ("100 Years War", "100 Years War"),
        ("1. Pump 100", "Pump 100"),
        ("2.3 Pump 100", "Pump 100"),
        ("4 Pump 100", "Pump 100"),
        ("Part II: Pump 100", "Pump 100"),
        ("Part 9", "Part 9"),
        ("Part C", "Part C"),
        ("Article 5", "Article 5"),
        ("Chapter 9", ""),
        ("C#", "C#"),
        ("Pump 100 ##", "Pump 100"),
        ("§ 7 Pump 100", "Pump 100"),
        ("§ 7a Pump 100", "Pump 100"),
        ("§ 7 Abs. 2 Pump 100", "Pump 100"),
        ("Art. 5 Pump 100", "Pump 100"),
        ("(3) Pump 100", "Pump 100"),
        ("II. Pump 100", "Pump 100"),
        ("2 Euro coin", "2 Euro coin"),
        ("Kapitel 3. Pump 100", "Pump 100"),
    ],
)
def test_only_what_numbers_a_heading_is_left_out_of_it(heading: str, subject: str) -> None:
    assert [fact[0] for fact in stated(f"# {heading}\n\n- Weight: 12 kg")] == ([subject] if subject else [])


@pytest.mark.parametrize(
    ("text", "subjects"),
    [
        ("Pump 100\n========\n\n- Weight: 12 kg", ["Pump 100"]),
        ("Pump 100\n===\n\n### Motor\n\n- Power: 5 kW\n\nPump 200\n===\n\n- Weight: 12 kg", ["Motor", "Pump 200"]),
        ("Pump 100\n===\n\nTechnical data\n---\n\n- Weight: 12 kg", ["Pump 100"]),
        ("# Pump 100\n\nHeight: 3 m\n---\n- Weight: 12 kg", ["Pump 100"]),
        ("# Pump 100\n\nThe width of the mill is 4 m.\n---\n\n- Weight: 12 kg", ["Pump 100", "the mill"]),
        ("# Pump 100\n\nGreetings\n--\nTom\n\n- Weight: 12 kg", ["Pump 100"]),
        ("# Pump 100\n\n| A | B |\n---\n\n- Weight: 12 kg", ["Pump 100"]),
    ],
)
def test_an_underlined_line_is_a_heading(text: str, subjects: list[str]) -> None:
    assert [fact[0] for fact in stated(text)] == subjects


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("Size: 10*20*30 cm", "10*20*30 cm"),
        ("**Size**: *10* cm", "10 cm"),
        ("Size: `2*3*4` cm", "2*3*4 cm"),
        ("Size: `__init__`", "__init__"),
        ("Size: 5\\$", "5$"),
        ("Size: 5 \\* 3 cm", "5 * 3 cm"),
        ("Size: C:\\_old\\x", "C:_old\\x"),
        ("Size: 12 cm<br>", "12 cm"),
        ("Size: 12 cm<br/>(5 inch)", "12 cm (5 inch)"),
        ("Size: <b>12</b> m<sup>2</sup>", "12 m2"),
        ("Size: <12 cm", "<12 cm"),
        ("Size: /home/<user>", "/home/<user>"),
        ("Size: <https://x.org>", "<https://x.org>"),
        ("Size: 20&nbsp;cm", "20 cm"),
        ("Size: R&D &lt; 5", "R&D < 5"),
        ("Size: R&notes", "R&notes"),
        ("Size: 12 cm[^1]", "12 cm"),
        ("Size: [Siemens][1]", "Siemens"),
        ("Size: [Mercury](https://x.org/Mercury_(planet))", "Mercury"),
        ("Size: ![a `code`](b.png)12 cm", "12 cm"),
        ("Size: [[Mercury]]", "Mercury"),
        ("Size: [[Mercury (planet)|Mercury]]", "Mercury"),
        ("Size: ==12 cm==", "12 cm"),
        ("Size: 12 cm[1]", "12 cm"),
        ("Size: 12 cm [2]", "12 cm"),
        ("Size: ~~3 cm~~ 4 cm", "4 cm"),
        ("Size: <del>3 cm</del> 4 cm", "4 cm"),
        ("Size: <S class='x'>3<b>0</b> cm</S> 4 cm", "4 cm"),
        ("~~Size: 4 cm~~", ""),
        ("Size: ~~4 cm~~", ""),
        ("Size: ~4 cm~", "~4 cm~"),
        ("<!-- Size: 4 cm -->", ""),
        ("Size: 4 cm <!-- Size: 5 cm -->", "4 cm"),
    ],
)
def test_of_markup_nothing_is_left_and_what_is_struck_out_is_not_said(line: str, value: str) -> None:
    found = [("Crate", "size", value)] if value else []
    assert stated(f"# Crate\n\n- {line}") == found
    assert stated(f"# Crate\n\n{line}") == found


def test_comments_and_what_is_struck_out_state_nothing() -> None:
    told = "The owner of the mill is Anna Berg."
    assert stated(f"<!-- Old. {told} Gone. -->") == []
    assert stated(f"<!--\n\n{told}\n\n{told}\n-->\n\nThe owner of the barn is Tom Brown.") == [
        ("the barn", "owner", "Tom Brown")
    ]
    for before, after in (("~~", "~~"), ("<s>", "</s>"), ("<del>", "</del>")):
        assert stated(f"{before}Old. {told} Gone.{after}") == []
    assert stated(f"(See the deed. {told}) He lied.") == [("the mill", "owner", "Anna Berg")]


@pytest.mark.parametrize(
    "sentence",
    [
        "The ticket no longer costs 5 euros.", "The pump never weighs 12 kg.", "The ferry usually leaves at 9:00.",
        "The museum now opens at 10:00.", "In winter the museum opens at 11:00.", "The museum's never open.",
        "Perhaps the mill was built by Tom Brown.", "Usually Tom Bell leaves at 9:00.", "Reportedly Anna weighs 80 kg.",
        "Allegedly Anna was born in 1990.", "Originally the mill was founded in 1512.",
    ],
)  # fmt: skip
def test_what_stands_between_a_subject_and_its_verb_is_no_part_of_it(sentence: str) -> None:
    assert stated(sentence) == []


def test_what_is_indented_or_quoted_in_a_reply_states_nothing_of_the_heading() -> None:
    assert stated("# Thermostat\n\nWrite:\n\n    target: 25 °C") == []
    assert stated("# Depot\n\n1. Pump\n\n   Weight: 12 kg\n\n2. Crane\n\n   Height: 20 m") == []
    told = "The height of the tower is 12 metres."
    for reply in (f"```\n{told}\n```", f"> Well. {told}\n\nThat is wrong."):
        turns = (Turn(speaker="other", text="Well?"), Turn(speaker="persona", text=reply))
        assert facts([Row(kind="dialog", source="a", position=1, turns=turns)]) == ()


def test_code_goes_on_in_the_next_passage_of_its_document() -> None:
    first = Row(kind="text", source="a", position=1, text="# Pump\n\n```yaml\n# Old\na: 5 m", ends_document=False)
    text = "# Older\nb: 6 m\n```\n\n## Technical data\n\n- Weight: 12 kg\n\n```\nc: 7 m\n```"
    second = Row(kind="text", source="a", position=2, text=text)
    assert [(fact.subject, fact.attribute) for fact in facts([first, second])] == [("Pump", "weight")]


def test_a_row_knows_its_headings_where_the_passages_before_it_are_missing() -> None:
    text = "Pump 200\n===\n\n## Safety\n\nMind the gap.\n\n## Technical data\n\n```\n" + "a: 5 m\n" * 400
    text += "# Old\n```\n\n- Weight: 12 kg"
    pieces = [*under_headings(passages(StringIO(text)))]
    assert "".join(piece for _, piece in pieces).count("a: 5 m") == 400 and len(pieces) > 3
    assert [under for under, _ in pieces][:2] == ["", "# Pump 200"]
    assert pieces[-1][0] == "# Pump 200\n## Technical data\n```"
    rows = [
        Row(kind="text", source="a", position=n, text=piece, under=under) for n, (under, piece) in enumerate(pieces)
    ]
    for missing in range(len(rows)):
        found = facts(rows[missing:])
        assert [(fact.subject, fact.attribute, fact.value) for fact in found] == [("Pump 200", "weight", "12 kg")]


_A = "- Power: 5 kW"


@pytest.mark.parametrize(
    ("text", "subjects"),
    [
        (f"**Pump 100**\n{_A}\n\n__Pump 200__:\n\nPower: 7 kW", ["Pump 100", "Pump 200"]),
        (f"Pump 100:\n{_A}\n\n**Pump 200:**\n| Property | Value |\n|---|---|\n| Power | 7 kW |",
         ["Pump 100", "Pump 200"]),
        (f"**Feed pump**\n\nIt hums.\n\n{_A}\n\n## Shop\n\n{_A}", ["Feed pump", "Shop"]),
        (f"Pump 200:\n---\n\n### Technical data\n\n{_A}", ["Pump 200"]),
        (f"**Pump 200**\n---\n\n### Technical data\n\n{_A}", ["Pump 200"]),
        (f"**Note**\n---\n\n{_A}", ["Depot"]),
        (f"**Technical data**\n\n{_A}", ["Depot"]),
        (f"The depot has these ratings:\n{_A}", ["Depot"]),
        (f"Ratings as of 2024:\n{_A}", ["Depot"]),
        (f"Step 1:\n{_A}", ["Depot"]),
        (f"**Important!**\n{_A}", ["Depot"]),
        (f"**Built in 1962.**\n{_A}", ["Depot"]),
        (f"**The owner of the mill is Anna Berg**\n{_A}", ["Depot"]),
        (f"**Do not open the lid**\n{_A}", []),
    ],
)  # fmt: skip
def test_a_label_stands_over_the_lines_under_it_as_a_heading_does(text: str, subjects: list[str]) -> None:
    assert [subject for subject, *_ in stated(f"# Depot\n\n{text}")] == subjects


@pytest.mark.parametrize("end", [",", ";", ", and", " und", ".", "", " \\", "\\"])
def test_how_an_item_ends_that_others_follow_is_none_of_its_value(end: str) -> None:
    assert stated(f"# Pump\n\n- Weight: 12 kg{end}\n- Height: 3 m.") == [
        ("Pump", "height", "3 m"), ("Pump", "weight", "12 kg")
    ]  # fmt: skip


def test_what_is_raised_behind_a_digit_makes_no_other_number_of_it() -> None:
    for value in ("12<sup>1</sup> kg", "10<sup>5</sup> Pa", "**12**<sup>1</sup> kg", "12<sub>1</sub> kg"):
        assert stated(f"# Pump\n\n- Weight: {value}\n") == [], value
    for value, kept in (("12 m<sup>2</sup>", "12 m2"), ("12m<sup>2</sup>", "12m2"), ("3 kg/m<sup>3</sup>", "3 kg/m3"),
                        ("steel<sup>1</sup>", "steel"), ("CO<sub>2</sub>", "CO2"), ("the 1<sup>st</sup>", "the 1st"),
                        ("5 kg<sup>*</sup>", "5 kg")):  # fmt: skip
        assert stated(f"# Pump\n\n- Filling: {value}\n") == [("Pump", "filling", kept)], value


def test_a_label_in_a_passage_before_is_known_to_the_row() -> None:
    pieces = [*under_headings(["# Depot\n\n**Pump 100**\n\nIt hums.", "It hums.", f"{_A}\n\n# Shop", _A])]
    assert [under for under, _ in pieces] == ["", *["# Depot\n**Pump 100**"] * 2, "# Shop"]
    under, text = pieces[2]
    (fact,) = facts([Row(kind="text", source="a", position=3, text=text, under=under)])
    assert fact.subject == "Pump 100"


def test_vowel_signs_and_accents_that_are_characters_of_their_own() -> None:
    assert stated("# मीनार\n\n- ऊँचाई: 73 मीटर") == [("मीनार", "ऊँचाई", "73 मीटर")]
    assert stated("# หอคอย\n\n- ความสูง: 73 เมตร") == [("หอคอย", "ความสูง", "73 เมตร")]
    assert stated("# Turm\n\n- Ho\u0308he: 12 m") == stated("# Turm\n\n- H\u00f6he: 12 m") == [("Turm", "höhe", "12 m")]


@pytest.mark.parametrize(
    "part",
    ["Technical data", "SPECIFICATIONS:", "3 Safety", "2.1 Dimensions", "FAQ", "Weight & dimensions", "Notes",
     "Technische Daten", "4. Wartung", "Hinweise", "Abmessungen"],
)  # fmt: skip
def test_a_part_that_every_manual_has_speaks_of_what_stands_above_it(part: str) -> None:
    below = f"## {part}\n\n- Weight: 12 kg\n\n### The valve\n\n- Width: 3 mm\n\n### {part}\n\nDepth: 9 mm"
    assert stated(below) == [("the valve", "width", "3 mm")]
    assert stated(f"# Pump P-100\n\n{below}\n\n# {part}\n\n- Height: 2 m") == [
        ("Pump P-100", "depth", "9 mm"),
        ("Pump P-100", "weight", "12 kg"),
        ("the valve", "width", "3 mm"),
    ]


@pytest.mark.parametrize(("position", "source", "subjects"), [(2, "a", ["Pump 1"]), (3, "a", []), (2, "b", [])])
def test_what_stands_above_may_be_in_the_passage_before_but_not_in_one_that_is_missing(
    position: int, source: str, subjects: list[str]
) -> None:
    first = Row(kind="text", source="a", position=1, text="# Pump 1\n\nIt pumps.", ends_document=False)
    text = "## Technical data\n\n- Weight: 12 kg"
    assert [
        fact.subject for fact in facts([first, Row(kind="text", source=source, position=position, text=text)])
    ] == subjects
    whole = replace(first, ends_document=True)
    assert facts([whole, Row(kind="text", source=source, position=position, text=text)]) == ()


@pytest.mark.parametrize(
    "text",
    [
        "The x of y is z of y is " * 20_000,
        "*a " * 200_000,
        "[" * 400_000,
        "# " + " #" * 200_000 + "a",
        "|-" * 200_000,
        "~~a " * 200_000,
        "<!--" * 200_000 + "-->",
    ],
)
def test_long_texts_take_no_long_time(text: str) -> None:
    assert stated(f"{text}\n\nThe height of the tower is 37 metres.") == [("the tower", "height", "37 metres")]


@given(st.permutations(range(12)), st.integers(1, 14))
def test_of_too_many_facts_the_same_are_kept_in_any_order(order: list[int], most: int) -> None:
    rows = [
        Row(kind="text", source="a.md", position=1, text=f"The height of tower {n} is {n} metres.") for n in range(12)
    ]
    kept = all_stated([rows[n] for n in order], most=most).facts
    assert kept == all_stated(rows, most=most).facts
    assert len(kept) == min(most, 12)
    assert set(kept) <= set(facts(rows))


KEEPER, TALL = "The keeper of the light is {}.", "The height of the tower is {}."


@pytest.mark.parametrize(
    ("texts", "taught", "besides"),
    [
        ([KEEPER.format("Ed Fenn"), KEEPER.format("Ed Fen")], [], ["Ed Fenn", "Ed Fen"]),
        ([TALL.format("37 metres"), TALL.format("52 m")], [], ["37 metres", "52 m"]),
        ([TALL.format("37 metres"), TALL.format("37 m")], ["37 metres"], []),
        ([TALL.format("37 metres"), TALL.format("121 feet")], ["37 metres"], []),
        ([KEEPER.format("Bo Strand"), KEEPER.format("the old smith")], ["Bo Strand"], ["the old smith"]),
        ([KEEPER.format("Bo Strand"), KEEPER.format("Ed Fenn").replace(" is ", " was ")], ["Bo Strand"], []),
        ([KEEPER.format("Bo Strand").replace(" is ", " was "), KEEPER.format("Ed Fenn")], ["Ed Fenn"], []),
    ],
)
def test_values_that_are_neither_taught_nor_asked_are_told_besides(
    texts: list[str], taught: list[str], besides: list[str]
) -> None:
    """What a delta gives several values of is no way past an ancestor's exam."""
    rows = [Row(kind="text", source="a.md", position=place, text=text) for place, text in enumerate(texts, 1)]
    found = all_stated(rows)
    assert [fact.value for fact in found.facts] == taught
    assert [fact.value for fact in found.besides] == besides


def test_of_a_pair_with_many_values_no_more_are_kept_than_can_be_asked() -> None:
    rows = [Row(kind="text", source="a.md", position=n, text=TALL.format(f"{n} m")) for n in range(1, 100)]
    assert len(all_stated(rows).besides) == VALUES


@pytest.mark.parametrize(("verb", "past"), [("is", False), ("was", True)])
def test_what_a_thing_was_is_told_as_past(verb: str, past: bool) -> None:
    row = Row(kind="text", source="a.md", position=1, text=f"The keeper of the light {verb} Ed Fenn.")
    found = all_stated([row])
    assert [fact.past for fact in found.facts] == [past] and len(found.now) == (not past)


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
        ("2,5 kg", "number kg"),
        ("1.500,50 Euro", "number euro"),
        ("approx. 5 kg", "number kg"),
        ("3,50 €", "number €"),
        ("0.10 €", "number €"),
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
