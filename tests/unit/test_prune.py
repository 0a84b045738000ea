"""Prune removes what no ledger entry reaches, all of it, and never anything else."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from germline.cli import main
from germline.errors import GermlineError, Locked, PlanError, StoreDamaged
from germline.lineage import Lineage
from germline.records import digest_of
from germline.store import disk, generations, ledger, lock, objects
from germline.store.generations import Manifest
from germline.store.home import Home
from germline.store.prune import Item, prune
from germline.store.verify import verify
from tests.unit.small_lineage import NOON, bear, lighthouse

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lighthouse(tmp_path_factory.mktemp("prune") / "home").root


@pytest.fixture
def home(original: Path, tmp_path: Path) -> Home:
    """g0; g1 is HEAD; g2, g3 refused, a child of g2. The cache holds the weights of g1, g2 and g3."""
    return Home(Path(shutil.copytree(original, tmp_path / "home")))


def tree(home: Home) -> dict[str, bytes]:
    files = (path for path in home.root.rglob("*") if path.is_file() and path.name != "lock")
    return {path.relative_to(home.root).as_posix(): path.read_bytes() for path in files}


def cached(home: Home, name: str) -> str:
    lineage = Lineage.open(home)
    path = objects.place(home.cache, lineage.resolve(name).manifest.weights.digest)
    return path.relative_to(home.root).as_posix()


# --- random lineages ----------------------------------------------------------------------------------


def digests_in(value: Any) -> Iterator[str]:
    """Every digest in a JSON value, found without germline's own reading."""
    if isinstance(value, str) and value.startswith("sha256:"):
        yield value.removeprefix("sha256:")
    elif isinstance(value, dict | list):
        for child in value.values() if isinstance(value, dict) else value:
            yield from digests_in(child)


def reached(files: dict[str, bytes]) -> set[str]:
    """The files of the lineage's record, and all that they name, directly or not."""
    found = {name for name in files if name in ("lineage.json", "germline.toml") or name.startswith("ledger/0")}
    waiting = sorted(found - {"germline.toml"})
    while waiting:
        for digest in digests_in(json.loads(files[waiting.pop()])):
            for name in (f"generations/{digest}.json", f"objects/{digest[:2]}/{digest}"):
                if name in files and name not in found:
                    found.add(name)
                    waiting += [name] if name.startswith("generations/") else []
    return found


def litter(home: Home, kind: str, number: int) -> None:
    """Something that no entry reaches."""
    data = b"litter %d" % number
    match kind:
        case "object":
            objects.put(home, data)
        case "generation":
            parent = ledger.head(ledger.entries(home)) if number % 2 else None
            file = objects.put(home, data)
            generations.commit(home, Manifest(parent=parent, files={"exam.json": file}, weights=file))
        case "weights":
            staged = disk.temporary_path(home.runs)
            staged.write_bytes(data)
            objects.put_in_cache(home, staged)
        case "run":
            (home.runs / f"g{100 + number}" / "delta").mkdir(parents=True)
            (home.runs / f"g{100 + number}" / "delta" / "train.jsonl").write_bytes(data)
        case _:
            place = home.root / kind
            place.mkdir(exist_ok=True)
            disk.temporary_path(place).write_bytes(data)


LITTER = ("object", "generation", "weights", "run", "objects", "objects/ab", "cache", "cache/0f", "generations", "runs")
deeds = st.one_of(
    st.sampled_from(["promoted", "refused", "inconclusive"]),
    st.tuples(st.just("back"), st.integers(0, 5)),
    st.tuples(st.just("names"), st.integers(0, 5)),
    st.tuples(st.sampled_from(LITTER), st.integers(0, 9)),
)


def do(home: Home, deeds: list[Any]) -> None:
    for place, deed in enumerate(deeds):
        entries = ledger.entries(home)
        if isinstance(deed, str):
            bear(home, 1 + max(entry.number for entry in entries), deed, right=5)
        elif deed[0] == "back":
            well = [entry for entry in entries if entry.kind in ("founded", "promoted")]
            to = well[deed[1] % len(well)]
            ledger.append(home, "rolled_back", to.generation, to.number, {}, NOON)
        elif deed[0] == "names":  # an entry may name what it means anywhere in its body
            named = objects.put(home, b"note %d" % deed[1]).digest
            loose = objects.put(home, b"exam %d" % (1_000 + place))
            whole = generations.commit(home, Manifest(parent=None, files={"exam.json": loose}, weights=loose))
            head = ledger.head(entries)
            number = next(entry.number for entry in entries if entry.generation == head)
            ledger.append(home, "rolled_back", head, number, {"noted": [named, {"also": whole}]}, NOON)
        elif not (deed[0] == "run" and (home.runs / f"g{100 + deed[1]}").exists()):
            litter(home, *deed)


