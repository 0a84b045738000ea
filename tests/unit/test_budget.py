"""Budgets: nothing is spent that was not written down before, nothing is given back, and limits hold."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from germline import budget
from germline.budget import AHEAD, Meter, metered
from germline.errors import BudgetSpent, DoesNotFit, GermlineError, PlanError
from germline.lineage import Lineage
from germline.records import Cost, Event
from germline.settings import Budget, Plan, Training
from germline.store import disk
from germline.store.home import Home
from tests.unit.small_lineage import lighthouse

EVERY = 4
BEAT = AHEAD / 3


def quiet(event: Event) -> None:
    pass


def plan(**limits: float) -> Plan:
    return Plan(budget=Budget(**limits), training=Training(checkpoint_every=EVERY))  # type: ignore[arg-type]


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(budget, "monotonic", clock)
    return clock


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return lighthouse(tmp_path_factory.mktemp("budget") / "home")


@pytest.fixture
def home(shared: Home) -> Iterator[Home]:
    """g4 is next; g1, g2 and g3 cost 33,000 tokens and four and a half minutes."""
    yield shared
    if shared.runs.is_dir():
        for path in list(shared.runs.iterdir()):
            disk.remove_tree(shared.root, path) if path.is_dir() else path.unlink()


def spent_file(home: Home) -> Path:
    return home.runs / "g4.spent.json"


def written(home: Home) -> Cost:
    path = spent_file(home)
    return Cost(**json.loads(path.read_bytes())) if path.exists() else Cost()


def begin_run(home: Home) -> None:
    disk.make_directory(home.runs / "g4")


# --- kills --------------------------------------------------------------------------------------------

Step = tuple[str, float]
"""What an attempt does: (`spend`, tokens), (`wait`, seconds), (`tell`, 0) or (`close`, 0)."""


class Killed(BaseException):
    pass


class Attempts:
    """Attempts at one generation, in a process that is killed at a chosen write, and what they really spent."""

    def __init__(self, home: Home, clock: Clock, patch: pytest.MonkeyPatch) -> None:
        self.home, self.clock, self.real = home, clock, Cost()
        self.writes, self.fatal, self.before = 0, -1, True
        replace = disk.replace

        def counted(path: Path, data: bytes) -> None:
            self.writes += 1
            if self.writes == self.fatal and self.before:
                raise Killed
            replace(path, data)
            self.require_enough()
            if self.writes == self.fatal:
                raise Killed

        patch.setattr(disk, "replace", counted)

    def require_enough(self) -> None:
        assert written(self.home).at_least(self.real) == written(self.home)

    def run(self, script: Sequence[Step]) -> None:
        """One attempt. It ends as a killed process does, or with `close`."""
        try:
            meter = Meter(Lineage.open(self.home), plan(), quiet)
            self.real += Cost(attempts=1)
            for what, amount in script:
                self.make(meter, what, amount)
                self.require_enough()
        except Killed:
            self.require_enough()

    def make(self, meter: Meter, what: str, amount: float) -> None:
        if what == "spend":
            assert meter.spend(int(amount)) is None
            self.real += Cost(steps=1, tokens=int(amount))
        elif what == "wait":
            while amount > 0:  # as long as the thread of `metered` leaves between two writes
                self.clock.now += min(amount, BEAT)
                self.real += Cost(seconds=min(amount, BEAT))
                self.require_enough()
                amount -= BEAT
                meter.write_ahead(meter.spent)
        elif what == "tell":
            meter.tell(Event(kind="note", text=""))
        else:
            meter.close()
            assert written(self.home).steps >= self.real.steps


SCRIPT: list[list[Step]] = [
    [("tell", 0), ("wait", 70), *[("spend", 300 + 7 * n) for n in range(6)], ("wait", 200), ("spend", 900)],
    [("spend", 10), ("wait", 5), ("tell", 0), ("spend", 5_000), ("close", 0)],
    [*[("spend", 2) for _ in range(9)], ("wait", 65), ("tell", 0), ("close", 0)],
]


@pytest.mark.parametrize("before", [True, False])
def test_killed_at_any_write_the_file_says_no_less_than_was_spent(
    home: Home, clock: Clock, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    """Each write of three attempts in turn is the last thing, or what never came, in the life of a process."""
    begin_run(home)
    fatal = writes = 0
    while fatal <= writes:
        with monkeypatch.context() as patch:
            attempts = Attempts(home, clock, patch)
            attempts.fatal, attempts.before = fatal, before
            for script in SCRIPT:
                attempts.run(script)
        writes = max(writes, attempts.writes)
        fatal += 1
        spent_file(home).unlink()
    assert writes > 12


steps = st.one_of(
    st.tuples(st.just("spend"), st.integers(1, 9_000)),
    st.tuples(st.just("wait"), st.integers(1, 400)),
    st.tuples(st.sampled_from(["tell"]), st.just(0)),
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(st.tuples(st.lists(steps, max_size=12), st.booleans()), min_size=1, max_size=4), st.integers(1, 25))
def test_whatever_attempts_do_and_wherever_they_die(
    home: Home, monkeypatch: pytest.MonkeyPatch, scripts: list[tuple[list[Step], bool]], fatal: int
) -> None:
    spent_file(home).unlink(missing_ok=True)
    begin_run(home)
    with monkeypatch.context() as patch:
        clock = Clock()
        patch.setattr(budget, "monotonic", clock)
        attempts = Attempts(home, clock, patch)
        attempts.fatal = fatal
        for script, closes in scripts:
            attempts.run([*script, ("close", 0)] if closes else script)


def test_without_a_kill_the_file_says_what_was_spent(home: Home, clock: Clock) -> None:
    for _ in range(2):
        with metered(home, plan(), quiet) as meter:
            begin_run(home)
            assert [meter.spend(100) for _ in range(7)] == [None] * 7
            clock.now += 30
    assert written(home) == Cost(seconds=60.0, steps=14, tokens=1_400, attempts=2)


def test_a_silent_stage_is_written_down_too(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """No event and no step: only the thread can have raised what the file says."""
    monkeypatch.setattr(budget, "AHEAD", 0.03)
    with metered(home, plan(), quiet):
        begin_run(home)
        first, deadline = written(home).seconds, time.monotonic() + 60
        while written(home).seconds < first + 0.1:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_the_wall_clock_is_never_asked(home: Home, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: -3.2e8)
    with metered(home, plan(minutes=2), quiet) as meter:
        begin_run(home)
        clock.now += 61
    monkeypatch.setattr(time, "time", lambda: 4e9)
    with metered(home, plan(minutes=2), quiet) as meter:
        assert meter.spent.seconds == 61


# --- attempts -----------------------------------------------------------------------------------------


def test_an_attempt_that_begins_no_run_costs_nothing(home: Home, clock: Clock) -> None:
    with pytest.raises(GermlineError, match="nothing new"), metered(home, plan(), quiet):
        clock.now += 500
        raise GermlineError("nothing new to learn")
    assert not spent_file(home).exists()


def test_a_run_that_is_given_up_goes_on_counting(home: Home, clock: Clock) -> None:
    with metered(home, plan(), quiet) as meter:
        begin_run(home)
        meter.spend(50)
    disk.remove_tree(home.root, home.runs / "g4")
    with pytest.raises(GermlineError), metered(home, plan(), quiet):
        clock.now += 500
        raise GermlineError("nothing new to learn")
    assert written(home) == Cost(steps=1, tokens=50, attempts=1)
    with metered(home, plan(), quiet) as meter:
        begin_run(home)
        meter.spend(50)
        assert meter.spent == Cost(steps=2, tokens=100, attempts=2)


def test_what_the_ledger_tells_is_not_kept_beside_it(home: Home) -> None:
    (home.runs / "g3.spent.json").write_bytes(b"{}")
    disk.temporary_path(home.runs).touch()
    (home.runs / "mine.txt").touch()
    with metered(home, plan(), quiet) as meter:
        begin_run(home)
        disk.remove_tree(home.root, home.runs / "g4")
        meter.finish()
        meter.tell(Event(kind="verdict", text=""))
    assert [path.name for path in home.runs.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"7", b'{"steps":"x"}', b'{"hours":1}'])
def test_a_file_that_cannot_be_read_stops_the_attempt(home: Home, data: bytes) -> None:
    spent_file(home).write_bytes(data)
    with pytest.raises(PlanError, match=r"g4\.spent\.json") as refused, metered(home, plan(), quiet):
        pass
    assert "remove it" in refused.value.hint
    assert spent_file(home).read_bytes() == data


def test_what_would_give_something_back_is_not_believed(home: Home) -> None:
    spent_file(home).write_bytes(b'{"steps":-1000,"tokens":-5}')
    with metered(home, plan(), quiet) as meter:
        assert (meter.spent.steps, meter.spent.tokens) == (0, 0)


# --- limits -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "allowed", "said"),
    [
        ({"steps": 6}, 6, "budget.steps is 6, and this comes to 7"),
        ({"tokens": 1_000}, 10, "budget.tokens is 1,000, and this comes to 1,100"),
        ({"tokens": 1_049}, 10, "budget.tokens is 1,049, and this comes to 1,100"),
        ({"minutes": 0.5}, 31, "budget.minutes is 0.5, and this comes to 0.52"),
        ({"total_tokens": 33_700}, 7, "budget.total_tokens is 33,700, and this comes to 33,800"),
        ({"total_minutes": 4.75}, 16, "budget.total_minutes is 4.75, and this comes to 4.77"),
        ({"steps": 6, "tokens": 500}, 5, "budget.tokens is 500, and this comes to 600"),
    ],
)
def test_no_step_is_made_beyond_a_limit_and_going_on_needs_a_higher_one(
    home: Home, clock: Clock, limits: dict[str, float], allowed: int, said: str
) -> None:
    """Every step has 100 tokens and takes a second."""
    begin_run(home)
    with metered(home, plan(**limits), quiet) as meter:
        made = 0
        while not (halt := meter.spend(100)):
            made += 1
            clock.now += 1
    assert made == allowed
    assert halt.exit_code == 6 and said in halt.message
    assert "germline.toml" in halt.hint and "goes on" in halt.hint
    with metered(home, plan(**{key: value * 2 for key, value in limits.items()}), quiet) as meter:
        assert meter.spend(100) is None
        assert meter.spent.steps == made + 1


def test_out_of_time_stops_at_the_next_event_but_never_within_a_step(home: Home, clock: Clock) -> None:
    told: list[str] = []
    with metered(home, plan(minutes=1), lambda event: told.append(event.kind)) as meter:
        begin_run(home)
        meter.tell(Event(kind="exam", text=""))
        clock.now += 61
        meter.tell(Event(kind="step", text=""))
        with pytest.raises(BudgetSpent, match=r"budget\.minutes is 1\.0, and this comes to 1\.02"):
            meter.tell(Event(kind="exam", text=""))
    assert told == ["exam", "step", "exam"]
    with pytest.raises(BudgetSpent), metered(home, plan(minutes=1), quiet):
        raise AssertionError("nothing may run")
    with metered(home, plan(), quiet):
        pass


@pytest.mark.parametrize(
    ("limit", "need", "said"),
    [
        ({"steps": 99}, Cost(steps=100), "budget.steps is 99, and this comes to 100"),
        ({"tokens": 49_999}, Cost(tokens=50_000), "budget.tokens is 49,999, and this comes to 50,000"),
        ({"minutes": 5}, Cost(seconds=301.0), "budget.minutes is 5.0, and this comes to 5.02"),
        ({"disk_gb": 0.5}, Cost(), "budget.disk_gb is 0.5, and this comes to 0.75"),
        ({"total_tokens": 80_000}, Cost(tokens=50_000), "budget.total_tokens is 80,000, and this comes to 83,000"),
        ({"total_minutes": 9}, Cost(seconds=301.0), "budget.total_minutes is 9.0, and this comes to 9.52"),
    ],
)
def test_what_will_not_be_enough_is_refused_before_training(
    home: Home, clock: Clock, limit: dict[str, float], need: Cost, said: str
) -> None:
    begin_run(home)
    room = 0.75 * 2**30
    with metered(home, plan(**limit), quiet) as meter, pytest.raises(PlanError) as refused:
        meter.foresee(need, room)
    assert said in refused.value.message and "raise it in germline.toml" in refused.value.hint
    with metered(home, plan(**{key: value + 4_000 for key, value in limit.items()}), quiet) as meter:
        meter.foresee(need, 0)


def test_a_disk_that_is_too_small_is_found_before_training(home: Home) -> None:
    begin_run(home)
    with metered(home, plan(), quiet) as meter, pytest.raises(DoesNotFit, match="GiB of disk") as refused:
        meter.foresee(Cost(), 2.0**80)
    assert "germline prune" in refused.value.hint


def test_disk_and_memory_are_looked_at_while_training(home: Home, clock: Clock) -> None:
    begin_run(home)
    (home.runs / "g4" / "checkpoint").write_bytes(bytes(2**20))
    measured: list[int] = []

    def memory() -> int:
        measured.append(2**30)
        return measured[-1]

    with metered(home, plan(memory_gb=1, disk_gb=0.01), quiet) as meter:
        assert [meter.spend(1, memory) for _ in range(3 * EVERY)] == [None] * 3 * EVERY
        assert len(measured) == 3
    for limit in ({"memory_gb": 0.99}, {"disk_gb": 0.0009}):
        with metered(home, plan(**limit), quiet) as meter:
            halt: Any = meter.spend(1, memory)
        assert next(iter(limit)) in halt.message


def test_a_limit_that_is_no_number_is_no_plan() -> None:
    for value in (-1, float("nan")):
        with pytest.raises(ValueError, match="budget"):
            Plan.model_validate({"budget": {"minutes": value}})
