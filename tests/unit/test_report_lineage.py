"""What is told of a lineage, its generations, and two of them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from germline import in_flight
from germline.lineage import EXAM, PARENT_SCORECARD, Lineage
from germline.records import canonical_json, plain
from germline.report import comparison, exams, generation, history
from germline.report.tables import ASCII
from tests.unit.small_lineage import lighthouse


@pytest.fixture(scope="module")
def lineage(tmp_path_factory: pytest.TempPathFactory) -> Lineage:
    return Lineage.open(lighthouse(tmp_path_factory.mktemp("reports") / "home"))


def test_every_document_is_json(lineage: Lineage) -> None:
    one, other = lineage.resolve("g1"), lineage.resolve("g2")
    for document in (
        history.document(lineage),
        generation.document(lineage, other),
        comparison.document(lineage, one, other),
    ):
        assert canonical_json(document)


def test_the_history_is_one_line_per_entry_and_marks_head(lineage: Lineage) -> None:
    told = history.lines(history.document(lineage))
    assert told[0] == "Östrel: 4 generations, HEAD is g1 (*)"
    assert [line.split()[0] for line in told[2:-2]] == ["id", "g0", "g1*", "g2", "g3", "--"]
    assert told[-3] == "-- rolled back to g1 from g2, 2030-01-02"
    assert told[-1] == "growing: nothing is recorded of a gain yet"
    assert told[6].split()[1:9] == ["g2", "refused", "2", "7", "120", "1.23", "0.400", "0.400"]


def test_a_child_that_was_begun_and_is_not_born_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lineage = Lineage.open(lighthouse(tmp_path / "home"))
    for name, files in {"g4": ["run.json"], "g5": [], "pin": ["run.json"], "g4-before": ["run.json"]}.items():
        (lineage.home.runs / name).mkdir(parents=True)
        for file in files:
            (lineage.home.runs / name / file).write_bytes(b"{}")
    document = history.document(lineage)
    assert document["unfinished"] == [{"id": "g4", "doing": None}]
    assert history.lines(document)[-1] == "g4 is unfinished: `germline evolve` goes on with it"
    with monkeypatch.context() as patch:
        patch.setattr(in_flight, "look", lambda home: {"text": "step 1/39"})
        assert history.lines(history.document(lineage))[-1] == "g4 is being grown: step 1/39"


def test_an_exam_that_a_refused_sibling_wrote_too_is_the_ones_that_is_asked_about(tmp_path: Path) -> None:
    """g2 and g3 both hold g2's exam: as after a refusal, grown again by another plan."""
    lineage = Lineage.open(lighthouse(tmp_path / "home"))
    second, third = lineage.resolve("g2"), lineage.resolve("g3")
    third.manifest.files[EXAM] = second.manifest.files[EXAM]
    exam = second.manifest.files[EXAM].digest
    patched = cast(Lineage, SimpleNamespace(
        born=lambda: [*lineage.born()[:3], third], trained_line=lambda one: [one]
    ))  # fmt: skip
    assert exams.authors(patched)[exam] == "g2"
    assert exams.authors(patched, third)[exam] == "g3" and exams.authors(patched, second)[exam] == "g2"


def test_a_broken_plan_hides_none_of_the_history(tmp_path: Path) -> None:
    lineage = Lineage.open(lighthouse(tmp_path / "home"))
    whole = history.lines(history.document(lineage))
    lineage.home.plan.write_text("[gate]\nrecal = 0.9\n", encoding="utf-8")
    told = history.lines(history.document(lineage))
    assert told[:-1] == whole[:-1]
    assert told[-1].startswith("not told: ") and "unknown key gate.recal" in told[-1]


def test_the_history_fits_100_columns_at_its_widest(lineage: Lineage) -> None:
    document = history.document(lineage)
    entry = document["entries"][3]
    entry |= {"id": "g98", "parent": "g97", "kind": "inconclusive", "head": True}
    entry["body"]["delta"] |= {"rows": 123_456, "facts": 9_999}
    entry["body"]["training"] |= {"steps": 99_999, "last_loss": 9.99}
    entry["body"]["weight_change"] = 0.0987
    entry["body"]["scores"] |= {"cards": 12, "cards_passed": 11, "style_drifts": 10}
    assert max(map(len, history.lines(document))) <= 100


