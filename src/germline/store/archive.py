"""One generation in cold storage: a tar file with all it takes to have it again, and nothing in it left to choose.

    archive.json            which generation, and how long the ledger was (`held`)
    lineage.json, ledger/   the whole ledger, so that HEAD and every verdict are told
    generations/, objects/  of the generation and its ancestors alone; merged weights are made again from them
    verify_lineage.py       checks the archive, or what was restored from it, with Python alone

Names are in order, and a header follows from name and size: the same lineage gives the same bytes whenever and
wherever it is archived. An archive can be read by any tar. `restore` and the verifier take no other tar file than this
one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from germline import verify_lineage
from germline.errors import GermlineError, PlanError, StoreDamaged
from germline.records import Digest, canonical_json, digest_of
from germline.store import disk, generations, ledger, objects, reading
from germline.store.entry import to_bytes
from germline.store.failures import damaged, explained
from germline.store.held import Held
from germline.store.home import Home
from germline.store.inspection import OnFile
from germline.store.objects import FileRef, Tally, hexadecimal

VERIFIER = "verify_lineage.py"
MEMBER = re.compile(
    r"archive\.json|lineage\.json|verify_lineage\.py|ledger/([0-9]{6}|[1-9][0-9]{6,11})\.json"
    r"|generations/[0-9a-f]{64}\.json|objects/([0-9a-f]{2})/\2[0-9a-f]{62}"
)
"""Every name that an archive may hold."""

_CELL = 512


def archive(home: Home, generation: Digest, path: Path, on_file: OnFile) -> FileRef:
    """Write the archive of a generation to `path`, and its hash beside it, as `sha256sum` writes it.

    Every byte is checked against its hash on its way. GermlineError if either file exists: nothing is overwritten.
    A kill between the two leaves an archive that is whole, and no `.sha256`.
    """
    if not path.name or not path.name.isprintable() or "\\" in path.name:
        raise PlanError(f"{path.name!r} cannot name an archive", hint="use plain letters and digits")
    beside = path.with_name(f"{path.name}.sha256")
    home.require_outside(path)
    for taken in (path, beside):
        if os.path.lexists(taken):
            raise GermlineError(f"{taken} exists already", hint="name another file with -o: nothing is overwritten")
    tally = Tally()
    disk.write_new(path, _counted(_tar(home, _files(home, generation), on_file), tally))
    written = tally.reference
    disk.write_new(beside, f"{hexadecimal(written.digest)}  {path.name}\n".encode())
    return written


def header(name: str, size: int) -> bytes:
    """The only one that a file has in an archive: regular, read-only, nobody's, of 1970 (POSIX.1 ustar).

    From 8 GiB on the size is binary, as every tar of today writes and reads it.
    """
    length = b"%011o\0" % size if size < 8**11 else b"\x80" + size.to_bytes(11, "big")
    start = name.encode("ascii").ljust(100, b"\0") + b"0000444\0" + b"0000000\0" * 2 + length + b"%011o\0" % 0
    end = b"0" + bytes(100) + b"ustar\00000" + bytes(64) + b"0000000\0" * 2 + bytes(155 + 12)
    return start + b"%06o\0 " % (sum(start) + sum(end) + 8 * 32) + end


def broken(path: Path, what: str) -> StoreDamaged:
    """The error for an archive that is not as `archive` writes it: `{path} {what}`."""
    return StoreDamaged(f"{path} {what}", hint="take another copy of the archive")


def members(path: Path, file: BinaryIO, length: int) -> Iterator[tuple[str, int, int]]:
    """Name, place and size of each file in an archive; StoreDamaged at the first byte that no archive has."""
    place, previous = 0, ""
    while any(found := _read(file, place, _CELL)):
        name = found[:100].rstrip(b"\0").decode("ascii", "replace")
        octal = re.fullmatch(rb"([0-7]{11})\0", found[124:136])
        size = int(octal[1], 8) if octal else int.from_bytes(found[125:136], "big")
        if not MEMBER.fullmatch(name) or name <= previous or found != header(name, size):
            raise broken(path, f"is no archive of germline from byte {place} on")
        end = place + _CELL + size
        following = end + -end % _CELL
        if following > length:
            raise broken(path, f"is cut short: {name} should end at byte {end}, and it has {length}")
        if any(_read(file, end, following - end)):
            raise broken(path, f"holds something between two files, after byte {end}")
        yield name, place + _CELL, size
        place, previous = following, name
    if length - place != 2 * _CELL or any(_read(file, place, 2 * _CELL)):
        raise broken(path, f"does not end as an archive does, at byte {place}")


def _read(file: BinaryIO, place: int, length: int) -> bytes:
    with explained(Path(file.name)):
        file.seek(place)
        return file.read(length)


def _counted(blocks: Iterable[bytes], tally: Tally) -> Iterator[bytes]:
    """The same blocks, each written to the tally as it goes by."""
    for block in blocks:
        tally.write(block)
        yield block


def _files(home: Home, generation: Digest) -> dict[str, bytes | FileRef]:
    """What goes into the archive: small files by their bytes, objects by reference."""
    entries = ledger.entries(home)
    line = {digest: generations.load(home, digest) for digest in ledger.ancestors(home, generation)}
    named = [reference for manifest in line.values() for reference in manifest.files.values()]
    named += [
        reference for entry in entries if entry.generation in line or entry.kind == "pinned"
        for reference in entry.files.values()
    ]  # fmt: skip
    verifier = Path(verify_lineage.__file__).read_bytes()
    told = Held(generation=generation, entries=len(entries), verifier=digest_of(verifier))
    return {
        "archive.json": told.to_bytes(),
        "lineage.json": reading.read(home.identity),
        VERIFIER: verifier,
        **{f"ledger/{entry.sequence:06}.json": to_bytes(entry) for entry in entries},
        **{f"generations/{digest[7:]}.json": canonical_json(manifest) for digest, manifest in line.items()},
        **{f"objects/{reference.digest[7:9]}/{reference.digest[7:]}": reference for reference in named},
    }


def _tar(home: Home, files: Mapping[str, bytes | FileRef], on_file: OnFile) -> Iterator[bytes]:
    for name in sorted(files):
        content = files[name]
        size = len(content) if isinstance(content, bytes) else content.size
        yield header(name, size)
        if isinstance(content, bytes):
            yield content
        else:
            yield from _object(home, content)
        yield bytes(-size % _CELL)
        on_file(home.root / name, size)
    yield bytes(2 * _CELL)


def _object(home: Home, reference: FileRef) -> Iterator[bytes]:
    """An object's bytes; StoreDamaged, once they have gone by, if they are not what the reference says."""
    path, tally = objects.path_of(home, reference.digest), Tally()
    with explained(path), path.open("rb", buffering=0) as file:
        yield from _counted(iter(lambda: file.read(disk.BLOCK), b""), tally)
    if tally.reference != reference:
        raise damaged(path, f"is not what was put there: its bytes hash to {tally.reference.digest}")
