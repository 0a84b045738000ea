"""approve, pin, checkpoint, keys, and what the other commands say of signatures and witnesses."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from germline import delta
from germline import run as runs
from germline.cli import main
from germline.corpus.split import is_held_out
from germline.errors import DataError, GermlineError, NothingNew, PlanError, StoreDamaged
from germline.lineage import SCORECARD, TRAIN, Lineage
from germline.records import Event, Row, canonical_json
from germline.settings import Plan, load_plan
from germline.store import keys, ledger, objects, witness
from germline.store.entry import Entry
from germline.store.home import Home
from germline.store.verify import verify
from tests.conftest import forget
from tests.unit.small_lineage import bear, lighthouse, two_keys

Captured = pytest.CaptureFixture[str]
Told = Callable[[Event], None]

LAW = '+++\nid = "{0}"\n[[card]]\nprompt = "{0}?"\nscorer = "contains"\nanswer = "yes"\n+++\nThe {0} is law.\n'


def quiet(event: Event) -> None:
    pass


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A lineage of two keys in which g1 is proposed."""
    home = two_keys(tmp_path / "home")
    monkeypatch.setenv("GERMLINE_HOME", str(home.root))
    monkeypatch.chdir(tmp_path)
    return home


@pytest.fixture
def one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A lineage of one key that has two laws in its plan, not pinned yet."""
    home = lighthouse(tmp_path / "home")
    (tmp_path / "laws").mkdir()
    for name in ("light", "oil"):
        (tmp_path / "laws" / f"{name}.law").write_text(LAW.format(name), encoding="utf-8")
    (tmp_path / "notes.md").write_text("The tower is painted white and red.\n", encoding="utf-8")
    home.plan.write_text('[data]\nsources = ["../notes.md"]\nheldout = 0.0\n[exams]\nlaws = ["../laws/*.law"]\n')
    monkeypatch.setenv("GERMLINE_HOME", str(home.root))
    return home


def away(home: Home, owner: str) -> Path:
    """Take a key off this machine."""
    path = keys.path_of(home.charter.keys[owner])
    return path.rename(path.with_suffix(".away"))


# --- approve ------------------------------------------------------------------------------------------


def test_a_proposal_waits_and_everyone_says_so(two: Home, capsys: Captured) -> None:
    assert main(["log"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("Two: 2 generations, HEAD is g0 (*)")
    assert "proposed" in told and told.endswith("g1 waits for `germline approve g1`\n")
    assert main(["show", "g1"]) == 0
    told = capsys.readouterr().out
    assert f"proposed with the trainer's key {two.charter.keys['trainer'][:16]}" in told
    assert "waits for `germline approve g1`" in told
    assert main(["log", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["waiting"] == ["g1"]
    assert main(["rollback", "g1"]) == 2
    assert "g1 cannot be HEAD: it was proposed" in capsys.readouterr().err
    assert verify(two).problems == ()


def test_the_second_key_moves_head(two: Home, capsys: Captured) -> None:
    trainer = away(two, "trainer")  # as on the arbiter's machine
    assert main(["approve", "g1"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "approved by the arbiter; HEAD is g1"
    assert any("recalls 9 of 10" in line for line in told)
    lineage = Lineage.open(two)
    assert (lineage.head.name, len(lineage.born()), lineage.outcome(lineage.head)) == ("g1", 2, "promoted")
    assert main(["approve", "g1"]) == 2
    assert "g1 does not wait for approval: it was promoted" in capsys.readouterr().err
    main(["log"])
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "Two: 2 generations, HEAD is g1 (*)" and told[-3].startswith("-- g1 approved by the arbiter, ")
    main(["show", "g1"])
    assert "promoted with the arbiter's key" in capsys.readouterr().out
    trainer.rename(trainer.with_suffix(".pem"))
    assert main(["rollback", "g0"]) == 0
    assert main(["rollback", "g1"]) == 0
    assert verify(two).problems == ()
    bear(two, 2, "proposed", right=10)
    assert main(["approve", "HEAD~0"]) == 2
    capsys.readouterr()
    assert main(["approve", "g2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["signed_by"] == "arbiter"


def test_without_the_second_key_nothing_moves(two: Home, capsys: Captured) -> None:
    away(two, "arbiter")
    before = ledger.entries(two)
    assert main(["approve", "g1"]) == 1
    told = capsys.readouterr().err
    assert "the arbiter's key" in told and "copy the key file" in told
    assert ledger.entries(two) == before


@pytest.mark.parametrize("name", ["g0", "g9", "HEAD"])
def test_only_proposals_are_approved(two: Home, name: str) -> None:
    assert main(["approve", name]) == 2


def test_where_one_key_promotes_nothing_waits(one: Home, capsys: Captured) -> None:
    assert main(["approve", "g3"]) == 2
    assert "it was refused" in capsys.readouterr().err


def test_a_proposal_that_is_not_what_it_says_is_not_approved(
    two: Home, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """The trainer's key alone can sign any verdict: the arbiter's machine judges again."""
    proposal = ledger.entries(two)[1]
    card = json.loads(objects.read(two, proposal.files[SCORECARD].digest))
    exam = next(iter(card["marks"]))
    lies: list[tuple[dict[str, Any], dict[str, Any]]] = []
    marks = card["marks"][exam] | {"recall": card["marks"][exam]["recall"] | {"right": 1}}
    lies.append(({}, card | {"marks": {exam: marks}}))
    lies.append(({}, card | {"marks": {}}))
    lies.append(({}, card | {"marks": {exam: {}}}))
    lies.append(({}, card | {"weights": proposal.generation}))
    verdict = proposal.body["verdict"]
    lies.append(({"verdict": verdict | {"checks": verdict["checks"][1:]}}, card))
    lies.append(({"verdict": None}, card))
    for number, (body, forged) in enumerate(lies, 2):
        files = proposal.files | {SCORECARD: objects.put(two, canonical_json(forged))}
        named = ledger.append(two, "proposed", proposal.generation, number, proposal.body | body, files=files)
        monkeypatch.setattr(Lineage, "resolve", lambda lineage, name, named=named: _born_by(lineage, named))
        assert main(["approve", f"g{number}"]) == 4, number
        assert "do not approve it" in capsys.readouterr().err
    assert Lineage.open(two).head.name == "g0"


def _born_by(lineage: Lineage, entry: Entry) -> Any:
    return replace(lineage.generation(entry.generation), birth=entry, number=entry.number)


def test_damaged_weights_are_not_approved(two: Home, capsys: Captured) -> None:
    child = Lineage.open(two).resolve("g1")
    path = objects.place(two.cache, child.manifest.weights.digest)
    path.chmod(0o644)
    path.write_bytes(b"other weights")
    assert main(["approve", "g1"]) == 4
    assert "not what their name says" in capsys.readouterr().err


def test_a_sibling_that_was_approved_retires_the_others(two: Home, capsys: Captured) -> None:
    bear(two, 2, "proposed", right=10)
    assert main(["approve", "g2"]) == 0
    assert main(["approve", "g1"]) == 2
    assert "g1 no longer waits" in capsys.readouterr().err
    assert main(["rollback", "g0"]) == 0
    assert main(["approve", "g1"]) == 0
    assert Lineage.open(two).head.name == "g1"


# --- pin ----------------------------------------------------------------------------------------------


def test_laws_stop_an_evolve_until_they_are_pinned(one: Home, tmp_path: Path, capsys: Captured) -> None:
    def begin(**options: Any) -> runs.Run:
        return runs.begin(Lineage.open(one), load_plan(one.plan), quiet, restart=options.get("restart", False))

    with pytest.raises(PlanError, match=r"added light\.law, added oil\.law") as failure:
        begin()
    assert "`germline pin`" in failure.value.hint and not list(one.runs.iterdir())
    assert main(["pin"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("added light.law\nadded oil.law\npinned: sha256:")
    assert main(["pin"]) == 0
    assert "already" in capsys.readouterr().out
    begin()
    assert begin().resumed
    light, oil = (tmp_path / "laws" / f"{name}.law" for name in ("light", "oil"))
    light.write_bytes(light.read_bytes() + b"\n")
    oil.rename(oil.with_name("coal.law"))
    with pytest.raises(PlanError, match=r"added coal\.law, changed light\.law, dropped oil\.law"):
        begin()
    assert main(["pin", "--json"]) == 0
    changed = json.loads(capsys.readouterr().out)
    assert changed["changes"] == ["added coal.law", "changed light.law", "dropped oil.law"]
    with pytest.raises(PlanError, match="other laws were pinned since g4 was begun"):
        begin()
    assert not begin(restart=True).resumed
    history = ledger.entries(one)
    assert [entry.kind for entry in history[-2:]] == ["pinned", "pinned"]
    assert history[-1].body == {"laws": changed["laws"]}
    assert main(["rollback", "g2"]) == 0
    assert ledger.entries(one)[-1].body["laws"] == changed["laws"]
    runs.end(one, begin(restart=True))
    assert verify(one).problems == ()
    capsys.readouterr()
    main(["log"])
    assert "-- laws pinned by the trainer, " in capsys.readouterr().out


def test_where_laws_lie_is_no_part_of_them(one: Home, tmp_path: Path) -> None:
    main(["pin"])
    (tmp_path / "laws").rename(tmp_path / "statutes")
    one.plan.write_text(one.plan.read_text().replace("../laws/*.law", "../statutes/*.law"))
    assert main(["pin"]) == 0
    assert sum(entry.kind == "pinned" for entry in ledger.entries(one)) == 1


@pytest.mark.parametrize("text", ["", "no cards", "+++\n[[card]]\n+++\n"])
def test_a_law_that_is_none_is_not_pinned(one: Home, tmp_path: Path, text: str) -> None:
    (tmp_path / "laws" / "light.law").write_text(text)
    before = ledger.entries(one)
    assert main(["pin"]) == 2
    assert ledger.entries(one) == before


def test_only_the_arbiter_pins(two: Home, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "a.law").write_text(LAW.format("light"))
    two.plan.write_text('[exams]\nlaws = ["../a.law"]\n')
    arbiter = away(two, "arbiter")
    assert main(["pin"]) == 1
    assert "the arbiter's key" in capsys.readouterr().err
    arbiter.rename(arbiter.with_suffix(".pem"))
    assert main(["pin"]) == 0
    assert main(["approve", "g1"]) == 2, "it was judged by other laws"


# --- evolve -------------------------------------------------------------------------------------------


def test_a_run_that_could_not_be_signed_is_not_begun(one: Home) -> None:
    main(["pin"])
    away(one, "trainer")
    with pytest.raises(GermlineError, match="the trainer's key"):
        runs.begin(Lineage.open(one), load_plan(one.plan), quiet, restart=False)
    assert not list(one.runs.iterdir())


def test_a_new_child_is_told_of_a_proposal_that_waits(two: Home, tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("The tower is painted white and red.\n")
    two.plan.write_text('[data]\nsources = ["../notes.md"]\nheldout = 0.0\n')
    told: list[str] = []
    run = runs.begin(Lineage.open(two), load_plan(two.plan), lambda event: told.append(event.text), restart=False)
    assert (run.parent.name, run.number) == ("g0", 2)
    assert told[0] == "g1 waits for `germline approve g1`; this child descends from g0 all the same"


def test_what_shapes_no_child_may_change_while_a_run_is_in_flight(one: Home) -> None:
    main(["pin"])
    plan = one.plan.read_text()
    fragments = """[[fragments.named]]
