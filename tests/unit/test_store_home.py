"""Making, opening and finding a lineage, and holding it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from germline.errors import GermlineError, Locked, NoLineage, StoreDamaged
from germline.records import canonical_json
from germline.store import disk, keys, lock
from germline.store.home import Home
from germline.store.verify import verify


@pytest.fixture(autouse=True)
def _no_home_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GERMLINE_HOME", raising=False)


def test_a_new_lineage_is_empty_and_whole(tmp_path: Path) -> None:
    home = Home.create(tmp_path / "aria", "Aria")
    written = json.loads(home.identity.read_bytes())
    assert written == {
        "format": 1, "name": "Aria", "id": home.charter.id, "keys": {"trainer": home.charter.keys["trainer"]},
        "threshold": 1,
    }  # fmt: skip
    assert re.fullmatch("[0-9a-f]{32}", written["id"]) and keys.is_here(written["keys"]["trainer"])
    assert (home.name, Home.open(home.root)) == ("Aria", home)
    assert [path.name for path in (home.plan, home.lock)] == ["germline.toml", "lock"]
    report = verify(home)
    assert (report.problems, report.files, report.bytes) == ((), 1, home.identity.stat().st_size)


def test_a_directory_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "notes.txt").touch()
    with pytest.raises(GermlineError, match=r"is not empty: it holds notes\.txt") as failure:
        Home.create(tmp_path, "aria")
    assert failure.value.hint
    (tmp_path / "notes.txt").unlink()
    Home.create(tmp_path, "aria")
    with pytest.raises(GermlineError, match=r"a lineage in .* already"):
        Home.create(tmp_path, "aria")


def test_an_interrupted_create_can_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(disk, "write_new", interrupted)
        Home.create(tmp_path, "aria")
    with pytest.raises(NoLineage):
        Home.open(tmp_path)
    Home.create(tmp_path, "aria")


@pytest.mark.parametrize("moment", ["germline.store.home._is_foreign", "germline.store.keys.make"])
def test_of_two_creates_at_once_the_slower_is_told_of_a_lineage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    (tmp_path / "objects").mkdir()  # as the quicker one has begun

    def beaten(*args: object) -> str:
        patch.undo()
        Home.create(tmp_path, "first")
        return keys.make()

    with monkeypatch.context() as patch, pytest.raises(GermlineError, match=r"a lineage in .* already") as failure:
        patch.setattr(moment, beaten)
        Home.create(tmp_path, "second")
    assert failure.value.hint == "germline log shows it"
    assert Home.open(tmp_path).name == "first" and not list(tmp_path.glob(".tmp-*"))


@pytest.mark.parametrize("name", ["", "  ", "two\nlines"])
def test_a_name_is_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(GermlineError, match="cannot be a lineage's name"):
        Home.create(tmp_path, name)


def test_the_nearest_lineage_upward_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home.create(tmp_path / "aria", "aria")
    below = home.root / "notes" / "deep"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert Home.find() == home
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NoLineage, match="or above it") as failure:
        Home.find()
    assert "germline init" in failure.value.hint


def test_an_explicit_home_is_meant_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Home.create(tmp_path / "first", "first")
    second = Home.create(tmp_path / "second", "second")
    (first.root / "below").mkdir()
    monkeypatch.chdir(first.root)
    monkeypatch.setenv("GERMLINE_HOME", str(second.root))
    assert Home.find() == second
    assert Home.find(first.root) == first
    assert Home.find(Path("..") / "first") == first
    with pytest.raises(NoLineage):
        Home.find(first.root / "below")
    monkeypatch.setenv("GERMLINE_HOME", "")
    assert Home.find() == first


def test_a_newer_format_asks_for_a_newer_germline(tmp_path: Path) -> None:
    (tmp_path / "lineage.json").write_bytes(b'{"format":2,"more":1,"name":"aria"}')
    with pytest.raises(GermlineError, match="of format 2") as failure:
        Home.open(tmp_path)
    assert "newer germline" in failure.value.hint


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{", b'{"format":1}', b'{"format":"1","name":"a"}', b"\xff", b'{"format":1,"name":"a"}']
)
def test_a_damaged_identity_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "lineage.json").write_bytes(data)
    with pytest.raises(StoreDamaged, match=r"lineage\.json"):
        Home.open(tmp_path)


def test_one_process_at_a_time(tmp_path: Path) -> None:
    home = Home.create(tmp_path / "aria", "aria")
    program = (
        "import sys; from pathlib import Path\n"
        "from germline.store import lock; from germline.store.home import Home\n"
        "with lock.hold(Home(Path(sys.argv[1]))): print('held', flush=True); sys.stdin.read()"
    )
    source = str(Path(disk.__file__).parents[2])
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(home.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": source},
    )
    with other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(Locked, match="another germline is working in") as failure, lock.hold(home):
            pass
        assert failure.value.hint
        other.kill()  # no chance to let go
    with lock.hold(home), pytest.raises(Locked), lock.hold(home):
        pass
    with lock.hold(home):
        pass
    assert verify(home).problems == ()


@pytest.mark.parametrize(
    "change",
    [
        {"id": "0" * 31},
        {"id": "A" * 32},
        {"id": 7},
        {"name": 7},
        {"more": 1},
        {"keys": {}},
        {"keys": []},
        {"keys": {"arbiter": "a" * 64}},
        {"keys": {"trainer": "a" * 63}},
        {"keys": {"trainer": "A" * 64}},
        {"keys": {"trainer": "a" * 64, "friend": "b" * 64}},
    ],
)
def test_an_identity_of_another_shape_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    home = Home.create(tmp_path, "aria")
    home.identity.chmod(0o644)
    home.identity.write_bytes(canonical_json(json.loads(home.identity.read_bytes()) | change))
    with pytest.raises(StoreDamaged, match=r"lineage\.json"):
        Home.open(tmp_path)


def test_every_lineage_has_an_id_and_a_key_of_its_own(tmp_path: Path) -> None:
    one, other = (Home.create(tmp_path / name, "aria").charter for name in ("one", "other"))
    assert one.id != other.id and one.keys != other.keys
