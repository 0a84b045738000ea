"""A fact that has changed: where its owner lets a delta revise, the old one is neither replayed nor asked any more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from germline import examination, lesson
from germline.checkout import tokenizer_of
from germline.curriculum.batches import Batches
from germline.evals import exams
from germline.evolve import Outcome, age_up
from germline.forge.machine import arithmetic, machine
from germline.lineage import EXAM, PARENT_SCORECARD, SCORECARD, Lineage
from germline.marks import Marks
from germline.records import Event, Fact, Stated
from germline.settings import Exams, Plan, load_plan
from germline.store.home import Home
from germline.store.verify import verify

FACT = "colour of the fog horn"
NEWS = [f"The colour of the {name} is teal." for name in ("gate lamp", "oil tank", "tea urn", "pump", "ladder", "raft")]
REVISED = " ".join(["The colour of the fog horn is crimson.", *NEWS])


@pytest.fixture
def home(grown: Path, copy_of: Callable[[Path], Home]) -> Home:
    """g1 was taught that the fog horn is ochre, in a manual and in a conversation; a third batch says crimson."""
    home = copy_of(grown)
    (home.root.parent / "third").mkdir()
    (home.root.parent / "third" / "notes.md").write_text(REVISED, encoding="utf-8")
    return home


def taught(home: Home, monkeypatch: pytest.MonkeyPatch, *overrides: str) -> tuple[Outcome, list[Event], str]:
    """The child of the third batch, what was told, and all that its training read."""
    told, read = list[Event](), list[str]()
    lineage, lay_out = Lineage.open(home), lesson.lay_out
    tokenizer = tokenizer_of(lineage, lineage.head)

    def spy(*arguments: Any, **named: Any) -> Batches:
        batches = lay_out(*arguments, **named)
        read.extend(tokenizer.decode(batches[step].tokens.flatten().tolist()) for step in range(len(batches)))
        return batches

    plan = load_plan(home.plan, ['data.sources=["../third"]', "data.heldout=0", "curriculum.epochs=6", *overrides])
    with monkeypatch.context() as patch:
        patch.setattr(lesson, "lay_out", spy)
        return age_up(home, plan, told.append), told, " ".join(read).lower()


def asked(home: Home) -> dict[str, list[tuple[str, tuple[str, ...]]]]:
    """Of each exam of HEAD's line what it asks of the fact: the answer, wrong answers."""
    lineage = Lineage.open(home)
    line_exams = examination.inherited(lineage, lineage.head)
    line = lineage.trained_line(lineage.head)
    return {
        child.name: [(item.answer, item.wrong) for item in exam.items if item.unit == FACT and item.paper != "reversed"]
        for child, exam in zip(line, line_exams, strict=True)
    }


