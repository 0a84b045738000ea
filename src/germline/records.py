"""The frozen things that travel between stages, and the one way they become bytes.

Stages are strangers: they exchange these records and paths, nothing else. A record that is hashed goes
through `canonical_json`, so that its hash depends on its content alone. That form (UTF-8, keys sorted,
no spaces, no NaN, floats as Python's shortest repr) is part of the format: changing it changes every hash.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

FORMAT = 1
"""Version of everything a lineage holds on disk. A reader refuses what is newer than itself."""

Digest = str
"""`sha256:` and 64 lower-case hexadecimal digits."""


def canonical_json(value: object) -> bytes:
    """The bytes that are hashed for `value` (records, mappings, lists, strings, numbers, booleans, None).

    Raises ValueError for NaN and infinities: a number that cannot be compared is never written down.
    """
    return dumped(plain(value))


def dumped(value: Any) -> bytes:
    """`canonical_json` of what is plain already, such as what was read from JSON."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8")


def plain(value: object) -> Any:
    """`value` with records as dicts, paths as POSIX strings and tuples as lists, ready for JSON."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return value.as_posix()
    return value


def finite(value: object) -> Any:
    """`plain(value)` with every float that is NaN or infinite as None: a model that broke is recorded, too."""
    value = plain(value)
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def digest_of(data: bytes) -> Digest:
    return "sha256:" + hashlib.sha256(data).hexdigest()


# --- text in ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One message of a conversation. `persona` is the side whose words are learned."""

    speaker: Literal["persona", "other"]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One unit of learning with its passport: a passage of a document, or a whole conversation.

    `turns` is empty for a passage and `text` is empty for a conversation. EOS is learned only where a document ends
    (`ends_document`). What a passage states hangs on what it stands `under`, which is not learned with it.
    """

    kind: Literal["text", "dialog"]
    source: str
    """The file the row came from, POSIX, relative to the home's folder where it lies inside it."""
    position: int
    """1-based line (JSONL, a chat), passage, record or message number within the source."""
    text: str = ""
    turns: tuple[Turn, ...] = ()
    ends_document: bool = True
    under: str = ""
    """The headings that a passage begins under, a line each, and the marks of a block of code that it begins in."""

    @property
    def texts(self) -> tuple[str, ...]:
        """All its words: of a passage, or of each turn."""
        return tuple(turn.text for turn in self.turns) if self.turns else (self.text,)

    @property
    def content_digest(self) -> Digest:
        """Hash of what is learned from the row, not of where it was found."""
        if self.kind == "text":
            return digest_of(canonical_json(["text", self.text]))
        return digest_of(canonical_json(["dialog", [[t.speaker, t.text] for t in self.turns]]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A row that was not kept, and why (`reason` is one of a short fixed list, for counting)."""

    source: str
    position: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """The data no ancestor has seen, as two immutable JSONL files of rows.

    `rows_in == train_rows + heldout_rows + sum(refused.values())`, always.
    """

    digest: Digest
    """See `digest_of_delta`."""
    train: Path
    heldout: Path
    train_rows: int
    heldout_rows: int
    train_bytes: int
    rows_in: int
    refused: dict[str, int]
    sources: int


def digest_of_delta(train: Digest, heldout: Digest) -> Digest:
    """Hash over the digests of its two files."""
    return digest_of(canonical_json([train, heldout]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """`The {attribute} of {subject} is {value}`, found in the delta by rule, never by a model."""

    subject: str
    """With its article in lower case where it has one: `the fog horn`, `Gull Rock`."""
    attribute: str
    value: str
    kind: str
    """What sort of value it is (`number metres`, `weekday`, `clock time`, `name`, …): distractors are of one kind."""
    row: Digest
    """The row it was found in."""
    past: bool = False
    """Told as what it was, and nowhere as what it is. Another value contradicts it as little as it does another."""

    @property
    def unit(self) -> str:
        """The name that exams ask about it under."""
        return f"{self.attribute} of {self.subject}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """What a delta states."""

    facts: tuple[Fact, ...] = ()
    """One value for each subject and attribute: what is taught and asked."""
    besides: tuple[Fact, ...] = ()
    """Other values of these, and all values of a pair that has several of a kind: neither taught nor asked. Who says
    one of them contradicts whoever was taught another."""

    @property
    def now(self) -> tuple[Fact, ...]:
        """Without what was and is no more."""
        return tuple(fact for fact in self.facts if not fact.past)


# --- training -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What training left behind. Nothing here depends on the clock."""

    adapter: Path
    steps: int
    tokens: int
    """Tokens that went through the model, padding excluded."""
    learned_tokens: int
    """Tokens that carried loss."""
    first_loss: float
    last_loss: float
    """Mean loss per learned token over the first / last tenth of the steps, nats."""
    curve: tuple[float, ...]
    parameters: tuple[dict[str, Any], ...]
    """One row per kind of module, trained or frozen: `group`, `tensors`, `parameters`, `dtype`, `trained`,
    `learning_rate`, `weight_decay`, and `changed`, how many of its tensors did."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What was used up, by an attempt or by many."""

    seconds: float = 0.0
    steps: int = 0
    tokens: int = 0
    attempts: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*map(operator.add, dataclasses.astuple(self), dataclasses.astuple(other)))

    def at_least(self, other: Cost) -> Cost:
        return Cost(*map(max, dataclasses.astuple(self), dataclasses.astuple(other)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a generation cost the process that finished it. Kept in the ledger, never part of an identity."""

    seconds_training: float
    """Of all candidates together, as is the speed."""
    seconds_exams: float
    """Choosing among candidates too."""
    seconds_total: float
    """With what the founder said for the anchor."""
    tokens_per_second: float | None
    """None for a resumed run, part of whose tokens another process trained."""
    peak_memory_bytes: int
    all_attempts: Cost
    """What it cost all processes that worked on it. Never less than was really spent: see `budget`."""


# --- progress -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened. Stages report through `OnEvent` and never print."""

    kind: str
    """`stage`, `step`, `exam`, `progress`, `note`, `verdict`, …"""
    text: str
    data: dict[str, Any] = field(default_factory=dict)


OnEvent = Callable[[Event], None]
