"""The exam of a delta too large to be asked in full: a sample, whatever the order of rows."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pytest

from germline.curriculum.render import of_fact
from germline.evals import exams
from germline.evals.cards import Card
from germline.evals.exams import Exam
from germline.evals.openings import opening
from germline.evals.questions import REVERSED, Item
from germline.records import Fact, Row, Turn, canonical_json, digest_of
from germline.settings import Exams


@dataclass(frozen=True)
class Once:
    """Rows that may be gone through many times but not indexed, counted or held."""

    rows: Sequence[Row]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)


def talk(number: int) -> Row:
    said = (Turn(speaker="other", text=f"Who keeps light {number}?"), Turn(speaker="persona", text=f"Keeper {number}."))
    return Row(kind="dialog", source="a", position=1, turns=said)


def fact(number: int) -> Fact:
    return Fact(subject=f"tower {number}", attribute="keeper", value=f"Keeper {number}", kind="name", row="")


def written(facts: Sequence[Fact], train: Sequence[Row], heldout: Sequence[Row], replayed: Sequence[Row] = ()) -> Exam:
    return exams.write(
        facts, Once(train), Once(heldout), Exams(), probes=[], laws=[], cards=[], inherited=[], prompt_end="\n",
        replayed=iter(replayed),
    )  # fmt: skip


def asked(exam: Exam, paper: str) -> set[str]:
    return {item.prompt for item in exam.items if item.paper == paper}


def test_a_card_that_becomes_a_law_is_asked_as_one() -> None:
    card = Card(id="oil", prompt="Spill it?", scorer="contains", keys={"answer": "never"})

    def of(laws: Sequence[Card], cards: Sequence[Card], inherited: Sequence[Exam]) -> Exam:
        return exams.write([], [], [], Exams(), probes=[], laws=laws, cards=cards, inherited=inherited, prompt_end="\n")

    first = of([], [card], [])
    second = of([card], [], [first])
    assert (first.cards, second.laws, second.cards) == ((card,), (card,), ())
    assert of([card], [], [first, second]).laws == ()


def test_one_prompt_is_one_tone_probe_however_many_ask_it() -> None:
    hello = [
        replace(talk(number), turns=(Turn(speaker="other", text="Hello"), talk(number).turns[1])) for number in (1, 2)
    ]
    exam = written([], [talk(number) for number in range(30)], [*hello, talk(100)])
    assert exam.voice is not None and sorted(exam.voice.probes) == ["Hello", "Who keeps light 100?"]


def test_a_large_delta_is_sampled_and_a_small_one_asked_in_full() -> None:
    facts = [fact(number) for number in range(exams.FACTS + 100)]
    train = [talk(number) for number in range(exams.REPLIES + 100)]
    heldout = [talk(number) for number in range(10_000, 10_000 + exams.HELDOUT + 100)]
    exam = written(facts, train, heldout)
    assert len(asked(exam, "wording")) == exams.UNSEEN * exams.FACTS
    assert len(asked(exam, "heldout")) == exams.HELDOUT
    assert len(asked(exam, "recall")) == exams.FACTS + Exams().replies
    assert exam.voice is not None
    assert len(exam.voice.replies) == exams.REPLIES
    assert len(exam.voice.probes) == exams.PROBES
    small = written(facts[:50], train[:50], heldout[:50])
    assert [len(asked(small, paper)) for paper in ("recall", "wording", "heldout")] == [50 + 32, exams.UNSEEN * 50, 50]
    assert (exam.share, small.share) == (exams.FACTS / len(facts), 1.0)
    assert exams.from_bytes(exams.to_bytes(exam)).share == exam.share


def test_of_held_out_passages_some_are_kept_whatever_their_order_and_none_in_full_length() -> None:
    """Attention takes memory by the square of a text's length, and a JSON row may have 16 MB."""
    texts = [Row(kind="text", source="a", position=1, text=f"{number} " * 2_000) for number in range(50)]
    exam, again = written([], [talk(1)], texts), written([], [talk(1)], texts[::-1])
    assert {*exam.passages} == {*again.passages} != {row.text[: exams.PASSAGE] for row in texts[: exams.PASSAGES]}
    assert {*map(len, exam.passages)} == {exams.PASSAGE}


