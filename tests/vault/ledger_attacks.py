"""Attacks on a ledger by someone who can write everything in the home, and has none of its keys.

Each is tried against the two witnesses there are, alone: what this machine has seen, and a checkpoint line
that the owner kept. `attack(lineage, count, seed)` is as long as one likes; the suite tries some hundreds.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from germline.errors import GermlineError
from germline.lineage import Lineage
from germline.records import Digest, canonical_json, digest_of
from germline.store import generations, keys, ledger, objects, witness
from germline.store.entry import Entry, Kind, message
from germline.store.generations import Manifest
from germline.store.home import Home
from germline.store.verify import verify
from tests.conftest import forget

LENGTH = 50
FOREIGN = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
STRANGER = FOREIGN.public_key().public_bytes_raw().hex()

Doc = dict[str, Any]
Attack = Callable[[Home, int, random.Random], None]


@dataclass(frozen=True)
class Target:
    """A lineage of 50 entries, the configuration that saw them all, one that saw nothing, and a checkpoint."""

    root: Path
    seen: Path
    blind: Path
    checkpoint: str

    @property
    def working(self) -> Home:
        return Home(self.root.with_name("working"))


def build(root: Path, *, arbiter: bool) -> Target:
    """Births of every kind, approvals, rollbacks and pinned laws, among some ten generations."""
    home = Home.create(root / "original", "fifty", arbiter=keys.make() if arbiter else None)
    weights = objects.put(home, b"weights")

    def born(number: int, parent: Digest | None) -> Digest:
        return generations.commit(
            home, Manifest(parent=parent, files={"w": weights}, weights=weights, about={"n": number})
        )

    def put(kind: Kind, digest: Digest, number: int, **body: Any) -> Entry:
        return ledger.append(home, kind, digest, number, body)

    founder = born(0, None)
    put("founded", founder, 0)
    led, number = [(0, founder)], 0
    for sequence in range(1, LENGTH):
        digest = ledger.head(ledger.entries(home))
        if sequence % 5 == 1:
            number += 1
            child = born(number, digest)
            if not arbiter:
                put("promoted", child, number)
                led.append((number, child))
            else:
                put("proposed", child, number)
        elif sequence % 5 == 2 and arbiter:
            waits = ledger.entries(home)[-1]
            put("promoted", waits.generation, waits.number, approves=waits.digest)
            led.append((waits.number, waits.generation))
        elif sequence % 10 == 4:
            number += 1
            put("refused" if sequence % 20 == 4 else "inconclusive", born(number, digest), number)
        elif sequence % 5 == 3:
            put("pinned", digest, next(n for n, led_by in led if led_by == digest), laws=digest_of(b"%d" % sequence))
        else:
            back = led[sequence % len(led)]
            put("rolled_back", back[1], back[0])
    seen, blind = keys.configuration().parent, root / "blind"
    (blind / "germline").mkdir(parents=True)
    (blind / "germline" / "keys").symlink_to(keys.path_of("").parent)
    return Target(home.root, seen, blind, witness.checkpoint(home, ledger.entries(home)))


# --- what is done to a ledger -------------------------------------------------------------------------


def read(home: Home) -> list[Doc]:
    return [json.loads(path.read_bytes()) for path in sorted(home.ledger.iterdir())]


def write(home: Home, docs: list[Doc]) -> None:
    shutil.rmtree(home.ledger)
    home.ledger.mkdir()
    for sequence, doc in enumerate(docs):
        ledger.entry_path(home, sequence).write_bytes(canonical_json(doc))


def rehash(home: Home, docs: list[Doc], start: int, *, sign_as: str | None = None) -> None:
    """Make the chain whole from `start` on; with `sign_as` sign it too, with the stranger's key."""
    for place in range(start, len(docs)):
        before = docs[place - 1]["digest"] if place else digest_of(home.identity.read_bytes())
        docs[place]["entry"]["previous"] = before
        docs[place]["digest"] = digest_of(canonical_json(docs[place]["entry"]))
        if sign_as:
            docs[place]["signatures"] = {sign_as: FOREIGN.sign(message(docs[place]["digest"])).hex()}


