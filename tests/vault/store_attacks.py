"""Damage to a lineage, by accident or by someone who can write every file of it and has none of its keys.

A mutation is made, both verifiers look, and it is undone: `attack(target, count, seed)` is as long as one likes. Each
mutation is one that no lineage may bear: what may be lost (a merged weights file in the cache) is never only deleted.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from germline import verify_lineage
from germline.records import Digest, canonical_json
from germline.store import disk, generations, keys, ledger, objects, witness
from germline.store.generations import Manifest
from germline.store.home import Home
from germline.store.verify import verify
from tests.conftest import forget

LAST = "ledger/000005.json"
"""What the checkpoint tells of."""

verify_lineage.verifies = lru_cache(maxsize=4096)(verify_lineage.verifies)
"""A signature on the same words need not be computed a hundred thousand times."""


@dataclass(frozen=True)
class Target:
    home: Home
    checkpoint: str
    whole: dict[str, bytes]
    """Every file that is verified, and its bytes."""


@dataclass(frozen=True)
class Seen:
    """What one mutation was, whom it should be blamed on, and which files each verifier named."""

    kind: str
    blamed: set[str]
    ours: set[str]
    alone: set[str]


def build(root: Path) -> Target:
    """Two keys; the founder, a child proposed and approved, a refused one, laws pinned, HEAD gone back."""
    home = Home.create(root / "home", "tiny", arbiter=keys.make())
    founder = _generation(home, 0, None)
    ledger.append(home, "founded", founder, 0, {})
    ledger.append(home, "pinned", founder, 0, {"laws": "sha256:" + "1" * 64})
    first = _generation(home, 1, founder)
    proposal = ledger.append(home, "proposed", first, 1, {"spent": 1.5}, files={"card.json": objects.put(home, b"{}")})
    ledger.append(home, "promoted", first, 1, {"approves": proposal.digest})
    ledger.append(home, "refused", _generation(home, 2, first), 2, {"why": "é"})
    ledger.append(home, "rolled_back", founder, 0, {"from": 1})
    checkpoint = witness.checkpoint(home, ledger.entries(home))
    paths = [path for path in sorted(home.root.rglob("*")) if path.is_file() and path.name != "lock"]
    return Target(home, checkpoint, {path.relative_to(home.root).as_posix(): path.read_bytes() for path in paths})


def _generation(home: Home, number: int, parent: Digest | None) -> Digest:
    files = {"exam.json": objects.put(home, canonical_json({"exam": number})), "law.md": objects.put(home, b"be kind")}
    staged = disk.temporary_path(home.runs)
    with disk.new_file(staged) as file:
        file.write(b"weights %d" % number)
    if parent is None:
        weights = files["model.safetensors"] = objects.put_file(home, staged, move=True)
    else:
        weights = objects.put_in_cache(home, staged)
    return generations.commit(home, Manifest(parent=parent, files=files, weights=weights))


# --- what is done -------------------------------------------------------------------------------------

Mutation = Callable[[Target, random.Random, str], set[str] | None]
"""Does something to a file and returns the files it touched, or None where it can do nothing to it."""


def put(target: Target, name: str, data: bytes) -> None:
    path = target.home.root / name
    clear(path)
    path.write_bytes(data)


def clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()


def flip(target: Target, dice: random.Random, name: str) -> set[str]:
    data = bytearray(target.whole[name])
    place = dice.randrange(8 * len(data))
    data[place // 8] ^= 1 << place % 8
    put(target, name, bytes(data))
    return {name}


def truncate(target: Target, dice: random.Random, name: str) -> set[str]:
    put(target, name, target.whole[name][: dice.randrange(len(target.whole[name]))])
    return {name}


def extend(target: Target, dice: random.Random, name: str) -> set[str]:
    put(target, name, target.whole[name] + dice.choice((b"\0", b"\n", b" ", dice.randbytes(3))))
    return {name}


def blank(target: Target, dice: random.Random, name: str) -> set[str]:
    """A hole, as a lost write leaves it."""
    data = bytearray(target.whole[name])
    start = dice.randrange(len(data))
    end = dice.randrange(start, len(data)) + 1
    data[start:end] = bytes(end - start)
    put(target, name, bytes(data))
    return {name}


def exchange(target: Target, dice: random.Random, name: str) -> set[str] | None:
    other = dice.choice(list(target.whole))
    if target.whole[other] == target.whole[name]:
        return None
    put(target, name, target.whole[other])
    put(target, other, target.whole[name])
    return {name, other}


def overwrite(target: Target, dice: random.Random, name: str) -> set[str] | None:
    """Another file's bytes, which are whole and belong elsewhere."""
    other = dice.choice(list(target.whole))
    if target.whole[other] == target.whole[name]:
        return None
    put(target, name, target.whole[other])
    return {name}


def delete(target: Target, dice: random.Random, name: str) -> set[str] | None:
    if name.startswith("cache/"):
        return None
    (target.home.root / name).unlink()
    return {name}


