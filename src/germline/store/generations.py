"""Manifests: a generation is a list of named objects, and its id is the hash of that list."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from germline.errors import GermlineError, NotHeld
from germline.records import FORMAT, Digest, canonical_json, digest_of
from germline.store import disk, reading
from germline.store.failures import damaged
from germline.store.home import Home
from germline.store.objects import FileRef, hexadecimal, is_digest, place, reference_from

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """All a generation is made of. Every byte and every name in it goes into its id.

    Nothing here may depend on the clock or the machine: what a generation cost belongs in the ledger.
    """

    parent: Digest | None
    """None for the founder."""
    files: dict[str, FileRef]
    """Name -> object. Names are lower case, with `/` between parts: `adapter/weights.safetensors`."""
    weights: FileRef
    """The merged model: an object where it is one of `files`, else a cache file that can be rebuilt."""
    about: dict[str, Any] = field(default_factory=dict)
    """Small facts, as JSON values: what is read back compares equal to what was committed."""
    format: int = FORMAT

    @property
    def id(self) -> Digest:
        return digest_of(canonical_json(self))


def manifest_path(home: Home, digest: Digest) -> Path:
    """Where the manifest of a generation lies, whether or not it is there."""
    return home.generations / f"{hexadecimal(digest)}.json"


def commit(home: Home, manifest: Manifest) -> Digest:
    """Write a manifest down once all it names is there, and return its id. Doing so again changes nothing.

    Checks the names, that every file is an object of the right size, and that the parent is committed; not
    the bytes of the objects, which `verify` and `objects.read` do. The generation is not in the lineage
    until a ledger entry names it.
    """
    for name, reference in manifest.files.items():
        if not _NAME.fullmatch(name):
            raise GermlineError(f"{name!r} cannot name a file of a generation", hint="use a-z, 0-9, '.', '_' and '-'")
        path = place(home.objects, reference.digest)
        if (size := reading.require_regular(path).st_size) != reference.size:
            raise damaged(path, f"({name}) has {size} bytes, not {reference.size}")
    hexadecimal(manifest.weights.digest)
    if manifest.parent is not None:
        load(home, manifest.parent)
    data, path = canonical_json(manifest), manifest_path(home, manifest.id)
    disk.make_directory(home.generations)
    try:
        disk.write_new(path, data)
    except FileExistsError:
        load(home, manifest.id)
        disk.sync_directory(home.generations)
    return manifest.id


def load(home: Home, digest: Digest) -> Manifest:
    """The manifest of a generation; StoreDamaged if it is not what was committed, NotHeld if an archive
    left it out."""
    path = manifest_path(home, digest)
    if not is_held(home, digest):
        hint = "`germline verify` names all that it does not hold; the lineage that it was made of has them"
        raise NotHeld(f"generation {digest[7:19]} is not in this archive", hint=hint)
    return parse(path, reading.read(path))


def is_held(home: Home, digest: Digest) -> bool:
    """Whether a generation should be here: only an archive leaves some out, and lacks their manifests."""
    return os.path.lexists(manifest_path(home, digest)) or not os.path.lexists(home.archive)


def parse(path: Path, data: bytes) -> Manifest:
    """The manifest in `data`, read from `path`, whose name must be its hash."""
    found = digest_of(data)
    if path.name != f"{hexadecimal(found)}.json":
        raise damaged(path, f"is not what was put there: its bytes hash to {found}")
    value = reading.parse(path, data)
    reading.require_known_format(path, value.get("format"))
    try:
        manifest = _manifest(value)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise damaged(path, "does not describe a generation") from None
    return manifest


def _manifest(value: Mapping[str, Any]) -> Manifest:
    manifest = Manifest(
        format=value["format"],
        parent=value["parent"],
        files={name: reference_from(reference) for name, reference in value["files"].items()},
        weights=reference_from(value["weights"]),
        about=value["about"],
    )
    well_formed = (
        len(value) == 5
        and (manifest.parent is None or is_digest(manifest.parent))
        and all(_NAME.fullmatch(name) for name in manifest.files)
        and isinstance(manifest.about, dict)
    )
    if not well_formed:
        raise ValueError
    return manifest