def edit(docs: list[Doc], place: int, dice: random.Random) -> str:
    """Change one field of an entry to something that it was not, and return its name."""
    entry = docs[place]["entry"]
    other = dice.choice([doc for doc in docs if doc["entry"]["generation"] != entry["generation"]])["entry"]
    kinds = [kind for kind in ("promoted", "proposed", "refused", "rolled_back", "pinned") if kind != entry["kind"]]
    change: dict[str, Callable[[], Any]] = {
        "sequence": lambda: entry["sequence"] + dice.choice((-1, 1, 7)),
        "kind": lambda: dice.choice(kinds),
        "generation": lambda: dice.choice((digest_of(b"forged"), other["generation"])),
        "number": lambda: other["number"] if other["number"] != entry["number"] else entry["number"] + 1,
        "time": lambda: "2001" + entry["time"][4:],
        "body": lambda: entry["body"] | {"verdict": "excellent"},
        "files": lambda: {"scorecard.json": {"digest": digest_of(b"forged"), "size": 6}},
        "format": lambda: 2,
    }
    name = dice.choice([*change, "laws"])
    if name == "laws":
        entry["body"]["laws"] = digest_of(b"no law at all")
    else:
        entry[name] = change[name]()
    return name


def _delete(home: Home, place: int, dice: random.Random) -> None:
    ledger.entry_path(home, place).unlink()


def _delete_and_close_up(home: Home, place: int, dice: random.Random) -> None:
    docs = read(home)
    del docs[place]
    write(home, docs)


def _delete_and_rehash(home: Home, place: int, dice: random.Random) -> None:
    docs = read(home)
    del docs[place]
    for sequence, doc in enumerate(docs):
        doc["entry"]["sequence"] = sequence
    rehash(home, docs, place)
    write(home, docs)


def _duplicate(home: Home, place: int, dice: random.Random) -> None:
    docs = read(home)
    docs.insert(dice.randrange(len(docs) + 1), docs[place])
    write(home, docs)


def _replay(home: Home, place: int, dice: random.Random) -> None:
    """An entry once more at the end, with its old signatures, numbered and chained as if it were new."""
    docs = read(home)
    again = json.loads(json.dumps(docs[place]))
    again["entry"]["sequence"] = len(docs)
    docs.append(again)
    rehash(home, docs, len(docs) - 1)
    write(home, docs)


def _swap(home: Home, place: int, dice: random.Random) -> None:
    docs = read(home)
    other = dice.choice([n for n in range(len(docs)) if n != place])
    docs[place], docs[other] = docs[other], docs[place]
    write(home, docs)


def _edit(home: Home, place: int, dice: random.Random) -> None:
    docs = read(home)
    edit(docs, place, dice)
    write(home, docs)


def _edit_with_its_digest(home: Home, place: int, dice: random.Random) -> None:
    docs = read(home)
    edit(docs, place, dice)
    docs[place]["digest"] = digest_of(canonical_json(docs[place]["entry"]))
    write(home, docs)


def _edit_and_rehash(home: Home, place: int, dice: random.Random) -> None:
    docs = read(home)
    edit(docs, place, dice)
    rehash(home, docs, place)
    write(home, docs)


def _edit_and_sign_as_a_stranger(home: Home, place: int, dice: random.Random) -> None:
    docs = read(home)
    edit(docs, place, dice)
    rehash(home, docs, place, sign_as=STRANGER)
    write(home, docs)


def _edit_and_sign_in_the_trainer_s_name(home: Home, place: int, dice: random.Random) -> None:
    docs = read(home)
    edit(docs, place, dice)
    rehash(home, docs, place, sign_as=home.charter.keys["trainer"])
    write(home, docs)


def _write_all_anew(home: Home, place: int, dice: random.Random) -> None:
    """The stranger's key put into lineage.json, the ledger rehashed and signed with it from the first entry."""
    docs = read(home)
    docs[place]["entry"]["body"]["note"] = "as I say"
    identity = json.loads(home.identity.read_bytes())
    identity |= {"keys": {"trainer": STRANGER}, "threshold": 1}
    home.identity.chmod(0o644)
    home.identity.write_bytes(canonical_json(identity))
    rehash(home, docs, 0, sign_as=STRANGER)
    write(home, docs)


def _take_one_key_away(home: Home, place: int, dice: random.Random) -> None:
    identity = json.loads(home.identity.read_bytes())
    identity["threshold"] = dice.choice([n for n in (0, -1, 1, 2, 3) if n != identity["threshold"]])
    home.identity.chmod(0o644)
    home.identity.write_bytes(canonical_json(identity))
    docs = read(home)
    rehash(home, docs, 0)
    write(home, docs)


def _signature_of_another_entry(home: Home, place: int, dice: random.Random) -> None:
    docs = read(home)
    docs[place]["signatures"] = docs[place - 1]["signatures"]
    write(home, docs)


def _no_signature(home: Home, place: int, dice: random.Random) -> None:
    docs = read(home)
    docs[place]["signatures"] = {}
    write(home, docs)


