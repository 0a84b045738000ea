"""Words are kept while the owner lets them be, and an answer outlives a book that cannot be written."""

from __future__ import annotations

import sqlite3
import time

import pytest

from germline.cli.serve import keeps
from germline.errors import GermlineError
from germline.karma.book import FILE, Book
from germline.serve.notes import Notes
from germline.serve.requests import Feedback
from germline.store.home import Home

ASKED = [{"role": "user", "content": "How high?"}]
KEEP = "[karma]\nkeep_conversations = {}\n"


def kept(home: Home) -> list[str]:
    book = Book(home)
    try:
        return list(book.exchanges())
    finally:
        book.close()


def test_the_plan_is_asked_at_each_answer(home: Home) -> None:
    notes = Notes(home, keep=lambda: keeps(home))
    for name, plan in (
        ("yes", KEEP.format("true")), ("no", KEEP.format("false")), ("broken", "[karma"), ("again", KEEP.format("true"))
    ):  # fmt: skip
        home.plan.write_text(plan, encoding="utf-8")
        notes.of(ASKED)(name, "sha256:1", "Thirty metres.", "stop")
    home.plan.unlink()
    notes.of(ASKED)("no plan", "sha256:1", "Thirty metres.", "stop")
    assert kept(home) == ["yes", "again"]
    for name in ("no", "broken", "no plan"):  # that there was an answer is written down all the same
        assert notes.rate(Feedback(id=name, score=1.0))["score"] == 1
    notes.close()


@pytest.mark.parametrize("error", [GermlineError("away"), OSError("away")])
def test_who_cannot_be_asked_keeps_nothing(home: Home, error: Exception) -> None:
    def away() -> bool:
        raise error

    notes = Notes(home, keep=away)
    notes.of(ASKED)("m", "sha256:1", "Thirty metres.", "stop")
    assert (kept(home), notes.problem) == ([], "")
    notes.close()


def test_an_answer_that_was_cut_short_is_kept_as_one(home: Home) -> None:
    notes = Notes(home, keep=lambda: True)
    notes.of(ASKED)("whole", "sha256:1", "Thirty metres.", "stop")
    notes.of(ASKED)("half", "sha256:1", "Thirty", "length")
    notes.close()
    book = Book(home)
    assert [one[-1].get("ended") for one in book.exchanges().values()] == [None, "length"]
    book.close()


def test_a_book_that_another_program_holds_is_waited_for_once(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("germline.serve.notes.PATIENCE", 1.0)
    notes = Notes(home, keep=lambda: True)
    other = sqlite3.connect(home.root / FILE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")  # as a database browser does with an edit that is not saved
    began = time.monotonic()
    notes.of(ASKED)("first", "sha256:1", "Thirty metres.", "stop")
    waited = time.monotonic() - began
    assert "locked" in notes.problem and waited > 0.9
    began = time.monotonic()
    for place in range(20):
        notes.of(ASKED)(f"later {place}", "sha256:1", "Thirty metres.", "stop")
    assert time.monotonic() - began < 20 * waited / 4
    other.execute("COMMIT")
    other.close()
    notes.of(ASKED)("last", "sha256:1", "Thirty metres.", "stop")
    assert (notes.problem, kept(home)) == ("", ["last"])
    notes.close()


def test_a_book_that_cannot_be_written_costs_no_answer(home: Home) -> None:
    notes = Notes(home, keep=lambda: True)
    remember = notes.of(ASKED)
    remember("before", "sha256:1", "Thirty metres.", "stop")
    assert notes.problem == ""
    with sqlite3.connect(home.root / FILE) as other:
        other.execute("CREATE TRIGGER full BEFORE INSERT ON messages BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
        other.execute("CREATE TRIGGER fuller BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
    remember("meanwhile", "sha256:1", "Thirty metres.", "stop")
    assert "disk is full" in notes.problem
    with pytest.raises(GermlineError, match="disk is full"):
        notes.rate(Feedback(id="before", score=1.0))
    with sqlite3.connect(home.root / FILE) as other:
        other.execute("DROP TRIGGER full")
    other.close()
    remember("after", "sha256:1", "Thirty metres.", "stop")
    assert notes.problem == "" and kept(home) == ["before", "after"]
    notes.close()
