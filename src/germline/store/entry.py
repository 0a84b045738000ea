"""One entry of the ledger: what it says, the digest of that, and the signatures on the digest."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from germline.records import FORMAT, Digest, digest_of, dumped, plain
from germline.store import keys, reading
from germline.store.failures import damaged
from germline.store.home import Charter
from germline.store.objects import FileRef, is_digest, reference_from

Kind = Literal["founded", "proposed", "promoted", "refused", "inconclusive", "rolled_back", "pinned"]

LAWS, APPROVES = "laws", "approves"
"""What bodies hold that the rules look at: the digest of the laws in force, and of the entry approved."""

_CONTEXT = b"germline ledger entry\n"
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that happened. For `rolled_back` and `pinned`, generation and number are what HEAD is then."""

    sequence: int
    previous: Digest
    """Digest of the entry before; of `lineage.json` for the first."""
    kind: Kind
    generation: Digest
    number: int
    """The n of gn, in order of birth; a refused child is a fossil and keeps its number."""
    time: str
    """ISO 8601, UTC, whole seconds. For reading: order follows from `sequence` alone."""
    body: dict[str, Any] = field(default_factory=dict)
    """Anything else worth keeping, as JSON values. `laws` is the digest of the laws in force."""
    files: dict[str, FileRef] = field(default_factory=dict)
    """Name -> object: what is known of the generation only after its birth, such as its scorecard."""
    format: int = FORMAT
    signatures: dict[str, str] = field(default_factory=dict)
    """Public key -> signature of the digest, both in hexadecimal. Beside the entry, not part of it."""
    _digest: Digest = field(default="", init=False, repr=False, compare=False)
    """Once known, kept: a ledger is read often."""

    @property
    def fields(self) -> dict[str, Any]:
        """What is hashed: all but the signatures."""
        fields: dict[str, Any] = plain(self)
        del fields["signatures"], fields["_digest"]
        return fields

    @property
    def digest(self) -> Digest:
        if not self._digest:
            object.__setattr__(self, "_digest", digest_of(dumped(self.fields)))
        return self._digest

    @property
    def is_birth(self) -> bool:
        """Whether a generation enters the lineage here. An approval promotes one that was born before."""
        return self.kind not in ("rolled_back", "pinned") and APPROVES not in self.body

    @property
    def moves_head(self) -> bool:
        return self.kind in ("founded", "promoted", "rolled_back")


def message(digest: Digest) -> bytes:
    """What is signed."""
    return _CONTEXT + digest.encode("ascii")


def to_bytes(entry: Entry) -> bytes:
    return dumped({"digest": entry.digest, "entry": entry.fields, "signatures": entry.signatures})


def parse(path: Path, data: bytes) -> Entry:
    """The entry in `data`, read from `path`, checked against the digest beside it. Not the signatures."""
    value = reading.parse(path, data)
    fields, signatures = value.get("entry"), value.get("signatures")
    if value.keys() != {"entry", "digest", "signatures"} or not isinstance(fields, dict):
        raise damaged(path, "is not a ledger entry")
    if (found := digest_of(dumped(fields))) != value["digest"]:
        raise damaged(path, f"was edited: its entry hashes to {found}")
    reading.require_known_format(path, fields.get("format"))
    if not (_is_entry(fields) and _are_signatures(signatures)):
        raise damaged(path, "is not a ledger entry")
    try:
        files = {str(name): reference_from(value) for name, value in fields.pop("files").items()}
    except (AttributeError, TypeError, ValueError):
        raise damaged(path, "is not a ledger entry") from None
    assert isinstance(signatures, dict)
    entry = Entry(**fields, files=files, signatures=signatures)
    object.__setattr__(entry, "_digest", found)
    return entry


def signature_fault(charter: Charter, entry: Entry) -> str | None:
    """What is wrong with the signatures of an entry: there must be one, and all must be of the lineage's keys."""
    strangers = entry.signatures.keys() - set(charter.keys.values())
    if strangers or not entry.signatures:
        return f"is signed by {min(strangers)[:16]}, no key of this lineage" if strangers else "is not signed"
    signed = message(entry.digest)
    for public, signature in entry.signatures.items():
        if not keys.verifies(public, signature, signed):
            return f"was not signed by the {charter.owner(public)}: the signature is another entry's, or forged"
    return None


def _is_entry(fields: dict[str, Any]) -> bool:
    expected = {"sequence", "previous", "kind", "generation", "number", "time", "body", "files", "format"}
    return (
        fields.keys() == expected
        and all(type(fields[name]) is int and fields[name] >= 0 for name in ("sequence", "number"))
        and fields["kind"] in get_args(Kind)
        and is_digest(fields["previous"])
        and is_digest(fields["generation"])
        and isinstance(fields["time"], str)
        and _TIME.fullmatch(fields["time"]) is not None
        and isinstance(fields["body"], dict)
        and is_digest(fields["body"].get(LAWS))
    )


def _are_signatures(value: object) -> bool:
    return isinstance(value, dict) and all(keys.is_public(k) and keys.is_signature(v) for k, v in value.items())