def test_a_generation_is_told_in_sections(lineage: Lineage) -> None:
    told = list(generation.lines(generation.document(lineage, lineage.resolve("g2")), ASCII))
    sections = [line for line in told if line and not line.startswith(" ")][2:]
    assert sections == ["verdict", "signatures", "delta", "exams", "training", "spent", "environment", "files"]
    assert "  refused 1: too short" in told
    assert max(map(len, told)) <= 110


def test_a_founder_has_an_origin_and_no_verdict(lineage: Lineage) -> None:
    told = list(generation.lines(generation.document(lineage, lineage.resolve("g0")), ASCII))
    assert [line for line in told if line and not line.startswith(" ")][2:] == ["signatures", "origin", "files"]
    assert "  135,000,000 parameters" in told


def test_exams_are_named_by_the_generation_that_wrote_them(lineage: Lineage) -> None:
    sittings = generation.document(lineage, lineage.resolve("g2"))["exams"]
    assert [(one["written_by"], one["sat_by"]) for one in sittings] == [
        ("g1", "g1"), ("g1", "g2"), ("g2", "g1"), ("g2", "g2"),
    ]  # fmt: skip


def test_a_parent_is_compared_on_the_exam_that_its_child_wrote(lineage: Lineage) -> None:
    compared = comparison.document(lineage, lineage.resolve("g0"), lineage.resolve("g1"))
    assert [(one["sat_by"], one["marks"]["recall"]["right"]) for one in compared["exams"]] == [
        ("g0", 2),
        ("g1", 9),
    ]


def test_a_parent_stands_beside_its_child_with_the_marks_that_the_child_was_judged_by(lineage: Lineage) -> None:
    g1, g2 = lineage.resolve("g1"), lineage.resolve("g2")
    judged, own = lineage.scorecard(g2, PARENT_SCORECARD).marks, lineage.scorecard(g1).marks
    (exam,) = own
    assert judged[exam] != own[exam]
    shown = [one for one in generation.document(lineage, g2)["exams"] if one["sat_by"] == "g1"]
    assert {one["exam"]: one["marks"]["recall"] for one in shown} == {
        name: plain(marks.recall) for name, marks in judged.items()
    }


def test_rows_are_compared_by_content_over_the_whole_ancestry(lineage: Lineage) -> None:
    compared = comparison.document(lineage, lineage.resolve("g3"), lineage.resolve("g1"))
    rows = compared["rows"]
    assert (rows["both"], rows["only_a"], rows["only_b"]) == (2, 2, 0)
    assert rows["sample_a"] == ["Month 2: the sea was calm.", "Month 3: the sea was calm."]


def test_one_step_shows_one_move_and_any_other_way_shows_both(lineage: Lineage) -> None:
    g1, g2, g3 = (lineage.resolve(f"g{number}") for number in (1, 2, 3))
    moves = [(change["id"], change["from"]) for change in comparison.document(lineage, g1, g2)["weights"]]
    assert moves == [("g2", "g1")]
    moves = [(change["id"], change["from"]) for change in comparison.document(lineage, g1, g3)["weights"]]
    assert moves == [("g1", "g0"), ("g3", "g2")]
    assert comparison.document(lineage, g1, g2)["plan"] == {"training.rank": (8, 16)}
    assert comparison.document(lineage, g1, lineage.resolve("g0"))["plan"] == {}


def test_answers_are_quoted_on_one_line(lineage: Lineage) -> None:
    marks = exams.marks_of(lineage, lineage.resolve("g1"))
    found = exams.answers(marks, exams.authors(lineage), "recall")
    assert exams.answer_lines(found, ASCII)[:3] == [
        'x wrong  g1  "How high is it?\\n"', '    said "12 metres"', '    gold "37 metres"',
    ]  # fmt: skip
    assert exams.answer_lines([], ASCII) == ["nothing was asked on this paper"]


def test_nothing_written_by_reports(lineage: Lineage) -> None:
    def seen() -> list[Path]:
        return sorted(lineage.home.root.rglob("*"))

    before = seen()
    list(generation.lines(generation.document(lineage, lineage.resolve("g1")), ASCII))
    assert seen() == before
