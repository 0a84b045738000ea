"""Objects, the cache and manifests: what goes in comes out, or damage is named."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest

from germline.errors import GermlineError, StoreDamaged
from germline.records import canonical_json, digest_of
from germline.store import disk, generations, objects
from germline.store.generations import Manifest
from germline.store.home import Home
from germline.store.objects import FileRef

NOT_DIGESTS = [
    "",
    "sha256:",
    "sha256:../../../etc/passwd",
    "sha256:" + "A" * 64,
    "a" * 64,
    "sha256:" + "a" * 65,
]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.create(tmp_path / "home", "aria")


def overwrite(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


def files_under(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


def test_what_is_put_is_read_back(home: Home) -> None:
    reference = objects.put(home, b"bytes")
    assert reference == FileRef(digest_of(b"bytes"), 5)
    assert objects.put(home, b"bytes") == reference
    assert objects.read(home, reference.digest) == b"bytes"
    path = objects.path_of(home, reference.digest)
    assert path.relative_to(home.objects).parts == (path.name[:2], reference.digest[7:])
    assert files_under(home.objects) == [path]


def test_a_file_is_copied_or_moved(home: Home, tmp_path: Path) -> None:
    data = os.urandom(disk.BLOCK + 17)
    source = tmp_path / "source"
    source.write_bytes(data)
    reference = objects.put_file(home, source)
    assert reference == FileRef(digest_of(data), len(data)) == objects.hash_file(source)
    assert objects.put_file(home, source) == reference
    assert source.read_bytes() == data
    assert objects.put_file(home, source, move=True) == reference
    assert not source.exists()
    source.write_bytes(b"other")
    assert objects.read(home, objects.put_file(home, source, move=True).digest) == b"other"
    assert not source.exists()
    assert len(files_under(home.objects)) == 2


def test_a_file_with_a_second_name_is_copied_even_when_moved(home: Home, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"bytes")
    (tmp_path / "twin").hardlink_to(tmp_path / "source")
    reference = objects.put_file(home, tmp_path / "source", move=True)
    (tmp_path / "twin").write_bytes(b"change")
    assert objects.read(home, reference.digest) == b"bytes"
    assert not (tmp_path / "source").exists()


def test_what_is_no_file_cannot_be_put(home: Home, tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(GermlineError, match="is not a file"):
            objects.put_file(home, path)


@pytest.mark.parametrize("digest", NOT_DIGESTS)
def test_only_digests_become_paths(home: Home, digest: str) -> None:
    for function in (objects.path_of, objects.read, objects.cache_path, generations.load):
        with pytest.raises(StoreDamaged, match="is not a digest"):
            function(home, digest)


def test_damage_to_an_object_is_named(home: Home, tmp_path: Path) -> None:
    reference = objects.put(home, b"bytes")
    path = objects.path_of(home, reference.digest)
    overwrite(path, b"bites")
    source = tmp_path / "source"
    source.write_bytes(b"bytes")
    for attempt in (
        lambda: objects.read(home, reference.digest),
        lambda: objects.put(home, b"bytes"),
        lambda: objects.put_file(home, source),
        lambda: objects.put_file(home, source, move=True),
    ):
        with pytest.raises(StoreDamaged, match=path.name):
            attempt()
    assert source.exists()
    assert files_under(home.objects) == [path]
    path.unlink()
    with pytest.raises(StoreDamaged, match="is missing"):
        objects.read(home, reference.digest)
    path.symlink_to(source)
    with pytest.raises(StoreDamaged, match="is not a regular file"):
        objects.path_of(home, reference.digest)


def test_the_cache_may_be_emptied(home: Home) -> None:
    staged = home.runs / "weights"
    staged.write_bytes(b"weights")
    assert objects.cache_path(home, digest_of(b"weights")) is None
    reference = objects.put_in_cache(home, staged)
    path = objects.cache_path(home, reference.digest)
    assert path is not None
    assert path.read_bytes() == b"weights"
    assert not staged.exists()
    staged.write_bytes(b"weights")
    assert objects.put_in_cache(home, staged) == reference
    assert not staged.exists()
    disk.remove_tree(home.root, path.parent)
    assert objects.cache_path(home, reference.digest) is None


def founder(home: Home, **changes: Any) -> Manifest:
    weights = objects.put(home, b"weights")
    files = {"model/weights.safetensors": weights, "exam.json": objects.put(home, b"{}")}
    manifest = Manifest(parent=None, files=files, weights=weights, about={"steps": 3, "scale": 0.8})
    return dataclasses.replace(manifest, **changes)


def test_a_generation_is_its_manifest(home: Home) -> None:
    manifest = founder(home)
    digest = generations.commit(home, manifest)
    assert generations.commit(home, manifest) == digest == manifest.id
    assert generations.load(home, digest) == manifest
    assert generations.manifest_path(home, digest).read_bytes() == canonical_json(manifest)
    child = dataclasses.replace(manifest, parent=digest, about={})
    assert generations.load(home, generations.commit(home, child)).parent == digest


def test_names_are_part_of_the_identity(home: Home) -> None:
    manifest = founder(home)
    renamed = {name.replace("exam", "exams"): reference for name, reference in manifest.files.items()}
    assert dataclasses.replace(manifest, files=renamed).id != manifest.id


@pytest.mark.parametrize("name", ["", "/a", "a/", "a//b", "../a", "a/../b", ".a", "A", "a b", "a\\b", "a\n"])
def test_bad_names_are_refused(home: Home, name: str) -> None:
    manifest = founder(home, files={name: objects.put(home, b"{}")})
    with pytest.raises(GermlineError, match="cannot name a file"):
        generations.commit(home, manifest)
    assert files_under(home.generations) == []


def test_a_generation_is_committed_only_when_complete(home: Home) -> None:
    there = objects.put(home, b"{}")
    cases = {
        "is missing": founder(home, files={"a": FileRef(digest_of(b"nowhere"), 7)}),
        "has 2 bytes, not 3": founder(home, files={"a": FileRef(there.digest, 3)}),
        "is not a digest": founder(home, weights=FileRef("sha256:no", 3)),
        "json is missing": founder(home, parent=digest_of(b"nobody")),
    }
    for message, manifest in cases.items():
        with pytest.raises(StoreDamaged, match=message):
            generations.commit(home, manifest)
    assert files_under(home.generations) == []


def test_a_damaged_manifest_is_named(home: Home) -> None:
    manifest = founder(home)
    path = generations.manifest_path(home, generations.commit(home, manifest))
    overwrite(path, path.read_bytes() + b" ")
    with pytest.raises(StoreDamaged, match=path.name):
        generations.load(home, manifest.id)
    with pytest.raises(StoreDamaged, match=path.name):
        generations.commit(home, manifest)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "of format 2"),
        ({"format": True}, "has no format number"),
        ({"files": []}, "does not describe"),
        ({"files": {"../a": {"digest": "sha256:" + "0" * 64, "size": 1}}}, "does not describe"),
        ({"weights": {"digest": "sha256:x", "size": 1}}, "does not describe"),
        ({"weights": {"digest": "sha256:" + "0" * 64, "size": -1}}, "does not describe"),
        ({"weights": None}, "does not describe"),
        ({"parent": 3}, "does not describe"),
        ({"about": []}, "does not describe"),
        ({"more": 1}, "does not describe"),
    ],
)
def test_a_manifest_of_another_shape_is_refused(home: Home, change: dict[str, Any], message: str) -> None:
    value = dataclasses.asdict(founder(home)) | change
    data = canonical_json(value)
    disk.write_new(generations.manifest_path(home, digest_of(data)), data)
    with pytest.raises(GermlineError, match=message):
        generations.load(home, digest_of(data))
