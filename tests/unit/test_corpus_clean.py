"""What is not worth learning, or is learned already."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from germline.corpus.clean import Digests, keep
from germline.records import Refusal, Row, Turn, digest_of


def passage(text: str, position: int = 1) -> Row:
    return Row(kind="text", source="a.md", position=position, text=text)


def talk(*said: str, position: int = 1) -> Row:
    turns = tuple(Turn(speaker="persona" if n % 2 else "other", text=text) for n, text in enumerate(said))
    return Row(kind="dialog", source="a.md", position=position, turns=turns)


LONG = "The horn sounds at dusk."


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (passage(""), "empty"),
        (passage("* * * === --- ~~~ ### ... !!! | | |"), "empty"),
        (passage("Nineteen characters"), "too short"),
        (talk("Are you there?", "..."), "empty"),
    ],
)
def test_refused(row: Row, reason: str) -> None:
    assert list(keep([row], seen=set())) == [Refusal(source="a.md", position=1, reason=reason)]


@pytest.mark.parametrize(
    "row",
    [
        passage(LONG),
        passage("霧笛は日没に鳴る。霧笛は日没に鳴る。霧笛"),
        talk("?", "No."),
        talk("Well?", "👍"),
    ],
)
def test_kept(row: Row) -> None:
    assert list(keep([row], seen=set())) == [row]


def test_the_first_of_equals_is_kept_wherever_they_stand() -> None:
    refusal = Refusal(source="b", position=3, reason="broken JSON")
    again = Row(kind="text", source="b.md", position=7, text=LONG, ends_document=False)
    found = list(keep([passage(LONG), refusal, again, talk("A?", "b"), talk("A?", "b", position=2)], seen=set()))
    assert found == [
        passage(LONG),
        refusal,
        Refusal(source="b.md", position=7, reason="duplicate"),
        talk("A?", "b"),
        Refusal(source="a.md", position=2, reason="duplicate"),
    ]


@given(st.lists(st.integers(0, 50)), st.lists(st.integers(0, 50)))
def test_digests_are_a_set(added: list[int], asked: list[int]) -> None:
    alike = ["sha256:" + "00" * 2 + f"{number:060x}" for number in range(3)]  # in one heap
    digests = Digests([*(digest_of(bytes([number])) for number in added), alike[0]])
    assert [digest_of(bytes([number])) in digests for number in asked] == [number in added for number in asked]
    assert alike[0] in digests


def test_what_an_ancestor_learned_is_refused() -> None:
    seen = {passage(LONG).content_digest}
    found = list(keep([passage(LONG), passage(LONG + "!")], seen=seen))
    assert found == [Refusal(source="a.md", position=1, reason="learned before"), passage(LONG + "!")]
