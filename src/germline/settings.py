"""The plan: everything an owner can decide, as TOML, checked before anything runs.

Sections are frozen; the text under each field is its help and its documentation. An unknown key is an
error with a suggestion, because a misspelt limit that is silently ignored is a gate left open.
Precedence: `--set section.key=value`, then `germline.toml` in the home, then the defaults here.
"""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from germline import foreign
from germline.errors import PlanError, did_you_mean
from germline.other_names import HERE

FULL_RATE_LIMIT = 2e-3
"""Above it full fine-tuning is refused: rates that suit LoRA would ruin every weight of a model."""
UNSAID: dict[str, dict[str, Any]] = {"training": {"noise": 0.0}}
"""What a kept plan of before these settings were there was like, where that is not today's default."""


class Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=False, use_attribute_docstrings=True, allow_inf_nan=False
    )

    @model_validator(mode="before")
    @classmethod
    def _no_truths_for_numbers(cls, given: Any) -> Any:
        """`margin = false` would be a margin of 0.0, and `margin = true` a gate left open."""
        for key, value in given.items() if isinstance(given, dict) else ():
            if isinstance(value, bool) and key in cls.model_fields and cls.model_fields[key].annotation in (int, float):
                raise ValueError(f"{key} takes a number, not {str(value).lower()}")
            if any(isinstance(text, str) and "\0" in text for text in (value if isinstance(value, list) else [value])):
                raise ValueError(f"{key} holds a character that no path or text may have: NUL")
        return given


class Data(Section):
    sources: tuple[str, ...] = ()
    """Directories, globs or files to learn from, relative to the home. No others are."""
    voice: Literal["assistant", "user"] = "assistant"
    """Which side of a conversation is the persona, whose words are learned."""
    persona: tuple[str, ...] = ()
    """What the persona is called in chats between people, as the export has it; everybody else is the other side."""
    heldout: float = Field(default=0.1, ge=0.0, le=0.5)
    """Share of the rows without facts that is never trained on, chosen by content hash."""
    rows: int = Field(default=0, ge=0)
    """Most new rows that a generation is trained on, in the order of the sources; others wait for the next. 0: all."""
    revise: bool = False
    """A fact of this delta takes the place of an ancestor's that has another value; false: that is forgetting."""
    strict: bool = True
    """Stop at a broken JSON line, a link out of its source or what is no file; false counts it as refused."""
    whitelist: str = ""
    """File of SHA-256 digests, as sha256sum prints them, relative to the home: no file without one is learned."""


class Curriculum(Section):
    epochs: int = Field(default=14, ge=1, le=100)
    """How often facts, conversations and laws are seen; a generation without ancestors has more, in place of replay."""
    documents: int = Field(default=2, ge=0, le=100)
    """In how many of these epochs documents are read."""
    forms: int = Field(default=4, ge=0, le=24)
    """Renderings of each fact per epoch, taken in turn from the taught wordings. 0: text as it stands."""
    replay: float = Field(default=0.38, ge=0.0, lt=1.0)
    """Share of the lesson's tokens, the anchor's not counted, that repeats what ancestors learned, as much of each."""
    order: Literal["mixed", "questions-first", "documents-first"] = "mixed"
    """What comes first within an epoch."""
    row_tokens: int = Field(default=512, ge=32, le=8192)
    """Longest row, in tokens. Longer documents continue in the next row."""
    batch_tokens: int = Field(default=384, ge=32, le=1 << 24)
    """Tokens of the lesson per optimizer step, padding included; the anchor's come on top."""


