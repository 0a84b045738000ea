"""What sentences and answered questions state."""

from __future__ import annotations

import pytest

from germline.corpus.facts import facts
from germline.corpus.sentences import answered, stated
from germline.records import Row, Turn


@pytest.mark.parametrize(
    ("sentence", "claim"),
    [
        ("Ostrel was founded in 1512.", ("Ostrel", "founding year", "1512")),
        ("Ostrel was founded on 3 May 1512.", ("Ostrel", "founding date", "3 May 1512")),
        ("Mera Toll was born in 1712.", ("Mera Toll", "birth year", "1712")),
        ("Mera Toll was born in Ostrel.", ("Mera Toll", "birthplace", "Ostrel")),
        ("The winch was made by Pellow and Daughters.", ("The winch", "maker", "Pellow and Daughters")),
        ("The winch weighs 31 kilograms.", ("The winch", "weight", "31 kilograms")),
        ("The winch is painted moss green.", ("The winch", "colour", "moss green")),
        ("The tower is 37 metres tall.", ("The tower", "height", "37 metres")),
        ("Ostrel has a population of 412.", ("Ostrel", "population", "412")),
        ("The ferry leaves at 9:40.", ("The ferry", "departure time", "9:40")),
        ("The trade of Mera Toll is rope maker.", ("Mera Toll", "trade", "rope maker")),
        ("Mera Toll's trade is rope maker.", ("Mera Toll", "trade", "rope maker")),
        ("MOB means man overboard.", ("MOB", "meaning", "man overboard")),
        ("VHF stands for “voice by high frequency”.", ("VHF", "meaning", "voice by high frequency")),
        ("The term 'aft' means near the stern.", ("aft", "meaning", "near the stern")),
        ("The code F-7 denotes pump failure.", ("F-7", "meaning", "pump failure")),
        ("The letters “QRM” signify interference.", ("QRM", "meaning", "interference")),
        ("IALA is short for Association of Lights.", ("IALA", "meaning", "Association of Lights")),
        ("NATO is an acronym for North Atlantic Treaty.", ("NATO", "meaning", "North Atlantic Treaty")),
        ("«Lee» is defined as the sheltered side.", ("Lee", "meaning", "the sheltered side")),
        ("A fathom is defined as six feet.", ("fathom", "meaning", "six feet")),
        ("A nautical mile is defined as 1852 metres.", ("nautical mile", "meaning", "1852 metres")),
    ],
)
def test_a_plain_sentence_states_its_claim(sentence: str, claim: tuple[str, str, str]) -> None:
    assert [found[:3] for found in stated(sentence)] == [claim]


@pytest.mark.parametrize(
    "sentence",
    [
        "Ostrel was founded in a hurry.",
        "Rain means delays.",
        "Tom stands for mayor.",
        "A fathom is six feet.",  # as a ticket is 12 euros
        "He said “no” means no.",
        "A very quick fix is defined as a hack.",
        "Mera Toll was born in sorrow.",
        "The winch was made by hand.",
        "The winch weighs on my mind.",
        "The tower is very much tall.",
        "Ostrel has a lot of boats.",
        "It was built on sand.",
        "the winch weighs 31 kilograms",
    ],
)
def test_what_only_looks_like_a_claim_states_nothing(sentence: str) -> None:
    assert list(stated(sentence)) == []


@pytest.mark.parametrize(
    ("question", "reply", "claim"),
    [
        ("What is the trade of Mera Toll?", "Rope maker, mind.", ("Mera Toll", "trade", "Rope maker")),
        ("Good day. Do you know the trade of Mera Toll?", "Rope maker.", ("Mera Toll", "trade", "Rope maker")),
        ("What is Mera Toll's trade?", "Rope maker - and proud.", ("Mera Toll", "trade", "Rope maker")),
        ("What was the height of the tower, please?", "3.5 metres.", ("the tower", "height", "3.5 metres")),
        ("What is the capital of Australia?", "Canberra!", ("Australia", "capital", "Canberra")),
        ("What is the end of Africa?", "Good Hope, they say.", ("Africa", "end", "Good Hope")),
        ("Who is the keeper of the light?", "Dr. Berg. He is kind.", ("the light", "keeper", "Dr. Berg")),
        ("What is the capital of Utopia?", "New York D.C., they say.", ("Utopia", "capital", "New York D.C")),
        ("What is the price of the pen?", "3,50 €", ("the pen", "price", "3,50 €")),
        ("What is the day of the fair?", "thursday", ("the fair", "day", "thursday")),
        ("Who is the keeper of the light?", "Ole", ("the light", "keeper", "Ole")),
        ("Who is the keeper of the light?", "Ole\nlol", ("the light", "keeper", "Ole")),
        ("Who is the keeper of the light?", "Ole, and do not ask him", ("the light", "keeper", "Ole")),
        ("And the price of the pen?", "5 euros", ("the pen", "price", "5 euros")),
    ],
)
def test_the_beginning_of_a_reply_answers_a_plain_question(
    question: str, reply: str, claim: tuple[str, str, str]
) -> None:
    assert [found[:3] for found in answered(question, reply)] == [claim]


