"""Checks a germline lineage, an archive of one, or an export, with nothing but Python 3.9: no germline, no package.

    python -I verify_lineage.py LINEAGE_OR_ARCHIVE_OR_EXPORT [--checkpoint LINE]

With -I nothing is imported from beside this file. Every file is hashed again; the ledger's chain, its signatures and
the rules on who may sign what are checked, and an archive byte for byte. Nothing is changed, no link is followed. Exit
code: 0 whole, 1 not, 2 nothing to check. A lineage rolled back as a whole, or cut at the end of its ledger, is whole in
itself: only a checkpoint line tells. What an archive lacks is named. Of an export it is told that its files are those
that `germline.json` says, and that its generations, what it says of them and a `model.safetensors` were signed. What
nobody signed is named; of `germline.json` itself that is the license, the base model and germline's version.
Not told: whether it answers as they do (see `parity.json`), who holds the keys.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

# The shape of JSON: text is a pattern, a type is itself (int: no less than 0), a tuple holds alternatives, a dict has
# exactly these keys, and a list is a table of any number of names: the shape of a name, the shape of a value.
DIGEST, KEY, SIGNATURE = "sha256:[0-9a-f]{64}", "[0-9a-f]{64}", "[0-9a-f]{128}"
NAME = r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*"
FILE = {"digest": DIGEST, "size": int}
CHARTER = {"format": int, "name": str, "id": "[0-9a-f]{32}", "threshold": int, "keys": ["trainer|arbiter", KEY]}
ENTRY = {"format": int, "sequence": int, "previous": DIGEST, "generation": DIGEST, "number": int, "body": dict,
         "kind": "founded|proposed|promoted|refused|inconclusive|rolled_back|pinned", "files": [str, FILE],
         "time": "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"}  # fmt: skip
LEDGER = {"digest": DIGEST, "entry": ENTRY, "signatures": [KEY, SIGNATURE]}
MANIFEST = {"format": int, "parent": (DIGEST, type(None)), "files": [NAME, FILE], "weights": FILE, "about": dict}
MEMBER = (r"(archive|lineage|ledger/([0-9]{6}|[1-9][0-9]{6,11})|generations/[0-9a-f]{64})\.json"
          r"|verify_lineage\.py|objects/([0-9a-f]{2})/\3[0-9a-f]{62}")  # fmt: skip
TOPS = ("archive.json", "lineage.json", "ledger", "generations", "objects", "cache")
ARCHIVE = {"format": int, "generation": DIGEST, "entries": int, "verifier": DIGEST}
EXPORT = {"format": int, "about": dict, "files": [".+", FILE], "charter": CHARTER, "generations": list, "ledger": list}
P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493  # the field and the group of Ed25519 (RFC 8032)
D, ROOT = -121665 * pow(121666, -1, P) % P, pow(2, (P - 1) // 4, P)


def need(condition: object, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise)


def shaped(value: Any, shape: Any) -> bool:
    if isinstance(shape, tuple):
        return any(shaped(value, one) for one in shape)
    if isinstance(shape, str):
        return isinstance(value, str) and re.fullmatch(shape, value) is not None
    if isinstance(shape, type):
        return type(value) is shape and not (isinstance(value, int) and value < 0)
    if isinstance(shape, list) and isinstance(value, dict):
        return all(shaped(name, shape[0]) and shaped(item, shape[1]) for name, item in value.items())
    return isinstance(value, dict) and value.keys() == {*shape} and all(shaped(value[key], shape[key]) for key in shape)


def sha256(blocks: Iterable[bytes]) -> str:
    hashed = hashlib.sha256()
    for block in blocks:
        hashed.update(block)
    return hashed.hexdigest()


def canonical(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def decoded(data: bytes) -> tuple[int, ...]:
    """The point of the curve that 32 bytes stand for, in extended coordinates; () if they stand for none."""
    sign, y = divmod(int.from_bytes(data, "little"), 1 << 255)
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x if x * x % P == square else x * ROOT % P
    x = x if x & 1 == sign else P - x
    return (x, y, 1, x * y % P) if x * x % P == square and max(x, y) < P else ()


def added(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    a, b = (one[1] - one[0]) * (other[1] - other[0]) % P, (one[1] + one[0]) * (other[1] + other[0]) % P
    c, d = 2 * one[3] * other[3] * D % P, 2 * one[2] * other[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def verifies(key: str, signature: str, message: bytes) -> bool:
    """Whether S·base - k·key is the point R that a signature begins with. Key and signature are hexadecimal."""
    public, signed = bytes.fromhex(key), bytes.fromhex(signature)
    point, base, s = decoded(public), decoded(bytes([0x58] + [0x66] * 31)), int.from_bytes(signed[32:], "little")
    if not point or s >= L:
        return False
    k = int.from_bytes(hashlib.sha512(signed[:32] + public + message).digest(), "little") % L
    minus, total = (P - point[0], point[1], 1, P - point[3]), decoded(bytes([1] + [0] * 31))  # the neutral point
    table = (total, base, minus, added(base, minus))
    for bit in range(252, -1, -1):
        total = added(added(total, total), table[(s >> bit & 1) | (k >> bit & 1) << 1])
    x, y = (part * pow(total[2], -1, P) % P for part in total[:2])
    return (y | (x & 1) << 255).to_bytes(32, "little") == signed[:32]


def header(name: str, size: int) -> bytes:
    """What begins each file of an archive (POSIX.1 ustar): regular, read-only, nobody's, of 1970."""
    length = b"%011o\0" % size if size < 8**11 else b"\x80" + size.to_bytes(11, "big")
    cell = name.encode("ascii").ljust(100, b"\0") + b"0000444\0" + b"0000000\0" * 2 + length + b"%011o\0" % 0
    cell += b" " * 8 + b"0" + bytes(100) + b"ustar\00000" + bytes(64) + b"0000000\0" * 2 + bytes(167)
    return cell[:148] + b"%06o\0 " % sum(cell) + cell[156:]  # the checksum counts itself as blanks


