"""The keys that sign a ledger: Ed25519, one file each, beside the owner's settings and never in a lineage.

A lineage names public keys only. The private ones lie in `keys/` of `configuration()`, readable by their
owner alone, unencrypted: whoever can read the owner's files can sign. Lost keys cannot be made again, and
a lineage whose keys are lost can still be read and verified, but nothing can be added to it.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from germline.errors import GermlineError, PlanError
from germline.store import disk, reading
from germline.store.failures import explained

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_WINDOWS = os.name == "nt"
_PUBLIC, _SIGNATURE = re.compile("[0-9a-f]{64}"), re.compile("[0-9a-f]{128}")


def configuration() -> Path:
    """Where germline keeps what belongs to the owner on this machine: keys, and marks of what was seen."""
    named = os.environ
    try:
        if named.get("GERMLINE_CONFIG"):
            base = Path(named["GERMLINE_CONFIG"])
        elif sys.platform == "win32":
            base = Path(named.get("APPDATA") or Path.home() / "AppData" / "Roaming")
        elif sys.platform == "darwin":
            base = Path.home() / "Library" / "Application Support"
        else:
            base = Path(named.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    except RuntimeError:
        raise GermlineError("this user has no home directory", hint="GERMLINE_CONFIG names one for keys") from None
    return base.absolute() / "germline"


def path_of(public: str) -> Path:
    """Where the private key to a public one lies, if it is on this machine."""
    return configuration() / "keys" / f"{public[:16]}.pem"


def shown(path: Path) -> Path:
    """Where a key's file is to be found by other programs. What Python from Microsoft's Store writes to AppData lies in
    that Python's own package, and is removed with it."""
    return path.resolve() if _WINDOWS else path


def is_public(value: object) -> bool:
    return isinstance(value, str) and _PUBLIC.fullmatch(value) is not None


def is_signature(value: object) -> bool:
    return isinstance(value, str) and _SIGNATURE.fullmatch(value) is not None


def make() -> str:
    """Make a key, keep it on this machine, and return its public half. No key is ever overwritten."""
    from cryptography.hazmat.primitives.asymmetric import ed25519
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    private = ed25519.Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw().hex()
    path = path_of(public)
    disk.make_directory(path.parent)
    try:
        disk.write_new(path, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), mode=0o600)
    except FileExistsError:
        raise GermlineError(f"{path} exists already", hint="keys are never overwritten: try again") from None
    return public


def on_this_machine() -> tuple[list[tuple[str, Path]], list[GermlineError]]:
    """Public half and file of each key that lies here, in order of the files' names; and what is wrong with the rest.

    A key that lies in two files is there twice. Only the one at `path_of` signs.
    """
    found: list[tuple[str, Path]] = []
    failures: list[GermlineError] = []
    directory = path_of("").parent
    with explained(directory):
        paths = [*directory.iterdir()] if reading.is_there(directory) else []
    for path in sorted(path for path in paths if path.suffix == ".pem"):
        try:
            found.append((_private(path).public_key().public_bytes_raw().hex(), path))
        except GermlineError as failure:
            failures.append(failure)
    return found, failures


def is_here(public: str) -> bool:
    return reading.is_there(path_of(public))


def missing(public: str, whose: str) -> GermlineError:
    """The error for what only a key that is not on this machine could sign."""
    return GermlineError(
        f"the {whose}'s key {public[:16]} is not on this machine",
        hint=f"copy the key file {path_of(public).name} into {path_of(public).parent}, or sign where it is",
    )


def sign(public: str, message: bytes) -> str:
    """The signature of `message` in hexadecimal. GermlineError says what is wrong with the key file."""
    path = path_of(public)
    private = _private(path)
    if private.public_key().public_bytes_raw().hex() != public:
        raise GermlineError(f"{path} holds another key than its name says", hint="put the right file there")
    return private.sign(message).hex()


@lru_cache(maxsize=1 << 16)
def verifies(public: str, signature: str, message: bytes) -> bool:
    """Whether `signature` is that of `public` on `message`. Asked once in a process: a server reads its ledger at each
    swap, and of the 47 ms that 240 entries took half were signatures that it had verified before."""
    from cryptography.exceptions import InvalidSignature

    try:
        _public(public).verify(bytes.fromhex(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True


def read_public(given: str) -> str:
    """The public key that an owner names: its 64 digits, or a file that holds them or is a PEM public key."""
    text = given
    if not is_public(text.lower()):
        with explained(Path(given)):
            text = Path(given).read_text(encoding="utf-8", errors="replace").strip()
    if is_public(text.lower()):
        return text.lower()
    found = _pem("load_pem_public_key", text.encode())
    if found is None:
        hint = "name its 64 digits, as `germline keys` prints them, or a file that holds nothing else"
        raise PlanError(f"{given} is no Ed25519 public key", hint=hint)
    return str(found.public_bytes_raw().hex())


@lru_cache(maxsize=16)
def _public(public: str) -> Ed25519PublicKey:
    from cryptography.hazmat.primitives.asymmetric import ed25519

    return ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))


def _private(path: Path) -> Ed25519PrivateKey:
    with explained(path):
        status = path.stat()
        data = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
    if os.name == "posix" and status.st_mode & 0o077:
        raise GermlineError(f"{path} may be read by others", hint=f"chmod 600 {path}")
    found = _pem("load_pem_private_key", data, password=None)
    if found is None:
        raise GermlineError(f"{path} is no Ed25519 private key", hint="restore it from the backup you made of it")
    return found  # type: ignore[no-any-return]


def _pem(loader: str, data: bytes, **options: object) -> Any:
    """What `serialization.<loader>` makes of a PEM file, if that is an Ed25519 key."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519

    try:
        found = getattr(serialization, loader)(data, **options)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return found if isinstance(found, ed25519.Ed25519PrivateKey | ed25519.Ed25519PublicKey) else None
