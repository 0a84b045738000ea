"""What is learned of feedback is what people and the plan say when the age-up begins."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from germline import aging
from germline.errors import BudgetSpent, GermlineError, Interrupted, Locked, PlanError
from germline.karma import harvest
from germline.karma.book import Book
from germline.records import Event, canonical_json, digest_of
from germline.settings import Karma, Plan
from germline.store import lock
from germline.store.home import Home
from tests.unit.small_lineage import lighthouse

KEEPS = Plan(karma=Karma(threshold=1, cooldown_hours=0, keep_conversations=True))
KEEPS_NOT = Plan(karma=Karma(threshold=1, cooldown_hours=0))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Age-ups begin and end here, and nothing is grown."""
    monkeypatch.setattr(aging, "_evolve", lambda *_: aging.Ended(code=1))
    return lighthouse(tmp_path / "home")


def liked(book: Book, message: str, text: str) -> None:
    book.remember(message, "sha256:1", exchange(text))
    book.feedback(message, 1, correction="", source="a", key=message)


def exchange(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": "How high?"}, {"role": "assistant", "content": text}]


def harvested(home: Home, plan: Plan) -> list[str]:
    """The files that an age-up finds."""
    assert aging.age_up_if_due(home, plan, lambda event: None).outcome == "failed"
    return names(home)


def names(home: Home) -> list[str]:
    return sorted(path.name for path in (home.root / harvest.FOLDER).glob("*"))


def named(texts: Sequence[str]) -> list[str]:
    digests = [digest_of(canonical_json({"messages": exchange(text)})) for text in texts]
    return sorted(f"{digest[7:39]}.json" for digest in digests)


def said(home: Home) -> list[list[str]]:
    """The words of each lesson, in order of what was rated."""
    book = Book(home)
    found = harvest.lessons(book.events(), book.exchanges(), KEEPS.karma)
    book.close()
    return [[one["content"] for one in json.loads(lesson)["messages"]] for lesson in found]


def test_a_reply_in_the_history_is_learned_only_where_it_was_liked_itself(home: Home) -> None:
    book = Book(home)
    for message, score, correction in (
        ("bad", -1, ""),
        ("right", 1, ""),
        ("wrong", 0, "Of steel."),
        ("unrated", None, ""),
    ):
        book.remember(message, "sha256:1", exchange(message))
        if score is not None:
            book.feedback(message, score, correction=correction, source="a", key=message)
        later = [*exchange(message), {"role": "user", "content": "And then?"}]
        book.remember(f"after {message}", "sha256:1", [*later, {"role": "assistant", "content": f"After {message}."}])
        book.feedback(f"after {message}", 1, correction="", source="a", key=f"after {message}")
    book.close()
    assert said(home) == [
        ["And then?", "After bad."],
        ["How high?", "right"], ["How high?", "right", "And then?", "After right."],
        ["How high?", "Of steel."], ["And then?", "After wrong."],
        ["And then?", "After unrated."],
    ]  # fmt: skip


def test_what_was_answered_alike_twice_is_learned_once(home: Home) -> None:
    book = Book(home)
    for message, text in (("a", "Thirty metres."), ("b", "Thirty metres."), ("c", "Of steel.")):
        liked(book, message, text)
    book.close()
    assert harvested(home, KEEPS) == named(["Thirty metres.", "Of steel."])


def test_no_module_is_taken_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = lighthouse(tmp_path / "home")
    for name in ("click", "json", "germline"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(99)\n", encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path)
        ended = aging._evolve(home, KEEPS, lambda event: None, ())
    assert (ended.code, "no sources" in ended.message) == (1, True), ended


def test_half_an_answer_is_learned_only_as_it_was_corrected(home: Home) -> None:
    book = Book(home)
    for message, correction in (("liked", ""), ("corrected", "Thirty metres.")):
        *asked, answer = exchange("Thirty")
        book.remember(message, "sha256:1", [*asked, {**answer, "ended": harvest.CUT}])
        book.feedback(message, 1, correction=correction, source="a", key=message)
    book.close()
    assert said(home) == [["How high?", "Thirty metres."]]


@pytest.mark.skipif(sys.platform == "win32", reason="there a terminal tells the child itself")
def test_an_interrupt_of_the_parent_alone_reaches_a_child_that_has_much_to_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = tmp_path / "child"
    child.write_text(f"#!{sys.executable}\n" + """
import signal, sys, time
told = []
signal.signal(signal.SIGINT, lambda *_: told.append(1))
print('{"event": "stage", "text": "begun"}', flush=True)
while not told:
    time.sleep(0.01)
print("more than a pipe holds " * 20_000)
sys.exit(130)
""", encoding="utf-8")  # fmt: skip
    child.chmod(0o700)
    home = lighthouse(tmp_path / "home")

    def interrupt(event: Event) -> None:
        if event.kind == "stage":
            signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's & has it ignored
    try:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(sys, "executable", str(child))
            patch.setattr(aging, "_by_terminal", lambda: False)
            aging._evolve(home, KEEPS, interrupt, ())
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_answer_that_was_disliked_after_its_harvest_is_learned_no_more(home: Home) -> None:
    book = Book(home)
    liked(book, "m1", "Thirty metres.")
    liked(book, "m2", "Ten metres.")
    assert harvested(home, KEEPS) == named(["Thirty metres.", "Ten metres."])
    book.feedback("m2", -1, correction="", source="a", key="no")
    book.add(1, reason="", source="owner", key="more")
    assert harvested(home, KEEPS) == named(["Thirty metres."])
    book.feedback("m1", -1, correction="Thirty-one.", source="a", key="corrected")
    assert harvested(home, KEEPS) == named(["Thirty-one."])
    book.close()


def test_only_what_germline_wrote_is_removed(home: Home) -> None:
    book = Book(home)
    for message, text in (("m1", "Thirty metres."), ("m2", "Ten metres."), ("m3", "Nine.")):
        liked(book, message, text)
    before = harvested(home, KEEPS)
    folder = home.root / harvest.FOLDER
    edited, linked = (folder / named([text])[0] for text in ("Ten metres.", "Nine."))
    edited.chmod(0o644)
    edited.write_text('{"messages": []}', encoding="utf-8")
    mine = [folder / "mine.json", folder / f"{'a' * 32}.json"]
    for path in mine:
        path.write_text("{}", encoding="utf-8")
    linked.rename(home.root / "kept.json")
    linked.symlink_to(home.root / "kept.json")
    assert len(before) == 3
    assert harvested(home, KEEPS_NOT) == sorted(path.name for path in (edited, linked, *mine))
    book.close()


def test_where_the_plan_keeps_no_conversations_any_more_none_is_learned(home: Home) -> None:
    book = Book(home)
    liked(book, "m1", "Thirty metres.")
    assert harvested(home, KEEPS_NOT) == [] and not harvest.is_there(home.root)
    assert harvested(home, KEEPS) == named(["Thirty metres."]) and harvest.is_there(home.root)
    assert harvested(home, KEEPS_NOT) == [] and not harvest.is_there(home.root)
    assert harvested(home, KEEPS) == named(["Thirty metres."])  # the book has forgotten nothing
    book.close()


@pytest.mark.parametrize(("plan", "learned"), [(KEEPS, True), (KEEPS_NOT, False)])
def test_the_folder_is_a_source_only_while_the_plan_keeps_conversations(
    tmp_path: Path, plan: Plan, learned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = lighthouse(tmp_path / "home")
    commands: list[list[str]] = []

    def not_started(command: list[str], **_: object) -> None:
        commands.append(command)
        raise InterruptedError

    monkeypatch.setattr(aging.subprocess, "Popen", not_started)
    folder = home.root / harvest.FOLDER
    folder.mkdir()
    with pytest.raises(InterruptedError):
        aging._evolve(home, plan, lambda event: None, ())
    (folder / "mine.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InterruptedError):
        aging._evolve(home, plan, lambda event: None, ())
    assert ['data.sources=["karma"]' in command for command in commands] == [False, learned]


@pytest.mark.parametrize(
    ("stop", "outcome"), [(Interrupted, ""), (BudgetSpent, ""), (Locked, "not begun"), (PlanError, "not begun")]
)
def test_an_age_up_that_was_stopped_goes_on_or_never_was(
    home: Home, stop: type[GermlineError], outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its karma waits for no cooldown; and what another germline grows, while it has the lock, is not paid by it."""
    book = Book(home)
    book.add(1, reason="", source="owner", key="1")
    ended = aging.Ended(code=stop.exit_code, message="the laws changed", hint="germline pin")
    monkeypatch.setattr(aging, "_evolve", lambda *_: ended)
    with pytest.raises(GermlineError, match="the laws changed") as stopped:
        aging.age_up_if_due(home, KEEPS, lambda event: None)
    assert type(stopped.value) is stop and stopped.value.hint == "germline pin"
    assert [attempt.outcome for attempt in book.attempts()] == [outcome]
    assert aging.look(home, KEEPS, book).ready


def test_what_could_not_begin_takes_no_more_and_no_more_often(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    book, plan = Book(home), KEEPS.model_copy(update={"karma": KEEPS.karma.model_copy(update={"cap": 2})})
    for number in range(9):
        liked(book, f"m{number}", f"{number} metres.")
    ended = aging.Ended(code=Locked.exit_code)
    monkeypatch.setattr(aging, "_evolve", lambda *_: ended)
    with lock.hold(home), pytest.raises(Locked):
        aging.age_up_if_due(home, plan, lambda event: None)
    assert (names(home), book.attempts()) == ([], [])
    for _ in range(3):
        with pytest.raises(GermlineError):
            aging.age_up_if_due(home, plan, lambda event: None)
        assert len(names(home)) == 2


def test_a_lesson_that_another_look_has_written_meanwhile_is_there(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    lessons, write_new = [b"1", b"2"], harvest.disk.write_new

    def late(path: Path, data: bytes) -> None:
        if not path.exists():
            write_new(path, data)
        write_new(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(harvest.disk, "write_new", late)
        assert harvest.write(home.root, lessons, 9) == 2
    assert len(names(home)) == 2


def test_what_the_childs_process_says_is_told_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its error is a line of JSON, and a library's warning is none."""
    home = lighthouse(tmp_path / "home")
    script = (
        "import json, sys\n"
        "print(json.dumps({'event': 'note', 'text': 'reading'}))\n"
        "print('a warning', file=sys.stderr)\n"
        "print(json.dumps({'event': 'exit', 'code': 5, 'message': 'too big', 'hint': 'smaller'}), file=sys.stderr)\n"
        "sys.exit(5)\n"
    )
    popen = subprocess.Popen
    monkeypatch.setattr(aging.subprocess, "Popen", lambda _, **how: popen([sys.executable, "-uc", script], **how))
    told: list[str] = []
    ended = aging._evolve(home, KEEPS, lambda event: told.append(event.text), ())
    assert (ended, told) == (aging.Ended(code=5, message="too big", hint="smaller"), ["reading", "a warning"])
