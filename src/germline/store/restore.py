"""A lineage out of an archive: nothing of it is there before all of it is there and verified.

An archive is a file from elsewhere. Its names are matched before a path is built; its headers must be the very bytes
that `archive` writes, which leaves no links, owners, modes, devices or second names to look out for; nothing in it is
compressed, so that what it unfolds to is bounded by what it is. The verifier in it is not restored: a program that
came with the data would vouch for it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from germline.errors import GermlineError, PlanError, StoreDamaged
from germline.store import disk, witness
from germline.store.archive import VERIFIER, broken, members
from germline.store.failures import explained
from germline.store.held import held
from germline.store.home import Home
from germline.store.inspection import OnFile
from germline.store.objects import hash_file
from germline.store.verify import Report, verify

LONGEST = 64 << 20
"""Bytes of anything but an object: all else is read whole."""


def restore(path: Path, root: Path, sha256: str | None, on_file: OnFile) -> tuple[Home, Report]:
    """Make the lineage that is in the archive at `path`, in `root`, which must be missing or empty.

    The archive must hash to `sha256`, or, where none is given, to what stands in `{path}.sha256` if that is there.
    StoreDamaged, and nothing left, if it does not, or if anything in it is not what it says. A kill may leave a
    directory `.tmp-…` beside `root`, which means nothing.
    """
    with explained(path):
        if not path.is_file():
            raise GermlineError(f"{path} is not a file", hint="name an archive that `germline archive` wrote")
    disk.require_free(root)
    _require_hash(path, sha256)
    root = root.absolute()
    staged = Home(disk.temporary_path(root.parent))
    try:
        _unpack(path, staged, on_file)
        report = verify(staged, on_file)
        if report.problems:
            first = f"{report.problems[0].path} {report.problems[0].what}"
            raise StoreDamaged(
                f"{path} holds no whole lineage: {first}",
                hint="take another copy. If it is an older one of a lineage that has grown on here, this "
                "machine's witness has seen more: restore it with another GERMLINE_CONFIG and look at it with that; "
                f"where there is none newer, remove {witness.path_of(staged)}, and what was seen is forgotten",
            )
        disk.publish_directory(staged.root, root)
    except BaseException as error:
        with suppress(GermlineError, ValueError):
            disk.remove_tree(staged.root, staged.root)
        if isinstance(error, StoreDamaged) and str(staged.root) in error.message:  # which is gone
            raise broken(
                path, f"holds no whole lineage: {error.message.replace(f'{staged.root}{os.sep}', '')}"
            ) from None
        raise
    return Home.open(root), report


def _require_hash(path: Path, sha256: str | None) -> None:
    beside = path.with_name(f"{path.name}.sha256")
    if sha256 is None and not os.path.lexists(beside):
        return
    if sha256 is None:
        with explained(beside), beside.open("rb") as file:
            sha256 = file.read(256).decode("ascii", "replace").split(" ")[0]
    wanted = sha256.strip().lower().removeprefix("sha256:")
    if not re.fullmatch("[0-9a-f]{64}", wanted):
        raise PlanError(f"{sha256!r} is no SHA-256", hint="it has 64 hexadecimal digits")
    found = hash_file(path).digest[7:]
    if found != wanted:
        raise broken(path, f"hashes to {found}, not to {wanted}")


def _unpack(path: Path, home: Home, on_file: OnFile) -> None:
    verifier = ""
    with explained(path), path.open("rb") as file:
        found = list(members(path, file, os.fstat(file.fileno()).st_size))  # all of it, before anything is written
        for name, _, size in found:
            if size > LONGEST and not name.startswith("objects/"):
                raise broken(path, f"holds {size} bytes of {name}, more than any lineage has")
        for directory in (home.objects, home.generations, home.ledger, home.cache, home.runs):
            disk.make_directory(directory)
        for name, place, size in found:
            if name == VERIFIER:
                verifier = "sha256:" + hashlib.sha256(b"".join(_content(path, file, name, place, size))).hexdigest()
                continue
            target = home.root / name
            disk.make_directory(target.parent)
            disk.write_new(target, _content(path, file, name, place, size))
            on_file(target, size)
    told = held(home)
    if told is None or told.verifier != verifier:
        raise broken(path, f"does not hold the {VERIFIER} that it was made with")


def _content(path: Path, file: BinaryIO, name: str, place: int, size: int) -> Iterator[bytes]:
    """The bytes of one file of the archive; StoreDamaged at their end if they are not what their name says."""
    hashed, left = hashlib.sha256(), size
    file.seek(place)
    while left and (block := file.read(min(disk.BLOCK, left))):
        left -= len(block)
        hashed.update(block)
        yield block
    named = name.rsplit("/", 1)[-1].removesuffix(".json")
    if left or (len(named) == 64 and hashed.hexdigest() != named):
        raise broken(path, f"holds bytes as {name} that hash to {hashed.hexdigest()}")
