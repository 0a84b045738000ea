"""Passages: nothing is lost, nothing is too long, and a table or list keeps what gives it meaning."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from germline.corpus.passages import LIMIT, passages


def cut(text: str) -> list[str]:
    return list(passages(io.StringIO(text)))


def without_space(text: str) -> str:
    return "".join(text.split())


PROSE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="#|-*+:~`.)\r\0"), max_size=9_000)
LINES = st.lists(
    st.sampled_from(
        [
            "# A",
            "## The horn",
            "",
            "   ",
            "- Maker: Pellow",
            "| a | b |",
            "| - | - |",
            "1. one",
            "```",
            "~~~",
            "Weight: 4 kg",
            "word " * 30,
            "x" * 1_990,
            "x" * 4_500,
            "#" * 300,
            "\t" * 600,
            "é\u2028🦊 " * 90,
        ]
    ),
    max_size=40,
).map("\n".join)


@given(PROSE)
def test_every_character_of_prose_survives_in_order(text: str) -> None:
    assert without_space("".join(cut(text))) == without_space(text)


@given(LINES | PROSE)
def test_no_passage_is_too_long_or_blank(text: str) -> None:
    for passage in cut(text):
        assert len(passage) <= LIMIT
        assert passage.strip()


@given(LINES)
def test_nothing_is_lost_of_any_markdown(text: str) -> None:
    whole = "\n".join(cut(text))
    for line in text.split("\n"):
        if len(line) < 100:
            assert line.strip() in whole


def test_a_short_text_is_one_passage_unchanged() -> None:
    text = "# Fog\n\n\nThe horn  is loud.\n   Very.\n\n- a\n- b\n\n    code\n"
    assert cut(text) == [text.rstrip("\n")]


def test_a_heading_opens_a_passage_and_is_never_left_alone() -> None:
    assert cut("# One\n\n## Two\ntext\n## Three\nmore") == ["# One\n\n## Two\ntext", "## Three\nmore"]
    long = "word " * 399
    first, second = cut(f"# Title\n\n{long}")
    assert first.startswith("# Title\n\nword")
    assert second


def test_paragraphs_are_kept_whole_where_they_fit() -> None:
    one, two, three = "a" * 900, "b" * 900, "c" * 1_990
    assert cut(f"{one}\n\n{two}\n\n{three}") == [f"{one}\n\n{two}", three]


def test_a_long_paragraph_is_cut_at_a_line_a_sentence_a_space_or_anywhere() -> None:
    assert cut("x" * 1_500 + "\n" + "y" * 1_500) == ["x" * 1_500, "y" * 1_500]
    assert cut("x" * 1_500 + ". a " + "y" * 1_500) == ["x" * 1_500 + ".", "a " + "y" * 1_500]
    assert cut("x" * 1_500 + " " + "y" * 1_500) == ["x" * 1_500, "y" * 1_500]
    assert cut("x" * 4_100) == ["x" * 2_000, "x" * 2_000, "x" * 100]


def test_a_cut_table_repeats_its_heading_and_header() -> None:
    rows = [f"| boat {number} | {number} metres |" for number in range(200)]
    head = "| Boat | Length |\n| --- | --- |\n"
    found = cut("## Boats\n\n" + head + "\n".join(rows))
    assert len(found) > 2
    assert all(passage.startswith("## Boats\n\n" + head) for passage in found)
    assert [line for passage in found for line in passage.split("\n")[4:]] == rows


def test_a_list_that_opens_a_passage_brings_its_heading() -> None:
    items = [f"- Item {number}: {'x' * 80}" for number in range(40)]
    found = cut("## Stores\n\n" + "word " * 300 + "\n\n" + "\n".join(items))
    assert all(passage.startswith("## Stores\n\n") for passage in found)
    loose = cut("## Stores\n\n" + "\n\n".join(items))
    assert len(loose) > 1
    assert all(passage.startswith("## Stores\n\n- Item") for passage in loose)


def test_prose_brings_no_heading() -> None:
    first, second = cut("## Stores\n\n" + "a" * 1_500 + "\n\n" + "b" * 1_500)
    assert (first[:9], second) == ("## Stores", "b" * 1_500)


def test_nothing_is_a_heading_in_a_fence() -> None:
    text = "# Code\n\n```\n# comment\n\n\n| no | table |\n```\nafter"
    assert cut(text) == [text]


@pytest.mark.parametrize("inner", ["```", "~~~ not the end", "~~"])
def test_a_fence_is_closed_by_its_own_marks_alone(inner: str) -> None:
    text = f"# Code\n\n~~~\n{inner}\n# comment\n~~~~\nafter"
    assert cut(text) == [text]
