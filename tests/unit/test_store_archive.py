"""An archive is the same bytes each time, and nothing but an archive is ever restored."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import shutil
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from germline import verify_lineage
from germline.cli import main
from germline.errors import GermlineError, Interrupted, PlanError, StoreDamaged
from germline.lineage import Lineage
from germline.records import canonical_json
from germline.rollback import CannotMove, move
from germline.store import archive as archives
from germline.store import generations, ledger, objects, restore
from germline.store.archive import header
from germline.store.home import Home
from germline.store.objects import FileRef
from germline.store.prune import prune
from germline.store.verify import verify
from tests.conftest import forget
from tests.unit.small_lineage import bear, lighthouse

Captured = pytest.CaptureFixture[str]


def ignore(path: Path, size: int) -> None:
    pass


def pack(home: Home, name: str, path: Path) -> FileRef:
    return archives.archive(home, Lineage.open(home).resolve(name).digest, path, ignore)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return lighthouse(tmp_path_factory.mktemp("original") / "home")


@pytest.fixture
def home(original: Home, tmp_path: Path) -> Home:
    return Home(Path(shutil.copytree(original.root, tmp_path / "home")))


@pytest.fixture
def packed(home: Home, tmp_path: Path) -> Path:
    """g1 of four: what it leaves out are g2 and g3, which was refused."""
    (tmp_path / "cold").mkdir()
    path = tmp_path / "cold" / "g1.tar"
    pack(home, "g1", path)
    return path


def unpack(path: Path, root: Path, sha256: str | None = None) -> Home:
    return restore.restore(path, root, sha256, ignore)[0]


def test_the_same_bytes_each_time_and_their_hash_beside(home: Home, packed: Path, tmp_path: Path) -> None:
    made = pack(home, "g1", tmp_path / "again.tar")
    data = packed.read_bytes()
    assert (tmp_path / "again.tar").read_bytes() == data
    assert made == FileRef(f"sha256:{hashlib.sha256(data).hexdigest()}", len(data))
    assert packed.with_name("g1.tar.sha256").read_text() == f"{made.digest[7:]}  g1.tar\n"
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o222 == 0 for path in packed.parent.iterdir())
    again = unpack(packed, tmp_path / "restored")
    pack(again, "g1", tmp_path / "third.tar")
    assert (tmp_path / "third.tar").read_bytes() == data


@pytest.mark.parametrize("name", ["", "a\\b.tar", "a\nb.tar"])
def test_what_cannot_name_an_archive_is_refused(home: Home, tmp_path: Path, name: str) -> None:
    with pytest.raises(PlanError, match="cannot name an archive"):
        pack(home, "g1", tmp_path / name if name else Path())


def test_any_tar_reads_it(packed: Path, home: Home) -> None:
    with tarfile.open(packed) as tar:
        found = tar.getmembers()
        names = [member.name for member in found]
        assert names == sorted(names)
        assert {(m.type, m.mode, m.mtime, m.uid, m.uname) for m in found} == {(tarfile.REGTYPE, 0o444, 0, 0, "")}
        for member in found:
            file = tar.extractfile(member)
            assert file is not None
            if (home.root / member.name).exists():
                assert file.read() == (home.root / member.name).read_bytes()
    line = [digest for number, digest in ledger.born(ledger.entries(home)) if number in (0, 1)]
    assert {n for n in names if n.startswith("generations")} == {f"generations/{digest[7:]}.json" for digest in line}
    assert sum(name.startswith("ledger/") for name in names) == 5
    if shutil.which("tar"):
        listed = subprocess.run(["tar", "tf", packed], capture_output=True, text=True, check=True)
        assert listed.stdout.split() == names and not listed.stderr


def test_a_size_that_no_octal_holds_is_read_by_tar_too() -> None:
    for size in (0, 1, 8**11 - 1, 8**11, 9 << 40):
        found = tarfile.TarInfo.frombuf(header("objects/ab/" + "ab" * 32, size), "ascii", "strict")
        assert (found.size, found.name, found.mode, found.type) == (size, "objects/ab/" + "ab" * 32, 0o444, b"0")


def test_nothing_is_overwritten_and_nothing_is_put_inside(home: Home, packed: Path) -> None:
    before = packed.read_bytes()
    with pytest.raises(GermlineError, match="exists already"):
        pack(home, "g2", packed)
    packed.unlink()
    with pytest.raises(GermlineError, match="exists already"):
        pack(home, "g2", packed)
    assert not packed.exists() and before
    with pytest.raises(PlanError, match="inside the lineage"):
        pack(home, "g2", home.objects / "g2.tar")


def test_damage_is_never_archived(home: Home, tmp_path: Path) -> None:
    lineage = Lineage.open(home)
    path = lineage.path(lineage.resolve("g1"), "exam.json")
    path.chmod(0o644)
    path.write_bytes(b"EXAM 1")
    (tmp_path / "cold").mkdir()
    with pytest.raises(StoreDamaged, match="not what was put there"):
        pack(home, "g1", tmp_path / "cold" / "g1.tar")
    assert not list((tmp_path / "cold").iterdir())


def test_what_is_restored_is_verified_and_says_what_it_lacks(packed: Path, tmp_path: Path, capsys: Captured) -> None:
    home, report = restore.restore(packed, tmp_path / "restored", None, ignore)
    assert (report.problems, report.left_out) == ((), ("g2", "g3"))
    assert not (home.root / "verify_lineage.py").exists()
    assert main(["--home", str(home.root), "verify"]) == 0
    assert "NOT VERIFIED, because this archive does not hold them: g2, g3" in capsys.readouterr().out
    for line in ("log", "show g1", "diff g0 g1"):
        assert main(["--home", str(home.root), *line.split()]) == 0, line
    capsys.readouterr()
    assert main(["--home", str(home.root), "show", "g2"]) == 1
    assert "g2 is not in this archive" in capsys.readouterr().err


def test_a_restored_lineage_without_its_head_says_how_it_gets_one(home: Home, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "cold").mkdir()
    pack(home, "g0", tmp_path / "cold" / "g0.tar")
    assert main(["restore", str(tmp_path / "cold" / "g0.tar"), str(tmp_path / "restored")]) == 0
    assert "`germline rollback g0` makes g0 HEAD here" in capsys.readouterr().err
    assert main(["--home", str(tmp_path / "restored"), "show"]) == 1
    assert "germline rollback" in capsys.readouterr().err
    assert main(["--home", str(tmp_path / "restored"), "rollback", "g0"]) == 0
    assert main(["--home", str(tmp_path / "restored"), "show"]) == 0


def test_what_is_left_over_beside_a_restored_archive_can_be_pruned(packed: Path, tmp_path: Path) -> None:
    home = unpack(packed, tmp_path / "restored")
    left = objects.put(home, b"left over")
    assert [item.path for item in prune(home)] == [
        objects.place(home.objects, left.digest).relative_to(home.root).as_posix()
    ]
    assert verify(home).problems == ()


def test_an_archive_without_head_is_pruned_and_goes_on_from_what_it_holds(
    home: Home, tmp_path: Path, capsys: Captured
) -> None:
    move(home, "g2")
    pack(home, "g1", tmp_path / "g1.tar")
    back = unpack(tmp_path / "g1.tar", tmp_path / "restored")
    (tmp_path / "weights").write_bytes(b"weights 1")
    cached = objects.place(back.cache, objects.put_in_cache(back, tmp_path / "weights").digest)
    left = objects.place(back.objects, objects.put(back, b"left over").digest)
    at = ["--home", str(back.root)]
    assert main([*at, "prune", "--dry-run"]) == 0
    assert [item.path for item in prune(back, dry_run=True)] == [
        path.relative_to(back.root).as_posix() for path in (left, cached)
    ]
    with pytest.raises(CannotMove, match="HEAD is g2, not g0"):
        move(back, "g1", seen="g0")
    with pytest.raises(GermlineError, match="is not in this archive"):
        move(back, "g3")
    before, after = move(back, "g0", seen="g2")
    assert (before.name, after.name) == ("g2", "g0")
    capsys.readouterr()
    assert main([*at, "rollback", "g1"]) == 0
    assert capsys.readouterr().out == "HEAD is g1 (it was g0)\n"
    assert [entry.body["from"] for entry in ledger.entries(back)[-2:]] == [2, 0]
    prune(back)
    assert cached.exists() and not left.exists()
    assert both(back) == (set(), ("g2", "g3"))


def test_the_verifier_agrees_on_the_archive_and_on_what_came_of_it(packed: Path, tmp_path: Path) -> None:
    home = unpack(packed, tmp_path / "restored")
    with tarfile.open(packed) as tar:
        file = tar.extractfile("verify_lineage.py")
        assert file is not None
        (tmp_path / "verify_lineage.py").write_bytes(file.read())
    for place in (packed, home.root):
        line = [sys.executable, "-I", "-S", tmp_path / "verify_lineage.py", place]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert "NOT CHECKED, because this archive does not hold them: g2, g3" in done.stdout


# --- an archive.json that lies ------------------------------------------------------------------------


def rewritten(home: Home, **changes: object) -> None:
    value = json.loads(home.archive.read_bytes())
    home.archive.unlink()
    home.archive.write_bytes(canonical_json({**value, **changes}))


def both(home: Home) -> tuple[set[str], tuple[str, ...]]:
    """What is wrong and what is left out, on which both verifiers must agree."""
    forget()
    report, check = verify(home), verify_lineage.Check(home.root)
    left_out = check.run()
    problems = {problem.path for problem in report.problems}
    assert problems == {name for name, _ in check.problems}
    assert report.left_out == tuple(left_out)
    return problems, report.left_out


def test_an_archive_that_names_less_is_said_to_hold_less(packed: Path, tmp_path: Path) -> None:
    home = unpack(packed, tmp_path / "restored")
    (_, founder), (_, first), *_ = ledger.born(ledger.entries(home))
    rewritten(home, generation=founder)
    assert both(home) == (set(), ("g2", "g3"))  # g1 need not be there, but is, and is verified
    generations.manifest_path(home, first).unlink()
    problems, left_out = both(home)
    assert left_out == ("g1", "g2", "g3")
    assert all(name.startswith("objects/") for name in problems)  # which nothing names any more


@pytest.mark.parametrize("changes", [{"entries": 6}, {"entries": 0}, {"generation": "sha256:" + "0" * 64}, {"more": 1}])
def test_an_archive_json_that_cannot_be_is_damage(packed: Path, tmp_path: Path, changes: dict[str, object]) -> None:
    home = unpack(packed, tmp_path / "restored")
    rewritten(home, **changes)
    assert "archive.json" in both(home)[0]


def test_an_archive_json_excuses_nothing_that_came_later(packed: Path, tmp_path: Path) -> None:
    home = unpack(packed, tmp_path / "restored")
    grown = bear(home, 4, "promoted", right=10)
    assert both(home) == (set(), ("g2", "g3"))
    generations.manifest_path(home, grown).unlink()
    assert f"generations/{grown[7:]}.json" in both(home)[0]


def test_an_archive_json_in_a_whole_lineage_hides_no_changed_byte(home: Home, packed: Path, tmp_path: Path) -> None:
    shutil.copy(unpack(packed, tmp_path / "restored").archive, home.archive)
    assert both(home) == (set(), ())
    lineage = Lineage.open(home)
    path = lineage.path(lineage.resolve("g2"), "exam.json")
    path.chmod(0o644)
    path.write_bytes(b"exam X")
    assert both(home)[0] == {path.relative_to(home.root).as_posix()}


# --- what is not restored -----------------------------------------------------------------------------


def refused(path: Path, root: Path, match: str | None = None, sha256: str | None = None) -> None:
    before = sorted(root.parent.iterdir())
    with pytest.raises(GermlineError, match=match) as error:
        unpack(path, root, sha256)
    assert error.value.hint and "germline verify" not in error.value.hint  # there is no lineage yet
    assert sorted(root.parent.iterdir()) == before


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "there").mkdir()
    return tmp_path / "there" / "restored"


def test_the_hash_is_asked_first(packed: Path, target: Path) -> None:
    right = hashlib.sha256(packed.read_bytes()).hexdigest()
    refused(packed, target, "hashes to", "0" * 64)
    refused(packed, target, "is no SHA-256", right[:-1])
    beside = packed.with_name("g1.tar.sha256")
    beside.unlink()
    beside.write_text("f" * 64 + "  g1.tar\n")
    refused(packed, target, "hashes to")
    assert unpack(packed, target, right.upper()).root == target


def test_only_a_new_or_an_empty_directory_is_taken(packed: Path, target: Path) -> None:
    refused(packed.with_name("no.tar"), target, "is not a file")
    target.mkdir()
    (target / "mine").touch()
    refused(packed, target, "is not empty")
    (target / "mine").unlink()
    assert verify(unpack(packed, target)).problems == ()
    refused(packed, target, "is not empty")


def test_an_empty_directory_that_somebody_is_in_is_not_replaced(
    packed: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target.mkdir()
    monkeypatch.chdir(target)
    refused(packed, target, "cannot be replaced")
    refused(packed, Path(), "cannot be replaced")
    monkeypatch.chdir(target.parent)
    with monkeypatch.context() as mounted:
        mounted.setattr(os.path, "ismount", lambda path: path == target)
        refused(packed, target, "cannot be replaced")
    assert verify(unpack(packed, target)).problems == ()


def test_any_flipped_bit_and_any_cut_is_found_without_a_hash(packed: Path, target: Path) -> None:
    data = packed.read_bytes()
    packed.with_name("g1.tar.sha256").unlink()
    dice, changed = random.Random(1), packed.with_name("changed.tar")
    places = [dice.randrange(len(data)) for _ in range(40)]
    headers = [place for place in range(0, len(data), 512) if data[place + 257 : place + 262] == b"ustar"]
    headers = dice.sample(headers, min(25, len(headers)))
    places += [place + dice.randrange(512) for place in headers]
    for place in places:
        changed.write_bytes(data[:place] + bytes([data[place] ^ 1 << dice.randrange(8)]) + data[place + 1 :])
        refused(changed, target)
    for length in [dice.randrange(len(data)) for _ in range(10)] + list(range(0, len(data), 8192)):
        changed.write_bytes(data[:length])
        refused(changed, target)
    for more in (b"\0", bytes(512), b"more"):
        changed.write_bytes(data + more)
        refused(changed, target)


def member(name: str, data: bytes = b"", **fields: object) -> Callable[[tarfile.TarFile], None]:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o444
    for field, value in fields.items():
        setattr(info, field, value)
    return lambda tar: tar.addfile(info, io.BytesIO(data))


HOSTILE = {
    "a link": member("lineage.json", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "a hard link": member("lineage.json", type=tarfile.LNKTYPE, linkname="archive.json"),
    "a device": member("lineage.json", type=tarfile.CHRTYPE, devmajor=1, devminor=5),
    "a pipe": member("lineage.json", type=tarfile.FIFOTYPE),
    "a directory": member("ledger", type=tarfile.DIRTYPE),
    "a way out": member("../lineage.json", b"{}"),
    "an absolute way": member("/tmp/lineage.json", b"{}"),
    "a way out inside": member("objects/../../lineage.json", b"{}"),
    "a name of nothing": member("germline.toml", b""),
    "a program": member("objects/run.py", b"import os"),
    "a long name": member("objects/" + "a/" * 200 + "b", b""),
    "a wrong place": member("objects/ab/" + "cd" * 32, b""),
    "a private key": member("keys/0123456789abcdef.pem", b"-----BEGIN"),
    "an owner": member("zzz.json", b"{}", uname="root"),
    "another mode": member("lineage.json", b"{}", mode=0o4755),
    "another time": member("lineage.json", b"{}", mtime=1),
    "a backslash": member("..\\lineage.json", b"{}"),
}


@pytest.mark.parametrize("how", ["posix", "gnu"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_tar_that_germline_did_not_write_is_refused_whole(tmp_path: Path, target: Path, kind: str, how: str) -> None:
    path = tmp_path / "hostile.tar"
    form = tarfile.PAX_FORMAT if how == "posix" else tarfile.GNU_FORMAT
    with tarfile.open(path, "w", format=form) as tar:
        HOSTILE[kind](tar)
    refused(path, target, "is no archive of germline from byte 0 on")


def crafted(path: Path, files: list[tuple[str, bytes]]) -> Path:
    """A tar in the very form of an archive."""
    cells = [header(name, len(data)) + data + bytes(-len(data) % 512) for name, data in files]
    path.write_bytes(b"".join(cells) + bytes(1024))
    return path


def contents(path: Path) -> list[tuple[str, bytes]]:
    with tarfile.open(path) as tar:
        return [(info.name, tar.extractfile(info).read()) for info in tar]  # type: ignore[union-attr]


def test_a_tar_in_our_form_that_holds_no_whole_lineage_is_refused(
    packed: Path, tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, path = contents(packed), tmp_path / "crafted.tar"
    assert crafted(path, files).read_bytes() == packed.read_bytes()
    for place in (0, 1, 2, 6, 7, 8, 12, len(files) - 2, len(files) - 1):
        name, data = files[place]
        refused(crafted(path, files[:place] + files[place + 1 :]), target)
        refused(crafted(path, [*files[:place], (name, data + b" "), *files[place + 1 :]]), target)
        refused(crafted(path, [*files[: place + 1], *files[place:]]), target, "is no archive of germline")
    refused(crafted(path, files[::-1]), target, "is no archive of germline")
    refused(crafted(path, []), target, "does not hold the verify_lineage.py")
    monkeypatch.setattr(restore, "LONGEST", 10)
    refused(packed, target, "more than any lineage has")


def test_a_header_that_promises_more_than_there_is_is_refused(packed: Path, tmp_path: Path, target: Path) -> None:
    for size in (1 << 33, 1 << 60, (1 << 88) - 1):
        path = tmp_path / "huge.tar"
        path.write_bytes(header("archive.json", size) + bytes(2048))
        refused(path, target, "is cut short")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, target: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tar")
    refused(tmp_path / "pipe.tar", target, "is not a file")


def test_stopped_midway_nothing_is_left(packed: Path, target: Path) -> None:
    for stop in range(1, 12, 3):
        count = 0

        def on_file(path: Path, size: int, stop: int = stop) -> None:
            nonlocal count
            count += 1
            if count == stop:
                raise Interrupted("now")

        with pytest.raises(Interrupted):
            restore.restore(packed, target, None, on_file)
        assert not list(target.parent.iterdir())


def test_where_more_was_seen_an_archive_is_looked_at_elsewhere(
    home: Home, packed: Path, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bear(home, 4, "promoted", right=10)
    refused(packed, target, r"ledger/000005\.json is missing, though it was seen")
    monkeypatch.setenv("GERMLINE_CONFIG", str(tmp_path / "elsewhere"))
    assert Lineage.open(unpack(packed, target)).head.number == 1


def test_the_commands(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--home", "home", "archive", "g1"]) == 0
    digest, name = capsys.readouterr().out.splitlines()[0].split("  ")
    assert hashlib.sha256(Path(name).read_bytes()).hexdigest() == digest
    assert main(["restore", name, "back", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["left_out"], told["key_is_here"]) == (["g2", "g3"], True)
    monkeypatch.setenv("GERMLINE_CONFIG", str(tmp_path / "elsewhere"))
    assert main(["restore", name, "abroad"]) == 0
    assert "to grow it on, copy its key file to" in capsys.readouterr().err
    assert main(["restore", name, "back"]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert objects.hash_file(Path(name)).digest[7:] == digest
