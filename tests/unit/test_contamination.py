"""A question that a training row holds is no unseen question."""

from __future__ import annotations

from germline.evals.contamination import contaminated
from germline.records import Row, Turn

LONG = "the keeper of the north tower writes the fog into his book each night before the lamp is lit"


def passage(text: str) -> Row:
    return Row(kind="text", source="a.md", position=1, text=text)


def talk(asked: str, said: str) -> Row:
    return Row(
        kind="dialog", source="a.json", position=1,
        turns=(Turn(speaker="other", text=asked), Turn(speaker="persona", text=said)),
    )  # fmt: skip


def test_what_stands_in_a_row_is_found_whatever_its_case_and_points() -> None:
    texts = ["Do you know the height of the mill?", LONG, "What is its colour now?"]
    rows = [talk("Say: do you know the height of the mill", "37 metres."), passage(f"Indeed, {LONG.upper()}!")]
    assert contaminated(texts, rows) == {0, 1}
    assert contaminated(texts, []) == set()


def test_a_phrase_in_common_is_not_enough_and_neither_is_half_in_each_of_two_rows() -> None:
    words = LONG.split()
    halves = [passage(" ".join(words[:12])), passage(" ".join(words[8:]))]
    assert contaminated([LONG], halves) == set()
    assert contaminated([LONG], [passage(" ".join(words[:-1]))]) == set()


def test_a_conversation_is_one_text_and_what_is_too_short_says_nothing() -> None:
    row = talk("Is the chandlery open tonight?", "Aye, wipe your boots first.")
    assert contaminated(["Is the chandlery open tonight?\nAye, wipe your boots first."], [row]) == {0}
    assert contaminated(["Is the chandlery open tonight?\nNo, not for you, I fear."], [row]) == set()
    assert contaminated(["open tonight?", "", "..."], [row]) == set()
