"""The book that loses nothing, the policy that nobody can buy, and the harvest that is the same twice."""

from __future__ import annotations

import json
import math
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from germline import aging
from germline.aging import Ended, settle
from germline.cli import main
from germline.errors import DoesNotFit, GermlineError, StoreDamaged
from germline.karma import harvest
from germline.karma.book import FILE, Attempt, Book, Conflict, KarmaEvent, Unknown
from germline.karma.policy import due, earned
from germline.lineage import Lineage
from germline.settings import Karma
from germline.store.home import Home
from tests.unit.small_lineage import lighthouse

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
TALK = [{"role": "user", "content": "How high?"}, {"role": "assistant", "content": "Thirty metres."}]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def event(sequence: int, points: float, *, hours: float = 0, source: str = "a", **told: Any) -> KarmaEvent:
    given = {"kind": "feedback", "message": "m", "correction": "", "reason": "", **told}
    return KarmaEvent(sequence=sequence, time=NOON + timedelta(hours=hours), source=source, points=points, **given)


def test_a_book_in_whose_place_there_is_another_takes_no_rating(home: Home) -> None:
    """It would be acknowledged, and nobody would find it."""
    book = Book(home)
    book.remember("m", "sha256:1", TALK)
    for end in ("", "-wal", "-shm"):
        (home.root / f"{FILE}{end}").rename(home.root / f"old{end}")
    for there in (False, True):
        if there:
            Book(home).close()
        with pytest.raises(GermlineError, match="moved, or another"):
            book.feedback("m", 1, correction="", source="a", key="k")
    book.close()


def test_an_event_counts_once_for_each_key(home: Home) -> None:
    book = Book(home)
    book.remember("m", "sha256:1", TALK)
    first = book.feedback("m", 1, correction="", source="a", key="k")
    assert book.feedback("m", 1, correction="", source="a", key="k") == first
    with pytest.raises(Conflict):
        book.feedback("m", -1, correction="", source="a", key="k")
    with pytest.raises(Conflict):
        book.add(1, reason="", source="a", key="k")
    with pytest.raises(Unknown):
        book.feedback("other", 1, correction="", source="a", key="x")
    for score in (math.nan, math.inf, 1.1, -2):
        with pytest.raises(GermlineError):
            book.feedback("m", score, correction="", source="a", key="y")
    assert Book(home).events() == [first] and book.exchanges() == {"m": TALK}


def test_what_cannot_be_read_is_told(home: Home) -> None:
    (home.root / FILE).write_bytes(b"nothing of a database" * 99)
    with pytest.raises(StoreDamaged, match="not a database"):
        Book(home)
    (home.root / FILE).unlink()
    Book(home).close()
    with sqlite3.connect(home.root / FILE) as base:
        base.execute("PRAGMA user_version = 2")
    base.close()
    with pytest.raises(GermlineError, match="newer germline"):
        Book(home)


def test_a_full_disk_is_told_as_one_and_what_was_acknowledged_is_there(home: Home) -> None:
    book, heard = Book(home), []
    book._base.execute("PRAGMA max_page_count = 20")  # SQLite's own limit says the same as a disk without space
    with pytest.raises(DoesNotFit, match="full") as refused:
        for key in range(1000):
            heard.append(book.add(1, reason="r" * 1000, source="a", key=str(key)))
    assert refused.value.exit_code == 5 and "free space" in refused.value.hint and len(heard) > 10
    book.close()
    again = Book(home)
    assert again.events() == heard
    assert again.add(1, reason="", source="a", key="after").sequence == heard[-1].sequence + 1


@pytest.mark.skipif(os.name == "nt", reason="there are no such modes")
def test_the_book_is_its_owner_s_alone_to_read(home: Home) -> None:
    def modes() -> dict[str, int]:
        return {path.name: path.stat().st_mode & 0o777 for path in home.root.glob(f"{FILE}*")}

    before = os.umask(0)
    try:
        book = Book(home)
        book.add(1, reason="", source="a", key="k")
    finally:
        os.umask(before)
    private = dict.fromkeys([FILE, f"{FILE}-wal", f"{FILE}-shm"], 0o600)
    assert modes() == private
    for name in private:
        (home.root / name).chmod(0o644)
    Book(home).close()  # one from before
    assert modes() == private and len(book.events()) == 1
    book.close()


