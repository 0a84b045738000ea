"""The circle: an answer is rated, karma pays, a child grows in a process of its own, and the karma is spent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from germline.aging import age_up_if_due, look
from germline.in_flight import look as in_flight
from germline.karma.book import Book
from germline.lineage import TRAIN, Lineage
from germline.records import Event
from germline.settings import load_plan
from germline.store.home import Home

KARMA = "[karma]\nthreshold = 4\nper_correction = 2\nkeep_conversations = true\ncooldown_hours = 1\n"


def test_feedback_pays_for_a_child_that_learns_it(founded: Path, copy_of: Callable[[Path], Home]) -> None:
    home = copy_of(founded)
    home.plan.write_text(home.plan.read_text().replace("epochs = 5", "epochs = 1") + KARMA, encoding="utf-8")
    plan, book, seen = load_plan(home.plan), Book(home), list[Event]()
    shown: list[object] = []

    def on_event(event: Event) -> None:
        seen.append(event)
        shown.append(in_flight(home))

    asked = [{"role": "user", "content": "Is the brass bell all right?"}]
    book.remember("m1", "sha256:1", [*asked, {"role": "assistant", "content": "Certainly!"}])
    book.feedback("m1", -1, correction="Holds. The brass bell always does.", source="a", key="1")
    aged = age_up_if_due(home, plan, on_event)
    assert aged.outcome == "" and "3 points are missing" in aged.due.reason
    book.add(3, reason="", source="owner", key="2")
    aged = age_up_if_due(home, plan, on_event)
    assert (aged.outcome, aged.harvested) == ("promoted", 1)
    lineage = Lineage.open(home)
    rows = [row for row in lineage.rows(lineage.head, TRAIN) if "brass bell" in str(row)]
    assert [row.turns[-1].text for row in rows] == ["Holds. The brass bell always does."]
    assert any(event.kind == "step" for event in seen) and any(shown) and in_flight(home) is None
    outcome = next(event for event in seen if event.kind == "outcome")
    assert (outcome.text, outcome.data["verdict"]["outcome"]) == ("g1 was promoted; HEAD is g1", "promoted")
    after = look(home, plan, book)
    assert not after.ready and after.balance == 0
    book.add(5, reason="", source="owner", key="3")  # nothing new to learn: the next one fails, and its karma is kept
    aged = age_up_if_due(home, plan, on_event)
    assert aged.outcome == "failed"
    after = look(home, plan, book)
    assert not after.ready and after.balance == 5 and "the last one was failed" in after.reason
    assert [attempt.outcome for attempt in book.attempts()] == ["promoted", "failed"]
    book.close()
