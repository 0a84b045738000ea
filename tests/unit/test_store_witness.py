"""The witness outside a lineage: raised by all who look, lowered by nobody, and heard before anything is written."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from germline.errors import GermlineError, PlanError, StoreDamaged
from germline.lineage import Lineage
from germline.records import canonical_json, digest_of
from germline.store import disk, generations, keys, ledger, witness
from germline.store.entry import Entry
from germline.store.generations import Manifest
from germline.store.home import Home
from germline.store.objects import FileRef
from germline.store.verify import verify
from tests.conftest import forget

FOUNDER = Manifest(parent=None, files={}, weights=FileRef(digest_of(b"w"), 1))
GENERATION = FOUNDER.id


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home.create(tmp_path / "home", "aria")
    generations.commit(home, FOUNDER)
    ledger.append(home, "founded", GENERATION, 0, {})
    for _ in range(3):
        ledger.append(home, "rolled_back", GENERATION, 0, {})
    return home


def cut(home: Home, sequence: int) -> None:
    while (path := ledger.entry_path(home, sequence)).exists():
        path.unlink()
        sequence += 1


def test_of_two_copies_that_grew_apart_the_other_is_named(home: Home) -> None:
    other = older_copy(home, 9)
    ledger.append(other, "rolled_back", GENERATION, 0, {})
    with pytest.raises(StoreDamaged, match="is missing, though it was seen") as raised:
        ledger.witnessed(home)
    assert str(other.root) in raised.value.message and "grown apart" in raised.value.hint
    shutil.rmtree(other.root)
    with pytest.raises(StoreDamaged) as raised:
        ledger.witnessed(home)
    assert str(other.root) not in raised.value.message and "restore the newest copy" in raised.value.hint


def test_a_witness_of_before_that_names_no_place_is_one(home: Home) -> None:
    last = ledger.entries(home)[-1]
    witness.path_of(home).unlink()
    disk.write_new(witness.path_of(home), canonical_json({"sequence": 3, "digest": last.digest}))
    assert witness.mark(home) == witness.Mark(sequence=3, digest=last.digest)


def older_copy(home: Home, sequence: int) -> Home:
    older = Home(Path(shutil.copytree(home.root, home.root.with_name("older"))))
    cut(older, sequence)
    return older


def test_appending_and_reading_raise_it(home: Home) -> None:
    last = ledger.entries(home)[-1]
    assert witness.mark(home) == witness.Mark(sequence=3, digest=last.digest)
    assert witness.path_of(home).read_bytes() == canonical_json(
        {"sequence": 3, "digest": last.digest, "home": str(home.root)}
    )
    forget()
    assert witness.mark(home) is None
    Lineage.open(home)
    assert witness.mark(home) == witness.Mark(sequence=3, digest=last.digest)
    witness.raise_to(home, ledger.entries(home)[1])
    assert witness.mark(home) == witness.Mark(sequence=3, digest=last.digest)


def test_an_older_copy_is_found_by_everyone_and_not_added_to(home: Home) -> None:
    older = older_copy(home, 2)
    assert len(ledger.entries(older)) == 2
    with pytest.raises(StoreDamaged, match=r"000003\.json is missing, though it was seen") as failure:
        Lineage.open(older)
    assert str(witness.path_of(home)) in failure.value.hint
    with pytest.raises(StoreDamaged, match="though it was seen"):
        ledger.append(older, "rolled_back", GENERATION, 0, {})
    assert len(ledger.entries(older)) == 2
    assert [problem.path for problem in verify(older).problems] == ["ledger/000003.json"]
    assert witness.mark(older) is not None


def test_a_fork_is_found(home: Home) -> None:
    older = older_copy(home, 2)
    forget()
    for _ in range(3):
        ledger.append(older, "rolled_back", GENERATION, 0, {"fork": True})
    with pytest.raises(StoreDamaged, match=r"000004\.json is missing"):
        Lineage.open(home)
    ledger_path = ledger.entry_path(older, 4)
    ledger_path.unlink()
    forget()
    Lineage.open(home)
    with pytest.raises(StoreDamaged, match=r"000003\.json is not the entry that was seen there"):
        Lineage.open(older)


def test_dying_between_the_entry_and_the_witness_is_harmless(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(witness, "raise_to", die)
        ledger.append(home, "rolled_back", GENERATION, 0, {})
    assert witness.mark(home) == witness.Mark(sequence=3, digest=ledger.entries(home)[3].digest)
    assert verify(home).unwitnessed == 4
    assert len(Lineage.open(home).entries) == 5
    assert ledger.append(home, "rolled_back", GENERATION, 0, {}).sequence == 5


def test_what_is_appended_while_one_reads_is_no_loss(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    read = ledger.entries

    def beaten(home: Home) -> tuple[Entry, ...]:
        found = read(home)
        monkeypatch.setattr(ledger, "entries", read)
        ledger.append(home, "rolled_back", GENERATION, 0, {})
        return found

    monkeypatch.setattr(ledger, "entries", beaten)
    assert len(Lineage.open(home).entries) == 4
    assert len(Lineage.open(home).entries) == 5


def test_without_a_witness_verify_says_so_and_begins_one(home: Home) -> None:
    forget()
    (home.objects / "stray").touch()
    assert (verify(home).unwitnessed, witness.mark(home)) == (0, None), "what is damaged is not vouched for"
    (home.objects / "stray").unlink()
    report = verify(home)
    assert (report.problems, report.unwitnessed) == ((), 0)
    assert verify(home).unwitnessed is None


def test_where_no_mark_can_be_kept_one_reads_and_does_not_append(home: Home) -> None:
    forget()
    (keys.configuration() / "witness").touch()
    assert len(Lineage.open(home).entries) == 4
    assert verify(home).unwitnessed == 0
    with pytest.raises(GermlineError, match="witness is not a directory"):
        ledger.append(home, "rolled_back", GENERATION, 0, {})
    assert len(ledger.entries(home)) == 4


def test_a_full_disk_after_the_entry_costs_only_the_mark(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise GermlineError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(disk, "replace", full)
        ledger.append(home, "rolled_back", GENERATION, 0, {})
    assert witness.mark(home) == witness.Mark(sequence=3, digest=ledger.entries(home)[3].digest)
    assert len(Lineage.open(home).entries) == 5


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b'{"digest":"x","sequence":1}', b'{"digest":"sha256:%s","sequence":-1}' % (b"0" * 64), b"[" * 9999],
)
def test_a_witness_that_is_none_is_not_ignored(home: Home, data: bytes) -> None:
    witness.path_of(home).write_bytes(data)
    for look in (Lineage.open, lambda home: ledger.append(home, "rolled_back", GENERATION, 0, {})):
        with pytest.raises(StoreDamaged, match="is no witness"):
            look(home)
    assert any("is no witness" in problem.what for problem in verify(home).problems)


def test_a_witness_that_cannot_be_looked_at_is_not_one_that_was_never_there(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, kept = os.lstat, str(witness.path_of(home))

    def forbidden(path: Path) -> os.stat_result:
        if str(path) == kept:
            raise PermissionError(errno.EACCES, "Permission denied")
        return plain(path)

    monkeypatch.setattr(os, "lstat", forbidden)
    with pytest.raises(GermlineError, match=r"witness.*Permission denied"):
        Lineage.open(home)
    assert any("Permission denied" in problem.what for problem in verify(home).problems)


def test_a_checkpoint_stands_in_for_a_witness_that_is_none(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = witness.read_checkpoint(home, witness.checkpoint(home, ledger.entries(home)))
    path = witness.path_of(home)
    path.write_bytes(b"{}")
    report = verify(home)
    assert ([problem.path for problem in report.problems], report.notes) == ([path.as_posix()], ())
    assert report.problems[0].what.startswith("is no witness; if `germline verify --checkpoint` is content, remove ")
    vouched = verify(home, checkpoint=mark)
    assert (vouched.problems, vouched.unwitnessed) == ((), None)
    assert vouched.notes == report.problems
    (home.objects / "stray").touch()
    assert [problem.path for problem in verify(home, checkpoint=mark).problems] == ["objects/stray"]
    (home.objects / "stray").unlink()

    def refused(_: Home) -> None:
        raise GermlineError(f"{path}: Permission denied", hint="check it") from PermissionError(13, "Permission denied")

    monkeypatch.setattr(witness, "mark", refused)
    (problem,) = verify(home).problems
    assert (problem.path, problem.what) == (path.as_posix(), "cannot be read: Permission denied; check it")
    assert verify(home, checkpoint=mark).notes == (problem,)


# --- the checkpoint line ------------------------------------------------------------------------------


def test_a_checkpoint_line_vouches_for_the_ledger_it_was_made_of(home: Home) -> None:
    line = witness.checkpoint(home, ledger.entries(home))
    word, lineage, sequence, digest, signature = line.split(" ")
    assert (word, lineage, sequence) == ("germline-checkpoint", home.charter.id, "3")
    assert digest == ledger.entries(home)[3].digest and keys.is_signature(signature)
    mark = witness.read_checkpoint(home, f"  {line}\n")
    older = older_copy(home, 3)
    forget()
    problems = verify(older, checkpoint=mark).problems
    assert [problem.path for problem in problems] == ["ledger/000003.json"]
    ledger.append(home, "rolled_back", GENERATION, 0, {})
    forget()
    report = verify(home, checkpoint=mark)
    assert (report.problems, report.unwitnessed) == ((), 4)


def test_a_line_that_was_altered_is_refused(home: Home, tmp_path: Path) -> None:
    line = witness.checkpoint(home, ledger.entries(home))
    parts = line.split(" ")
    for place, other in [(2, "2"), (3, ledger.entries(home)[2].digest), (4, "0" * 128)]:
        with pytest.raises(StoreDamaged, match=r"no key that lineage\.json names signed"):
            witness.read_checkpoint(home, " ".join([*parts[:place], other, *parts[place + 1 :]]))
    for broken in ("", "germline", line[:-1], line + "0", line + " x", line.replace("sha256", "md5")):
        with pytest.raises(PlanError, match="no checkpoint line"):
            witness.read_checkpoint(home, broken)
    other_home = Home.create(tmp_path / "other", "other")
    with pytest.raises(PlanError, match=f"of lineage {home.charter.id}"):
        witness.read_checkpoint(other_home, line)
    with pytest.raises(PlanError, match="no entry yet"):
        witness.checkpoint(other_home, ())


def test_a_checkpoint_needs_a_key(home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GERMLINE_CONFIG", str(tmp_path / "bare"))
    with pytest.raises(GermlineError, match=r"the trainer's key .* is not on this machine") as failure:
        witness.checkpoint(home, ledger.entries(home))
    assert "copy the key file" in failure.value.hint