def test_passages_that_are_learned_are_asked_where_nothing_else_is() -> None:
    texts = [Row(kind="text", source="a", position=n, text=f"Passage {n} of prose.") for n in range(50)]
    prose = written([], texts, texts[:3])
    assert len(prose.taught) == exams.PASSAGES and {*prose.taught} <= {row.text for row in texts}
    assert exams.from_bytes(exams.to_bytes(prose)) == replace(prose, stored=prose.digest)
    assert not written([], [*texts, *(talk(number) for number in range(30))], texts[:3]).taught
    assert not written([fact(number) for number in range(30)], texts, texts[:3]).taught


def test_the_sample_does_not_depend_on_the_order_of_rows() -> None:
    dice = random.Random(0)
    train = [talk(number) for number in range(40)]
    heldout = [talk(number) for number in range(1000, 1000 + exams.HELDOUT + 50)]
    exam = written([], train, heldout)
    again = written([], dice.sample(train, len(train)), dice.sample(heldout, len(heldout)))
    assert asked(exam, "heldout") == asked(again, "heldout")
    assert {item for item in exam.items if item.paper == "recall"} == {i for i in again.items if i.paper == "recall"}


def test_what_a_training_row_holds_is_not_asked_as_unseen() -> None:
    facts = [fact(number) for number in range(10)]
    heldout = [talk(number) for number in range(10_000, 10_020)]
    unseen = asked(written(facts, [], heldout), "wording")
    leaked = sorted(unseen)[0]
    row = Row(kind="text", source="a", position=1, text=f"Somebody wrote: {leaked.strip().upper()} And why not.")
    exam = written(facts, [row, heldout[3]], heldout)
    assert unseen - asked(exam, "wording") == {leaked}
    assert heldout[3].turns[0].text + "\n" not in asked(exam, "heldout")
    assert exam.contaminated == 2
    again = exams.from_bytes(exams.to_bytes(exam))
    assert exams.to_bytes(again) == exams.to_bytes(exam)
    assert again.digest == exam.digest


def test_what_an_ancestors_row_holds_is_not_asked_as_unseen_either() -> None:
    facts = [fact(number) for number in range(10)]
    heldout = [talk(number) for number in range(10_000, 10_020)]
    leaked = sorted(asked(written(facts, [], heldout), "wording"))[0]
    replayed = [Row(kind="text", source="old", position=1, text=leaked), heldout[3]]
    exam = written(facts, [], heldout, replayed)
    assert leaked not in asked(exam, "wording")
    assert heldout[3].turns[0].text + "\n" not in asked(exam, "heldout")
    assert exam.contaminated == 2


def test_what_chooses_what_judges_and_what_stays_sealed_never_meet() -> None:
    exam = written([fact(number) for number in range(10)], [], [])
    papers = [{item.prompt for item in items} for items in (exam.items, exam.selection, exam.sealed)]
    assert list(map(len, papers)) == [40, 10, 10]
    assert len(set.union(*papers)) == 60
    leaked = exam.sealed[0]
    row = Row(kind="text", source="a", position=1, text=leaked.prompt)
    spoilt = written([fact(number) for number in range(10)], [row], [])
    assert {item.prompt for item in exam.sealed} - {item.prompt for item in spoilt.sealed} == {leaked.prompt}
    assert spoilt.contaminated == 1


def test_a_reversed_question_has_one_answer_and_wrong_ones_of_whom_the_same_is_told() -> None:
    shared = [Fact(subject=f"hut {n}", attribute="keeper", value="Keeper 0", kind="name", row="") for n in range(3)]
    roofs = [Fact(subject=f"roof {n}", attribute="maker", value=f"Mason {n}", kind="name", row="") for n in range(9)]
    exam = written([*(fact(number) for number in range(10)), *shared, *roofs], [], [])
    turned = [item for item in exam.items if item.paper == "reversed"]
    assert {item.answer for item in turned} == {f"Tower {n}." for n in range(1, 10)} | {f"Roof {n}." for n in range(9)}
    for item in turned:
        assert item.answer not in item.wrong
        assert len(item.wrong) == Exams().choices - 1
        assert item.prompt.endswith("\n")
        kind = item.answer.split()[0]
        assert all(other.startswith((kind, "Hut") if kind == "Tower" else kind) for other in item.wrong)
        assert all(other.endswith(".") for other in item.wrong)