@pytest.mark.skipif(os.name == "nt", reason="there are no such modes")
def test_the_book_is_private_from_the_moment_it_is_there(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def connect(path: Path, **_: object) -> None:
        seen.append(path.stat().st_mode & 0o777)
        raise sqlite3.OperationalError("stop")

    monkeypatch.setattr(sqlite3, "connect", connect)
    with pytest.raises(GermlineError):
        Book(home)
    assert seen == [0o600]


def test_of_many_that_open_a_new_book_at_once_each_can_write(tmp_path: Path) -> None:
    together = threading.Barrier(4)

    def write(number: int, round: int) -> int:
        together.wait()
        book = Book(Home(tmp_path / f"{round}"))
        made = book.add(1, reason="", source="a", key=f"{number}")
        book.close()
        return made.sequence

    with ThreadPoolExecutor(4) as pool:
        for round in range(12):
            (tmp_path / f"{round}").mkdir()
            assert sorted(pool.map(write, range(4), [round] * 4)) == [1, 2, 3, 4]


POSTING = """
import sys
from pathlib import Path
from germline.karma.book import Book
from germline.store.home import Home
book, first = Book(Home(Path(sys.argv[1]))), int(sys.argv[2])
for number in range(first, first + 10_000):
    book.feedback("m", 0.5, correction="", source="a", key=f"k{number}")
    print(number, flush=True)
"""


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
def test_nothing_acknowledged_is_lost_or_doubled_by_kills(home: Home) -> None:
    book = Book(home)
    book.remember("m", "sha256:1", None)
    acknowledged: list[int] = []
    for attempt in range(6):
        first = max(acknowledged, default=-1)  # the last one is sent again, as a client would that heard nothing
        command = [sys.executable, "-c", POSTING, str(home.root), str(max(0, first))]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout
        heard = [process.stdout.readline() for _ in range(5 + 3 * attempt)]
        process.send_signal(signal.SIGKILL)
        heard += process.stdout.read().splitlines()
        process.stdout.close()
        process.wait()
        acknowledged += [int(line) for line in heard if line.strip().isdigit()]
    written = [one.points for one in book.events()]
    assert set(range(max(acknowledged) + 1)) == set(acknowledged)
    assert (
        len(acknowledged) > 60 and 0 <= len(written) - len(set(acknowledged)) <= 6
    )  # written, and killed before it said so
    (whole,) = sqlite3.connect(book.path).execute("SELECT count(DISTINCT key) = count(*) FROM events").fetchone()
    assert whole == 1


scores = st.floats(-1, 1, allow_nan=False)


@given(st.lists(st.tuples(scores, st.floats(0, 72), st.sampled_from("abc")), max_size=60))
def test_no_quota_is_ever_exceeded_and_blame_always_counts(told: list[tuple[float, float, str]]) -> None:
    policy = Karma(threshold=5, source_quota=2, day_quota=3)
    events = [
        event(n, score, hours=hours, source=who, message=f"m{n}") for n, (score, hours, who) in enumerate(told, 1)
    ]
    points = earned(events, policy)
    for day in {one.time.date() for one in events}:
        praise = [(one.source, p) for one, p in zip(events, points, strict=True) if one.time.date() == day and p > 0]
        assert sum(p for _, p in praise) <= 3 + 1e-9
        for who in "abc":
            assert sum(p for source, p in praise if source == who) <= 2 + 1e-9
    assert all(p == one.points for one, p in zip(events, points, strict=True) if one.points < 0)


@given(st.lists(st.tuples(scores, st.integers(0, 9), st.sampled_from("ab")), max_size=60))
def test_no_day_adds_more_praise_than_its_quota_however_often_answers_are_rated(
    told: list[tuple[float, int, str]],
) -> None:
    policy = Karma(threshold=5, source_quota=2, day_quota=3)
    events = [
        event(n, score, hours=n, source=who, message=f"m{message}") for n, (score, message, who) in enumerate(told, 1)
    ]

    def praise(count: int) -> float:
        return sum(max(0.0, points) for points in earned(events[:count], policy))

    for day in {one.time.date() for one in events}:
        before = sum(one.time.date() < day for one in events)
        through = sum(one.time.date() <= day for one in events)
        assert praise(through) - praise(before) <= 3 + 1e-9


def test_an_opinion_that_is_said_again_on_another_day_changes_nothing() -> None:
    policy = Karma(threshold=10, source_quota=10, day_quota=99)
    first = [event(n, 1.0, message=f"m{n}") for n in range(1, 21)]  # twice the day's quota
    paid = [Attempt(number=1, time=NOON, through=20, entries=1, outcome="promoted", ended=NOON)]

    def balance(*later: KarmaEvent) -> float:
        return due([*first, *later], paid, policy, generations=0, now=NOON + timedelta(hours=30)).balance

    again = [event(20 + n, 1.0, hours=24, message=f"m{n}") for n in range(1, 11)]
    new = [event(40 + n, 1.0, hours=24, message=f"n{n}") for n in range(1, 11)]
    assert (balance(*again), balance(*new), balance(*again, *new)) == (0, 10, 10)


def test_of_what_one_source_says_of_one_answer_the_last_counts() -> None:
    policy = Karma(threshold=5, source_quota=2)
    assert sum(earned([event(n, 1.0) for n in range(1, 11)], policy)) == 1
    changed = [event(1, 1.0), event(2, -1.0), event(3, 1.0, source="b"), event(4, 1.0, message="other")]
    assert earned(changed, policy) == [0, -1, 1, 1]
    slipped = [event(1, 1.0), event(2, -1.0), event(3, 1.0), event(4, 1.0, message="other"), event(5, 1.0, message="x")]
    assert earned(slipped, policy) == [0, 0, 1, 1, 0]  # said, taken back and said again costs its quota once
    given = [event(n, 1.0, kind="added", message=None) for n in range(1, 4)]
    assert earned(given, policy) == [1, 1, 0]  # points are no opinion of an answer: the quota alone bounds them


def test_an_answer_that_was_paid_for_pays_again_only_for_what_its_rating_changed() -> None:
    policy = Karma(threshold=1)
    paid = attempt("promoted", through=1)

    def balance(*later: KarmaEvent) -> float:
        return due([event(1, 0.1), *later], [paid], policy, generations=1, now=NOON).balance

    assert balance(event(2, 0.1)) == 0
    assert balance(event(2, 0.1, source="b")) == 0.1
    assert balance(event(2, -1.0)) == -1.1
    assert balance(event(2, 0.1), event(3, 0.7, message="other")) == 0.7


def attempt(outcome: str, *, through: int = 0, ended: datetime | None = NOON) -> Attempt:
    return Attempt(number=1, time=NOON, through=through, entries=1, outcome=outcome, ended=ended)


def test_karma_is_spent_by_a_promotion_and_kept_by_all_else() -> None:
    policy = Karma(threshold=3, growth=2, cooldown_hours=6)
    events = [event(n, 1.0, message=f"m{n}") for n in range(1, 5)]

    def now(*attempts: Attempt, hours: float = 1, generations: int = 0) -> Any:
        return due(events, attempts, policy, generations=generations, now=NOON + timedelta(hours=hours))

    assert now().ready and now().balance == 4 and now().through == 4
    assert not now(generations=1).ready and "2 points are missing" in now(generations=1).reason
    assert not now(attempt("promoted", through=4)).ready and now(attempt("promoted", through=4)).balance == 0
    assert now(attempt("promoted", through=1)).balance == 3
    for failed in ("refused", "inconclusive", "failed"):
        assert (
            not now(attempt(failed, through=4)).ready
            and "the next may begin at 2026-11-24 18:00" in now(attempt(failed)).reason
        )
        assert now(attempt(failed, through=4), hours=7).ready
    assert not now(attempt("proposed", through=4)).ready and "second key" in now(attempt("proposed")).reason
    assert now(attempt("", ended=None)).ready and "not at its end" in now(attempt("", ended=None)).reason
    assert not due(events, (), Karma(), generations=0, now=NOON).ready


def test_the_last_word_on_an_answer_decides_what_is_learned(tmp_path: Path) -> None:
    policy = Karma(keep_score=0.5)
    exchanges = {"liked": TALK, "disliked": [*TALK[:1], {"role": "assistant", "content": "Ten."}], "kept not": TALK}
    del exchanges["kept not"]
    events = [
        event(1, -1.0, message="liked"), event(2, 1.0, message="liked"), event(3, 1.0, message="disliked"),
        event(4, -1.0, message="disliked"), event(5, 1.0, message="kept not"),
    ]  # fmt: skip
    found = harvest.lessons(events, exchanges, policy)
    assert [json.loads(one)["messages"] for one in found] == [TALK]
    corrected = [*events, event(6, -1.0, message="disliked", correction="Thirty-one metres.")]
    found = harvest.lessons(corrected, exchanges, policy)
    assert json.loads(found[-1])["messages"][-1]["content"] == "Thirty-one metres."
    assert harvest.write(tmp_path, found, 1) == 1
    assert harvest.write(tmp_path, found, 9) == 1 and harvest.write(tmp_path, found, 9) == 0
    assert len(list((tmp_path / "karma").iterdir())) == 2


def test_the_command_tells_adds_and_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = lighthouse(tmp_path / "home")
    at = ["--home", str(home.root)]
    home.plan.write_text("[karma]\nthreshold = 5\n", encoding="utf-8")
    assert main(["karma", *at, "add", "3", "--reason", "it found the leak", "--key", "k"]) == 0
    assert main(["karma", *at, "add", "3", "--reason", "it found the leak", "--key", "k"]) == 0
    capsys.readouterr()
    assert main(["karma", *at]) == 0
    assert "3 of 5 points: 2 points are missing" in capsys.readouterr().out
    assert main(["karma", *at, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["balance"] == 3
    assert main(["karma", *at, "add", "-1.5"]) == 0 and main(["karma", "add", "-1", *at]) == 0
    assert main(["karma", *at, "--json"]) == 0
    assert json.loads(capsys.readouterr().out.partition("\n")[2].partition("\n")[2])["balance"] == 0.5
    assert main(["karma", *at, "add", "2.5"]) == 0
    assert main(["karma", *at, "feedback", "never", "-1", "--correction", "It was Ada Karr."]) == 1
    assert "there is no answer 'never'" in capsys.readouterr().err
    assert main(["karma", *at, "feedback", "never", "1"]) == 1
    assert "there is no answer 'never'" in capsys.readouterr().err
    assert main(["evolve", *at, "--if-due"]) == 0
    assert "no further: 2 points are missing" in capsys.readouterr().out
    assert main(["evolve", *at, "--if-due", "--until-mature"]) == 2
    assert "take one of them" in capsys.readouterr().err


def test_what_is_added_is_told_as_json_wherever_that_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = ["--home", str(lighthouse(tmp_path / "home").root)]
    for words in (["karma", *at, "--json", "add", "3"], ["karma", *at, "add", "3", "--json"]):
        assert main(words) == 0
        assert json.loads(capsys.readouterr().out)["points"] == 3


def test_a_clients_words_are_no_commands_to_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = lighthouse(tmp_path / "home")
    Book(home).add(1, reason="\x1b[2J", source="\x1b]0;owned\x07\n  +50  owner", key="k")
    assert main(["karma", "--home", str(home.root)]) == 0
    told = capsys.readouterr().out
    assert "\x1b" not in told and "\x07" not in told and len(told.splitlines()) == 2


def test_an_age_up_that_is_due_is_begun_anew_where_that_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, given = lighthouse(tmp_path / "home"), list[tuple[str, ...]]()
    home.plan.write_text("[karma]\nthreshold = 1\ncooldown_hours = 0\n", encoding="utf-8")
    assert main(["karma", "--home", str(home.root), "add", "1"]) == 0
    monkeypatch.setattr(aging, "_evolve", lambda _, __, ___, options: given.append(options) or Ended(code=1))
    assert main(["evolve", "--home", str(home.root), "--if-due", "--set", "training.rank=4", "--restart"]) == 1
    assert given == [("--set", "training.rank=4", "--restart")]


def test_who_died_before_writing_it_down_is_settled_by_the_ledger(tmp_path: Path) -> None:
    home = lighthouse(tmp_path / "home")
    lineage, book = Lineage.open(home), Book(home)
    births = [(place, entry.kind) for place, entry in enumerate(lineage.entries) if entry.is_birth and place]
    for place, kind in births:
        begun = book.begin(0, place)
        settle(lineage, book)
        assert book.attempts()[-1].outcome == kind
        book.end(begun, "failed")  # told twice, the first holds
        assert book.attempts()[-1].outcome == kind
    book.begin(0, len(lineage.entries))
    settle(lineage, book)
    assert book.attempts()[-1].outcome == ""
    assert {kind for _, kind in births} >= {"promoted", "refused"}


@pytest.mark.skipif(sys.platform == "win32", reason="a class of priority there, which anybody may ask for")
@pytest.mark.parametrize(("had", "has"), [(0, 10), (15, 15)])
def test_a_child_process_is_never_asked_to_be_nicer_than_it_may(had: int, has: int) -> None:
    class Process:
        value = had

        def nice(self, value: int | None = None) -> int:
            assert value is None or value >= self.value, "none but root may raise a priority"
            self.value = self.value if value is None else value
            return self.value

    process: Any = Process()
    aging._lower(process)
    assert process.value == has
