"""Keys: made once, kept where only their owner reads them, and each refusal says what to do."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from germline.errors import GermlineError, PlanError
from germline.store import keys
from germline.store.home import Home


def private_pem(key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey, password: bytes | None = None) -> bytes:
    how = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)


def put(public: str, data: bytes) -> Path:
    path = keys.path_of(public)
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    path.chmod(0o600)
    return path


def test_keys_that_cannot_be_looked_at_are_not_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    public = keys.make()
    directory = keys.path_of("").parent
    moved = directory.rename(directory.with_name("moved"))
    assert keys.on_this_machine() == ([], []) and not keys.is_here(public)
    moved.rename(directory)

    def forbidden(path: Path) -> os.stat_result:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "lstat", forbidden)
    for look in (keys.on_this_machine, lambda: keys.is_here(public)):
        with pytest.raises(GermlineError, match=r"keys.*Permission denied"):
            look()


def test_a_key_signs_and_its_public_half_verifies() -> None:
    public = keys.make()
    signature = keys.sign(public, b"so it is")
    assert keys.is_public(public) and keys.is_signature(signature) and keys.is_here(public)
    assert keys.verifies(public, signature, b"so it is")
    assert not keys.verifies(public, signature, b"so it was")
    assert not keys.verifies(keys.make(), signature, b"so it is")
    assert not keys.verifies(public, "0" * 128, b"so it is")
    assert not keys.verifies("f" * 64, signature, b"so it is")
    assert (public, keys.path_of(public)) in keys.on_this_machine()[0]


@pytest.mark.skipif(os.name != "posix", reason="modes")
def test_only_the_owner_can_read_a_key_and_nobody_else_may() -> None:
    public = keys.make()
    path = keys.path_of(public)
    assert stat.S_IMODE(path.stat().st_mode) & 0o177 == 0
    for mode in (0o640, 0o604, 0o620):
        path.chmod(mode)
        with pytest.raises(GermlineError, match="may be read by others") as failure:
            keys.sign(public, b"x")
        assert failure.value.hint == f"chmod 600 {path}"
    path.chmod(0o600)
    assert keys.sign(public, b"x")


def test_a_key_is_never_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    public = keys.make()
    before = keys.path_of(public).read_bytes()
    (again,) = [ed25519.Ed25519PrivateKey.from_private_bytes(_raw(before))]
    monkeypatch.setattr(ed25519.Ed25519PrivateKey, "generate", lambda: again)
    with pytest.raises(GermlineError, match="exists already"):
        keys.make()
    assert keys.path_of(public).read_bytes() == before


def test_each_key_is_told_with_the_file_it_lies_in_and_each_file_that_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GERMLINE_CONFIG", str(tmp_path))
    assert keys.on_this_machine() == ([], [])
    public = keys.make()
    own = keys.path_of(public)
    backup = own.with_name("backup.pem")
    backup.write_bytes(own.read_bytes())
    backup.chmod(0o600)
    empty = put("0" * 64, b"")
    found, failures = keys.on_this_machine()
    assert found == sorted([(public, own), (public, backup)], key=lambda pair: pair[1])
    assert [failure.message for failure in failures] == [f"{empty} is no Ed25519 private key"]
    own.unlink()
    assert keys.on_this_machine()[0] == [(public, backup)]


def _raw(pem: bytes) -> bytes:
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(pem, password=None)
    assert isinstance(key, ed25519.Ed25519PrivateKey)
    return key.private_bytes_raw()


def test_what_is_no_key_is_refused() -> None:
    public = keys.make()
    own = keys.path_of(public).read_bytes()
    other = ed25519.Ed25519PrivateKey.generate()
    for data, said in [
        (b"", "is no Ed25519 private key"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "is no Ed25519 private key"),
        (own[: len(own) // 2], "is no Ed25519 private key"),
        (private_pem(other, b"secret"), "is no Ed25519 private key"),
        (private_pem(rsa.generate_private_key(65537, 2048)), "is no Ed25519 private key"),
        (private_pem(other), "holds another key than its name says"),
    ]:
        path = put(public, data)
        with pytest.raises(GermlineError, match=said) as failure:
            keys.sign(public, b"x")
        assert str(path) in failure.value.message and failure.value.hint
    path.unlink()
    path.mkdir(mode=0o700)
    with pytest.raises(GermlineError, match="is no Ed25519 private key"):
        keys.sign(public, b"x")
    path.rmdir()


def test_a_public_key_is_named_by_its_digits_or_a_file(tmp_path: Path) -> None:
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    digits = key.public_bytes_raw().hex()
    (tmp_path / "digits.txt").write_text(f"{digits.upper()}\n")
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pem").write_bytes(pem)
    for given in (digits, str(tmp_path / "digits.txt"), str(tmp_path / "key.pem")):
        assert keys.read_public(given) == digits
    (tmp_path / "private.pem").write_bytes(private_pem(ed25519.Ed25519PrivateKey.generate()))
    (tmp_path / "noise").write_bytes(b"\xff\x00")
    for given in ("private.pem", "noise"):
        with pytest.raises(PlanError, match="is no Ed25519 public key"):
            keys.read_public(str(tmp_path / given))
    with pytest.raises(GermlineError, match="absent"):
        keys.read_public(str(tmp_path / "absent"))


def test_where_the_owner_s_things_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("GERMLINE_CONFIG", str(tmp_path / "mine"))
    assert keys.configuration() == tmp_path / "mine" / "germline"
    monkeypatch.delenv("GERMLINE_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert keys.path_of("ab" * 32) == tmp_path / "xdg" / "germline" / "keys" / "abababababababab.pem"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert keys.configuration() == tmp_path / ".config" / "germline"
    monkeypatch.setattr("sys.platform", "darwin")
    assert keys.configuration() == tmp_path / "Library" / "Application Support" / "germline"
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("APPDATA", str(tmp_path / "roaming"))
    assert keys.configuration() == tmp_path / "roaming" / "germline"


def test_a_lineage_never_holds_its_own_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GERMLINE_CONFIG", str(tmp_path / "aria" / ".config"))
    with pytest.raises(PlanError, match="must not lie inside a lineage"):
        Home.create(tmp_path / "aria", "aria")
    assert not (tmp_path / "aria").exists()