def test_what_is_revised_is_neither_replayed_nor_asked(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    before = asked(home)
    assert {answer for answer, _ in before["g1"]} == {"ochre."}
    outcome, told, texts = taught(home, monkeypatch, "data.revise=true")
    assert outcome.kind == "promoted"
    (note,) = (event for event in told if "facts" in event.data and "revised" in event.data)
    assert "the fog horn is crimson, and g1 was taught ochre" in note.text and "1 fact takes the place of" in note.text
    assert "crimson" in texts and "ochre" not in texts
    after = asked(home)
    assert not after["g1"] and {answer for answer, _ in after["g3"]} == {"crimson."}
    assert all(wrong[0] == "ochre." for _, wrong in after["g3"])
    lineage = Lineage.open(home)
    first = lineage.born()[1]
    marks = [lineage.json(lineage.head, name)["marks"] for name in (SCORECARD, PARENT_SCORECARD)]
    assert all(FACT not in card[first.manifest.files[EXAM].digest]["units"] for card in marks)
    assert verify(home).problems == ()
    (new,) = (fact for fact in lineage.facts(lineage.head) if fact.unit == FACT)
    assert sat_by_the_parent(lineage, []) == [], "asked as when it was born, it need not sit anything again"
    assert lineage.scorecard(lineage.head).marks[lineage.head.manifest.files[EXAM].digest].against[FACT] == ("ochre.",)
    assert sat_by_the_parent(lineage, [replace(new, value="violet")]) == [lineage.head.manifest.files[EXAM].digest]


def sat_by_the_parent(lineage: Lineage, facts: list[Fact]) -> list[str]:
    """Which exams HEAD has to sit as the parent of a delta of these facts."""
    delta = Stated(facts=tuple(facts))
    line_exams, sat = examination.inherited(lineage, lineage.head, delta=delta), list[str]()

    def sit(*arguments: Any, **named: Any) -> dict[str, Marks]:
        sat.extend(exam.digest for exam in arguments[3])
        return {exam.digest: cast(Marks, None) for exam in arguments[3]}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(examination, "_sit", sit)
        on = arithmetic(Plan().training, machine("cpu"))[0]
        examination.parent_card(lineage, lineage.head, line_exams, Exams(), on, lambda event: None)
    return sat


def test_what_is_not_to_be_revised_is_replayed_asked_and_told(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome, told, texts = taught(home, monkeypatch)
    (note,) = (event for event in told if "facts" in event.data and "revised" in event.data)
    assert "contradict" in note.text and "--set data.revise=true" in note.text
    assert "crimson" in texts and "ochre" in texts
    assert outcome.number == 3
    after = asked(home)
    assert {answer for answer, _ in after["g1"]} == {"ochre."}
    assert all("crimson." in wrong for _, wrong in after["g1"])
    own = exams.from_bytes(Lineage.open(home).read(Lineage.open(home).born()[-1], EXAM))
    assert all("ochre." in item.wrong for item in own.items if item.unit == FACT and item.paper != "reversed")


def test_two_values_of_one_thing_are_no_way_past_an_ancestors_exam(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of crimson and crimsen none is a fact of the delta; both are learned, and both are asked against."""
    notes = home.root.parent / "third" / "notes.md"
    notes.write_text(f"{REVISED} The colour of the fog horn is crimsen.", encoding="utf-8")
    _, told, texts = taught(home, monkeypatch)
    (note,) = (event for event in told if "facts" in event.data and "revised" in event.data)
    assert "the fog horn is crimson, and g1 was taught ochre" in note.text and "2 of several values" in note.text
    assert "crimson" in texts and "crimsen" in texts
    lineage = Lineage.open(home)
    child, first = lineage.born()[-1], lineage.born()[1].manifest.files[EXAM].digest
    assert FACT not in {fact.unit for fact in lineage.facts(child)}
    assert [fact.value for fact in lineage.stated(child).besides] == ["crimson", "crimsen"]
    marks = [lineage.scorecard(child, name).marks[first] for name in (PARENT_SCORECARD, SCORECARD)]
    assert [card.against for card in marks] == [{FACT: ("crimson.", "crimsen.")}] * 2
    line_exams = examination.inherited(lineage, child, child.birth)
    assert line_exams[0].disputed == marks[1].against, "asked again, it is asked the same"
    assert verify(home).problems == ()


def test_marks_that_do_not_tell_what_they_were_asked_against_are_not_taken_for_it(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an older germline kept them."""
    taught(home, monkeypatch, "data.revise=true")
    lineage = Lineage.open(home)
    card = lineage.scorecard(lineage.head)
    older = replace(card, marks={exam: replace(marks, against={}) for exam, marks in card.marks.items()})
    assert sat_by_the_parent(lineage, []) == []
    with monkeypatch.context() as patch:
        patch.setattr(Lineage, "scorecard", lambda *arguments: older)
        assert sat_by_the_parent(lineage, []) == [lineage.head.manifest.files[EXAM].digest]


def test_a_child_that_says_what_contradicts_its_ancestor_has_forgotten_it(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what g1's exam offers by itself, crimson is nothing."""
    before = asked(home)
    outcome, _, texts = taught(home, monkeypatch, "curriculum.replay=0", "curriculum.epochs=20")
    assert "crimson" in texts and "ochre" not in texts
    lineage = Lineage.open(home)
    first, child = lineage.born()[1], lineage.born()[-1]
    exam = first.manifest.files[EXAM].digest
    marks = [lineage.scorecard(child, name).marks[exam] for name in (PARENT_SCORECARD, SCORECARD)]
    assert marks[0].overruled == () and marks[1].overruled == (FACT,) and marks[1].units[FACT][0] == 0.0
    assert "crimson." in {answer["chosen"] for answer in marks[1].answers if answer["gold"] == "ochre."}
    told = [check.reason for check in outcome.verdict.checks if "g1 was taught" in check.reason]
    assert any(reason.endswith("; of 1 fact it says what contradicts it") for reason in told), told
    assert before["g1"] and not any("crimson." in wrong for _, wrong in before["g1"])
    again = examination.examine(lineage, child, lambda event: None).marks[exam]
    assert again.overruled == (FACT,), "asked again, it is asked the same"
