"""A lineage as it stands: who descends from whom, what each generation holds, where its weights lie.

Reading only, and without torch: `log`, `show` and `diff` answer at once. Weights are `checkout`'s business.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from germline.errors import StoreDamaged
from germline.records import Digest, Fact, Row
from germline.store import generations, ledger, objects
from germline.store.generations import Manifest
from germline.store.home import Home
from germline.store.ledger import Entry

CONFIG, TOKENIZER, WEIGHTS, ORIGIN = "config.json", "tokenizer.json", "model.safetensors", "origin.json"
"""What a founder holds."""

ADAPTER, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
EXAM, FACTS, PLAN, TRAINING = "exam.json", "delta/facts.json", "plan.json", "training.json"
TRAIN, HELDOUT = "delta/train.jsonl", "delta/heldout.jsonl"
"""What a child holds."""

SCORECARD, PARENT_SCORECARD, WEIGHT_CHANGE = "scorecard.json", "parent_scorecard.json", "weight_change.json"
"""What a child's ledger entry names."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One generation with the entry that tells of its birth."""

    digest: Digest
    number: int
    manifest: Manifest
    birth: Entry

    @property
    def name(self) -> str:
        return f"g{self.number}"


@dataclass(frozen=True, slots=True)
class Lineage:
    """A home with its ledger, read once and checked; open it again to see what was appended since."""

    home: Home
    entries: tuple[Entry, ...]

    @classmethod
    def open(cls, home: Home) -> Lineage:
        return cls(home, ledger.entries(home))

    @property
    def head(self) -> Generation:
        return self.generation(ledger.head(self.entries))

    def resolve(self, name: str) -> Generation:
        """The generation meant by `g7`, `HEAD`, `HEAD~1` or a unique hash prefix; PlanError if none is."""
        digest = ledger.resolve(self.entries, name, lambda child: generations.load(self.home, child).parent)
        return self.generation(digest)

    def generation(self, digest: Digest) -> Generation:
        for entry in self.entries:
            if entry.generation == digest and entry.kind != "rolled_back":
                return Generation(digest, entry.number, generations.load(self.home, digest), entry)
        raise StoreDamaged(f"no ledger entry tells of the birth of {digest}", hint="germline verify")

    def born(self) -> list[Generation]:
        """Every generation in order of birth, refused ones included."""
        return [self.generation(digest) for _, digest in ledger.born(self.entries)]

    def ancestry(self, generation: Generation) -> list[Generation]:
        """From the founder to `generation`, both included."""
        return [self.generation(digest) for digest in ledger.ancestors(self.home, generation.digest)]

    def read(self, generation: Generation, name: str) -> bytes:
        """The bytes of one of the generation's files, re-hashed as they are read."""
        files = generation.manifest.files | generation.birth.files
        if name not in files:
            raise StoreDamaged(f"{generation.name} holds no {name}", hint="germline verify")
        return objects.read(self.home, files[name].digest)

    def json(self, generation: Generation, name: str) -> Any:
        try:
            return json.loads(self.read(generation, name))
        except (ValueError, RecursionError) as error:
            raise StoreDamaged(f"{name} of {generation.name} is not JSON: {error}", hint="germline verify") from error

    def path(self, generation: Generation, name: str) -> Path:
        """Where one of the generation's files lies. Its bytes are not re-hashed."""
        return objects.path_of(self.home, generation.manifest.files[name].digest)

    def founder_of(self, generation: Generation) -> Generation:
        return self.ancestry(generation)[0]

    def facts(self, generation: Generation) -> tuple[Fact, ...]:
        return tuple(Fact(**fact) for fact in self.json(generation, FACTS))

    def rows(self, generation: Generation, name: str) -> Iterator[Row]:
        from germline.corpus.split import read_rows

        return read_rows(self.path(generation, name))