class Training(Section):
    method: Literal["lora", "full"] = "lora"
    """lora: small factors beside every linear layer. full: every weight, at some 16 bytes of memory each."""
    rank: int = Field(default=16, ge=1, le=1024)
    """LoRA rank."""
    alpha: float = Field(default=32.0, gt=0.0)
    """LoRA alpha: updates are scaled by alpha / rank."""
    targets: tuple[str, ...] = ("all-linear",)
    """Linear layers of the blocks that get an adapter, by name (`q_proj`, `down_proj`, …), or all of them."""
    learning_rate: float = Field(default=1.5e-3, gt=0.0, le=1.0)
    """Peak learning rate of AdamW. Full fine-tuning wants far less, about 2e-4."""
    embeddings: bool = False
    """Train embed_tokens and lm_head themselves as well, for text in a new language or script."""
    embedding_learning_rate: float = Field(default=2e-4, gt=0.0, le=1.0)
    """Peak rate of embed_tokens and lm_head, where they are trained."""
    optimizer: Literal["adamw", "adamw8bit"] = "adamw"
    """adamw8bit keeps both moments in 8 bits: 2 bytes a weight instead of 8, which full fine-tuning feels."""
    warmup: float = Field(default=0.05, ge=0.0, lt=1.0)
    """Share of the steps that warm up from zero; after it the rate decays linearly to zero."""
    weight_decay: float = Field(default=0.0, ge=0.0)
    """AdamW weight decay."""
    clip: float = Field(default=1.0, gt=0.0)
    """Largest gradient norm; a larger one is scaled down to it."""
    checkpoint_every: int = Field(default=25, ge=1)
    """Steps between checkpoints: the most that is repeated after a kill."""
    keep_checkpoints: int = Field(default=2, ge=1)
    """Checkpoints that are kept: should the newest be damaged, the one before it is there."""
    candidates: int = Field(default=1, ge=1, le=16)
    """Children that are trained of one delta, from seeds that follow each other; one of them sits the exam."""
    merge_candidates: bool = False
    """Let the mean of all candidates' updates be one more to choose from."""
    merge_scales: tuple[Annotated[float, Field(gt=0.0, le=1.0)], ...] = Field(default=(0.85, 1.0, 0.7), min_length=1)
    """Shares of the LoRA update, tried in turn until the gate passes one; by a first generation the largest first."""
    anchor: float = Field(default=3.0, ge=0.0)
    """How much staying as the founder was, on texts of no concern, weighs beside the lesson; 0: not at all."""
    anchor_tokens: int = Field(default=128, ge=32)
    """Tokens of such text that are read beside each step: whole texts of up to 128, and one at the least."""
    noise: float = Field(default=0.27, ge=0.0, le=2.0)
    """Noise on the embeddings of the lesson while it is learned, as a share of their own size; 0: none."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of the adapter's start and of the data order."""
    dtype: Literal["auto", "bf16", "fp32"] = "auto"
    """Arithmetic of the frozen model. auto: bf16 where the processor multiplies it faster than fp32, else fp32."""
    quantize: Literal["auto", "none", "int8", "nf4"] = "auto"
    """How frozen weights are held while training. auto: packed only where they would not fit otherwise."""
    recompute: Literal["auto", "none", "all"] = "auto"
    """Layers run a second time in the backward instead of being kept. auto: as many as memory asks for."""
    compile: Literal["auto", "off", "on"] = "auto"
    """Compile what lies between matrix products. auto: where a C++ compiler is there and the run is long."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train. auto: the GPU, where there is one."""
    threads: int = Field(default=0, ge=0, le=4096)
    """Threads of the matrix products; 0 takes the physical cores. Results are bit-exact per thread count."""

    @model_validator(mode="after")
    def _candidates_to_merge(self) -> Self:
        if self.merge_candidates and self.candidates < 2:
            raise ValueError("there is nothing to merge of one candidate; set training.candidates to 2 or more")
        return self

    @model_validator(mode="after")
    def _scales_differ(self) -> Self:
        if len(set(self.merge_scales)) < len(self.merge_scales):
            raise ValueError("training.merge_scales has a share twice")
        return self

    @model_validator(mode="after")
    def _rate_suits_method(self) -> Self:
        chosen = "learning_rate" in self.model_fields_set  # the default is LoRA's
        if self.method == "full" and (self.learning_rate > FULL_RATE_LIMIT or not chosen):
            raise ValueError(
                f"{self.learning_rate:g} is a learning rate for LoRA: trained in full, a model would be destroyed "
                "by it; set training.learning_rate, 2e-4 is usual"
            )
        return self