def members(file: BinaryIO) -> Iterator[tuple[str, int, int]]:
    """Name, place and size of an archive's files. ValueError at the first byte that ours do not have: of any other tar
    two programs may make two things."""
    length, place, previous = file.seek(0, 2), 0, ""
    while file.seek(place) < length and any(cell := file.read(512)):
        name = cell[:100].rstrip(b"\0").decode("ascii", "replace")
        octal = re.fullmatch(rb"([0-7]{11})\0", cell[124:136])
        size = int(octal[1], 8) if octal else int.from_bytes(cell[125:136], "big")
        ours = shaped(name, MEMBER) and name > previous and cell == header(name, size)
        need(ours, f"is no archive of germline from byte {place} on")
        need(size <= 64 << 20 or name.startswith("objects/"), f"holds more of {name} than any lineage has")
        end, following = place + 512 + size, place + 512 + size + -size % 512
        need(following <= length, f"is cut short: {name} should end at byte {end}, and it has {length}")
        need(file.seek(end) and not any(file.read(-size % 512)), f"holds something behind a file, after byte {end}")
        yield name, place + 512, size
        place, previous = following, name
    need(length - place == 1024 and not any(file.read()), f"does not end as an archive does, at byte {place}")


class Check:
    """One verification: the names that are there, what was read, and what is wrong."""

    def __init__(self, path: Path) -> None:
        self.path, self.files, self.size, self.in_flight, self.archive = path, 0, 0, False, False
        self.problems: list[tuple[str, str]] = []
        self.kinds: dict[str, str] = {}
        self.places: dict[str, tuple[int, int]] = {}
        if path.is_dir():
            for top in (path / name for name in TOPS):
                for one in [top, *([] if top.is_symlink() else top.rglob("*"))]:
                    if one.is_symlink() or one.exists():
                        kind = {0o100000: "file", 0o040000: "directory"}.get(one.lstat().st_mode & 0o170000, "other")
                        self.kinds[one.relative_to(path).as_posix()] = kind
            runs = [*(path / "runs").iterdir()] if (path / "runs").is_dir() else []
            ours = [one for one in runs if shaped(one.name, r"g\d+(-before)?|pin|\.tmp-[0-9a-f]{16}")]
            self.in_flight = any(one.is_dir() and not one.is_symlink() for one in ours)
            return
        need(path.is_file(), "it is no file")  # a pipe would be waited for
        with path.open("rb") as file, self.collecting(path.name):
            self.archive = file.read(262)[257:] == b"ustar"
            for name, place, size in members(file) if self.archive else ():
                self.kinds.update({name[: slash.start()]: "directory" for slash in re.finditer("/", name)})
                self.kinds[name], self.places[name] = "file", (place, size)
        need(self.archive, "it is no archive")

    def report(self, name: str, what: str) -> None:
        self.problems.append((name.encode("utf-8", "backslashreplace").decode(), what))

    @contextmanager
    def collecting(self, name: str) -> Iterator[None]:
        try:
            yield
        except (ValueError, OSError) as error:
            self.report(name, f"cannot be read: {error.strerror}" if isinstance(error, OSError) else str(error))

    def children(self, directory: str, pattern: str) -> list[str]:
        """The names in a directory that fit a pattern. All others are reported, but for unfinished writes."""
        if self.kinds.get(directory) != "directory":
            self.report(directory, "is not a directory" if directory in self.kinds else "is missing")
        below = [name for name in sorted(sorted(self.kinds), key=len) if name.rpartition("/")[0] == directory]
        for name in below:
            unfinished = self.kinds[name] == "file" and shaped(name[len(directory) :], r"/\.tmp-[0-9a-f]{16}")
            if not unfinished and not shaped(name, f"{directory}/{pattern}"):
                self.report(name, "is named by nothing")
        return [name for name in below if shaped(name, f"{directory}/{pattern}")]

    def read(self, name: str) -> Iterator[bytes]:
        need(self.kinds.get(name) == "file", "is not a regular file" if name in self.kinds else "is missing")
        start, left = self.places.get(name, (0, sys.maxsize))
        with (self.path if self.archive else self.path / name).open("rb") as file:
            file.seek(start)
            while block := file.read(min(1 << 20, left)):
                left, self.size = left - len(block), self.size + len(block)
                yield block
        self.files += 1

    def json(self, name: str, shape: Any) -> tuple[Any, str]:
        """What a canonical JSON file of this shape holds, and the file's hash."""
        data = b"".join(self.read(name))
        try:
            value = json.loads(data)
            known = canonical(value) == data
        except (ValueError, RecursionError):
            known = False
        need(known, "is not JSON in the form it was written in")
        need(shaped(value, shape) and value.get("entry", value)["format"] == 1, "does not hold what it should")
        return value, "sha256:" + hashlib.sha256(data).hexdigest()

    def ledger(self, charter: dict[str, Any]) -> list[dict[str, Any]]:
        """Every entry that can be read. Each is judged by those before it, as far as these are whole."""
        found: list[dict[str, Any]] = []
        previous, expected, whole = charter.get("digest"), 0, bool(charter)
        for name in self.children("ledger", r"([0-9]{6}|[1-9][0-9]{6,11})\.json"):
            if int(name[7:-5]) != expected:
                self.report(f"ledger/{expected:06}.json", f"is missing, though {name[7:]} exists")
                previous, expected, whole = None, int(name[7:-5]), False
            sound = False
            with self.collecting(name):
                value, _ = self.json(name, LEDGER)
                digest = "sha256:" + hashlib.sha256(canonical(value["entry"])).hexdigest()
                need(digest == value["digest"], f"was edited: its entry hashes to {digest}")
                need(shaped(value["entry"]["body"].get("laws"), DIGEST), "names no laws")
                entry = {**value["entry"], "digest": value["digest"], "signatures": value["signatures"]}
                found.append(entry)
                need(entry["sequence"] == expected, f"is out of place: it holds entry {entry['sequence']}")
                need(entry["previous"] == (previous or entry["previous"]), "does not follow on what is before it")
                need((entry["kind"] == "founded") == (expected == 0), "does not found the lineage once, and first")
                self.judge(entry, found[:-1], charter, whole)
                sound = True
            previous, expected, whole = entry["digest"] if sound else None, expected + 1, whole and sound
        return found

    def judge(self, entry: dict[str, Any], before: list[dict[str, Any]], charter: dict[str, Any], whole: bool) -> None:
        """Who signed an entry, and whether it may follow on those before it."""
        signers, kind, body = entry["signatures"].keys(), entry["kind"], entry["body"]
        need(signers and (not charter or signers <= {*charter["keys"].values()}), "is not signed by the lineage's keys")
        message = f"germline ledger entry\n{entry['digest']}".encode()
        need(all(verifies(key, made, message) for key, made in entry["signatures"].items()), "is not what was signed")
        if not whole:
            return
        two, subject = charter["threshold"] == 2, (entry["number"], entry["generation"])
        heads = [(e["number"], e["generation"]) for e in before if e["kind"] in ("founded", "promoted", "rolled_back")]
        laws = [e["body"]["laws"] for e in before if e["kind"] in ("founded", "pinned")]
        need(kind in ("founded", "pinned") or body["laws"] == laws[-1], "is under other laws than the pinned ones")
        need(("approves" in body) == (two and kind == "promoted"), "is promoted by one key alone, or approves nothing")
        if kind == "pinned":
            able = charter["keys"].get("arbiter", min(signers)) in signers
            need(able and subject == heads[-1], "pins laws without the arbiter's signature, or names what is not HEAD")
        elif kind == "rolled_back":
            need(subject in heads, "goes back to what never was HEAD")
        elif "approves" in body:
            asked = [e for e in before if e["kind"] == "proposed" and e["digest"] == body["approves"]
                     and (e["number"], e["generation"]) == subject]  # fmt: skip
            again = [e for e in before if e["body"].get("approves") == body["approves"]]
            other = asked and not again and signers - asked[0]["signatures"].keys()
            need(other, "approves no proposal that waits, or what the same key proposed")
        else:
            born = [e["number"] for e in before if e["kind"] not in ("rolled_back", "pinned")]
            sound = (two or kind != "proposed") and entry["number"] not in born
            need(sound, "bears what was born already, or proposes what needs no second key")

    def generations(self, entries: list[dict[str, Any]]) -> tuple[dict[str, Any], set[str]]:
        """Every manifest that can be read, and the ids of generations that an archive does not hold."""
        named = {entry["generation"]: f"ledger/{entry['sequence']:06}.json names it" for entry in entries}
        found: dict[str, Any] = {}
        absent: set[str] = set()
        for name in self.children("generations", r"[0-9a-f]{64}\.json"):
            with self.collecting(name):
                value, digest = self.json(name, MANIFEST)
                need(digest[7:] == name[12:-5], f"is not what was put there: its bytes hash to {digest}")
                found[digest] = value
                need(digest in named or self.in_flight, self.unnamed())
        with self.collecting("archive.json"):
            if self.archive or "archive.json" in self.kinds:
                value, _ = self.json("archive.json", ARCHIVE)
                with self.collecting("verify_lineage.py"):
                    same = not self.archive or "sha256:" + sha256(self.read("verify_lineage.py")) == value["verifier"]
                    need(same, "is not what was put there")
                need(value["generation"] in named and 0 < value["entries"] <= len(entries), "is not of this ledger")
                line = {value["generation"], *(entry["generation"] for entry in entries[value["entries"] :])}
                while more := {found[one]["parent"] for one in line & found.keys()} - line - {None}:
                    line |= more
                absent = named.keys() - found.keys() - line
        for digest, manifest in found.items():
            named.setdefault(manifest["parent"] or digest, f"generations/{digest[7:]}.json descends from it")
        for digest, why in named.items():
            if f"generations/{digest[7:]}.json" not in self.kinds and digest not in absent:
                self.report(f"generations/{digest[7:]}.json", f"is missing, though {why}")
        return found, absent

    def unnamed(self) -> str:
        told, names = "is named by nothing", ("ledger/", "generations/")
        lost = any(name.startswith(names) and not what.startswith(told) for name, what in self.problems)
        return f"{told} that can be read" if lost else told  # by what is damaged, perhaps

    def content(self, directory: str, named: list[tuple[dict[str, Any], bool]]) -> None:
        """What `objects/` or `cache/` holds is what its name says, and named; what is required is there."""
        sizes: dict[str, set[int]] = {}
        for file, _ in named:
            sizes.setdefault(file["digest"][7:], set()).add(file["size"])
        for fan in self.children(directory, "[0-9a-f]{2}"):
            for name in self.children(fan, f"{fan[-2:]}[0-9a-f]{{62}}"):
                with self.collecting(name):
                    before, digest = self.size, sha256(self.read(name))
                    size = self.size - before
                    need(digest == name[-64:], f"is not what was put there: its bytes hash to sha256:{digest}")
                    need(sizes.get(digest, {size} if self.in_flight else 0) == {size}, self.unnamed())
        for digest in sorted({file["digest"][7:] for file, required in named if required}):
            if f"{directory}/{digest[:2]}/{digest}" not in self.kinds:
                self.report(f"{directory}/{digest[:2]}/{digest}", "is missing")

    def run(self, checkpoint: str | None = None) -> list[str]:
        """Check everything. What is returned was not there to be checked: generations that an archive leaves out."""
        charter: dict[str, Any] = {}
        with self.collecting("lineage.json"):
            value, digest = self.json("lineage.json", CHARTER)
            shown = all(one.isprintable() or unicodedata.category(one) == "Cn" for one in value["name"])  # Cn: not yet
            need(value["name"].strip() and shown, "does not name a lineage")
            enough = "trainer" in value["keys"] and 0 < value["threshold"] <= len({*value["keys"].values()})
            need(enough, "names no trainer, or asks for more keys than there are, or for none")
            charter = {**value, "digest": digest}
        entries = self.ledger(charter)
        manifests, absent = self.generations(entries)
        objects = [(file, True) for manifest in manifests.values() for file in manifest["files"].values()]
        objects += [(file, entry["generation"] not in absent or entry["kind"] == "pinned")
                    for entry in entries for file in entry["files"].values()]  # fmt: skip
        self.content("objects", objects)
        if "cache" in self.kinds:
            self.content("cache", [(manifest["weights"], False) for manifest in manifests.values()])
        said, _, signature = (checkpoint or "").strip().rpartition(" ")
        lines = [f"germline-checkpoint {charter.get('id')} {e['sequence']} {e['digest']}" for e in entries]
        keys = charter["keys"].values() if charter and shaped(signature, SIGNATURE) else []
        signed = any(verifies(key, signature, said.encode()) for key in keys)
        if checkpoint is not None and charter and not (signed and said in lines):
            self.report(f"ledger/{''.join(said.split()[2:3]):0>6}.json", "is not what a signed checkpoint says")
        return list(dict.fromkeys(f"g{entry['number']}" for entry in entries if entry["generation"] in absent))