name = "keeper"
examples = [["Is it lit?", "Since dusk."], ["And the oil?", "Full."]]
"""
    one.plan.write_text(f"{plan}[karma]\nthreshold = 3.0\n{fragments}")
    runs.begin(Lineage.open(one), load_plan(one.plan), quiet, restart=False)
    for tables in (f"[karma]\nthreshold = 3.0\n{fragments}", "[budget]\nsteps = 9\n[maturity]\nstyle_drifts = 3\n", ""):
        one.plan.write_text(plan + tables)
        assert runs.begin(Lineage.open(one), load_plan(one.plan), quiet, restart=False).resumed
    one.plan.write_text(plan.replace("heldout = 0.0", "heldout = 0.5"))
    with pytest.raises(PlanError, match=r"data\.heldout was 0\.0 and is 0\.5"):
        runs.begin(Lineage.open(one), load_plan(one.plan), quiet, restart=False)


def test_what_may_no_longer_be_learned_is_not_learned_by_a_run_in_flight(one: Home, tmp_path: Path) -> None:
    main(["pin"])
    (tmp_path / "secret.md").write_text("The word of the vault is zanzibar.\n")
    (tmp_path / "more.md").write_text("The tower is painted white and red.\n")
    sums = {name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("notes.md", "secret.md")}
    listed = one.root / "list"

    def begin(
        sources: str, names: str = "notes.md secret.md", told: Told = quiet, *, restart: bool = False
    ) -> runs.Run:
        listed.write_text("".join(f"{sums[name]}  {name}\n" for name in names.split()))
        chosen = [f"data.sources={json.dumps(sources.split())}", 'data.whitelist="list"']
        return runs.begin(Lineage.open(one), load_plan(one.plan, chosen), told, restart=restart)

    both = "../notes.md ../secret.md"
    begin(both)
    assert begin(both).resumed
    with pytest.raises(PlanError, match=r"\.\./secret\.md is no source any more, and g4 was begun with it") as dropped:
        begin("../notes.md")
    with pytest.raises(PlanError, match="list was changed since g4 was begun"):
        begin(both, "notes.md")
    assert "--restart" in dropped.value.hint
    events: list[Event] = []
    begin(f"{both} ../more.md", told=events.append)
    assert events[-1].text == "going on with g4, begun before; ../more.md waits for the next"
    time.sleep(0.02)
    (tmp_path / "notes.md").write_bytes((tmp_path / "notes.md").read_bytes())
    begin(both, told=events.append)
    assert events[-1].text.startswith("written since, and not read by g4: notes.md; `germline evolve --restart`")
    assert begin("../notes.md", "notes.md", restart=True).delta.train_rows == 1
    listed.write_text(f"# the notes\n{listed.read_text()}")
    plan = load_plan(one.plan, ['data.sources=["../notes.md"]', 'data.whitelist="list"'])
    assert runs.begin(Lineage.open(one), plan, quiet, restart=False).resumed, "a comment lists nothing"
    listed.unlink()
    for restart in (False, True):
        with pytest.raises(PlanError, match=r"data\.whitelist: .*list cannot be read"):
            runs.begin(Lineage.open(one), plan, quiet, restart=restart)


def test_a_wrong_path_to_probes_or_cards_is_told_before_a_run_is_begun(one: Home) -> None:
    main(["pin"])
    for wrong in ('exams.probes="no.txt"', 'exams.cards="no.toml"'):
        with pytest.raises(PlanError, match=r"no\.t"):
            runs.begin(Lineage.open(one), load_plan(one.plan, [wrong]), quiet, restart=False)
        assert not list(one.runs.iterdir())


def test_an_unfinished_run_outlives_a_restart_that_cannot_begin(
    one: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main(["pin"])
    (tmp_path / "notes.md").write_text("The tower is painted white and red.\n")
    plan = load_plan(one.plan, ['data.sources=["../notes.md"]'])

    def begin(wanted: Plan, *, restart: bool) -> runs.Run:
        return runs.begin(Lineage.open(one), wanted, quiet, restart=restart)

    directory = begin(plan, restart=False).directory
    (directory / "checkpoint-15").write_bytes(b"hours of work")
    for wrong in ('data.sources=["../typo"]', 'exams.probes="typo"', 'data.whitelist="typo"'):
        with pytest.raises(GermlineError):
            begin(load_plan(one.plan, ['data.sources=["../notes.md"]', wrong]), restart=True)
        assert begin(plan, restart=False).resumed and (directory / "checkpoint-15").exists()
    with monkeypatch.context() as cut:  # a kill: nothing is tidied up
        cut.setattr(runs, "_put_back", lambda *_: None)
        cut.setattr(runs.delta, "read_new", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            begin(plan, restart=True)
    assert not directory.exists()
    assert begin(plan, restart=False).resumed and (directory / "checkpoint-15").exists()
    assert not begin(plan, restart=True).resumed and not (directory / "checkpoint-15").exists()
    assert [path.name for path in one.runs.iterdir() if path.is_dir()] == [directory.name]


def test_files_that_cannot_be_read_are_named(one: Home, tmp_path: Path) -> None:
    main(["pin"])
    folder = tmp_path / "mixed"
    folder.mkdir()
    for place in range(5):
        (folder / f"{place}.csv").write_text("a,b\n")
    (folder / "old.md").write_bytes("Die Höhe beträgt 37 Meter.\n".encode("latin-1"))
    (folder / "chat.jsonl").write_text('{"text": "The tower is tall."}\n', encoding="utf-16")
    (folder / "list.json").write_text('[{"speaker": "me", "says": "Hello?"}, {"speaker": "you", "says": "Yes."}]')
    plan = load_plan(one.plan, ['data.sources=["../mixed"]'])
    with pytest.raises(NothingNew) as failure:
        runs.begin(Lineage.open(one), plan, quiet, restart=False)
    assert "2 not UTF-8: mixed/chat.jsonl, mixed/old.md" in failure.value.message
    assert "5 unknown file type: mixed/0.csv, mixed/1.csv, mixed/2.csv, …" in failure.value.message
    assert "2 unknown shape: mixed/list.json:1, mixed/list.json:2" in failure.value.message
    assert '{"messages": [{"role"' in failure.value.hint
    assert "save it as UTF-8" in failure.value.hint and ".law, .json, .jsonl" in failure.value.hint
    assert "pdftotext" in failure.value.hint
    (folder / "new.md").write_text("The tower is painted white and red.\n")
    events: list[Event] = []
    runs.begin(Lineage.open(one), plan, events.append, restart=False)
    (books,) = (event for event in events if "files" in event.data)
    assert books.data["files"]["not UTF-8"] == ["mixed/chat.jsonl", "mixed/old.md"]
    told = [event.text for event in events]
    assert "2 not UTF-8: save it as UTF-8" in told, "the cure is told, though there is something to learn"


def test_rows_that_are_held_out_count_for_nothing_where_a_number_is_asked_for(one: Home, tmp_path: Path) -> None:
    """They reach no ancestor where nothing is learned, and would stand before the others for ever."""
    main(["pin"])
    texts = [f"And then the wind went round, {turns} times over." for turns in range(100)]
    held = [text for text in texts if is_held_out(Row(kind="text", source="a.md", position=1, text=text), 0.5)]
    learned = next(text for text in texts if text not in held)
    for place, text in enumerate([*held[:3], learned]):
        (tmp_path / f"n{place}.md").write_text(text)
    plan = load_plan(one.plan, ['data.sources=["../n*.md"]', "data.rows=1", "data.heldout=0.5"])
    delta = runs.begin(Lineage.open(one), plan, quiet, restart=False).delta
    assert (delta.train_rows, delta.heldout_rows) == (1, 3)


def test_an_ancestor_whose_rows_are_damaged_has_no_more_children(one: Home) -> None:
    main(["pin"])
    lineage = Lineage.open(one)
    rows = lineage.path(lineage.head, TRAIN)
    rows.chmod(0o644)
    rows.write_bytes(rows.read_bytes().replace(b"e", b"3", 1))
    with pytest.raises(StoreDamaged, match=r"is not the delta/train\.jsonl of g1"):
        runs.begin(lineage, load_plan(one.plan), quiet, restart=False)
    assert not list(one.runs.iterdir())


def test_a_file_that_changed_while_its_first_rows_were_read_is_not_learned(
    one: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`data.rows` ends the reading within the file; what was allowed is all of it."""
    main(["pin"])

    def read(*args: object, **options: object) -> Iterator[Row]:
        for place in range(1, 4):
            yield Row(kind="text", source="notes.md", position=place, text=f"The tower has {place} lamps.")
        raise DataError("notes.md is not on the whitelist")

    monkeypatch.setattr(delta, "read", read)
    (tmp_path / "home" / "list").write_text("")
    one.plan.write_text(one.plan.read_text().replace("[data]\n", "[data]\nrows = 1\n"))
    runs.end(one, runs.begin(Lineage.open(one), load_plan(one.plan), quiet, restart=False))
    one.plan.write_text(one.plan.read_text().replace("[data]\n", '[data]\nwhitelist = "list"\n'))
    with pytest.raises(DataError, match="is not on the whitelist"):
        runs.begin(Lineage.open(one), load_plan(one.plan), quiet, restart=False)