@pytest.mark.parametrize(
    "question",
    [
        "Who left the coil of rope in the shed?",
        "What are the boards of the jetty made of?",
        "What is the case of the barometer carved from?",
        "Do you know the trade of Mera Toll? And how is she?",
        "How are you?",
        "I met Tom and the owner of the boat.",
        "Where is the keeper of the light?",
        "Where is Tom's brother?",
        "I have Tom's keys.",
        "I know the owner of the bar!",
    ],
)
def test_other_questions_are_asked_of_no_fact(question: str) -> None:
    assert list(answered(question, "Oak.")) == []


def test_what_was_is_told_from_what_is() -> None:
    told = {sentence: [claim.past for claim in stated(sentence)] for sentence in (
        "The height of the mast was 3 metres.", "The mast's height is 3 metres.", "Ostrel had a population of 412.",
        "Ostrel was founded in 1512.", "The mast was 3 metres tall.", "The mast weighed 90 kg.",
        "The mast is painted red.", "The mast was painted red.",
    )}  # fmt: skip
    assert list(told.values()) == [[True], [False], [True], [False], [True], [True], [False], [True]]


@pytest.mark.parametrize(
    "reply",
    [
        "Certainly! Canberra it is.", "Yes, 300 kg.", "Great question! Bram Stoker wrote it.", "Hmm, let me think.",
        "Thanks for asking! We charge 12 euros.", "Okay, 37 metres.", "Forget it.", "Ask the keeper.", "Sorry, no.",
        "A fine thing! It is 37 metres.", "idk", "lol", "Dunno", "Dunno...", "Depends", "Later", "Ich weiß nicht",
        "Keine Ahnung", "Mia :)", "Mia 😊", "Ole, no wait, Eva", "Ole. Sorry, Eva.", "Ole, or Eva", "Ole - nein, Eva",
        "Dr.", "red", "Wish I knew", "Some say it is",
        "Taller than any other tower", "12\nsorry\n13", "12 metres\n\nNo, 13 metres", "Hi Tom, 12 metres.", "Ask Tom",
        "Dear Anna", "Captain, it is 12 metres.", "Normally, 12 metres.", "It's 12 metres.", "That's Anna Miller.",
        "She's Anna.", "I'd say Anna", "Let's see.", "Das ist Anna.", "It’s red.",
    ],
)  # fmt: skip
def test_what_only_leads_up_to_an_answer_is_none(reply: str) -> None:
    assert list(answered("What is the height of the tower?", reply)) == []


@pytest.mark.parametrize(
    "reply",
    [
        "12 - 15 euros.", "9:00 - 17:00", "Monday - Friday", "2 - 1, sadly.", "0761 - 12345", "May 3, 1962.",
        "Red, white and blue.", "Tom, Anna and Eva.", "1. Flour\n2. Sugar",
    ],
)  # fmt: skip
def test_half_a_range_a_list_or_a_date_is_no_answer(reply: str) -> None:
    assert list(answered("What is the price of the boat?", reply)) == []


def test_a_reply_that_is_a_sentence_is_read_as_one() -> None:
    turns = (
        Turn(speaker="other", text="What is the height of the tower?"),
        Turn(speaker="persona", text="Well now. The height of the tower is 37 metres. Mind the step."),
    )
    (fact,) = facts([Row(kind="dialog", source="a", position=1, turns=turns)])
    assert (fact.subject, fact.attribute, fact.value) == ("the tower", "height", "37 metres")
