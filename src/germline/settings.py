"""The plan: everything an owner can decide, as TOML, checked before anything runs.

Sections are frozen; the text under each field is its help and its documentation. An unknown key is an
error with a suggestion, because a misspelt limit that is silently ignored is a gate left open.
Precedence: `--set section.key=value`, then `germline.toml` in the home, then the defaults here.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from germline.errors import PlanError, did_you_mean


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, use_attribute_docstrings=True)


class Data(Section):
    sources: tuple[str, ...] = ()
    """Directories, globs or files to learn from, relative to the home. Nothing else is ever read."""
    voice: Literal["assistant", "user"] = "assistant"
    """Which side of a conversation is the persona, whose words are learned."""
    heldout: float = Field(default=0.1, ge=0.0, le=0.5)
    """Share of the rows that is never trained on, chosen by content hash."""
    strict: bool = True
    """Stop at a broken JSON line and name it; false counts it as refused and goes on."""


class Curriculum(Section):
    epochs: int = Field(default=6, ge=1, le=100)
    """How often facts and conversations are seen."""
    documents: int = Field(default=2, ge=0, le=100)
    """In how many of the epochs documents are read; facts and conversations come in every one."""
    forms: int = Field(default=4, ge=0, le=11)
    """Renderings of each fact per epoch, taken in turn from the taught wordings. 0: text as it stands."""
    replay: float = Field(default=0.2, ge=0.0, lt=1.0)
    """Share of the training tokens that is ancestors' data, dealt equally among the ancestors."""
    order: Literal["mixed", "questions-first", "documents-first"] = "mixed"
    """What comes first within an epoch."""
    row_tokens: int = Field(default=512, ge=32, le=8192)
    """Longest row, in tokens. Longer documents continue in the next row."""
    batch_tokens: int = Field(default=384, ge=32)
    """Tokens per optimizer step, padding included."""


class Training(Section):
    rank: int = Field(default=16, ge=1, le=1024)
    """LoRA rank."""
    alpha: float = Field(default=32.0, gt=0.0)
    """LoRA alpha: updates are scaled by alpha / rank."""
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    """Linear layers that get an adapter."""
    learning_rate: float = Field(default=3e-3, gt=0.0, le=1.0)
    """Peak learning rate of AdamW."""
    warmup: float = Field(default=0.05, ge=0.0, lt=1.0)
    """Share of the steps that warm up from zero; after it the rate decays linearly to zero."""
    weight_decay: float = Field(default=0.0, ge=0.0)
    """AdamW weight decay."""
    clip: float = Field(default=1.0, gt=0.0)
    """Largest gradient norm; a larger one is scaled down to it."""
    checkpoint_every: int = Field(default=25, ge=1)
    """Steps between checkpoints: the most that is repeated after a kill."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of the adapter's start and of the data order."""
    dtype: Literal["auto", "bf16", "fp32"] = "auto"
    """Arithmetic of the frozen model. auto: bf16 where the processor multiplies it natively, else fp32."""
    threads: int = Field(default=0, ge=0)
    """Threads of the matrix products; 0 takes the physical cores. Results are bit-exact per thread count."""
    memory_gb: float = Field(default=0.0, ge=0.0)
    """Memory that training may use; 0 takes what is free."""


class Exams(Section):
    choices: int = Field(default=6, ge=2, le=20)
    """Options per question, the right one included; distractors are answers of the same kind."""
    replies: int = Field(default=32, ge=0)
    """Most conversations of a delta that become exam questions (chosen by content hash)."""
    answer_tokens: int = Field(default=40, ge=1)
    """Longest spoken answer."""
    probes: str = ""
    """File of tone probes, one prompt a line, relative to the home. Empty: prompts of held-out conversations."""
    cards: str = ""
    """TOML file of challenge cards, relative to the home."""
    laws: tuple[str, ...] = ()
    """`.law` files or globs whose cards must hold, relative to the home."""
    boilerplate: tuple[str, ...] = (
        "as an ai", "language model", "i'm just a", "i am just a", "happy to help", "great question",
        "don't hesitate", "do not hesitate", "feel free to", "let me know if", "i'm here to help",
        "how can i assist", "how can i help", "i apologize", "i cannot", "certainly!", "of course!",
        "as a valued", "reach out", "thank you for your",
    )  # fmt: skip
    """Phrases that no answer to a tone probe may hold, unless the persona itself uses them."""


class Gate(Section):
    recall: float = Field(default=0.90, ge=0.0, le=1.0)
    """Least accuracy on every ancestor's exam, and on what the child itself was taught."""
    generalization: float = Field(default=0.85, ge=0.0, le=1.0)
    """Least accuracy on unseen wordings and held-out conversations of the delta."""
    style_drifts: int = Field(default=2, ge=0)
    """Most tone probes whose answer may drift from the persona's own text."""
    laws_broken: int = Field(default=0, ge=0)
    """Most law cards that may fail."""
    cards: float = Field(default=0.0, ge=0.0, le=1.0)
    """Least share of challenge cards passed."""
    weight_change: float = Field(default=1e-6, ge=0.0)
    """Least relative weight change: a child that equals its parent learned nothing."""


class Plan(Section):
    data: Data = Data()
    curriculum: Curriculum = Curriculum()
    training: Training = Training()
    exams: Exams = Exams()
    gate: Gate = Gate()


def load_plan(path: Path, overrides: Sequence[str] = ()) -> Plan:
    """The plan in `path`, with `section.key=value` overrides (values as in TOML; bare words are text).

    Raises PlanError naming the file and the key.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PlanError(f"{path}: there is no such plan", hint="`germline plan cat` prints one to start from") from None
    except OSError as error:
        raise PlanError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PlanError(f"{path}: not a TOML file: {error}") from None
    for override in overrides:
        _apply(tables, override)
    return parse_plan(tables, source=str(path))


def parse_plan(tables: Mapping[str, Any], *, source: str) -> Plan:
    try:
        return Plan.model_validate(tables)
    except ValidationError as error:
        raise PlanError(_explain(error, source)) from None


def _apply(tables: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (equals and dot and section and key):
        raise PlanError(f"--set {override}: write it as section.key=value", hint="--set training.rank=32")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    table = tables.setdefault(section, {})
    if not isinstance(table, dict):
        raise PlanError(f"--set {override}: {section} is not a section")
    table[key] = value


def _explain(error: ValidationError, source: str) -> str:
    """The first problem in one line, with a suggestion for a misspelt key."""
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        section = Plan.model_fields.get(str(problem["loc"][0])) if len(problem["loc"]) > 1 else None
        owner = section.annotation if section else Plan
        known = owner.model_fields if isinstance(owner, type) and issubclass(owner, BaseModel) else Plan.model_fields
        return f"{source}: unknown key {where}; {did_you_mean(str(problem['loc'][-1]), known)}"
    given = f" (given: {problem['input']!r})" if not isinstance(problem["input"], dict) else ""
    return f"{source}: {where}: {problem['msg'][0].lower()}{problem['msg'][1:]}{given}"