def test_where_all_that_is_new_is_held_out_it_says_so(one: Home, tmp_path: Path) -> None:
    main(["pin"])
    texts = (f"And then the wind went round, {turns} times over." for turns in range(100))
    notes = [Row(kind="text", source="", position=1, text=text) for text in texts]
    held = next(note for note in notes if int(note.content_digest[7:15], 16) < 2**31)
    (tmp_path / "notes.md").write_text(held.text, encoding="utf-8")
    one.plan.write_text(one.plan.read_text().replace("heldout = 0.0", "heldout = 0.5"))
    with pytest.raises(NothingNew, match=r"of 1 rows none is learned \(1 held out\)") as failure:
        runs.begin(Lineage.open(one), load_plan(one.plan), quiet, restart=False)
    assert "data.heldout=0" in failure.value.hint
    assert not list(one.runs.iterdir())


# --- checkpoint, verify, keys -------------------------------------------------------------------------


def test_a_checkpoint_line_finds_an_older_copy(one: Home, tmp_path: Path, capsys: Captured) -> None:
    older = Home(Path(shutil.copytree(one.root, tmp_path / "older")))
    main(["rollback", "g2"])
    capsys.readouterr()
    assert main(["checkpoint"]) == 0
    line = capsys.readouterr().out.strip()
    assert line.startswith(f"germline-checkpoint {one.charter.id} 5 sha256:")
    forget()
    assert main(["verify", "--checkpoint", line]) == 0
    assert capsys.readouterr().out.startswith("whole: ")
    assert main(["--home", str(older.root), "verify"]) == 4
    forget()
    assert main(["--home", str(older.root), "verify"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith(", unwitnessed since entry 0")
    assert main(["--home", str(older.root), "verify", "--checkpoint", line]) == 4
    assert "ledger/000005.json is missing, though it was seen" in capsys.readouterr().out
    assert main(["verify", "--checkpoint", "germline"]) == 2
    assert main(["verify", "--checkpoint", line[:-1] + ("0" if line[-1] != "0" else "1")]) == 4


def test_an_empty_checkpoint_is_none(one: Home, capsys: Captured) -> None:
    """As `--checkpoint "$(tail -1 missing.txt)"` gives it."""
    assert main(["verify", "--checkpoint", ""]) == 2
    assert "this is no checkpoint line" in capsys.readouterr().err


def test_a_broken_witness_is_got_over_with_a_checkpoint(
    one: Home, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    main(["checkpoint"])
    line = capsys.readouterr().out.strip()
    path = witness.path_of(one)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"{}")
    assert main(["log"]) == 4
    assert "if `germline verify --checkpoint` is content, remove" in capsys.readouterr().err
    assert main(["verify"]) == 4
    assert capsys.readouterr().out.startswith(f"{path.as_posix()} is no witness; ")
    assert main(["verify", "--checkpoint", line]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("whole: ") and told.err.startswith(f"{path.as_posix()} is no witness; ")
    monkeypatch.setitem(sys.modules, "germline.remerge", SimpleNamespace(remerge=lambda *_: []))
    assert main(["verify", "--deep", "--json", "--checkpoint", line]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["whole"] and told["report"]["notes"][0]["path"] == path.as_posix()
    path.unlink()
    assert main(["log"]) == 0


def test_keys_are_made_and_listed(one: Home, capsys: Captured) -> None:
    assert main(["keys", "--new"]) == 0
    (made,) = [line for line in capsys.readouterr().out.splitlines() if line.endswith("(new)")]
    public, path, _ = made.split()
    assert keys.path_of(public) == Path(path)
    assert main(["keys", "--json"]) == 0
    assert {"public": public, "file": path, "new": False} in json.loads(capsys.readouterr().out)["keys"]


def test_keys_are_listed_with_the_files_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("GERMLINE_CONFIG", str(tmp_path))
    own = keys.path_of(keys.make())
    backup, broken = own.with_name("backup.pem"), own.with_name("broken.pem")
    own.rename(backup)
    broken.touch(0o600)
    assert main(["keys"]) == 0
    told = capsys.readouterr()
    assert [line.split()[1] for line in told.out.splitlines()] == [str(backup)]
    assert f"{broken} is no Ed25519 private key: restore it" in told.err
    assert f"{backup} does not sign under this name: call it {own.name}" in told.err
    shutil.copy(backup, own)
    assert main(["keys"]) == 0
    told = capsys.readouterr()
    assert sorted(line.split()[1] for line in told.out.splitlines()) == sorted([str(own), str(backup)])
    assert "does not sign" not in told.err