def rename(target: Target, dice: random.Random, name: str) -> set[str] | None:
    path = target.home.root / name
    if path.parent == target.home.root:
        return None
    stem = path.name
    strange = (stem.upper(), stem + "~", stem[:-1], "0" + stem, "f" * 64, ".hidden", "é", "a\nb")
    other = path.with_name(dice.choice(strange))
    if os.path.lexists(other):
        return None
    path.rename(other)
    return {name, other.relative_to(target.home.root).as_posix()}


def add(target: Target, dice: random.Random, name: str) -> set[str] | None:
    folder = (target.home.root / name).parent
    if folder == target.home.root:
        return None
    strange = ("000099.json", "000006.json", "0" * 64, "e" * 64 + ".json", "notes.txt", "CON", ".git", "\u202e")
    path = folder / dice.choice(strange)
    if os.path.lexists(path):
        return None
    if dice.random() < 0.2:
        path.mkdir()
    else:
        path.write_bytes(dice.choice((target.whole[name], b"", b"{}", b"\x80\x04.")))
    return {path.relative_to(target.home.root).as_posix()}


def link(target: Target, dice: random.Random, name: str) -> set[str]:
    """The very bytes, but behind a link that can be turned elsewhere any time."""
    aside = target.home.root / "aside"
    aside.write_bytes(target.whole[name])
    path = target.home.root / name
    path.unlink()
    path.symlink_to(dice.choice((aside, Path("/dev/zero"), Path("nowhere"))))
    return {name, "aside"}


def replace_by_other(target: Target, dice: random.Random, name: str) -> set[str]:
    """Something that is no file: a directory, or a pipe that would be waited on for ever."""
    path = target.home.root / name
    path.unlink()
    if dice.random() < 0.5 or not hasattr(os, "mkfifo"):
        path.mkdir()
    else:
        os.mkfifo(path)
    return {name}


def edit(target: Target, dice: random.Random, name: str) -> set[str] | None:
    """JSON that says something else, in just the form in which germline writes it."""
    if not name.endswith(".json"):
        return None
    value = json.loads(target.whole[name])
    table, key = dice.choice(list(_places(value)))
    old = table[key]
    others: list[Any] = [None, True, 0, 1, -1, 2**70, 1.5, "", "x", "sha256:" + "0" * 64, [], {}, {"a": 1}, [[]]]
    table[key] = dice.choice([other for other in others if (type(other), other) != (type(old), old)])
    if dice.random() < 0.2:
        del table[key]
    put(target, name, canonical_json(value))
    return {name}


def reformat(target: Target, dice: random.Random, name: str) -> set[str] | None:
    """JSON that says the same in another form."""
    if not name.endswith(".json"):
        return None
    value = json.loads(target.whole[name])
    forms = (json.dumps(value).encode(), json.dumps(value, indent=1).encode(), target.whole[name] + b"\n",
             b"\xef\xbb\xbf" + target.whole[name], target.whole[name].decode().encode("utf-16"),
             target.whole[name][:1] + b'"format":1,' + target.whole[name][1:])  # fmt: skip
    put(target, name, dice.choice(forms))
    return {name}


def _places(value: Any) -> Iterator[tuple[dict[str, Any], str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield value, key
            yield from _places(item)


MUTATIONS: tuple[Mutation, ...] = (
    flip, flip, flip, flip, truncate, extend, blank, exchange, overwrite, delete, rename, add, link,
    replace_by_other, edit, edit, reformat,
)  # fmt: skip


# --- who sees it --------------------------------------------------------------------------------------


def attack(target: Target, count: int, seed: int) -> Iterator[Seen]:
    """Mutate `count` times, each time from the whole lineage, which is whole again afterwards."""
    dice = random.Random(seed)
    names = list(target.whole)
    done = 0
    while done < count:
        mutation, name = dice.choice(MUTATIONS), dice.choice(names)
        touched = mutation(target, dice, name)
        if touched is None:
            continue
        try:
            blamed = touched - {"aside"} | ({"ledger/000000.json"} if "lineage.json" in touched else set())
            yield Seen(mutation.__name__, blamed, *look(target))
        finally:
            restore(target, touched)
        done += 1


def look(target: Target) -> tuple[set[str], set[str]]:
    """The files that `germline verify` names, and those that the stand-alone verifier names."""
    forget()
    mark = witness.Mark(sequence=5, digest=json.loads(target.whole[LAST])["digest"])
    check = verify_lineage.Check(target.home.root)
    check.run(target.checkpoint)
    return {problem.path for problem in verify(target.home, checkpoint=mark).problems}, {n for n, _ in check.problems}


def restore(target: Target, touched: set[str]) -> None:
    for name in touched:
        clear(target.home.root / name)
    for name in touched & target.whole.keys():
        put(target, name, target.whole[name])