@settings(max_examples=25)
@given(st.lists(deeds, max_size=7), st.integers(0, 3))
def test_whatever_an_entry_reaches_stays_and_all_else_goes(deeds: list[Any], keep_weights: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = lighthouse(Path(folder) / "home")
        do(home, deeds)
        before = tree(home)
        line = ledger.ancestors(home, ledger.head(ledger.entries(home)))[::-1][:keep_weights]
        weights = {objects.place(home.cache, generations.load(home, one).weights.digest) for one in line}
        kept = reached(before) | {path.relative_to(home.root).as_posix() for path in weights} & before.keys()
        shown = prune(home, keep_weights=keep_weights, dry_run=True)
        assert tree(home) == before
        assert prune(home, keep_weights=keep_weights) == shown
        assert tree(home) == {name: before[name] for name in kept}
        assert sum(item.size for item in shown) == sum(len(data) for name, data in before.items() if name not in kept)
        report = verify(home)
        assert (report.leftovers, report.pending) == (0, 0)
        strange = [problem for problem in report.problems if problem.path not in kept or "nothing" not in problem.what]
        assert strange == []  # what only a body names, verify calls unnamed
        assert "names" in str(deeds) or not report.problems
        assert prune(home, keep_weights=keep_weights) == []


# --- what stays ---------------------------------------------------------------------------------------


def test_only_the_weights_of_head_and_its_parent_stay_cached(home: Home) -> None:
    gone = {item.path for item in prune(home, dry_run=True)}
    assert gone == {cached(home, "g2"), cached(home, "g3")}
    assert {item.path for item in prune(home, keep_weights=0)} == gone | {cached(home, "g1")}


def test_a_run_that_can_go_on_stays_with_what_its_attempts_cost(home: Home) -> None:
    for name in ("g4", "g3", "g5"):
        (home.runs / name).mkdir(parents=True)
        (home.runs / name / "run.json").write_bytes(b"{}")
    (home.runs / "g4.spent.json").write_bytes(b"{}")
    runs = [item.path for item in prune(home) if item.path.startswith("runs/")]
    assert runs == ["runs/g3", "runs/g5"]
    assert sorted(path.name for path in home.runs.iterdir()) == ["g4", "g4.spent.json"]
    (home.runs / "g4" / "run.json").unlink()
    (home.runs / "g4-before").mkdir()
    (home.runs / "g4-before" / "run.json").write_bytes(b"{}")  # a restart had set it aside, and was killed
    assert [item.path for item in prune(home)] == ["runs/g4"]
    assert [path.name for path in home.runs.iterdir() if path.is_dir()] == ["g4-before"]
    (home.runs / "g4").mkdir()
    (home.runs / "g4" / "run.json").write_bytes(b"{}")  # the restart took its place
    assert [item.path for item in prune(home)] == ["runs/g4-before"]


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_what_germline_did_not_write_is_not_touched(home: Home, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "letter.txt").touch()
    name = "ab" + "0" * 62
    (home.objects / "ab").mkdir(exist_ok=True)
    (home.objects / "ab" / name).symlink_to(outside / "letter.txt")
    (home.objects / "cd").mkdir(exist_ok=True)
    for path in (
        home.objects / "cd" / name, home.objects / "notes.txt", home.generations / "g1.json", home.ledger / "old.txt",
        home.cache / name, home.objects / "cd" / f".tmp-{'0' * 15}", home.root / f".tmp-{'0' * 16}",
        home.runs / "notes" / "a.txt", home.runs / "g3-old" / "b.txt",
    ):  # fmt: skip
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"mine")
    (home.runs / "link").symlink_to(outside)
    (home.objects / "cd" / f".tmp-{'1' * 16}").mkdir()
    before = tree(home)
    gone = {item.path for item in prune(home)}
    assert gone == {path for path in before if path not in tree(home)}
    assert all(path.startswith("cache/") for path in gone)
    assert (outside / "letter.txt").exists() and (home.runs / "link").is_symlink()


def test_a_file_that_is_being_read_is_read_to_its_end(home: Home) -> None:
    if os.name == "nt":
        pytest.skip("Windows keeps the file instead")
    path = home.root / cached(home, "g3")
    with path.open("rb") as file:
        prune(home)
        assert not path.exists()
        assert digest_of(file.read()).endswith(path.name)


# --- what goes wrong ----------------------------------------------------------------------------------


