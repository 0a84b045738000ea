"""What an archive holds: `archive.json`, which lies beside `lineage.json` where a lineage was restored from one.

An archive is one generation with its ancestors, and the ledger as far as it went. Every other generation that the
ledger told of by then is left out on purpose. Whoever writes an `archive.json` into a lineage can excuse lost
generations by it, and never a changed byte: what is left out is named by `verify` every time.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from germline.records import FORMAT, Digest, canonical_json
from germline.store import reading
from germline.store.entry import Entry
from germline.store.failures import damaged
from germline.store.home import Home
from germline.store.objects import is_digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    generation: Digest
    """The one that was archived, with all its ancestors."""
    entries: int
    """How many entries the ledger had. What entered the lineage since must be there."""
    verifier: Digest
    """Hash of the stand-alone verifier that lies in the archive."""
    format: int = FORMAT

    def to_bytes(self) -> bytes:
        return canonical_json(self)

    def left_out(self, entries: Sequence[Entry], parents: Mapping[Digest, Digest | None]) -> set[Digest]:
        """The generations that need not be there, given the parent of each that is there."""
        needed = {self.generation, *(entry.generation for entry in entries if entry.sequence >= self.entries)}
        waiting = list(needed)
        while waiting:
            parent = parents.get(waiting.pop())
            if parent and parent not in needed:
                needed.add(parent)
                waiting.append(parent)
        return {entry.generation for entry in entries} - needed - parents.keys()


def held(home: Home) -> Held | None:
    """What the archive held that this lineage was restored from; None for a lineage that has everything."""
    if not os.path.lexists(home.archive):
        return None
    value = reading.parse(home.archive, reading.read(home.archive))
    reading.require_known_format(home.archive, value.get("format"))
    known = value.keys() == {"format", "generation", "entries", "verifier"}
    known = known and is_digest(value["generation"]) and is_digest(value["verifier"])
    if not known or type(value["entries"]) is not int or value["entries"] < 1:
        raise damaged(home.archive, "does not say what was archived")
    return Held(**value)
