"""The ledger: a chain that cannot be edited unseen, and names that follow from it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from germline.errors import GermlineError, Locked, PlanError, StoreDamaged
from germline.records import Digest, canonical_json, digest_of
from germline.store import disk, generations, keys, ledger, objects
from germline.store.generations import Manifest
from germline.store.home import Home
from germline.store.ledger import append, entries, require_ready, resolve


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.create(tmp_path / "home", "aria")


def name_of(number: int) -> Digest:
    return digest_of(str(number).encode())


@pytest.fixture
def lineage(home: Home) -> Home:
    """g0, g1, a refused g5, g2, g3, back to g1, g4 from there."""
    append(home, "founded", name_of(0), 0, {})
    append(home, "promoted", name_of(1), 1, {})
    append(home, "refused", name_of(100), 5, {"reasons": ["recall"]})
    append(home, "promoted", name_of(2), 2, {})
    append(home, "promoted", name_of(3), 3, {})
    append(home, "rolled_back", name_of(1), 1, {})
    append(home, "promoted", name_of(4), 4, {})
    return home


PARENTS = {name_of(0): None, name_of(1): name_of(0), name_of(2): name_of(1), name_of(4): name_of(1)}


def overwrite(path: Path, data: bytes) -> None:
    path.unlink()
    path.write_bytes(data)


def test_what_is_appended_is_read_back(home: Home) -> None:
    now = datetime(2030, 1, 2, 3, 4, 5, 678, tzinfo=timezone(timedelta(hours=1)))
    first = append(home, "founded", name_of(0), 0, {"é": [1, 0.5, None]}, now)
    second = append(home, "promoted", name_of(1), 1, {})
    assert entries(home) == (first, second)
    assert first.time == "2030-01-02T02:04:05Z"
    assert abs(datetime.fromisoformat(second.time) - datetime.now(UTC)) < timedelta(seconds=5)
    assert (first.previous, second.previous) == (home.charter.digest, first.digest)
    assert sorted(path.name for path in home.ledger.iterdir()) == ["000000.json", "000001.json"]
    written = json.loads((home.ledger / "000001.json").read_bytes())
    assert written["digest"] == digest_of(canonical_json(written["entry"])) == second.digest
    assert written["entry"]["body"] == {"laws": digest_of(b"[]")}
    ((public, signature),) = written["signatures"].items()
    assert public == home.charter.keys["trainer"]
    key = ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
    key.verify(bytes.fromhex(signature), b"germline ledger entry\n" + written["digest"].encode())


def test_an_empty_ledger_has_no_head(home: Home) -> None:
    assert entries(home) == ()
    for name in ("HEAD", "g0", "abcd"):
        with pytest.raises(PlanError, match="no generation yet"):
            resolve((), name, PARENTS.get)


def test_a_lineage_is_founded_once_and_numbers_are_used_once(home: Home) -> None:
    with pytest.raises(ValueError, match="cannot be promoted here"):
        append(home, "promoted", name_of(1), 1, {})
    append(home, "founded", name_of(0), 0, {})
    with pytest.raises(ValueError, match="cannot be founded here"):
        append(home, "founded", name_of(0), 0, {})
    with pytest.raises(ValueError, match="bears g0, which was born already"):
        append(home, "promoted", name_of(1), 0, {})
    with pytest.raises(ValueError, match="never was HEAD"):
        append(home, "rolled_back", name_of(1), 1, {})
    with pytest.raises(ValueError, match=r"not JSON compliant|Out of range"):
        append(home, "promoted", name_of(1), 1, {"score": float("nan")})
    assert len(entries(home)) == 1


def test_head_follows_from_the_entries(lineage: Home) -> None:
    history = entries(lineage)
    assert [ledger.head(history[: n + 1]) for n in range(7)] == [name_of(n) for n in (0, 1, 1, 2, 3, 1, 4)]
    births = [(0, 0), (1, 1), (5, 100), (2, 2), (3, 3), (4, 4)]
    assert ledger.born(history) == [(number, name_of(n)) for number, n in births]


def test_names_are_resolved(lineage: Home) -> None:
    history = entries(lineage)
    meant = {
        "HEAD": 4,
        "HEAD~0": 4,
        "HEAD~": 1,
        "HEAD~1": 1,
        "HEAD~2": 0,
        "HEAD~~": 0,
        "g2": 2,
        "g5": 100,
        "g2~2": 0,
        name_of(3): 3,
        name_of(3)[:11]: 3,
        name_of(3)[7:11]: 3,
        name_of(3)[7:40].upper(): 3,
        name_of(100)[7:20]: 100,
        f"{name_of(2)[7:17]}~1": 1,
    }
    assert {name: resolve(history, name, PARENTS.get) for name in meant} == {
        name: name_of(number) for name, number in meant.items()
    }


@pytest.mark.parametrize(
    "name",
    ["", "g9", "g", "HEAD~3", "HEAD~x", "HEAD~-1", "HEAD~²", "head", "ffff", name_of(3)[7:10], "../g1", "~"],
)
def test_unknown_names_say_what_there_is(lineage: Home, name: str) -> None:
    with pytest.raises(PlanError) as failure:
        resolve(entries(lineage), name, PARENTS.get)
    assert failure.value.hint == "there is g0, g1, g5, g2, g3, g4; HEAD is g4"


def test_an_ambiguous_prefix_lists_what_it_begins(home: Home) -> None:
    one, two = "sha256:abcd" + "0" * 60, "sha256:abcd" + "1" * 60
    append(home, "founded", one, 0, {})
    append(home, "promoted", two, 1, {})
    with pytest.raises(PlanError, match="begins 2 hashes") as failure:
        resolve(entries(home), "abcd", PARENTS.get)
    assert one in failure.value.hint
    assert resolve(entries(home), "abcd1", PARENTS.get) == two


def test_ancestors_lead_from_the_founder(home: Home) -> None:
    weights = objects.put(home, b"weights")
    way: list[Digest] = []
    for number in range(4):
        manifest = Manifest(parent=way[-1] if way else None, files={}, weights=weights, about={"n": number})
        way.append(generations.commit(home, manifest))
    assert ledger.ancestors(home, way[3]) == way
    assert ledger.ancestors(home, way[0]) == way[:1]


@pytest.mark.parametrize("number", range(7))
def test_an_edited_entry_is_found(lineage: Home, number: int) -> None:
    path = ledger.entry_path(lineage, number)
    overwrite(path, path.read_bytes().replace(b'"time":"20', b'"time":"21'))
    with pytest.raises(StoreDamaged, match=f"{path.name} was edited"):
        entries(lineage)


@pytest.mark.parametrize("number", range(6))
def test_an_edited_entry_with_a_new_digest_is_not_what_was_signed(lineage: Home, number: int) -> None:
    path = ledger.entry_path(lineage, number)
    value = json.loads(path.read_bytes())
    entry = value["entry"] | {"body": value["entry"]["body"] | {"forged": True}}
    overwrite(path, canonical_json(value | {"entry": entry, "digest": digest_of(canonical_json(entry))}))
    with pytest.raises(StoreDamaged, match=f"{number:06}.json was not signed by the trainer"):
        entries(lineage)


@pytest.mark.parametrize("number", range(6))
def test_swapped_lost_and_doubled_entries_are_found(lineage: Home, number: int) -> None:
    here, after = ledger.entry_path(lineage, number), ledger.entry_path(lineage, number + 1)
    first, second = here.read_bytes(), after.read_bytes()
    overwrite(here, second)
    overwrite(after, first)
    with pytest.raises(StoreDamaged, match=f"{here.name} is out of place"):
        entries(lineage)
    overwrite(after, second)
    with pytest.raises(StoreDamaged, match=f"{here.name} is out of place"):
        entries(lineage)
    here.unlink()
    with pytest.raises(StoreDamaged, match=f"{here.name} is missing"):
        entries(lineage)
    with pytest.raises(StoreDamaged, match=f"{here.name} is missing"):
        append(lineage, "promoted", name_of(5), 5, {})


def test_a_copy_beside_the_entries_is_found(lineage: Home) -> None:
    (lineage.ledger / "000007 copy.json").write_bytes(ledger.entry_path(lineage, 6).read_bytes())
    with pytest.raises(StoreDamaged, match=r"000007 copy\.json does not follow on"):
        entries(lineage)


def test_a_ledger_belongs_to_its_lineage(lineage: Home) -> None:
    overwrite(lineage.identity, lineage.identity.read_bytes().replace(b"aria", b"arie"))
    with pytest.raises(StoreDamaged, match=r"does not follow on the lineage\.json"):
        entries(lineage)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "of format 2"),
        ({"kind": "crowned"}, "is not a ledger entry"),
        ({"generation": "sha256:.."}, "is not a ledger entry"),
        ({"number": "7"}, "is not a ledger entry"),
        ({"number": -7}, "is not a ledger entry"),
        ({"body": {}}, "is not a ledger entry"),
        ({"time": "today"}, "is not a ledger entry"),
        ({"more": 1}, "is not a ledger entry"),
        ({"kind": "founded"}, "cannot be founded here"),
    ],
)
def test_an_entry_of_another_shape_is_refused(lineage: Home, change: dict[str, Any], message: str) -> None:
    path = ledger.entry_path(lineage, 6)
    value = json.loads(path.read_bytes())
    entry = value["entry"] | change
    overwrite(path, canonical_json(value | {"entry": entry, "digest": digest_of(canonical_json(entry))}))
    with pytest.raises(GermlineError, match=message):
        entries(lineage)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"entry":1,"digest":"x"}', b"\xff", b"[" * 100_000])
def test_what_is_no_entry_is_named(lineage: Home, data: bytes) -> None:
    overwrite(ledger.entry_path(lineage, 3), data)
    with pytest.raises(StoreDamaged, match=r"000003\.json"):
        entries(lineage)


def test_the_second_to_claim_a_number_is_told(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    append(home, "founded", name_of(0), 0, {})
    publish = disk.write_new

    def beaten(path: Path, data: bytes) -> None:
        publish(path, b"the other one's")
        publish(path, data)

    monkeypatch.setattr(disk, "write_new", beaten)
    with pytest.raises(Locked, match=r"another germline wrote .*000001\.json first"):
        append(home, "promoted", name_of(1), 1, {})
    assert ledger.entry_path(home, 1).read_bytes() == b"the other one's"


def test_no_entry_is_lost_between_eight_writers(home: Home) -> None:
    append(home, "founded", name_of(0), 0, {})

    def write(writer: int) -> None:
        for n in range(5):
            while True:
                try:
                    append(home, "rolled_back", name_of(0), 0, {"writer": writer, "turn": n})
                    break
                except Locked:
                    continue

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    written = [(entry.body["writer"], entry.body["turn"]) for entry in entries(home)[1:]]
    assert sorted(written) == [(writer, n) for writer in range(8) for n in range(5)]


@pytest.mark.parametrize(
    ("signatures", "message"),
    [
        ({}, "is not signed"),
        ({"a" * 64: "b" * 128}, "no key of this lineage"),
        ({"A" * 64: "b" * 128}, "is not a ledger entry"),
        ({"a" * 64: "b" * 126}, "is not a ledger entry"),
        ({"a" * 64: 1}, "is not a ledger entry"),
        (None, "is not a ledger entry"),
        ([], "is not a ledger entry"),
    ],
)
def test_an_entry_with_other_signatures_is_refused(lineage: Home, signatures: object, message: str) -> None:
    path = ledger.entry_path(lineage, 3)
    overwrite(path, canonical_json(json.loads(path.read_bytes()) | {"signatures": signatures}))
    with pytest.raises(StoreDamaged, match=f"000003.json .*{message}"):
        entries(lineage)


def test_without_a_key_one_reads_and_does_not_append(lineage: Home) -> None:
    keys.path_of(lineage.charter.keys["trainer"]).rename(lineage.root.parent / "away.pem")
    assert len(entries(lineage)) == 7
    for append_or_prepare in (lambda: append(lineage, "promoted", name_of(9), 9, {}), lambda: require_ready(lineage)):
        with pytest.raises(GermlineError, match=r"the trainer's key [0-9a-f]{16} is not on this machine") as failure:
            append_or_prepare()
        assert "copy the key file" in failure.value.hint
    assert len(entries(lineage)) == 7