def test_cut_short_anywhere_nothing_is_lost_and_the_rest_goes_next_time(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, kind in enumerate(LITTER):
        litter(home, kind, number)
    plan = prune(home, dry_run=True)
    whole = tree(home)
    kept = reached(whole) | {cached(home, "g1")}

    class Killed(BaseException):
        pass

    for stop in range(len(plan)):
        shutil.rmtree(home.root)
        for name, data in whole.items():
            (home.root / name).parent.mkdir(parents=True, exist_ok=True)
            (home.root / name).write_bytes(data)
        left = [stop]

        def counted(path: Path, remove: Any = disk.remove, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            remove(path)

        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(disk, "remove", counted)
            patch.setattr(disk, "remove_tree", lambda root, path, counted=counted: counted(path, shutil.rmtree))
            prune(home)
        missing = [problem for problem in verify(home).problems if "missing" in problem.what]
        assert missing == []
        assert kept <= tree(home).keys()
        assert [item.path for item in prune(home)] == [item.path for item in plan[stop:]]
        assert tree(home).keys() == kept


@pytest.mark.parametrize(
    "damage", ["manifest missing", "manifest edited", "entry edited", "entry missing", "end missing", "HEAD"]
)
def test_nothing_is_removed_from_a_lineage_that_cannot_be_read(home: Home, damage: str) -> None:
    refused = generations.manifest_path(home, Lineage.open(home).resolve("g3").digest)
    entry = ledger.entry_path(home, 2)
    if damage == "manifest missing":
        refused.unlink()
    elif damage == "HEAD":
        generations.manifest_path(home, Lineage.open(home).head.digest).unlink()
    elif damage == "entry missing":
        entry.unlink()
    elif damage == "end missing":  # what is left is whole in itself, and less than this machine has seen
        for sequence in (3, 4):
            ledger.entry_path(home, sequence).unlink()
    else:
        path = refused if "manifest" in damage else entry
        path.chmod(0o644)
        path.write_bytes(path.read_bytes().replace(b"1", b"2", 1))
    before = tree(home)
    with pytest.raises(StoreDamaged):
        prune(home)
    assert tree(home) == before


def test_a_lineage_without_a_founder_has_nothing_that_can_go(tmp_path: Path) -> None:
    home = Home.create(tmp_path / "new", "new")
    objects.put(home, b"weights of a founder to be")
    before = tree(home)
    with pytest.raises(PlanError, match="no generation yet"):
        prune(home)
    assert tree(home) == before


def test_prune_waits_for_no_one_and_disturbs_no_one(home: Home) -> None:
    before = tree(home)
    for dry_run in (True, False):
        with lock.hold(home), pytest.raises(Locked):
            prune(home, dry_run=dry_run)
    assert tree(home) == before


def test_what_another_process_keeps_is_named_and_the_rest_goes(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """As Windows has it: a file that is open cannot be removed. And one may go while we look."""
    kept, remove = home.root / cached(home, "g2"), disk.remove
    fleeting = disk.temporary_path(home.cache)
    fleeting.touch()

    def refusing(path: Path) -> None:
        if path == kept:
            raise GermlineError("it is open") from PermissionError(13, "it is open")
        if path == fleeting:
            path.unlink()
        remove(path)

    monkeypatch.setattr(disk, "remove", refusing)
    assert main(["--home", str(home.root), "prune"]) == 0
    told = capsys.readouterr()
    assert f"{cached(home, 'g2')} stays: another process is reading it" in told.err
    assert "in 2 places" in told.out
    assert kept.exists() and not (home.root / cached(home, "g3")).exists()


def test_a_disk_that_fails_is_an_error(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(path: Path) -> None:
        raise GermlineError("input/output error") from OSError(5, "input/output error")

    monkeypatch.setattr(disk, "remove", failing)
    with pytest.raises(GermlineError, match="input/output"):
        prune(home)


# --- the command --------------------------------------------------------------------------------------


def test_the_command_shows_removes_and_is_done(home: Home, capsys: Captured) -> None:
    assert main(["--home", str(home.root), "prune", "--dry-run"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[2] for line in told[:-1]] == sorted([cached(home, "g2"), cached(home, "g3")])
    assert told[-1] == "would free 18 bytes in 2 places"
    assert main(["--home", str(home.root), "prune", "--json", "--keep-weights", "1"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["dry_run"], shown["bytes"], len(shown["items"])) == (False, 18, 2)
    assert Item(**shown["items"][0]).what.startswith("merged weights")
    assert main(["--home", str(home.root), "prune"]) == 0
    assert capsys.readouterr().out == "nothing to do\n"
    assert verify(home).problems == ()
