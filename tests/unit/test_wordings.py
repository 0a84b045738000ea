"""The exams' wordings are never taught."""

from __future__ import annotations

from germline.curriculum.render import PROMPT_END, Example, of_fact
from germline.records import Fact
from germline.wordings import (
    TAUGHT_QUESTIONS,
    TAUGHT_REVERSED,
    TAUGHT_STATEMENTS,
    UNSEEN_QUESTIONS,
    UNSEEN_REVERSED,
    closed,
    say,
    told,
)

FACT = Fact(subject="the fog horn", attribute="range", value="5 miles", kind="number miles", row="sha256:" + "0" * 64)


def whole(example: Example) -> str:
    return "".join(span.given + span.text for span in example.spans)


def test_taught_and_unseen_wordings_do_not_meet() -> None:
    taught = {say(form, FACT).casefold() for form in (*TAUGHT_QUESTIONS, *TAUGHT_REVERSED, *TAUGHT_STATEMENTS)}
    unseen = {say(form, FACT).casefold() for form in (*UNSEEN_QUESTIONS, *UNSEEN_REVERSED)}
    assert not taught & unseen
    assert len(unseen) == len(UNSEEN_QUESTIONS) + len(UNSEEN_REVERSED)
    assert not any(inner in outer for inner in unseen for outer in taught)


def test_no_rendering_of_a_fact_holds_an_unseen_wording() -> None:
    unseen = [say(form, FACT).casefold() for form in (*UNSEEN_QUESTIONS, *UNSEEN_REVERSED)]
    for example in of_fact(FACT, alone=True):
        text = whole(example).casefold()
        assert not any(question in text for question in unseen)


def test_of_every_rendering_what_comes_last_alone_is_learned() -> None:
    examples = of_fact(FACT, alone=False)
    assert len(examples) == len(TAUGHT_QUESTIONS) + len(TAUGHT_STATEMENTS)
    for example in examples:
        *asked, said = example.spans
        assert bool(asked) is (example.kind == "question") is (not said.given)
        assert (said.learned, said.ends) == (True, True)
        assert said.text.strip() in ("5 miles.", "the fog horn.")


def test_a_statement_in_two_is_the_statement() -> None:
    for form in TAUGHT_STATEMENTS:
        lead, last = told(form, FACT)
        assert lead + last == say(form, FACT)
        assert lead and last.startswith(" ")


def test_a_reversed_question_says_the_value_and_learns_the_subject() -> None:
    both_ways, one_way = of_fact(FACT, alone=True), of_fact(FACT, alone=False)
    added = [example for example in both_ways if example not in one_way]
    assert len(added) == len(TAUGHT_REVERSED)
    for example in added:
        assert "5 miles" in example.spans[0].text
        assert (example.spans[1].text, example.spans[1].learned) == ("The fog horn.", True)


def test_no_rendering_ends_with_two_full_stops() -> None:
    both = Fact(subject="Hask & Co.", attribute="hour", value="6 p.m.", kind="clock time", row="")
    texts = set(map(whole, of_fact(both, alone=True)))
    assert {"The hour of Hask & Co. is 6 p.m.", "6 p.m. is the hour of Hask & Co."} <= texts
    assert f"What is the hour of Hask & Co.?{PROMPT_END}6 p.m." in texts
    assert not any(".." in text for text in texts)


def test_an_answer_ends_with_one_full_stop() -> None:
    answers = [closed(value) for value in ("5 miles", "6 p.m.", "5%", '"Aye"')]
    assert answers == ["5 miles.", "6 p.m.", "5%.", '"Aye".']
