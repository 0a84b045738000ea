"""What may follow on what: the rules of every ledger, the same for who appends and for who reads it.

With a threshold of 1 a child is born `promoted`, and HEAD moves. With 2 it is born `proposed`, and HEAD
moves when an approval, a `promoted` entry that names the proposal by its digest, is signed by a key that
did not sign the proposal. Two signatures by one key are one. A proposal is approved once.

An approval is not asked whether it is still wise (see `germline approve`): only whether it is one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from germline.records import Digest
from germline.store.entry import APPROVES, LAWS, Entry, Kind, signature_fault
from germline.store.home import Charter


@dataclass(slots=True)
class Course:
    """What the entries so far have come to, and with it what the next one may be."""

    charter: Charter | None
    """None where `lineage.json` cannot be read: then only what needs no key is judged."""
    length: int = 0
    previous: Digest | None = None
    """Digest of the last entry, of `lineage.json` before the first; None after one that cannot be read."""
    laws: Digest = ""
    born: set[int] = field(default_factory=set)
    led: set[tuple[int, Digest]] = field(default_factory=set)
    """Number and id of every generation that was HEAD: what may be HEAD again."""
    head: tuple[int, Digest] = (0, "")
    proposals: dict[Digest, Entry] = field(default_factory=dict)
    """Those not approved, by their own digest."""
    whole: bool = field(init=False)
    """Whether every entry so far could be read: else only what does not depend on the others is judged."""

    def __post_init__(self) -> None:
        self.previous = self.charter.digest if self.charter else None
        self.whole = self.charter is not None

    def fault(self, entry: Entry) -> str | None:
        """What is wrong with `entry` as the next one, as the end of a sentence that begins with its file."""
        if entry.sequence != self.length:
            return f"is out of place: it holds entry {entry.sequence}"
        if self.previous is not None and entry.previous != self.previous:
            before = "the entry before it" if self.length else "the lineage.json that is here"
            return f"does not follow on {before}"
        if (entry.kind == "founded") != (self.length == 0):
            return f"cannot be {entry.kind} here: a lineage is founded once, and first"
        forged = signature_fault(self.charter, entry) if self.charter else None
        return forged or (self._step_fault(entry) if self.whole else None)

    def take(self, entry: Entry) -> None:
        """Go on past an entry in which there is no fault."""
        self.length += 1
        self.previous = entry.digest
        if entry.kind in ("founded", "pinned"):
            self.laws = entry.body[LAWS]
        if entry.is_birth:
            self.born.add(entry.number)
        if entry.kind == "proposed":
            self.proposals[entry.digest] = entry
        if entry.moves_head:
            self.proposals.pop(str(entry.body.get(APPROVES)), None)
            self.head = (entry.number, entry.generation)
            self.led.add(self.head)

    def lose(self, length: int) -> None:
        """Go on at entry `length`, past some that are missing, unreadable or not what they should be."""
        self.length, self.previous, self.whole = length, None, False

    def _step_fault(self, entry: Entry) -> str | None:
        assert self.charter is not None
        if entry.kind not in ("founded", "pinned") and entry.body[LAWS] != self.laws:
            return "is under other laws than the pinned ones"
        two = self.charter.threshold == 2
        if (APPROVES in entry.body) != (entry.kind == "promoted" and two):
            return "is promoted without a proposal" if entry.kind == "promoted" and two else "approves nothing"
        if entry.is_birth:
            if entry.kind == "proposed" and not two:
                return "proposes what needs no second key"
            return f"bears g{entry.number}, which was born already" if entry.number in self.born else None
        if entry.kind == "promoted":
            return self._approval_fault(entry)
        if entry.kind == "pinned":
            arbiter = self.charter.keys.get("arbiter")
            if arbiter and arbiter not in entry.signatures:
                return "pins laws without the arbiter's signature"
            if entry.generation != self.head[1]:
                return "names what is not HEAD"
        return None if (entry.number, entry.generation) in self.led else "goes back to what never was HEAD"

    def _approval_fault(self, entry: Entry) -> str | None:
        proposal = self.proposals.get(str(entry.body[APPROVES]))
        if proposal is None:
            return "approves no proposal that waits"
        if (proposal.generation, proposal.number) != (entry.generation, entry.number):
            return f"approves g{entry.number}, though the proposal is g{proposal.number}"
        if not entry.signatures.keys() - proposal.signatures.keys():
            return "approves what the same key proposed: two different keys are needed"
        return None


def birth(charter: Charter, outcome: Literal["promoted", "refused", "inconclusive"]) -> Kind:
    """What a child is born as that the gate calls `outcome`."""
    return "proposed" if outcome == "promoted" and charter.threshold == 2 else outcome


def course(charter: Charter, entries: Iterable[Entry]) -> Course:
    """What entries that were read and checked have come to."""
    found = Course(charter)
    for entry in entries:
        found.take(entry)
    return found