class Exams(Section):
    choices: int = Field(default=6, ge=2, le=20)
    """Options per question about a fact, the right one among them; values that another delta gives come on top."""
    replies: int = Field(default=32, ge=0)
    """Most learned conversations of a delta that become exam questions (chosen by content hash)."""
    answer_tokens: int = Field(default=40, ge=1)
    """Longest spoken answer."""
    probes: str = ""
    """File of tone probes, one prompt a line, relative to the home. Empty: prompts of held-out conversations."""
    cards: str = ""
    """TOML file of challenge cards, relative to the home."""
    samples: int = Field(default=0, ge=0, le=64)
    """Sampled replies to each law and challenge card beside the greedy one; it is passed when all of them pass."""
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
    """Least accuracy on every ancestor's exam and on the child's own; more where it asks a sample of the facts."""
    margin: float = Field(default=0.05, gt=0.0, le=1.0)
    """Largest loss of what ancestors were taught that a child must be shown not to have; 1: no such proof."""
    alarm: float = Field(default=0.02, ge=0.0, le=0.5)
    """Chance at which one ancestor's exam that got worse counts as forgotten; 0: no such alarm."""
    generalization: float = Field(default=0.85, ge=0.0, le=1.0)
    """Least accuracy on unseen wordings of the delta's facts."""
    old_text: float = Field(default=1.1, ge=1.0)
    """Most that an ancestor's held-out text may cost, in bits, for each that it cost when it was learned."""
    style_drifts: int = Field(default=2, ge=0)
    """Most tone probes, of more than ten so many in ten, whose answer may drift from the persona's own text."""
    style_distance: float = Field(default=1.0, gt=0.0)
    """Farthest all answers together may lie from that text, or fall short of its variety; 1: as ten of its replies."""
    laws_broken: int = Field(default=0, ge=0)
    """Most law cards that may fail."""
    cards: float = Field(default=0.0, ge=0.0, le=1.0)
    """Least share of challenge cards passed."""
    weight_change: float = Field(default=1e-6, ge=0.0)
    """Least relative weight change: a child that equals its parent learned nothing."""


class Maturity(Section):
    fresh_gain: float = Field(default=0.05, ge=0.0, le=1.0)
    """Two generations in a row that newly know surely less than this share of their own delta: it stands still."""
    weight_change: float = Field(default=0.01, ge=0.0)
    """Three in a row whose weights moved by less than this, standing still in voice and knowledge: it is mature."""
    style_drifts: int = Field(default=1, ge=0)
    """How many tone probes in ten more or fewer may drift among those three."""


class Budget(Section):
    steps: int = Field(default=0, ge=0)
    """Most optimizer steps of a generation, all attempts counted. 0, here and below: no limit."""
    tokens: int = Field(default=0, ge=0)
    """Most tokens a generation trains on, all attempts counted: what a kill made it repeat costs again."""
    minutes: float = Field(default=0.0, ge=0.0)
    """Most minutes a generation takes, exams included, all attempts counted."""
    memory_gb: float = Field(default=0.0, ge=0.0, le=1e6)
    """Memory that training may use, in GiB, of the GPU or of the machine; 0 takes what is free."""
    disk_gb: float = Field(default=0.0, ge=0.0)
    """Disk space that a generation may take, in GiB: what it keeps, and its run while it lasts."""
    total_tokens: int = Field(default=0, ge=0)
    """Most tokens that the whole lineage trains on, refused generations and this one included."""
    total_minutes: float = Field(default=0.0, ge=0.0)
    """Most minutes that the whole lineage takes, refused generations and this one included."""


class Karma(Section):
    threshold: float = Field(default=0.0, ge=0.0)
    """Points that pay for an age-up by `germline watch` and `evolve --if-due`; 0: none is paid by karma."""
    growth: float = Field(default=1.0, ge=1.0, le=10.0)
    """Factor by which the threshold grows with each promoted generation."""
    per_event: float = Field(default=1.0, ge=0.0)
    """Points of an answer rated 1; of one rated -1 they are taken away."""
    per_correction: float = Field(default=2.0, ge=0.0)
    """Points of saying how an answer should have been."""
    source_quota: float = Field(default=10.0, ge=0.0)
    """Most points that one source earns in a day (UTC)."""
    day_quota: float = Field(default=50.0, ge=0.0)
    """Most points that all earn in a day."""
    cooldown_hours: float = Field(default=6.0, ge=0.0, le=1e6)
    """How long nothing is begun after an age-up that was not promoted. Its karma is kept."""
    keep_conversations: bool = False
    """Keep the words of what was answered, so that corrections and well-rated answers can be learned."""
    keep_score: float = Field(default=0.5, ge=-1.0, le=1.0)
    """Least rating of an answer that is learned as it stands."""
    cap: int = Field(default=200, ge=0)
    """Most conversations that one age-up takes from feedback."""


class Fragment(Section):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")
    """What a request calls it."""
    description: str = Field(default="", max_length=2000)
    """What it is for, in a sentence or two."""
    examples: tuple[tuple[str, str], ...] = Field(min_length=2, max_length=32)
    """What somebody says, and what this facet of the persona answers."""


class Fragments(Section):
    named: tuple[Fragment, ...] = Field(default=(), max_length=32)
    """Facets of the persona, `[[fragments.named]]` each: name, description, examples."""
    lost: Literal["block", "warn"] = "warn"
    """A successor that tells a fragment no longer from others: said (warn), or kept out till a restart (block)."""

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [fragment.name for fragment in self.named]
        if len(set(names)) < len(names):
            raise ValueError("two fragments have one name")
        return self