def test_of_many_facts_a_few_are_turned_round() -> None:
    exam = written([fact(number) for number in range(REVERSED + 30)], [], [])
    assert len(asked(exam, "reversed")) == REVERSED
    assert not asked(written([fact(1)], [], []), "reversed")


def test_an_exam_written_by_an_older_germline_keeps_its_name() -> None:
    table = json.loads(exams.to_bytes(written([fact(number) for number in range(5)], [], [])))
    for added in ("selection", "sealed", "contaminated", "taught", "share"):
        del table[added]
    old = canonical_json(table)
    assert exams.from_bytes(old).digest == digest_of(old)


# --- an option is what is taught ----------------------------------------------------------------------


def taught(facts: Sequence[Fact]) -> dict[str, str]:
    """What follows each question that is taught of these facts."""
    examples = [example for known in facts for example in of_fact(known, alone=True) if example.kind == "question"]
    return {example.spans[0].text: example.spans[1].text for example in examples}


def test_an_option_is_what_is_taught_full_stop_included() -> None:
    values = ["5%", "6 p.m.", '"Aye"', "Una Merrow (the elder)", "7 p.m."]
    facts = [
        Fact(subject=f"tower {number}", attribute="mark", value=value, kind="text", row="")
        for number, value in enumerate(values)
    ]
    exam, lessons = written(facts, [], []), taught(facts)
    recall = [item for item in exam.items if item.paper == "recall"]
    assert {item.answer for item in recall} == {"5%.", "6 p.m.", '"Aye".', "Una Merrow (the elder).", "7 p.m."}
    for item in recall:
        assert item.answer == lessons[item.prompt]
        assert {item.answer, *item.wrong} == set(lessons.values()) - {f"Tower {number}." for number in range(5)}
    for item in (*exam.items, *exam.selection, *exam.sealed):
        assert item.answer in lessons.values() and set(item.wrong) <= set(lessons.values())
    assert {item.answer for item in exam.items if item.paper == "reversed"} == {f"Tower {n}." for n in range(5)}


def test_what_differs_by_a_full_stop_alone_is_no_wrong_answer() -> None:
    values = ["6 p.m.", "6 p.m", "7 p.m.", "7 p.m"]
    facts = [
        Fact(subject=f"tower {number}", attribute="hour", value=value, kind="clock time", row="")
        for number, value in enumerate(values)
    ]
    for item in written(facts, [], []).items:
        if item.paper != "reversed":
            assert {item.answer, *item.wrong} == {"6 p.m.", "7 p.m."} and len(item.wrong) == 1


# --- conversations ------------------------------------------------------------------------------------


def chat(asked: str, *replies: str) -> Row:
    """A conversation in which one prompt is asked again for every reply."""
    turns = [
        turn
        for reply in replies
        for turn in (Turn(speaker="other", text=asked), Turn(speaker="persona", text=reply))
    ]  # fmt: skip
    return Row(kind="dialog", source="a", position=1, turns=tuple(turns))


def conversations(exam: Exam, paper: str) -> list[Item]:
    return [item for item in exam.items if item.paper == paper and not item.spoken]


def test_a_prompt_with_many_true_replies_is_asked_once_and_none_of_them_is_wrong() -> None:
    greetings = [chat(spelled, f"Greeting {number}.") for number, spelled in enumerate(["Hi", "hi ", "HI"] * 4)]
    told = [chat("What is that?", f"Tower {number}.") for number in range(5)]
    recall = conversations(written([], [*greetings, *told], []), "recall")
    assert sorted(item.prompt.strip().casefold() for item in recall) == ["hi", "what is that?"]
    for item in recall:
        theirs = item.answer.split()[0]
        assert item.wrong and not any(other.startswith(theirs) for other in item.wrong)


def test_a_reply_held_out_is_not_wrong_in_recall_nor_a_taught_one_among_those_held_out() -> None:
    others = [talk(number) for number in range(20)]
    train, heldout = [chat("Hi", "Morning.", "Good day."), *others], [chat("hi", "Evening.")]
    exam = written([], train, heldout)
    (recall,) = [item for item in conversations(exam, "recall") if item.prompt == "Hi\n"]
    (held,) = conversations(exam, "heldout")
    assert (recall.answer, held.answer) == ("Morning.", "Evening.")
    for item in (recall, held):
        assert item.wrong and not {"Morning.", "Good day.", "Evening."} & {*item.wrong}


