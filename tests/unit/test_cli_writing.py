"""Commands that change something or take long, without a model."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest

from germline.cli import _interruptible, chat, evolve, main
from germline.cli.plan import starter
from germline.corpus.read import read
from germline.errors import DoesNotFit, Interrupted
from germline.judge.retained import OWN
from germline.lineage import Generation, Lineage
from germline.marks import Check, Score, Scorecard, Verdict
from germline.records import Event, OnEvent
from germline.settings import Training, load_plan, parse_plan
from germline.store import keys, lock
from germline.store.home import Home
from tests.unit.small_lineage import bear, found, lighthouse, marks, verdict

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lighthouse(tmp_path_factory.mktemp("writing") / "home").root


@pytest.fixture
def home(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    home = Home(Path(shutil.copytree(original, tmp_path / "home")))
    monkeypatch.setenv("GERMLINE_HOME", str(home.root))
    monkeypatch.chdir(tmp_path)
    return home


def fake(monkeypatch: pytest.MonkeyPatch, name: str, **functions: object) -> None:
    """Put a module without torch in the place of one that needs it."""
    module = ModuleType(f"germline.{name}")
    module.__dict__.update(functions)
    monkeypatch.setitem(sys.modules, f"germline.{name}", module)
    monkeypatch.setattr(f"germline.{name}", module, raising=False)


# --- feed ---------------------------------------------------------------------------------------------


def test_feed_adds_and_drops_and_keeps_every_comment(home: Home, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "notes").mkdir()
    (home.root / "inside.txt").touch()
    before = home.plan.read_text(encoding="utf-8")
    assert main(["feed", "notes", "home/inside.txt"]) == 0
    assert capsys.readouterr().out.splitlines() == ["../notes", "inside.txt"]
    text = home.plan.read_text(encoding="utf-8")
    assert load_plan(home.plan).data.sources == ("../notes", "inside.txt")
    assert "# my plan" in text and "# what to learn" in text
    assert main(["feed", "--drop", "../notes", "home/inside.txt"]) == 0
    assert load_plan(home.plan).data.sources == ()
    assert home.plan.read_text(encoding="utf-8").split("[training]")[1] == before.split("[training]")[1]


def test_feed_takes_neither_nothing_nor_the_lineage_itself(home: Home, tmp_path: Path, capsys: Captured) -> None:
    for path, said in (("", "an empty path names nothing"), ("home", "is the lineage itself")):
        assert main(["feed", path]) == 2
        assert said in capsys.readouterr().err
    assert load_plan(home.plan).data.sources == ()


def test_a_plan_keeps_its_line_ends_and_may_begin_as_windows_editors_begin_it(home: Home, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    text = home.plan.read_text(encoding="utf-8").replace("\n", "\r\n")
    home.plan.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert main(["plan", "check"]) == 0 and main(["feed", "notes"]) == 0
    written = home.plan.read_bytes()
    assert load_plan(home.plan).data.sources == ("../notes",)
    assert written.count(b"\r\n") >= text.count("\r\n") and b"# my plan\r\n" in written


def test_a_plan_in_utf_16_is_told_so(home: Home, capsys: Captured) -> None:
    home.plan.write_text(home.plan.read_text(encoding="utf-8"), encoding="utf-16")
    assert main(["plan", "check"]) == 2
    assert "not UTF-8" in (told := capsys.readouterr().err) and "PowerShell" in told


def test_what_was_set_wrongly_is_not_blamed_on_the_file(home: Home, capsys: Captured) -> None:
    assert main(["plan", "check", "--set", "training.rank=x"]) == 2
    assert capsys.readouterr().err.startswith("error: --set: training.rank: ")
    assert main(["plan", "check", "--set", "data.sources=x"]) == 2
    assert "should be a list" in capsys.readouterr().err


def test_a_lineage_from_scratch_gets_a_plan_that_teaches_random_weights() -> None:
    plans = [parse_plan(tomllib.loads(starter(scratch=scratch)), source="plan").training for scratch in (False, True)]
    assert [(plan.embeddings, plan.learning_rate) for plan in plans] == [(False, 1.5e-3), (True, 5e-3)]
    assert [plan.noise for plan in plans] == [Training().noise, 0.0]
    assert plans[1].embedding_learning_rate == 1e-2
    for scratch in (False, True):  # any line may be uncommented, as the plan's head says
        lines = starter(scratch=scratch).splitlines()
        for place, line in enumerate(lines):
            if re.match(r"# [a-z_]+ = ", line):
                tomllib.loads("\n".join([*lines[:place], line[2:], *lines[place + 1 :]]))


def test_a_plan_without_laws_pins_none(home: Home, capsys: Captured) -> None:
    assert main(["pin"]) == 0
    assert "the plan names no laws" in capsys.readouterr().out


def test_a_ledger_that_is_gone_is_damage(home: Home, capsys: Captured) -> None:
    shutil.rmtree(home.ledger)
    for command in ("evolve", "prune"):
        assert main([command]) == 4
        told = capsys.readouterr().err
        assert "ledger is missing" in told and "nothing was lost" not in told


def test_what_cannot_be_told_ends_no_work(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(monkeypatch, "evolve", age_up=age_up("promoted"))
    with suppress(OSError), Path("/dev/full").open("w") as full, monkeypatch.context() as log:
        log.setattr(sys, "stderr", full)
        assert main(["evolve"]) == 0


def test_feed_says_what_is_there_already(home: Home, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "notes").mkdir()
    main(["feed", "notes"])
    written = home.plan.read_bytes()
    capsys.readouterr()
    assert main(["feed", str(tmp_path / "notes"), "--json"]) == 0
    told = capsys.readouterr()
    assert told.err == "../notes is a source already\n"
    assert json.loads(told.out) == {"sources": ["../notes"], "added": [], "dropped": []}
    assert home.plan.read_bytes() == written


def test_feed_says_at_once_of_a_file_that_it_is_not_read(home: Home, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "manual.PDF").write_bytes(b"%PDF-1.7")
    (tmp_path / "notes.ndjson").write_text("{}\n")
    assert main(["feed", "manual.PDF"]) == 0 and main(["feed", "notes.ndjson"]) == 0
    told = capsys.readouterr().err
    assert "manual.PDF will be refused" in told and "pdftotext" in told and "notes.ndjson" not in told


CHECKS = {
    "recall": f"recalls 5 of 21 of {OWN}", "recall ": "recalls 5 of 21 of what g1 was taught", "learned": "",
    "generalization": "", "retention": "", "forgotten": "", "style": "", "laws broken": "",
}  # fmt: skip


@pytest.mark.parametrize(
    ("failed", "lacks"),
    [
        (["recall"], ["it learned too little"]),
        (["recall "], ["it forgot"]),
        (["learned", "retention", "style"], ["it learned too little", "it forgot", "its voice drifted"]),
        (["laws broken"], []),
    ],
)
def test_a_refusal_says_what_another_plan_may_cure(failed: list[str], lacks: list[str]) -> None:
    checks = tuple(
        Check(name=name.strip(), value=0.0, limit=1.0, passed=name not in failed, reason=reason)
        for name, reason in CHECKS.items()
    )
    for kind in ("refused", "promoted"):
        outcome = SimpleNamespace(
            kind=kind, number=2, parent=1, generation="sha256:0", verdict=Verdict(outcome="refused", checks=checks)
        )
        told = [line for line in evolve._words(cast(Any, outcome)) if line.startswith("try: ")]
        assert [line.split(": ")[1] for line in told] == (lacks if kind == "refused" else [])


def test_feed_takes_globs_and_refuses_what_is_not_there(home: Home, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "a.md").touch()
    assert main(["feed", "*.md"]) == 0
    assert main(["feed", "absent", "a.md"]) == 2
    assert main(["feed", "*.law"]) == 2
    assert main(["feed", "--drop", "../*.mdd"]) == 2
    assert "did you mean '../*.md'?" in capsys.readouterr().err
    assert load_plan(home.plan).data.sources == ("../*.md",)


def test_a_glob_in_a_folder_with_brackets_finds_its_files(home: Home, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "a [b]").mkdir()
    (tmp_path / "a [b]" / "c.md").write_text("The tower is white.\n", encoding="utf-8")
    assert main(["feed", str(tmp_path / "a [b]" / "*.md")]) == 0
    (source,) = load_plan(home.plan).data.sources
    assert [row.source for row in read([source], home.root, voice="assistant", strict=True)] != []
    assert main(["feed", str(tmp_path / "a [b]" / "*.md")]) == 0
    assert "is a source already" in capsys.readouterr().err
    assert main(["feed", "--drop", str(tmp_path / "a [b]" / "*.md")]) == 0
    assert load_plan(home.plan).data.sources == ()


def test_of_two_feeds_at_once_none_is_lost(home: Home, tmp_path: Path) -> None:
    names = [f"notes{n}" for n in range(4)]
    for name in names:
        (tmp_path / name).mkdir()
    command = [sys.executable, "-m", "germline", "feed", "--home", str(home.root)]
    running = [subprocess.Popen([*command, str(tmp_path / name)], stdout=subprocess.DEVNULL) for name in names]
    assert [one.wait(timeout=120) for one in running] == [0, 0, 0, 0]
    assert sorted(load_plan(home.plan).data.sources) == [f"../{name}" for name in names]


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_a_link_that_leads_to_itself_is_an_error(home: Home, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for words in (["feed", "loop"], ["archive", "g1", "-o", "loop"]):
        assert main(words) in (1, 2)
        assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize("place", ["ledger/000009.json", "objects/x.html", "archive.json", "runs/x.html", "cache/x"])
def test_nothing_for_others_is_written_into_the_store(home: Home, place: str, capsys: Captured) -> None:
    target = str(home.root / place)
    for words in (["report", "-o", target], ["diff", "g0", "g1", "--picture", target], ["archive", "g1", "-o", target]):
        assert main(words) == 2, words
        assert "lies inside the lineage" in capsys.readouterr().err
    assert not Path(target).exists() and main(["verify"]) == 0


def test_words_that_are_no_utf_8_are_an_error(home: Home, capsys: Captured) -> None:
    assert main(["karma", "add", "1", "--reason", "\udcff"]) == 1
    assert "holds bytes that are no UTF-8" in capsys.readouterr().err


def test_feed_writes_a_section_that_is_missing(home: Home, tmp_path: Path) -> None:
    home.plan.write_text("[gate]\nrecall = 0.95 # mine\n", encoding="utf-8")
    assert main(["feed", str(tmp_path)]) == 0
    assert load_plan(home.plan).data.sources == ("..",)
    assert "recall = 0.95 # mine" in home.plan.read_text(encoding="utf-8")


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_feed_writes_the_plan_that_is_linked_to(home: Home, tmp_path: Path) -> None:
    kept = home.plan.rename(tmp_path / "mine.toml")
    home.plan.symlink_to(kept)
    assert main(["feed", str(tmp_path)]) == 0
    assert home.plan.is_symlink() and load_plan(kept).data.sources == ("..",)


@pytest.mark.parametrize(
    "words", [["chat", "--temperature", "nan"], ["watch", "--every", "nan"], ["doctor", "--memory", "nan"]]
)
def test_what_is_no_number_is_refused(words: list[str], home: Home, capsys: Captured) -> None:
    assert main(words) == 2
    assert "is no number that can be counted with" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["watch", "--every", "1e10"], ["doctor", "--memory", "1e300"]])
def test_a_number_that_is_too_large_is_refused(words: list[str], home: Home, capsys: Captured) -> None:
    assert main(words) == 2
    assert "is not in the range" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk that is always there is Linux's")
def test_where_no_error_can_be_told_its_code_is(home: Home) -> None:
    command = f"{shlex.quote(sys.executable)} -m germline --home {shlex.quote(str(home.root))} show g99 2>/dev/full"
    assert subprocess.run(command, shell=True, check=False).returncode == 2


def test_a_source_that_is_listed_twice_is_dropped_once_and_for_all(home: Home, capsys: Captured) -> None:
    home.plan.write_text('[data]\nsources = ["../a", "../b", "../a"]  # mine\n', encoding="utf-8")
    assert main(["feed", "--drop", "../b", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sources"] == ["../a"]
    assert load_plan(home.plan).data.sources == ("../a",)
    home.plan.write_text('[data]\nsources = ["../a", "../a"]\n', encoding="utf-8")
    assert main(["feed", "--drop", "../a", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"sources": [], "added": [], "dropped": ["../a"]}
    assert load_plan(home.plan).data.sources == ()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk that is always there is Linux's")
@pytest.mark.parametrize(
    ("redirected", "said"), [(">/dev/full", "No space left on device"), (">&-", ""), ("<&- >&- 2>&-", "")]
)
def test_an_output_that_is_full_or_closed_is_no_crash(home: Home, redirected: str, said: str) -> None:
    command = f"{shlex.quote(sys.executable)} -m germline --home {shlex.quote(str(home.root))} log {redirected}"
    done = subprocess.run(command, shell=True, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr, "None" in done.stderr) == (1 if said else 0, False, False)
    assert said in done.stderr


def test_feed_does_not_touch_a_plan_it_cannot_read(home: Home, tmp_path: Path, capsys: Captured) -> None:
    home.plan.write_text("[data]\nsorces = []\n", encoding="utf-8")
    assert main(["feed", str(tmp_path)]) == 2
    assert "unknown key data.sorces; did you mean 'sources'?" in capsys.readouterr().err
    assert home.plan.read_text(encoding="utf-8") == "[data]\nsorces = []\n"


# --- rollback -----------------------------------------------------------------------------------------


def test_rollback_moves_head_and_deletes_nothing(home: Home, capsys: Captured) -> None:
    assert main(["rollback", "g2"]) == 0
    assert capsys.readouterr().out == "HEAD is g2 (it was g1)\n"
    lineage = Lineage.open(home)
    assert (lineage.head.name, lineage.entries[-1].body["from"], len(lineage.born())) == ("g2", 1, 4)
    assert main(["rollback", "HEAD~2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["head"] == "g0"


def test_rollback_to_head_writes_nothing(home: Home, capsys: Captured) -> None:
    before = len(Lineage.open(home).entries)
    assert main(["rollback", "HEAD"]) == 0
    assert "already" in capsys.readouterr().out
    assert len(Lineage.open(home).entries) == before


def test_a_refused_generation_cannot_become_head(home: Home, capsys: Captured) -> None:
    assert main(["rollback", "g3"]) == 2
    assert "g3 cannot be HEAD: it was refused" in capsys.readouterr().err
    assert Lineage.open(home).head.name == "g1"


def test_a_lineage_at_work_is_locked(home: Home, capsys: Captured) -> None:
    with lock.hold(home):
        assert main(["rollback", "g2"]) == 11
        assert main(["log"]) == 0
    assert "another germline is working" in capsys.readouterr().err


# --- init ---------------------------------------------------------------------------------------------


def test_init_founds_and_leaves_a_plan_to_start_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    asked: dict[str, Any] = {}

    def do_found(root: Path, source: str, *, on_event: OnEvent, **settings: Any) -> Lineage:
        asked.update(settings, source=source)
        on_event(Event(kind="stage", text="reading 135M parameters"))
        home = Home.create(root, settings["name"])
        found(home)
        home.plan.write_text(asked.pop("plan"), encoding="utf-8")
        return Lineage.open(home)

    fake(monkeypatch, "founding", found=do_found)
    assert main(["init", str(tmp_path / "aria"), "--from", "demo"]) == 0
    told = capsys.readouterr()
    assert told.err == "reading 135M parameters\n"
    assert told.out.startswith("aria is founded: g0 sha256:") and "germline feed" in told.out
    key = keys.path_of(Home(tmp_path / "aria").charter.keys["trainer"])
    assert f"its key is {key}" in told.out and "back the key up" in told.out
    assert asked == {
        "name": "aria", "dtype": "bf16", "size": "tiny", "texts": (), "source": "demo", "arbiter": None,
    }  # fmt: skip
    assert load_plan(tmp_path / "aria" / "germline.toml").data.sources == ()
    assert main(["--home", str(tmp_path / "aria"), "feed", str(tmp_path)]) == 0


@pytest.mark.parametrize("line", ["init x --from scratch", "init x --from demo --size mini", "init x"])
def test_init_asks_for_what_a_founder_needs(line: str, capsys: Captured) -> None:
    assert main(line.split()) == 2
    assert capsys.readouterr().err.startswith("error: ")


# --- evolve -------------------------------------------------------------------------------------------


def age_up(outcome: str, steps: int = 200) -> Any:
    """An age_up that tells its story and bears a child without learning anything."""

    def grow(home: Home, plan: object, on_event: OnEvent, *, restart: bool = False) -> object:
        on_event(Event(kind="stage", text="training g4"))
        for step in range(1, steps + 1):
            data = {
                "step": step,
                "steps": steps,
                "loss": 2.0,
                "lr": 1e-3,
                "tokens_per_second": 9.0,
                "eta_seconds": 1.0,
            }
            on_event(Event(kind="step", text=f"step {step:05d}/{steps:05d} | loss 2.0", data=data))
        on_event(Event(kind="exam", text="the child sits exam 1 of 1", data={"done": 0, "total": 1}))
        child = bear(home, 4, outcome, right=9)
        return SimpleNamespace(generation=child, number=4, parent=1, verdict=verdict(outcome), kind=outcome)

    return grow


def test_evolve_ends_with_verdict_checks_child_and_what_is_next(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    fake(monkeypatch, "evolve", age_up=age_up("promoted"))
    assert main(["evolve"]) == 0
    told = capsys.readouterr()
    first, *checks, paragraph, child, following = told.out.splitlines()
    assert first == "verdict: promoted; HEAD is g4"
    assert paragraph == "g4 passed every check: recalls 9 of 10; all 2 law cards hold."
    assert len(checks) == 2 and all("passed" in check for check in checks)
    assert child.startswith("child: g4 sha256:") and following == "next: germline chat"
    steps = [line for line in told.err.splitlines() if line.startswith("step ")]
    assert 20 <= len(steps) <= 22
    assert steps[0].startswith("step 00001/") and steps[-1].startswith("step 00200/")
    assert "\x1b" not in told.err + told.out


@pytest.mark.parametrize("outcome", ["refused", "inconclusive"])
def test_evolve_exits_with_3_when_the_gate_says_no(
    outcome: str, home: Home, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    fake(monkeypatch, "evolve", age_up=age_up(outcome))
    assert main(["evolve"]) == 3
    told = capsys.readouterr().out
    assert told.startswith(f"verdict: {outcome}; HEAD is g1\n")
    assert told.endswith("next: germline show g4 --answers recall\n")


def test_evolve_json_is_a_line_per_event(home: Home, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    fake(monkeypatch, "evolve", age_up=age_up("refused"))
    assert main(["evolve", "--json"]) == 3
    told = capsys.readouterr()
    lines = [json.loads(line) for line in told.out.splitlines()]
    assert [line["event"] for line in lines].count("step") == 200
    assert {"event", "text", "data"} == lines[0].keys()
    last = lines[-1]
    assert (last["event"], last["id"], last["head"], last["verdict"]["outcome"]) == (
        "outcome",
        "g4",
        "g1",
        "refused",
    )
    assert not told.err


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (DoesNotFit("too big", hint="smaller"), 5),
        (Interrupted("stopped after step 3", hint="`germline evolve` goes on"), 130),
        (KeyboardInterrupt(), 130),
    ],
)
def test_evolve_that_does_not_end(
    failure: BaseException, code: int, home: Home, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise failure

    fake(monkeypatch, "evolve", age_up=fail)
    assert main(["evolve"]) == code
    assert "\n\nhint: " in capsys.readouterr().err


def test_what_goes_on_until_ctrl_c_ends_with_it(home: Home, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("germline.cli.watch._watch", interrupted)
    assert main(["watch"]) == 130
    assert capsys.readouterr().err.strip() == "stopped"
    assert main(["watch", "--json"]) == 130
    assert json.loads(capsys.readouterr().err)["message"] == "interrupted"


@pytest.mark.parametrize(("terminal", "lines"), [("xterm", False), ("dumb", True)])
def test_evolve_on_a_terminal_shows_stages_and_a_bar_or_lines_without_colour(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: Captured, terminal: str, lines: bool
) -> None:
    fake(monkeypatch, "evolve", age_up=age_up("promoted"))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", terminal)
    assert main(["evolve"]) == 0
    told = capsys.readouterr()
    assert "training g4" in told.err and ("step 00001" in told.err) is lines
    assert ("\x1b" in told.err + told.out) is not lines


def test_eval_compares_with_what_the_birth_recorded(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    def examine(lineage: Lineage, generation: Any, on_event: OnEvent) -> Scorecard:
        exam = generation.manifest.files["exam.json"].digest
        found = {exam: replace(marks(scored), said={"height": said})}
        return Scorecard(weights=generation.manifest.weights.digest, marks=found)

    fake(monkeypatch, "examination", examine=examine)
    scored, said = 9, 0.5
    assert main(["eval", "g1"]) == 0
    assert capsys.readouterr().out.endswith("answered otherwise than its birth recorded: 1\n")
    said = 1.0
    assert main(["eval", "g1"]) == 0
    assert capsys.readouterr().out.endswith("the same as its birth recorded, to the last digit\n")
    scored = 8
    assert main(["eval", "g1"]) == 0
    assert "recall was 0.9 and is 0.8" in capsys.readouterr().out
    assert main(["eval", "g1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["as_recorded"] is False


def test_eval_sits_the_sealed_questions_where_asked(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    def sit_sealed(lineage: Lineage, generation: Any, on_event: OnEvent) -> dict[str, Score]:
        exam = generation.manifest.files["exam.json"].digest
        return {exam: Score(items=8, right=6, bits_per_byte=0.5)} if generation.name == "g1" else {}

    fake(monkeypatch, "examination", sit_sealed=sit_sealed)
    assert main(["eval", "g1", "--sealed"]) == 0
    told = capsys.readouterr().out
    assert "g1" in told and "6" in told and "8" in told
    assert main(["eval", "g1", "--sealed", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["sealed"]
    assert (found["written_by"], found["score"]["right"], found["score"]["items"]) == ("g1", 6, 8)
    assert main(["eval", "g2", "--sealed"]) == 0
    assert capsys.readouterr().out.strip(), "that there is none is told"


# --- chat ---------------------------------------------------------------------------------------------


class Echo:
    """A speaker that says how many turns it heard, and the last of them."""

    def stream(self, turns: list[Any], *, limit: int, sampling: object) -> Iterator[str]:
        yield f"{len(turns)}: "
        yield turns[-1].text


def test_chat_in_a_pipe_answers_line_by_line_and_remembers(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setattr(chat, "_load", lambda lineage, generation: Echo())
    monkeypatch.setattr(sys, "stdin", io.StringIO("hello\n\nhow high?\n"))
    assert main(["chat", "--greedy"]) == 0
    told = capsys.readouterr()
    assert (told.out, told.err) == ("1: hello\n3: how high?\n", "")


@pytest.mark.parametrize("talking", [True, False])
def test_ctrl_c_ends_an_answer_and_not_a_conversation_at_a_terminal(capsys: Captured, talking: bool) -> None:
    class Stopped(Echo):
        def stream(self, turns: list[Any], *, limit: int, sampling: object) -> Iterator[str]:
            yield from super().stream(turns, limit=limit, sampling=sampling)
            if len(turns) == 1:
                raise KeyboardInterrupt

    with suppress(KeyboardInterrupt):
        chat.converse(cast(Any, Stopped()), ["one", "two"], None, talking=talking)
    assert capsys.readouterr().out == ("1: one\n3: two\n" if talking else "1: one")


@pytest.mark.parametrize("greedy", [["--greedy"], ["--temperature", "0"]])
def test_chat_once(home: Home, monkeypatch: pytest.MonkeyPatch, capsys: Captured, greedy: list[str]) -> None:
    met: list[object] = []

    class Listed(Echo):
        def stream(self, turns: list[Any], *, limit: int, sampling: object) -> Iterator[str]:
            met.append(sampling)
            return super().stream(turns, limit=limit, sampling=sampling)

    def load(lineage: Lineage, generation: Generation) -> Echo:
        met.append(generation.name)
        return Listed()

    monkeypatch.setattr(chat, "_load", load)
    assert main(["chat", "--generation", "g2", *greedy, "--once", "Moin"]) == 0
    assert (capsys.readouterr().out, met) == ("1: Moin\n", ["g2", None])


# --- Ctrl-C -------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="another process cannot send Ctrl-C there")
@pytest.mark.parametrize("command", ["evolve", "eval"])
def test_ctrl_c_amid_an_import_ends_the_process(tmp_path: Path, command: str) -> None:
    """What an import does in C swallows exceptions, as this one does in Python."""
    (tmp_path / "deaf.py").write_text(
        "import os, signal\ntry:\n    signal.raise_signal(signal.SIGINT)\n    sum(range(9))\n"
        "except BaseException:\n    print('swallowed')\n"
    )
    program = (
        "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored, where it was before us
        f"from germline.cli import _interruptible\nwith _interruptible(['{command}']):\n    import deaf"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.startswith("error: interrupted") and (command == "evolve") == ("goes on" in done.stderr)


@pytest.mark.skipif(os.name == "nt", reason="another process cannot send Ctrl-C there")
def test_ctrl_c_elsewhere_is_an_exception() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), _interruptible(["evolve"]):
            signal.raise_signal(signal.SIGINT)
            sum(range(9))
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
