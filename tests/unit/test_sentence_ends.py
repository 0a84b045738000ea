"""Where sentences end, and where they only seem to."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from germline.sentence_ends import is_abbreviation, is_in_doubt, sentence_ends

GAP = re.compile(r"(?<=[.!?])\s+")


@pytest.mark.parametrize(
    "text",
    [
        "Ask Dr. Berg.", "By J. Smith.", "By J. R. R. Tolkien.", "By C.S. Lewis.", "See Fig. 3 there.",
        "St. George's it is.",
        "No. 5 is free.", "Am 3. Mai ist Markt.", "Z. B. am Montag.", "Das ist z.B. Ole.", "It takes max. 5 days.",
        "Miller Co. Anna", "P.O. Box 5", "The U.S. Army", "By Gen. Lee.", "Rs. 500 it is.", "It is est. 50 m.",
        "5 Mio. Euro", "Von Dr. med. Berg.", "Von Dipl.-Ing. Berg.",
    ],
)  # fmt: skip
def test_a_sentence_does_not_end_there(text: str) -> None:
    assert list(sentence_ends(text, GAP)) == []


@pytest.mark.parametrize(
    "text",
    [
        "It is so. Tom too.", "Is it? Tom knows.", "Ho! Tom knows.", "Lend, no. Tom might.",
        "It is vitamin C. It is sour.",
        "It closes at 9 p.m. Tom knows.", "It is 5 m. Tom knows.", "It is the U.S. The ore is there.",
        "It is 37. May I?",
        "It is St. George's. Tom knows.", "It is Miller Co. They are old.", "The wind, mind. Tom knows.",
    ],
)  # fmt: skip
def test_a_sentence_ends_there(text: str) -> None:
    (end,) = sentence_ends(text, GAP)
    assert text[: end.start()].endswith((".", "?", "!")) and text[end.end()].isupper()


def test_an_abbreviation_that_a_capital_follows_is_in_doubt() -> None:
    assert is_in_doubt("The winch is by Miller Co. Tom likes it.")
    assert not is_in_doubt("The winch is by Miller Co. of Hull.") and not is_in_doubt("By J. Smith.")


@pytest.mark.parametrize("text", ["J", "J.", "approx", "Jan", "Prof.", "U.S", "Co.", "max", "P.O", "z.B."])
def test_an_abbreviation_is_no_more_than_that(text: str) -> None:
    assert is_abbreviation(text) and not is_abbreviation(f"{text} Berg")


def test_what_ends_with_half_of_something_is_an_abbreviation_and_a_name_is_none() -> None:
    assert is_abbreviation("5 Mio") and is_abbreviation("Lt. Cmdr") and is_abbreviation("Dr. med.")
    assert not is_abbreviation("5 Main St") and not is_abbreviation("Smith & Co")


@given(st.lists(st.sampled_from(["J", "Dr", "Co", ".", " ", "3", "Mai", "It", "(", "*"])).map("".join))
def test_it_ends_only_where_there_is_a_gap(text: str) -> None:
    gaps = [gap.span() for gap in GAP.finditer(text)]
    assert {end.span() for end in sentence_ends(text, GAP)} <= {*gaps}