def exported(path: Path) -> Iterator[tuple[str, str]]:
    """What is wrong with an export: files that are not those that were written, weights or a line not signed so."""
    if (path / "germline.json").is_symlink():
        yield "germline.json", "is not a regular file"
        return
    data = (path / "germline.json").read_bytes()
    told = json.loads(data)
    if canonical(told) != data or not shaped(told, EXPORT):
        yield "germline.json", "does not hold what it should"
        return
    there = {entry.name for entry in path.iterdir()}
    for one in sorted(there | told["files"].keys()):
        if one in told["files"]:
            file = path / one
            if file.is_symlink() or not file.is_file():
                yield one, "is not a regular file" if one in there else "is missing"
            elif told["files"][one] != {"digest": "sha256:" + digest_of(file), "size": file.stat().st_size}:
                yield one, "is not what was written"
        elif one not in ("germline.json", "parity.json"):
            yield one, "is named by nothing"
    weights = told["about"].get("weights")
    if told["files"].get("model.safetensors", {}).get("digest", weights) != weights:
        yield "model.safetensors", "is not the weights that were signed"
    charter, keys, parent = told["charter"], set(told["charter"]["keys"].values()), None
    said = {"lineage": charter["name"], "lineage_id": charter["id"]}
    for manifest, signed in zip(told["generations"], told["ledger"]):  # noqa: B905 - Python 3.9 has no strict
        if not (shaped(manifest, MANIFEST) and shaped(signed, LEDGER)):
            yield "germline.json", "does not hold what it should"
            return
        digest = "sha256:" + hashlib.sha256(canonical(manifest)).hexdigest()
        entry = "sha256:" + hashlib.sha256(canonical(signed["entry"])).hexdigest()
        message = f"germline ledger entry\n{entry}".encode()
        made = signed["entry"]["generation"] == digest and signed["signatures"] and signed["signatures"].keys() <= keys
        if not (made and all(verifies(key, text, message) for key, text in signed["signatures"].items())):
            yield "germline.json", f"names {digest}, which no key of the lineage signed"
        elif manifest["parent"] != parent:
            yield "germline.json", f"{digest} does not descend from the one before it"
        if parent is None:  # what a lineage is called and who may sign for it was signed when it was founded
            own = "sha256:" + hashlib.sha256(canonical(charter)).hexdigest()
            founded = signed["entry"]["kind"] == "founded" and charter["keys"].get("trainer") in signed["signatures"]
            if not founded or signed["entry"]["previous"] != own:
                yield "germline.json", "names another lineage, or other keys, than its founding entry"
            said["founder"] = digest
        elif "delta/train.jsonl" in manifest["files"]:
            said[f"data_g{signed['entry']['number']}"] = manifest["files"]["delta/train.jsonl"]["digest"]
        said["ledger_entry"], parent = entry, digest
    line = [(f"g{signed['entry']['number']}", parent, manifest["weights"]["digest"])] if parent else []
    about = tuple(told["about"].get(name) for name in ("generation", "id", "weights"))
    if len(told["generations"]) != len(told["ledger"]) or about not in line:
        yield "germline.json", "is not of the generation that it is about"
    for name in sorted(said):
        if told["about"].get(name) != said[name]:
            yield "germline.json", f"says another {name} than was signed"


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return sha256(iter(lambda: file.read(1 << 20), b""))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, metavar="PATH")
    parser.add_argument("--checkpoint", metavar="LINE")
    given, counted = parser.parse_args(), ""
    try:
        if (given.path / "germline.json").is_file():
            if given.checkpoint is not None:
                parser.error("a checkpoint is of a lineage or an archive of one, and this is an export")
            problems, why = [*exported(given.path)], "NOT SIGNED, for these there is the export's own word alone"
            left = sorted({one.name for one in given.path.iterdir()} - {"germline.json", "model.safetensors"})
        else:
            left = (check := Check(given.path)).run(given.checkpoint)
            problems, counted = check.problems, f" in {check.files} files of {check.size:,} bytes"
            why = "NOT CHECKED, because this archive does not hold them"
    except (OSError, ValueError, RecursionError) as error:
        print(f"{given.path} is neither a lineage nor an archive or export of one: {error}", file=sys.stderr)
        return 2
    for name, what in problems:
        print(ascii(name)[1:-1], what)  # any bytes may be a name, and a line end too
    print(f"{len(problems) or 'no'} problems{counted}")
    if left:
        print(f"{why}: {ascii(', '.join(left))[1:-1]}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
