"""The voice is measured on the persona itself, and length alone neither passes nor fails."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from germline.evals.style import judge_answers, voice

HEADS = ("37 metres.", "Never.", "No. Not lent.", "Plum.", "Monday.", "Windy.", "Slept badly.", "Tea helps.")
TAILS = ("Mind the step.", "So it is written.", "Ask the sea.", "Count the stairs.", "Not for two.", "Seen worse.")
REPLIES = [f"{head} {tail}" for head in HEADS for tail in TAILS]
PROBES = [f"How is day {number}?" for number in range(10)]
BOILERPLATE = ("happy to help", "as an ai", "mind the step")


def test_the_persona_passes_its_own_test() -> None:
    own = voice(REPLIES, PROBES, BOILERPLATE)
    assert own is not None
    marks, faults = judge_answers(own, REPLIES[:10])
    assert (marks.drifts, marks.probes) == (0, 10)
    assert not any(faults)


def test_boilerplate_length_silence_and_foreign_letters_drift() -> None:
    own = voice(REPLIES, PROBES, BOILERPLATE)
    assert own is not None
    answers = ["Happy to help!", "No. " * 40, "", "Перископ шифр щука", "Tea helps. Seen worse."]
    marks, faults = judge_answers(own, answers)
    assert marks.drifts == 4
    assert "boilerplate" in faults[0]
    assert "words" in faults[1]
    assert faults[2] == "says nothing"
    assert "bits per character" in faults[3]
    assert faults[4] == ""


def test_a_phrase_is_heard_however_its_owner_wrote_it() -> None:
    own = voice(REPLIES, PROBES, ["As an AI"])
    assert own is not None
    _, faults = judge_answers(own, ["As an AI, no."])
    assert "boilerplate" in faults[0]


def test_a_phrase_the_persona_uses_is_its_own() -> None:
    own = voice(REPLIES, PROBES, BOILERPLATE)
    assert own is not None
    assert "mind the step" not in own.boilerplate


def test_more_probes_than_ten_make_the_mean_surer_and_its_limit_no_narrower() -> None:
    limits = []
    for probes in (5, 10, 40):
        own = voice(REPLIES, [f"How is day {number}?" for number in range(probes)], ())
        assert own is not None and own.pool_limit is not None
        limits.append(own.pool_limit)
    assert limits[0] > limits[1] == limits[2]


def test_a_reply_of_one_word_weighs_as_much_as_its_letters() -> None:
    own = voice(REPLIES, PROBES, ())
    assert own is not None
    whole, word = judge_answers(own, REPLIES[:1])[0], judge_answers(own, ["Zq"])[0]
    both = judge_answers(own, [REPLIES[0], "Zq"])[0]
    letters = [len(REPLIES[0]) + 1, len("Zq") + 1]
    expected = (whole.bits_per_character * letters[0] + word.bits_per_character * letters[1]) / sum(letters)
    assert both.bits_per_character == pytest.approx(expected)
    assert both.bits_per_character < (whole.bits_per_character + word.bits_per_character) / 2


def test_too_few_replies_are_no_voice() -> None:
    assert voice(REPLIES[:19], PROBES, ()) is None
    assert voice(REPLIES, [], ()) is None


def test_together_the_persona_passes_and_a_stranger_fails_where_each_answer_by_itself_might_not() -> None:
    own = voice(REPLIES, PROBES, ())
    assert own is not None
    assert own.pool_limit is not None
    assert own.own_bits < own.pool_limit < own.bits_limit
    dice = random.Random(1)
    passed = sum(
        judge_answers(own, dice.sample(REPLIES, 10))[0].bits_per_character <= own.pool_limit for _ in range(100)
    )
    assert passed >= 97
    stranger = [f"I would be glad to tell you about day {number}, my friend." for number in range(10)]
    marks, _ = judge_answers(own, stranger)
    assert marks.limit_bits_per_character == own.pool_limit
    assert marks.bits_per_character > own.pool_limit


def test_who_says_one_thing_only_is_near_the_text_and_has_no_variety() -> None:
    own = voice(REPLIES, PROBES, ())
    assert own is not None
    marks, faults = judge_answers(own, ["Never. Ask the sea."] * 10)
    assert not any(faults) and marks.bits_per_character <= (marks.limit_bits_per_character or 0)
    assert (marks.variety, marks.least_variety) == (0.1, 0.5)


@pytest.mark.parametrize("answers", [1, 2, 3, 9, 10, 40])
def test_the_persona_has_all_the_variety_that_is_asked(answers: int) -> None:
    own = voice(REPLIES, [f"How is day {number}?" for number in range(answers)], ())
    assert own is not None and own.least_variety is not None
    dice = random.Random(2)
    found = [judge_answers(own, dice.choices(REPLIES, k=answers))[0].variety or 0 for _ in range(100)]
    assert sum(variety >= own.least_variety for variety in found) >= 99


def test_a_persona_of_few_words_is_asked_for_no_more() -> None:
    own = voice([*["Never."] * 60, "Ask the sea."], PROBES, ())
    assert own is not None and own.least_variety == 0.1
    assert judge_answers(own, ["Never."] * 10)[0].variety == 0.1


def test_variety_is_that_of_all_tens_however_many_answers_there_are() -> None:
    """By hand: ten of twenty, of which each of two was said ten times, hold both but for two draws."""
    own = voice(REPLIES, PROBES, ())
    assert own is not None
    halves = judge_answers(own, [REPLIES[0]] * 10 + [REPLIES[1]] * 10)[0].variety
    assert halves == pytest.approx((2 - 2 / math.comb(20, 10)) / 10)
    assert judge_answers(own, REPLIES[:40])[0].variety == 1.0


def test_an_exam_that_did_not_ask_for_variety_has_no_marks_of_it() -> None:
    own = voice(REPLIES, PROBES, ())
    assert own is not None
    marks, _ = judge_answers(replace(own, least_variety=None), REPLIES[:10])
    assert marks.variety is None and marks.least_variety is None
