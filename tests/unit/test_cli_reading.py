"""Commands that only look: log, show, diff, verify, plan; and what all of them have in common."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from germline.cli import main
from germline.cli.commands import COMMANDS
from germline.lineage import PLAN, Lineage
from germline.settings import Plan, kept_plan, load_plan
from germline.store.home import Home
from tests.conftest import CONFIG
from tests.unit.small_lineage import lighthouse

READERS = ("log", "show g2", "diff g1 g2", "verify", "plan check", "feed", "checkpoint", "keys")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return lighthouse(tmp_path_factory.mktemp("reading") / "home")


@pytest.fixture(autouse=True)
def here(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GERMLINE_HOME", str(home.root))


@pytest.mark.parametrize("line", READERS)
def test_a_reader_speaks_words_on_stdout_or_one_json_document(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 0
    words = capsys.readouterr()
    assert words.out and not words.err
    assert main([*line.split(), "--json"]) == 0
    assert isinstance(json.loads(capsys.readouterr().out), dict)


def test_the_keys_of_the_log(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    main(["log", "--json"])
    record = json.loads(capsys.readouterr().out)
    assert (record["lineage"], record["head"], len(record["entries"])) == ("Östrel", "g1", 5)
    assert {"id", "kind", "generation", "parent", "head", "time", "body"} <= record["entries"][1].keys()


def test_show_without_a_name_is_head(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("g1  sha256:")
    assert "70% of these tokens new, 20% replayed, 10% its anchor" in told
    chosen = "candidate 1 7 of 10, candidate 2 6 of 10, the mean of all 8 of 10 (chosen)"
    assert f"selection questions right: {chosen}" in told


def test_a_plan_with_fragments_is_told_in_lines(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    text = home.plan.read_text() if home.plan.exists() else ""
    named = '[[fragments.named]]\nname = "a"\ndescription = "b"\nexamples = [["c", "d"], ["e", "f"]]\n'
    home.plan.write_text(f"{text}\n{named}")
    assert main(["plan", "check"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("fragments.named"))
    assert '[{"name": "a"' in line and line.endswith("germline.toml")


def test_a_picture_is_a_new_file_and_never_takes_the_place_of_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = tmp_path / "g2.svg"
    assert main(["diff", "g1", "g2", "--picture", str(drawn)]) == 0
    before = drawn.read_bytes()
    assert before.startswith(b"<svg ") and capsys.readouterr().out
    assert main(["diff", "g0", "g1", "--picture", str(drawn)]) == 2
    assert drawn.read_bytes() == before
    assert f"{drawn} exists already" in capsys.readouterr().err
    assert main(["diff", "g9", "g2", "--picture", str(tmp_path / "other.svg")]) == 2
    assert not (tmp_path / "other.svg").exists() and "there is no generation 'g9'" in capsys.readouterr().err
    assert main(["diff", "g1", "g2", "--picture", str(tmp_path / "absent" / "g2.svg")]) != 0
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize("name", ["g" + "9" * 5000, "HEAD~" + "9" * 5000, "g99"])
def test_a_name_of_nothing_is_told_however_long(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", name]) == 2
    assert capsys.readouterr().err.startswith("error: there is no generation")


def test_home_may_stand_before_or_after_the_command(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GERMLINE_HOME")
    monkeypatch.chdir(tmp_path)
    assert main(["--home", str(home.root), "log"]) == 0
    assert main(["log", "--home", str(home.root)]) == 0
    before, after = capsys.readouterr().out.split("\n\n", 2)[0], home.name
    assert before.startswith(after)


@pytest.mark.parametrize("line", [*READERS[:5], "chat", "evolve", "eval", "rollback g1"])
def test_without_a_lineage_the_exit_code_is_10(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GERMLINE_HOME", str(tmp_path))
    assert main(line.split()) == 10
    told = capsys.readouterr()
    assert not told.out
    assert told.err.startswith("error: there is no lineage in")
    assert "\n\nhint: germline init" in told.err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("logg", "did you mean 'log'?"),
        ("show g9", "there is no generation 'g9'"),
        ("show g1 --answers recal", "recal"),
        ("diff g1", "missing argument 'B'"),
        ("log --jsn", "no such option"),
        ("plan cat laptop", "there is no shipped plan 'laptop'"),
        ("plan check absent.toml", "there is no such plan"),
        ("plan check .", "is a directory"),
        ("plan check -S training.rnk=3", "did you mean 'rank'?"),
        ("plan check -S training", "section.key=value"),
        ("evolve -S gate.recal=0.5", "did you mean 'recall'?"),
        ("chat g1 --generation g2", "once"),
        ("chat --temperature -1", "temperature"),
    ],
)
def test_bad_input_is_one_error_with_exit_code_2(line: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 2
    told = capsys.readouterr()
    assert not told.out
    assert told.err.startswith("error: ") and said in told.err
    assert "Traceback" not in told.err


def test_with_json_a_failure_ends_in_one_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "g9", "--json"]) == 2
    told = capsys.readouterr()
    assert not told.out
    exit_line = json.loads(told.err)
    assert exit_line.keys() == {"event", "code", "message", "hint"}
    assert (exit_line["event"], exit_line["code"]) == ("exit", 2)


def test_damage_is_listed_with_exit_code_4(home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = Home(Path(shutil.copytree(home.root, tmp_path / "home")))
    entry = home.ledger / "000001.json"
    entry.chmod(0o644)
    entry.write_bytes(entry.read_bytes().replace(b'"rows":2', b'"rows":3'))
    assert main(["--home", str(home.root), "verify"]) == 4
    assert "ledger/000001.json was edited" in capsys.readouterr().out
    assert main(["--home", str(home.root), "log"]) == 4
    assert main(["--home", str(home.root), "verify", "--json"]) == 4
    report = json.loads(capsys.readouterr().out)
    assert not report["whole"] and report["report"]["problems"][0]["path"] == "ledger/000001.json"
    others = {problem["what"] for problem in report["report"]["problems"][1:]}
    assert others == {"is named by nothing that can be read"}, "what only the damaged entry names is no litter"


def test_what_a_file_manager_leaves_behind_is_no_damage_to_restore(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = Home(Path(shutil.copytree(home.root, tmp_path / "home")))
    (home.objects / ".DS_Store").touch()
    assert main(["--home", str(home.root), "verify"]) == 4
    told = capsys.readouterr().err
    assert "remove what is named by nothing" in told and "restore what is damaged" not in told


def test_verify_lists_damage_of_the_identity_too(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = Home(Path(shutil.copytree(home.root, tmp_path / "home")))
    home.identity.chmod(0o644)
    home.identity.write_bytes(b"{}")
    assert main(["--home", str(home.root), "verify"]) == 4
    assert "lineage.json" in capsys.readouterr().out
    monkeypatch.delenv("GERMLINE_HOME")
    monkeypatch.chdir(home.objects)
    assert main(["verify"]) == 4


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_ends_with_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    *_, last = capsys.readouterr().out.split("Examples:\n")
    assert last.strip().startswith(f"germline {command}")


def test_the_help_lists_every_command_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    told = capsys.readouterr().out
    assert [line.split()[0] for line in told.split("Commands:\n")[1].split("\n\n")[0].splitlines()] == list(COMMANDS)
    assert all(f"\n    {code} " in told for code in (0, 1, 2, 3, 4, 5, 6, 10, 11, 130))
    assert "..." not in told.split("Commands:\n")[1]


def test_plans_are_shipped_and_can_be_followed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "ls", "--json"]) == 0
    names = list(json.loads(capsys.readouterr().out))
    assert names == ["laptop-8gb", "tiny-cpu"]
    for name in names:
        assert main(["plan", "cat", name]) == 0
        path = tmp_path / f"{name}.toml"
        path.write_text(capsys.readouterr().out, encoding="ascii")
        load_plan(path)
    assert load_plan(tmp_path / "laptop-8gb.toml").budget.memory_gb == 5.0


def test_the_plan_of_a_generation_is_printed_so_that_it_can_be_followed_again(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "of", "g1"]) == 0
    path = tmp_path / "germline.toml"
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    lineage = Lineage.open(home)
    stored = kept_plan(lineage.json(lineage.resolve("g1"), PLAN), source="g1")
    assert load_plan(path) == stored != Plan()
    assert path.read_text(encoding="utf-8").startswith(
        "# The plan that g1 of Östrel was grown by, but for data.sources, [bud"
    )
    command = [sys.executable, "-m", "germline", "plan", "of", "g1"]  # into a file, as on Windows
    told = subprocess.run(command, env={**os.environ, "PYTHONIOENCODING": "cp1252"}, capture_output=True, check=True)
    assert told.stdout.decode("utf-8").splitlines() == path.read_text(encoding="utf-8").splitlines()
    assert main(["plan", "of", "g0"]) == 2
    assert "g0 was founded, and grown by no plan\n\nhint: `germline plan cat`" in capsys.readouterr().err


def test_what_the_starter_plan_calls_a_default_is_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["plan", "cat", "tiny-cpu"])
    head, _, text = capsys.readouterr().out.partition("[data]")
    assert "germline" in head
    told = [line for line in text.splitlines() if line.startswith("# ") and " = " in line]
    path = tmp_path / "all.toml"
    path.write_text(
        "[data]" + "\n".join(line.removeprefix("# ") if line in told else line for line in text.splitlines())
    )
    assert load_plan(path) == Plan()
    assert len(told) > 30


def test_check_tells_defaults_from_the_owner_s_values(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "check", "-S", "gate.recall=0.95", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)["values"]
    assert values["training.rank"] == {"value": 8, "from": "germline.toml"}
    assert values["training.alpha"] == {"value": 32.0, "from": "default"}
    assert values["gate.recall"] == {"value": 0.95, "from": "--set"}


def run(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "germline", *line.split()], capture_output=True, text=True, encoding="utf-8",
        errors="replace", env=environment | {CONFIG: os.environ[CONFIG]}, check=False, timeout=60,
    )  # fmt: skip


def test_looking_never_loads_torch(home: Home) -> None:
    code = f"""
import sys
from germline.cli import main
for line in {(*READERS, "--help", "evolve --help", "chat --help", "rollback g1", "plan ls")!r}:
    assert main(line.split()) == 0, line
    loaded = {{"torch", "numpy", "tokenizers", "safetensors"}} & sys.modules.keys()
    assert not loaded, (line, loaded)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_a_terminal_that_is_not_utf_8_gets_words_it_can_show(home: Home) -> None:
    done = run("show g2", PYTHONIOENCODING="ascii", GERMLINE_HOME=str(home.root), NO_COLOR="1")
    assert done.returncode == 0
    assert "+ passed  recall" in done.stdout
    done = run("log", PYTHONIOENCODING="ascii", GERMLINE_HOME=str(home.root))
    assert done.stdout.startswith("?strel: 4 generations")
    done = run("log --json", PYTHONIOENCODING="ascii", GERMLINE_HOME=str(home.root))
    assert json.loads(done.stdout)["lineage"] == "Östrel"


def test_a_reader_that_goes_away_is_no_failure_to_shout_about(home: Home) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "germline", "log"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout and process.stderr
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=60) == 1
    process.stderr.close()
