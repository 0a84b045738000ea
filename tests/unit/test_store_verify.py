"""verify finds every damage, names the file, and takes nothing whole for damaged."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from germline.errors import GermlineError
from germline.records import Digest, canonical_json
from germline.store import disk, generations, ledger, objects
from germline.store.generations import Manifest
from germline.store.home import Home
from germline.store.verify import Report, verify
from tests.conftest import forget


def grow(home: Home, number: int, parent: Digest | None) -> Digest:
    """One generation: founder weights are an object, later ones lie in the cache."""
    files = {
        "exam.json": objects.put(home, canonical_json({"exam": number})),
        "adapter/weights.safetensors": objects.put(home, b"adapter %d" % number),
        "law.md": objects.put(home, b"be kind"),
    }
    staged = disk.temporary_path(home.runs)
    with disk.new_file(staged) as file:
        file.write(b"weights %d" % number)
    if parent is None:
        weights = files["model.safetensors"] = objects.put_file(home, staged, move=True)
    else:
        weights = objects.put_in_cache(home, staged)
    return generations.commit(home, Manifest(parent=parent, files=files, weights=weights))


def build(root: Path) -> Home:
    home = Home.create(root, "aria")
    parent: Digest | None = None
    for number in range(3):
        parent = grow(home, number, parent)
        ledger.append(home, "promoted" if number else "founded", parent, number, {"n": number})
    return home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return build(tmp_path / "home")


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    yield build(tmp_path_factory.mktemp("pristine") / "home")


def held(home: Home) -> list[str]:
    return sorted(p.relative_to(home.root).as_posix() for p in home.root.rglob("*") if p.is_file())


def told(report: Report) -> str:
    return "\n".join(f"{problem.path} {problem.what}" for problem in report.problems)


def overwrite(path: Path, data: bytes) -> None:
    path.unlink()
    path.write_bytes(data)


def test_a_whole_lineage_has_no_problems(home: Home) -> None:
    seen: list[tuple[Path, int]] = []
    report = verify(home, lambda path, size: seen.append((path, size)))
    assert report == Report(
        files=17, bytes=sum(size for _, size in seen), problems=(), leftovers=0, pending=0, unwitnessed=None
    )
    assert sorted(path.relative_to(home.root).as_posix() for path, _ in seen) == held(home)
    assert all(path.stat().st_size == size for path, size in seen)


def test_what_the_owner_keeps_beside_it_is_not_verified(home: Home) -> None:
    home.plan.write_text("")
    (home.root / "notes").mkdir()
    (home.root / "notes" / "a.md").write_text("mine")
    assert verify(home).problems == ()


def test_the_cache_may_be_emptied(home: Home) -> None:
    shutil.rmtree(home.cache)
    assert verify(home).problems == ()


def test_leftovers_are_counted_and_are_no_damage(home: Home) -> None:
    for directory in (home.objects, home.ledger, home.generations, home.cache, next(home.objects.iterdir())):
        disk.temporary_path(directory).write_bytes(b"half a fi")
    report = verify(home)
    assert (report.problems, report.leftovers) == ((), 5)


def test_what_a_run_has_not_yet_named_is_pending(home: Home) -> None:
    head = ledger.head(ledger.entries(home))
    run = home.runs / "g9"
    disk.make_directory(run)
    digest = grow(home, 3, head)
    report = verify(home)
    assert (report.problems, report.pending) == ((), 1)
    unnamed = objects.put(home, b"not in a manifest yet")
    assert verify(home).pending == 2
    disk.remove_tree(home.root, run)
    problems = verify(home).problems
    assert {problem.path for problem in problems} == {
        f"generations/{digest[7:]}.json",
        objects.path_of(home, unnamed.digest).relative_to(home.root).as_posix(),
    }
    assert {problem.what for problem in problems} == {"is named by nothing"}


def test_damage_says_what_the_file_was(home: Home) -> None:
    founder, _, newest = (digest for _, digest in ledger.born(ledger.entries(home)))
    exam = generations.load(home, newest).files["exam.json"]
    law = generations.load(home, founder).files["law.md"]
    overwrite(objects.path_of(home, exam.digest), b"{}")
    objects.path_of(home, law.digest).unlink()
    generations.manifest_path(home, founder).unlink()
    text = told(verify(home))
    assert f"{exam.digest[7:]} (g2 exam.json) is not what was put there: its bytes hash to sha256:44136f" in text
    assert f"{law.digest[7:]} (g1 law.md) is missing" in text
    assert f"generations/{founder[7:]}.json is missing, though ledger/000000.json names it" in text


def test_every_damage_is_found_in_one_go(home: Home) -> None:
    overwrite(ledger.entry_path(home, 0), b"?")
    ledger.entry_path(home, 1).unlink()
    (home.ledger / "notes").mkdir()
    (home.objects / "zz").touch()
    (home.cache / "00").symlink_to(home.objects)
    shutil.rmtree(home.generations)
    problems = {problem.path for problem in verify(home).problems}
    named = {
        "ledger/000000.json",
        "ledger/000001.json",
        "ledger/notes",
        "objects/zz",
        "cache/00",
        "generations",
    }
    assert named <= problems


def test_what_cannot_be_read_is_reported(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    victim, read_bytes = ledger.entry_path(home, 1), Path.read_bytes

    def fail(path: Path) -> bytes:
        if path == victim:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", fail)
    assert "ledger/000001.json cannot be read: Input/output error" in told(verify(home))


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux only")
def test_a_name_that_is_no_text_can_be_told(home: Home) -> None:
    Path(os.fsdecode(bytes(home.ledger) + b"/\xff")).touch()
    assert told(verify(home)).encode() == b"ledger/\\udcff is named by nothing"


def test_a_wrong_size_in_a_manifest_is_found(home: Home) -> None:
    reference = objects.put(home, b"four")
    manifest = Manifest(parent=None, files={"a": objects.FileRef(reference.digest, 5)}, weights=reference)
    disk.write_new(generations.manifest_path(home, manifest.id), canonical_json(manifest))
    ledger.append(home, "refused", manifest.id, 3, {})
    assert "(g3 a) has 4 bytes, and its manifest says 5" in told(verify(home))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_links_and_pipes_are_found_and_not_opened(home: Home) -> None:
    for path, replacement in [(home.identity, "link"), (ledger.entry_path(home, 2), "pipe")]:
        copy = home.root / f"copy of {path.name}"
        path.rename(copy)
        copy_into = path.symlink_to if replacement == "link" else lambda _, path=path: os.mkfifo(path)
        copy_into(copy)
    report = told(verify(home))
    assert "lineage.json is not a regular file" in report
    assert "ledger/000002.json is not a regular file" in report


NAMES = st.sampled_from(["x", "0" * 64, "f" * 64 + ".json", "000003.json", "000001.json~", ".hidden", "é"])


@settings(max_examples=250)
@given(data=st.data())
def test_any_single_damage_is_reported_by_name(pristine: Home, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        home = Home(Path(shutil.copytree(pristine.root, Path(scratch) / "home")))
        victim = data.draw(st.sampled_from(held(home)))
        path, content = home.root / victim, (home.root / victim).read_bytes()
        blamed = {victim}
        damage = data.draw(
            st.sampled_from(["flip", "truncate", "extend", "delete", "rename", "exchange", "add", "link"])
        )
        if damage == "flip":
            bit = data.draw(st.integers(0, 8 * len(content) - 1))
            changed = bytearray(content)
            changed[bit // 8] ^= 1 << bit % 8
            overwrite(path, bytes(changed))
        elif damage == "truncate":
            overwrite(path, content[: data.draw(st.integers(0, len(content) - 1))])
        elif damage == "extend":
            overwrite(path, content + data.draw(st.binary(min_size=1, max_size=5)))
        elif damage == "delete":
            path.unlink()
            if victim == "ledger/000002.json":  # a shorter ledger, to which the examples before this may be no witness
                blamed = {f"generations/{ledger.head(ledger.entries(pristine))[7:]}.json"}
        elif damage == "rename":
            renamed = path.with_name(data.draw(NAMES.filter(lambda name: name != path.name)))
            path.rename(renamed)
            blamed.add(renamed.relative_to(home.root).as_posix())
        elif damage == "exchange":
            other = home.root / data.draw(st.sampled_from([name for name in held(home) if name != victim]))
            overwrite(path, other.read_bytes())
            overwrite(other, content)
        elif damage == "add":
            added = path.with_name(data.draw(NAMES))
            if added.parent == home.root or added.exists():
                return
            added.write_bytes(data.draw(st.sampled_from([content, b"", b"{}"])))
            blamed = {added.relative_to(home.root).as_posix()}
        elif damage == "link":
            path.rename(Path(scratch) / "away")
            path.symlink_to(Path(scratch) / "away")
        report = told(verify(home))
        if damage == "delete" and victim.startswith("cache/"):
            assert report == ""
        else:
            assert any(name in report for name in blamed), (damage, victim, report)


# --- stopped anywhere ---------------------------------------------------------------------------------


def evolve(home: Home) -> Digest:
    """What a run leaves behind, from its first object to the commit point; may be repeated."""
    history = ledger.entries(home)
    child = grow(home, 3, history[2].generation)
    if len(history) == 3:
        ledger.append(home, "promoted", child, 3, {})
    return child


def in_a_process_that_fails(home: Home, at: int, how: str) -> int:
    """Run `evolve` in a child whose nth touch of the home kills it, or fails once, or from then on.

    Exit status: 0 there is no nth touch, 1 an error of ours, 9 killed, 4 got through all the same, 2 a bug.
    """
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 2
    try:
        touched = 0
        watched = {"open", "os.link", "os.remove", "os.chmod", "os.mkdir", "os.rename"}

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal touched
            if event not in watched or not str(arguments[0]).startswith(str(home.root)):
                return
            touched += 1
            if how == "kill" and touched == at:
                os._exit(9)
            if touched == at or (how == "broken" and touched > at):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        sys.addaudithook(hook)
        evolve(home)
        status = 0 if touched < at else 4
    except GermlineError:
        status = 1
    finally:
        os._exit(status)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize("how", ["kill", "fails once", "broken"])
def test_a_run_stopped_anywhere_loses_nothing(pristine: Home, tmp_path: Path, how: str) -> None:
    shutil.copytree(pristine.root, tmp_path / "unharmed")
    expected = evolve(Home(tmp_path / "unharmed"))
    parent = ledger.head(ledger.entries(pristine))
    before = {name: (pristine.root / name).read_bytes() for name in held(pristine)}
    for at in range(1, 1000):
        forget()
        home = Home(Path(shutil.copytree(pristine.root, tmp_path / "home")))
        disk.make_directory(home.runs / "g9")
        status = in_a_process_that_fails(home, at, how)
        assert status in (0, 1, 4, 9), at
        report = verify(home)
        assert report.problems == (), at
        assert how != "fails once" or report.leftovers <= 1, at
        assert {name: (home.root / name).read_bytes() for name in before} == before
        assert ledger.head(ledger.entries(home)) in (parent, expected)
        assert evolve(home) == expected == ledger.head(ledger.entries(home))
        disk.remove_tree(home.root, home.runs / "g9")
        assert verify(home).problems == ()
        shutil.rmtree(home.root)
        if status == 0:
            break
    assert at > 50