def _one_more_signature(home: Home, place: int, dice: random.Random) -> None:
    docs = read(home)
    docs[place]["signatures"][STRANGER] = FOREIGN.sign(message(docs[place]["digest"])).hex()
    write(home, docs)


def _flip_a_bit(home: Home, place: int, dice: random.Random) -> None:
    path = dice.choice([home.identity, *[ledger.entry_path(home, place)] * 9])
    data = bytearray(path.read_bytes())
    data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    path.unlink()
    path.write_bytes(bytes(data))


def _stray(home: Home, place: int, dice: random.Random) -> None:
    name = dice.choice((f"{place:06} copy.json", f"{LENGTH + 1 + place:06}.json", f"{place:07}.json", f"{place}.json"))
    (home.ledger / name).write_bytes(ledger.entry_path(home, place).read_bytes())


def truncate(home: Home, place: int, dice: random.Random) -> None:
    """Cut off everything from `place` on: what is left is whole in itself."""
    for sequence in range(place, LENGTH):
        ledger.entry_path(home, sequence).unlink()


def roll_back(home: Home, place: int, dice: random.Random) -> None:
    """The whole home as it was before entry `place`, later generations gone too."""
    kept = {entry.generation for entry in ledger.entries(home)[:place]}
    truncate(home, place, dice)
    for path in list(home.generations.iterdir()):
        if "sha256:" + path.stem not in kept:
            path.unlink()


def fork(home: Home, place: int, dice: random.Random) -> None:
    """An older copy that grew on elsewhere, signed with the owner's own keys: the trainer's past, rewritten."""
    truncate(home, max(place, 1), dice)
    with configured(home.root.with_name("blind")):
        forget()
        for _ in range(LENGTH - place + dice.randrange(3) if place > LENGTH - 9 else 1):
            first = ledger.entries(home)[0]
            ledger.append(home, "rolled_back", first.generation, first.number, {"fork": dice.random()})


INSIDE = (
    _delete, _delete_and_close_up, _delete_and_rehash, _duplicate, _replay, _swap, _edit, _edit_with_its_digest,
    _edit_and_rehash, _edit_and_sign_as_a_stranger, _edit_and_sign_in_the_trainer_s_name, _take_one_key_away,
    _signature_of_another_entry, _no_signature, _one_more_signature, _flip_a_bit, _stray,
)  # fmt: skip
"""What the ledger itself tells, with no witness; but for the end of it, which a witness tells."""

BEHIND = (truncate, roll_back, fork, _write_all_anew)
"""What leaves a ledger that is whole in itself."""


# --- and whether it is found --------------------------------------------------------------------------


@contextmanager
def configured(config: Path) -> Iterator[None]:
    before = os.environ["GERMLINE_CONFIG"]
    os.environ["GERMLINE_CONFIG"] = str(config)
    try:
        yield
    finally:
        os.environ["GERMLINE_CONFIG"] = before


@dataclass(frozen=True)
class Found:
    by_itself: bool
    by_the_witness: bool
    by_the_checkpoint: bool
    unwitnessed: int | None
    """What `verify` says where it has neither."""


def attack(target: Target, count: int, seed: int) -> Iterator[tuple[str, int, Found]]:
    """`count` attacks, every kind in turn, each on every entry in turn, and what found them."""
    dice = random.Random(seed)
    kinds = INSIDE + BEHIND
    for number in range(count):
        kind, place = kinds[number % len(kinds)], (number // len(kinds)) % LENGTH
        yield kind.__name__, place, one(target, kind, place, dice)


def one(target: Target, kind: Attack, place: int, dice: random.Random) -> Found:
    """A single attack on a fresh copy. Its files are links: an attack removes what it writes anew."""
    home = target.working
    _fresh(target.root, home.root)
    kind(home, place, dice)
    with configured(target.seen):
        by_the_witness = not _opens(home)
    with configured(target.blind):
        forget()
        try:
            by_the_checkpoint = bool(verify(home, checkpoint=witness.read_checkpoint(home, target.checkpoint)).problems)
        except GermlineError:
            by_the_checkpoint = True
        forget()
        alone = verify(home)
    return Found(bool(alone.problems), by_the_witness, by_the_checkpoint, alone.unwitnessed)


def _fresh(original: Path, copy: Path) -> None:
    if not copy.exists():
        shutil.copytree(original, copy)
    for name in ("ledger", "generations"):
        shutil.rmtree(copy / name)
        shutil.copytree(original / name, copy / name, copy_function=os.link)
    (copy / "lineage.json").unlink()
    shutil.copy(original / "lineage.json", copy / "lineage.json")


def _opens(home: Home) -> bool:
    try:
        Lineage.open(home)
    except GermlineError:
        return False
    return True
