"""What is shown of an age-up, or of a watch, never ends it, and is nobody else's to remove."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from germline import aging
from germline.cli import watch
from germline.errors import BudgetSpent, Locked, PlanError
from germline.in_flight import FILE, look, shown
from germline.records import Event, canonical_json
from germline.settings import Plan
from germline.store import disk
from germline.store.home import Home
from tests.unit.small_lineage import lighthouse

STEP = Event(kind="step", text="step 3", data={"step": 3})


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return lighthouse(tmp_path / "home")


@pytest.fixture
def held_open(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Windows, while another process has the file open. What was tried."""
    tried: list[str] = []

    def fail(primitive: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        if primitive is os.replace or (primitive is os.unlink and arguments[0].name == FILE):
            tried.append(primitive.__name__)
            raise PermissionError(13, "Access is denied")
        return primitive(*arguments, **named)

    monkeypatch.setattr(disk, "watch", fail)
    return tried


def test_an_age_up_goes_on_where_it_cannot_be_shown(home: Home, held_open: list[str]) -> None:
    heard: list[Event] = []
    (home.runs / FILE).write_text("{}", encoding="utf-8")
    with shown(home, heard.append) as tell:
        tell(STEP)
    assert heard == [STEP] and held_open == ["replace", "unlink"]


def test_who_finds_the_lineage_locked_leaves_what_the_other_shows(home: Home) -> None:
    with shown(home, lambda event: None) as tell:
        tell(STEP)
        with pytest.raises(Locked), shown(home, lambda event: None):
            raise Locked("another germline is at work")
        assert look(home) is not None
    assert not (home.runs / FILE).exists()


def test_what_another_process_has_written_since_is_left(home: Home) -> None:
    with shown(home, lambda event: None) as tell:
        tell(STEP)
        found = look(home)
        assert found is not None
        (home.runs / FILE).write_bytes(canonical_json({**found, "process": os.getppid()}))
    assert look(home) is not None


def looking(home: Home, monkeypatch: pytest.MonkeyPatch, last: int, plan: str = "") -> list[float]:
    """The waits of a watcher between its looks, at the last of which it is stopped; after the third it has a `plan`."""
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            home.plan.write_text(plan, encoding="utf-8")
        if len(looks) == last:
            raise KeyboardInterrupt

    monkeypatch.setattr(watch, "time", type("time", (), {"sleep": staticmethod(sleep)}))
    return looks


def test_a_watcher_goes_on_where_its_heartbeat_cannot_be_written(
    home: Home, held_open: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = looking(home, monkeypatch, 2)
    monkeypatch.setattr(aging, "age_up_if_due", lambda *_: (_ for _ in ()).throw(Locked("at work")))
    with pytest.raises(KeyboardInterrupt):
        watch._watch(home, 1.0, as_json=True)
    assert looks == [1.0, 1.0] and held_open == ["replace", "replace"]


def test_a_watcher_whose_budget_is_spent_waits_until_another_is_given(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each try loads a model: there are two at five looks, one before the plan changes and one after."""
    tries: list[float] = []
    looking(home, monkeypatch, 5, "[budget]\nminutes = 9\n")

    def age_up_if_due(_: Home, plan: Plan, *__: object) -> None:
        tries.append(plan.budget.minutes)
        raise BudgetSpent("the budget is spent", hint="raise it")

    monkeypatch.setattr(aging, "age_up_if_due", age_up_if_due)
    with pytest.raises(KeyboardInterrupt):
        watch._watch(home, 1.0, as_json=True)
    assert tries == [0, 9]
    told = capsys.readouterr()
    assert (told.out.count("the budget is spent; raise it"), told.err) == (1, "")


def test_a_watcher_whose_plan_cannot_be_followed_tries_it_again_when_it_is_another_or_an_hour_later(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each try reads the sources and loads a model, and counts in what the generation has cost."""
    looks, tries = looking(home, monkeypatch, 10, "[training]\nrank = 4\n"), list[int]()

    def age_up_if_due(*_: object) -> None:
        tries.append(len(looks))
        raise OSError(errno.EAGAIN, "try again") if len(tries) == 1 else PlanError("it would exceed its budget")

    monkeypatch.setattr(aging, "age_up_if_due", age_up_if_due)
    with pytest.raises(KeyboardInterrupt):
        watch._watch(home, 1200.0, as_json=True)
    assert tries == [0, 1, 3, 6, 9]


def test_a_process_that_began_after_what_is_told_is_another(home: Home) -> None:
    with shown(home, lambda event: None) as tell:
        tell(STEP)
        path = home.runs / FILE
        told = json.loads(path.read_bytes())
        assert look(home) == told
        path.write_bytes(canonical_json({**told, "time": told["time"] - 1e7}))
        assert look(home) is None
