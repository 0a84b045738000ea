"""A lineage as it stands: who descends from whom, what each generation holds, where its weights lie.

Reading only, and without torch: `log`, `show` and `diff` answer at once. Weights are `checkout`'s business.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from germline.errors import NotHeld, StoreDamaged
from germline.marks import Scorecard, scorecard_from
from germline.records import Digest, Fact, Row, Stated, canonical_json, plain
from germline.store import generations, ledger, objects
from germline.store.entry import Entry
from germline.store.generations import Manifest
from germline.store.home import Home

CONFIG, TOKENIZER, WEIGHTS, ORIGIN = "config.json", "tokenizer.json", "model.safetensors", "origin.json"
"""What a founder holds."""

ANCHOR = "anchor.json"
"""Texts, as ids, that all generations are held to their founder on."""
ADAPTER, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
EXAM, FACTS, PLAN, TRAINING = "exam.json", "delta/facts.json", "plan.json", "training.json"
TRAIN, HELDOUT = "delta/train.jsonl", "delta/heldout.jsonl"
"""What a child holds."""
STATED = "delta/stated.json"
"""What a child holds where its delta states more than the facts it was taught: values `besides` them, and the units of
those that were and are no more (`past`)."""

SCORECARD, PARENT_SCORECARD, WEIGHT_CHANGE = "scorecard.json", "parent_scorecard.json", "weight_change.json"
"""What a child's ledger entry names."""

LAW_BOOK = "laws.json"
"""What the entry names that pins laws."""


def facts_file(facts: Iterable[Fact]) -> bytes:
    """What `FACTS` holds of them: all but `past`, as before that was known."""
    return canonical_json(_without_past(facts))


def stated_file(delta: Stated) -> bytes:
    """What `STATED` holds; nothing where there is no such file."""
    table = {"besides": _without_past(delta.besides), "past": [fact.unit for fact in delta.facts if fact.past]}
    return canonical_json(table) if any(table.values()) else b""


def _without_past(facts: Iterable[Fact]) -> list[dict[str, Any]]:
    return [{key: value for key, value in plain(fact).items() if key != "past"} for fact in facts]


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
        """The lineage as it is now. StoreDamaged also where it is behind what this machine has seen of it."""
        return cls(home, ledger.witnessed(home))

    @property
    def head(self) -> Generation:
        return self.generation(ledger.head(self.entries))

    @property
    def next_number(self) -> int:
        """The n of the gn that is born next."""
        return 1 + max((entry.number for entry in self.entries), default=-1)

    def resolve(self, name: str) -> Generation:
        """The generation meant by `g7`, `HEAD`, `HEAD~1` or a unique hash prefix; PlanError if none is."""
        digest = ledger.resolve(self.entries, name, lambda child: generations.load(self.home, child).parent)
        return self.generation(digest)

    def generation(self, digest: Digest) -> Generation:
        """NotHeld where an archive left it out."""
        birth = self.birth(digest)
        try:
            manifest = generations.load(self.home, digest)
        except NotHeld as error:
            hint = error.hint
            if digest == ledger.head(self.entries):
                hint = "`germline rollback GEN` makes one that is in it HEAD here; `germline restore` named it"
            raise NotHeld(f"g{birth.number} is not in this archive", hint=hint) from None
        return Generation(digest, birth.number, manifest, birth)

    def birth(self, digest: Digest) -> Entry:
        """The entry that tells of the birth of a generation, also of one that an archive leaves out."""
        for entry in self.entries:
            if entry.generation == digest and entry.is_birth:
                return entry
        raise StoreDamaged(f"no ledger entry tells of the birth of {digest}", hint="germline verify")

    def outcome(self, generation: Generation) -> str:
        """What became of a generation: `promoted` also where it was `proposed` first and approved later."""
        approved = any(entry.generation == generation.digest and entry.kind == "promoted" for entry in self.entries)
        return "promoted" if approved else generation.birth.kind

    def born(self) -> list[Generation]:
        """Every generation that is here, in order of birth, refused ones included."""
        born = [digest for _, digest in ledger.born(self.entries)]
        return [self.generation(digest) for digest in born if generations.is_held(self.home, digest)]

    def ancestry(self, generation: Generation) -> list[Generation]:
        """From the founder to `generation`, both included."""
        return [self.generation(digest) for digest in ledger.ancestors(self.home, generation.digest)]

    def trained_line(self, generation: Generation) -> list[Generation]:
        """`generation` and its ancestors, oldest first, without the founder: all that learned something and left an
        exam."""
        return self.ancestry(generation)[1:]

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

    def checked(self, generation: Generation, name: str) -> Path:
        """Where one of the generation's files lies, once all of it was re-hashed; else StoreDamaged."""
        path = self.path(generation, name)
        if objects.hash_file(path) != generation.manifest.files[name]:
            raise StoreDamaged(f"{path} is not the {name} of {generation.name}", hint="germline verify")
        return path

    def weights_at_hand(self, generation: Generation) -> Path | None:
        """The merged weights, checked by hash, or None where they must be merged again (see `checkout`)."""
        expected = generation.manifest.weights
        kept = WEIGHTS in generation.manifest.files
        path = self.path(generation, WEIGHTS) if kept else objects.cache_path(self.home, expected.digest)
        if path is not None and objects.hash_file(path) != expected:
            raise StoreDamaged(
                f"{path}: these weights are not what their name says",
                hint="germline verify finds all damage; a file under cache/ may be deleted, it is rebuilt",
            )
        return path

    def founder_of(self, generation: Generation) -> Generation:
        return self.ancestry(generation)[0]

    def scorecard(self, generation: Generation, name: str = SCORECARD) -> Scorecard:
        """The marks that its birth recorded, in the order in which its line wrote the exams; KeyError, TypeError or
        AttributeError where they are none, or not of these exams."""
        card = scorecard_from(self.json(generation, name))
        exams = [ancestor.manifest.files[EXAM].digest for ancestor in self.trained_line(generation)]
        return Scorecard(weights=card.weights, marks={exam: card.marks[exam] for exam in exams})

    def facts(self, generation: Generation) -> tuple[Fact, ...]:
        """What it was taught, as far as rules found it; nothing where it is the founder."""
        return self.stated(generation).facts

    def stated(self, generation: Generation) -> Stated:
        """What its delta states, as far as rules found it; nothing where it is the founder."""
        files = generation.manifest.files
        facts = [Fact(**fact) for fact in self.json(generation, FACTS)] if FACTS in files else []
        more = self.json(generation, STATED) if STATED in files else {"besides": [], "past": []}
        return Stated(
            facts=tuple(replace(fact, past=fact.unit in more["past"]) for fact in facts),
            besides=tuple(Fact(**fact) for fact in more["besides"]),
        )

    def rows(self, generation: Generation, name: str) -> Iterator[Row]:
        """The rows of one of the generation's files, in constant memory; see `checked`."""
        from germline.corpus.split import read_rows

        return read_rows(self.checked(generation, name))