def test_a_prompt_that_everything_answers_is_left_out() -> None:
    assert conversations(written([], [chat("Hi", f"Greeting {number}.") for number in range(12)], []), "recall") == []


def test_a_held_out_passage_that_a_training_row_quotes_is_not_asked() -> None:
    quoted, apart = (
        "The lamp of the old tower is lit at dusk and put out at dawn.",
        "Nobody has lived there since the flood.",
    )
    heldout = [Row(kind="text", source="a", position=1, text=text) for text in (quoted, apart)]
    book = Row(kind="text", source="b", position=1, text=f"The book says: {quoted} So it does.")
    exam = written([], [book], heldout)
    assert (exam.passages, exam.contaminated) == ((apart,), 1)


# --- what no wrong answer may be ----------------------------------------------------------------------


def told(*values: str, attribute: str = "opening", kind: str = "clock time") -> list[Fact]:
    """One fact for each value, of as many subjects."""
    return [
        Fact(subject=f"shop {chr(97 + place)}", attribute=attribute, value=value, kind=kind, row="")
        for place, value in enumerate(values)
    ]


def options(exam: Exam, paper: str = "recall") -> dict[str, set[str]]:
    return {item.answer: {*item.wrong} for item in exam.items if item.paper == paper}


def test_an_answer_in_another_spelling_is_no_wrong_answer_and_no_two_wrong_ones_are_alike() -> None:
    exam = written(told("6 pm", "6 p.m.", "18:00", "noon", "12:00"), [], [])
    found = options(exam)
    assert len(found) == 5 and all(len(wrong) == 1 for wrong in found.values())
    assert found["6 pm."] <= {"noon.", "12:00."} and found["noon."] <= {"6 pm.", "6 p.m.", "18:00."}
    assert options(exam, "reversed") == {}  # each opening is that of two shops at least


def test_near_numbers_are_other_numbers() -> None:
    for answer, wrong in options(written(told("1,000 kg", kind="number kg"), [], [])).items():
        assert wrong and answer not in wrong and "1000 kg." not in wrong


def test_a_near_number_is_not_offered_beside_the_value_that_it_was_before() -> None:
    facts = told("3 kg", attribute="weight", kind="number kg")
    exam = exams.write(
        facts, [], [], Exams(), probes=[], laws=[], cards=[], inherited=[], prompt_end="\n",
        others={facts[0].unit: ("Four kg",)},
    )  # fmt: skip
    (wrong,) = (item.wrong for item in exam.items if item.paper == "recall")
    assert wrong[0] == "Four kg." and len(wrong) == Exams().choices - 1 and "4 kg." not in wrong


def test_what_a_fact_was_before_is_the_first_wrong_answer_and_comes_once() -> None:
    """A mutant that offers it twice, or offers it as another spelling of what is true, is caught here."""
    facts = told("7:00", "8:00", "9:00")
    before = {facts[0].unit: ("9:00",), facts[1].unit: ("08:00",)}
    exam = exams.write(
        facts, [], [], Exams(), probes=[], laws=[], cards=[], inherited=[], prompt_end="\n", others=before
    )
    wrong = {item.answer: item.wrong for item in exam.items if item.paper == "recall"}
    assert wrong["7:00."] == ("9:00.", "8:00.")
    assert sorted(wrong["8:00."]) == ["7:00.", "9:00."]


def test_what_is_said_otherwise_since_is_one_more_wrong_answer_under_the_same_name() -> None:
    exam = written([fact(number) for number in range(9)], [], [])
    unit = fact(3).unit
    harder = exam.against({unit: ("Bo Strand", "Keeper 3", "keeper 4"), "height of nothing": ("3 metres",)})
    assert harder.digest == exam.digest and exams.from_bytes(exams.to_bytes(exam)) != harder
    assert harder.disputed == {unit: ("Bo Strand.", "Keeper 3.", "keeper 4.")}
    for old, new in zip(exam.items, harder.items, strict=True):
        told = old.unit == unit and old.paper != "reversed"
        assert new.answer == old.answer and new.wrong[: len(old.wrong)] == old.wrong
        assert set(new.wrong[len(old.wrong) :]) <= {"Bo Strand.", "keeper 4."} and ("Bo Strand." in new.wrong) == told
        assert "Keeper 3." not in new.wrong or old.answer != "Keeper 3.", "what is true is never wrong"
    for paper in ("selection", "sealed"):
        assert any("Bo Strand." in item.wrong for item in getattr(harder, paper)), paper
    older = replace(exam, items=tuple(replace(item, answer=item.answer.removesuffix(".")) for item in exam.items))
    asked = [item for item in older.against({unit: ("Bo Strand",)}).items if item.unit == unit and item.spoken]
    assert [item.wrong[-1] for item in asked] == ["Bo Strand"], "written as that exam's answers are"


