"""What becomes of a proposal that karma paid for, and that can no longer be approved."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from germline.aging import look, settle
from germline.approval import approve
from germline.cli import main
from germline.karma.book import Book
from germline.lineage import Lineage
from germline.rollback import move
from germline.settings import Karma, Plan
from germline.store.home import Home
from tests.unit.small_lineage import bear, two_keys

PLAN = Plan(karma=Karma(threshold=3, cooldown_hours=6))
LAW = '+++\nid = "light"\n[[card]]\nprompt = "light?"\nscorer = "contains"\nanswer = "yes"\n+++\nThe light is law.\n'


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """g1 is proposed."""
    return two_keys(tmp_path / "home")


def proposed(home: Home, place: int) -> Book:
    """An age-up of five points began at entry `place` of the ledger, where a child was proposed."""
    book = Book(home)
    book.begin(book.add(5, reason="", source="owner", key=f"{place}").sequence, place)
    settle(Lineage.open(home), book)
    assert book.attempts()[-1].outcome == "proposed"
    assert "second key" in look(home, PLAN, book).reason
    return book


def test_a_proposal_that_pinned_laws_overtook_was_refused_and_its_karma_is_kept(home: Home, tmp_path: Path) -> None:
    book = proposed(home, 1)
    (tmp_path / "light.law").write_text(LAW, encoding="utf-8")
    home.plan.write_text('[exams]\nlaws = ["../light.law"]\n', encoding="utf-8")
    assert main(["pin", "--home", str(home.root)]) == 0
    found = look(home, PLAN, book)
    assert [one.outcome for one in book.attempts()] == ["refused"]
    assert (found.ready, found.balance) == (False, 5) and "the last one was refused" in found.reason
    assert look(home, PLAN, book, datetime.now(UTC).replace(year=2099)).ready


def test_a_proposal_that_a_rollback_overtook_was_refused_until_it_is_approved_after_all(home: Home) -> None:
    approve(home, "g1")
    place = len(Lineage.open(home).entries)
    bear(home, 2, "proposed", right=10)
    book = proposed(home, place)
    move(home, "g0")
    assert look(home, PLAN, book).balance == 5 and book.attempts()[-1].outcome == "refused"
    move(home, "g1")  # it could be approved again; nobody is kept waiting for that
    assert look(home, PLAN, book).balance == 5 and book.attempts()[-1].outcome == "refused"
    approve(home, "g2")
    assert look(home, PLAN, book).balance == 0 and book.attempts()[-1].outcome == "promoted"
