"""What a terminal gets: everything is shown, and nothing obeyed but our own colours."""

from __future__ import annotations

import errno
import json
import sys
import unicodedata

import pytest

from germline.cli import main, output, progress
from germline.records import Event
from germline.report.tables import quoted

Captured = pytest.CaptureFixture[str]
CONTROLS = "".join(sign for sign in map(chr, range(0x300)) if unicodedata.category(sign) == "Cc")
HOSTILE = "\x1b]0;owned\x07\x1b[2J\u009b31mName\x7f\r\x1b[31mtwo words\x1b[0m\x1b[30;47mhidden\x1b[0m"


@pytest.fixture(autouse=True)
def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else click takes colours, and some of what is looked for, out by itself."""
    monkeypatch.setattr("click.utils.should_strip_ansi", lambda *args: False)
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_all_control_characters_but_tab_and_line_feed_are_taken_out() -> None:
    assert output.harmless(f"a{CONTROLS}b") == "a\t\nb"
    assert output.harmless("é✓ \u2028") == "é✓ \u2028"


def test_words_are_told_without_what_a_terminal_obeys(capsys: Captured) -> None:
    output.say([HOSTILE, "plain"])
    output.note(HOSTILE)
    told = capsys.readouterr()
    assert set(CONTROLS).isdisjoint(set(told.out + told.err) - {"\n"})
    assert "Name" in told.err and told.out.splitlines()[1:] == ["plain"]


def test_what_is_painted_keeps_its_colour_and_lends_it_to_nobody(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    output.note(f"{output.paint('error:', 'red')} {HOSTILE}")
    output.say(f"verdict: {output.paint('promoted', 'green')}; HEAD is g1")
    told = capsys.readouterr()
    assert told.err.startswith("\x1b[31merror:\x1b[0m ") and told.err.count("\x1b") == 2
    assert told.out == "verdict: \x1b[32mpromoted\x1b[0m; HEAD is g1\n"
    monkeypatch.setenv("NO_COLOR", "1")
    output.say(f"{output.paint('promoted', 'green')} \x1b[32mpromoted\x1b[0m")
    assert capsys.readouterr().out == "promoted [32mpromoted[0m\n"


def test_an_error_that_names_a_stranger_s_file_is_told_without_its_escapes(capsys: Captured) -> None:
    assert main(["--home", f"/nowhere/{HOSTILE}", "log"]) == 10
    told = capsys.readouterr().err
    assert "Name" in told and told.count("\x1b") == 2 and "\x9b" not in told and "\x7f" not in told


def test_a_bar_on_stderr_leaves_stdout_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else `germline … > file` from a terminal wrote what is said meanwhile to the terminal, cut at its width."""
    monkeypatch.delenv("GERMLINE_NO_PROGRESS", raising=False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    before = sys.stdout
    with progress.report(as_json=False) as tell:
        tell(Event(kind="progress", text="", data={"done": 1, "total": 2}))
        assert sys.stdout is before


def test_no_descriptor_left_is_told_as_that(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: object, **told: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files", "x")

    monkeypatch.setattr("germline.cli.germline.main", full)
    assert main(["log"]) == 1
    assert "ulimit -n" in capsys.readouterr().err


def test_json_for_people_holds_no_control_character_and_says_the_same(capsys: Captured) -> None:
    value = {"said": CONTROLS + "é", HOSTILE: 1.5}
    output.say_json(value)
    told = capsys.readouterr().out
    assert json.loads(told) == value and set(CONTROLS).isdisjoint(set(told) - {"\n"})
    line = quoted(CONTROLS + "é")
    assert json.loads(line) == CONTROLS + "é" and set(CONTROLS).isdisjoint(line)
    assert quoted("a\u009b31m\x7f") == '"a\\u009b31m\\u007f"'


@pytest.mark.parametrize(
    "failure",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:131] DefaultCPUAllocator: can't allocate memory: you tried"),
        type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory. Tried to allocate 2.00 GiB"),
    ],
)
def test_memory_that_ran_out_is_said_with_the_cure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], failure: Exception
) -> None:
    def fail(*arguments: object, **named: object) -> int:
        raise failure

    with monkeypatch.context() as full:
        full.setattr("germline.cli.germline.main", fail)
        assert main(["chat"]) == 5
    assert "memory ran out" in (told := capsys.readouterr().err) and "close other programs" in told