def test_what_is_said_otherwise_is_offered_as_it_was_taught_whatever_is_spelled_like_it() -> None:
    facts = told("7:00", "9:00", "18:00")
    exam = exams.write(facts, [], [], Exams(), probes=[], laws=[], cards=[], inherited=[], prompt_end="\n")
    harder = exam.against({facts[0].unit: ("9 a.m.", "7 a.m.", "9:00")})
    (wrong,) = (item.wrong for item in harder.items if item.unit == facts[0].unit and item.paper == "recall")
    assert sorted(wrong) == ["18:00.", "9 a.m.", "9:00."], "and what is spelled like the answer is not offered"


def test_a_question_that_says_its_own_answer_is_not_asked() -> None:
    facts = [
        Fact(subject=subject, attribute=attribute, value=value, kind="name", row="")
        for subject, attribute, value in [
            ("the Blue Lamp", "name", "Blue Lamp"), ("Mexico", "capital", "Mexico City"), ("Norway", "capital", "Oslo"),
            ("Anna", "mother", "Anna Berg"), ("Annaberg", "namesake", "Anna"),
        ]
    ]  # fmt: skip
    exam = written(facts, [], [])
    assert set(options(exam)) == {"Mexico City.", "Oslo.", "Anna Berg.", "Anna."}
    assert set(options(exam, "reversed")) == {"Norway.", "Annaberg."}


def test_whom_the_same_could_be_told_of_is_no_wrong_subject() -> None:
    """Anna calls at two ports, so that neither is told of her; she has a captain, as other ships have."""
    ships = [("Berta", "port", "Leith"), ("Berta", "captain", "Tom"), ("Carla", "port", "Bergen"),
             ("Anna", "captain", "Ole"), ("the mill", "owner", "Ada")]  # fmt: skip
    facts = [Fact(subject=s, attribute=a, value=v, kind="name", row="") for s, a, v in ships]
    items = {item.prompt: item for item in written(facts, [], []).items if item.paper == "reversed"}
    (item,) = (item for prompt, item in items.items() if "Leith" in prompt)
    assert (item.answer, item.wrong) == ("Berta.", ("Carla.", "The mill."))


def test_an_opening_in_another_spelling_is_no_wrong_one() -> None:
    chats = [chat("There?", "Ok."), chat("Come?", "ok."), chat("Shall we?", "OK"), chat("Home?", "At 6.")]
    recall = {item.answer: set(item.wrong) for item in conversations(written([], chats, []), "recall")}
    assert recall.pop("At 6.") < {"Ok.", "ok.", "OK"}
    assert recall == {"Ok.": {"At 6."}, "ok.": {"At 6."}, "OK": {"At 6."}}


def test_a_prompt_held_out_with_two_replies_is_asked_twice() -> None:
    heldout = [chat("Hi", "Morning."), chat("Hi", "Evening.")]
    exam = written([], [talk(1)], heldout)
    assert sorted(item.answer for item in conversations(exam, "heldout")) == ["Evening.", "Morning."]
    assert len(conversations(written([], [talk(1), *heldout], []), "recall")) == 2


@pytest.mark.parametrize(
    ("reply", "begins"),
    [
        ("1. Open the lid. 2. Press start.", "1. Open the lid."),
        ("37. Mind the step.", "37."),
        ("Dr. Berg keeps it. Ask him.", "Dr. Berg keeps it."),
        ("z. B. am Montag. Danach nicht.", "z. B. am Montag."),
        ("Am 3. Mai. Mittags.", "Am 3. Mai."),
        ("ok. see you", "ok."),
        ("Lend, no. Sell, yes.", "Lend, no."),
        ("Canberra", "Canberra"),
    ],
)
def test_an_opening_is_a_whole_sentence(reply: str, begins: str) -> None:
    assert opening(reply) == begins