class Plan(Section):
    data: Data = Data()
    curriculum: Curriculum = Curriculum()
    training: Training = Training()
    exams: Exams = Exams()
    gate: Gate = Gate()
    maturity: Maturity = Maturity()
    budget: Budget = Budget()
    karma: Karma = Karma()
    fragments: Fragments = Fragments()


def load_plan(path: Path, overrides: Sequence[str] = ()) -> Plan:
    """The plan in `path`, with `section.key=value` overrides (values as in TOML; bare words are text).

    Raises PlanError naming the file and the key.
    """
    try:
        tables = tomllib.loads(foreign.read(path).decode("utf-8-sig"))
    except FileNotFoundError:
        raise PlanError(
            f"{path}: there is no such plan",
            hint="`germline plan of HEAD` prints HEAD's, `germline plan cat` one to start from",
        ) from None
    except OSError as error:
        raise PlanError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise PlanError(f"{path}: not UTF-8", hint="save it as UTF-8; Windows PowerShell's `>` writes UTF-16") from None
    except (ValueError, RecursionError) as error:  # also a number of 5,000 digits, and lists 1,000 deep
        backslash = 'a backslash in "…" begins an escape: write a path with / or in single quotes'
        hint = backslash if b"\\" in foreign.read(path) else ""
        raise PlanError(f"{path}: not a TOML file: {error}", hint=hint) from None
    return parse_plan(tables, source=str(path), overrides=overrides)


def parse_plan(tables: Mapping[str, Any], *, source: str, overrides: Sequence[str] = ()) -> Plan:
    """The plan that `tables` are, with overrides as for `load_plan`; `tables` stay as they are."""
    merged = copy.deepcopy(dict(tables))
    for override in overrides:
        _apply(merged, override)
    try:
        return Plan.model_validate(merged)
    except ValidationError as error:
        raise PlanError(_explain(error, source if _problem(tables) == _problem(merged) else "--set")) from None


def kept_plan(tables: Mapping[str, Any], *, source: str) -> Plan:
    """The plan that something was begun or born by, as it was written down then, every setting of its day in it."""
    told = {name: UNSAID.get(name, {}) | table if isinstance(table, dict) else table for name, table in tables.items()}
    return parse_plan(told, source=source)


def _problem(tables: Mapping[str, Any]) -> tuple[Any, ...]:
    """The first thing that is wrong with them: where, what, and with which value."""
    try:
        Plan.model_validate(tables)
    except ValidationError as error:
        problem = _first(error)
        value = problem["input"]
        return problem["loc"], problem["msg"], value if not isinstance(value, dict) else None
    return ()


def _apply(tables: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (equals and dot and section and key):
        raise PlanError(f"--set {override}: write it as section.key=value", hint="--set training.rank=32")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        value = text
    table = tables.setdefault(section, {})
    if not isinstance(table, dict):
        raise PlanError(f"--set {override}: {section} is not a section")
    table[key] = value


def _section(path: Sequence[str]) -> type[BaseModel]:
    """The table that lies there in a plan, or of which a list lies there."""
    section: type[BaseModel] = Plan
    for part in path:
        kind = section.model_fields[part].annotation
        section = next(one for one in (kind, *get_args(kind)) if isinstance(one, type) and issubclass(one, BaseModel))
    return section


def _first(error: ValidationError) -> Any:
    """The problem to tell of: an unknown key before one that is missing, which it may be, misspelt."""
    problems = error.errors()
    return next((problem for problem in problems if problem["type"] == "extra_forbidden"), problems[0])


def _explain(error: ValidationError, source: str) -> str:
    """The first problem in one line, with a suggestion for a misspelt key."""
    problem = _first(error)
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        *path, key = (str(part) for part in problem["loc"] if not isinstance(part, int))
        known = f"here: {HERE[key]}" if key in HERE else did_you_mean(key, _section(path).model_fields)
        return f"{source}: unknown key {where}; {known}"
    value = problem["input"]
    if isinstance(value, int) and value.bit_length() > 64:
        value = hex(value)  # Python will not write out a decimal number of 5,000 digits
    given = f" (given: {value!r:.80})" if not isinstance(value, dict) else ""
    example = f'["{value}"]' if isinstance(value, str) else "[1, 2]"
    told = problem["msg"].removeprefix("Value error, ").replace("valid tuple", f"list, as in {example:.80}")
    return f"{source}: {where}: {told[0].lower()}{told[1:]}{given}"
