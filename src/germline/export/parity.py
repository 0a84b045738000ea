"""Does an export answer as germline does? The ids of a thousand texts, what follows fixed prompts, and how they go on.

In those texts the names of special tokens are text, so a token that the export lost is not missed there: each added
token is asked for by its id and by its name besides.

What is asked is fixed, so that two reports can be held side by side. The distance between two next-word distributions
is the Kullback-Leibler divergence from germline's in fp32, in nats; greedy continuations may part where germline's own
two best words are closer than the arithmetic of the export is exact.

A chat template joins the turns of a chat to one text, which germline encodes each by itself, as it was taught. Where
the ids are others for that, the export is no worse as a model: it is told, and no reason to fail.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from germline.export.consumers import Consumer, Germline
from germline.export.gguf_tokenizer import rendered
from germline.export.texts import strings
from germline.records import Event, OnEvent, Turn

TEXTS, PROMPTS, PROMPT_TOKENS = 1_000, 12, 48
SPOKEN, SPOKEN_TOKENS = 6, 16

LIMITS = {
    "f32": 1e-5, "hf": 1e-6, "adapter": 1e-3, "bf16": 1e-3, "f16": 1e-3, "q8_0": 0.02, "q6_k": 0.03, "q5_k_m": 0.08,
    "q4_k_m": 0.25,
}  # fmt: skip
"""Largest mean divergence, in nats, of each format: of quantized types one and a half to five times what a generation
of SmolLM2-135M showed, of the others far more (`benchmarks/parity_2026-11-28.md`), and far from what a wrong tensor
does (above 1)."""

EXACT = ("f32", "hf", "adapter", "bf16", "f16")
"""Formats whose greedy words must be germline's, near ties aside; in the others that is told, and no reason to fail."""

CHAT = (
    Turn(speaker="other", text="How high is the tower?"),
    Turn(speaker="persona", text="It is 41 m high."),
    Turn(speaker="other", text="And when is the lamp lit?"),
)

NEAR_TIE = 0.1
"""Nats between two best words, below which either may be said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """What a comparison found. `failed` is empty where the export answers as germline does."""

    format: str
    consumer: str
    texts: int
    texts_alike: int
    added: int
    """Added tokens: those that are looked for in a text before it is cut into words."""
    added_alike: int
    mean_divergence: float
    worst_divergence: float
    divergence_limit: float
    prompts: int
    same_best_word: int
    spoken: int
    spoken_alike: int
    """Greedy continuations that are the same to their end, or to a near tie."""
    chat: str | None
    """How a chat of two questions is read otherwise than germline reads it; empty if it is not. None: the export has
    no chat template."""
    failed: tuple[str, ...]


def compare(
    ours: Germline, theirs: Consumer, kind: str, *, normalized: bool, context: int, on_event: OnEvent,
    count: int = TEXTS, prompt_count: int = PROMPTS,
) -> Parity:  # fmt: skip
    """`theirs`, an export of the format `kind`, held against `ours`.

    `normalized`: texts are brought into NFC first, which only germline's tokenizer does. Prompts and what
    follows stay within `context`.
    """
    texts = strings(count, seed=11)
    if normalized:
        texts = [unicodedata.normalize("NFC", text) for text in texts]
    on_event(Event(kind="stage", text=f"{theirs.name} reads {len(texts):,} texts"))
    expected, found = ours.encode(texts), theirs.encode(texts)
    alike = sum(one == other for one, other in zip(expected, found, strict=True))
    failed = [] if alike == len(texts) else [_misread(texts, expected, found, len(texts) - alike)]
    mistaken = _mistaken(ours, theirs)
    if mistaken:
        name, problem = next(iter(mistaken.items()))
        failed.append(f"of {len(ours.added):,} added tokens it mistakes {len(mistaken):,}, first {name!r}: {problem}")
    longest = min(PROMPT_TOKENS, context - 1 - len(ours.opening))
    prompts = [[*ours.opening, *ids] for ids in _prompts(expected, prompt_count, longest)]
    on_event(Event(kind="stage", text=f"{theirs.name} is asked what follows {len(prompts)} prompts"))
    pairs = list(zip(ours.predict(prompts), theirs.predict(prompts), strict=True))
    if any(len(one) != len(other) for one, other in pairs):
        failed.append(f"it knows {len(pairs[0][1]):,} words, not {len(pairs[0][0]):,}")
        pairs = []
    distances = [divergence(one, other) for one, other in pairs]
    mean = math.fsum(distances) / len(distances) if distances else math.inf
    if not mean <= LIMITS[kind]:
        failed.append(f"what it expects to follow differs by {mean:.2g} nats, the limit for {kind} is {LIMITS[kind]:g}")
    same = sum(int(one.argmax()) == int(other.argmax()) for one, other in pairs)
    spoken = [prompt[: max(1, min(len(prompt), context - SPOKEN_TOKENS))] for prompt in prompts[:SPOKEN]]
    words = [_parts(ours, theirs, prompt, min(SPOKEN_TOKENS, context - len(prompt))) for prompt in spoken]
    if kind in EXACT and any(words):
        failed.append(next(filter(None, words)))
    return Parity(
        format=kind, consumer=theirs.name, texts=len(texts), texts_alike=alike,
        added=len(ours.added), added_alike=len(ours.added) - len(mistaken), mean_divergence=mean,
        worst_divergence=max(distances, default=math.inf), divergence_limit=LIMITS[kind], prompts=len(prompts),
        same_best_word=same, spoken=len(spoken), spoken_alike=words.count(""),
        chat=None if kind == "adapter" else _chat(ours, theirs), failed=tuple(failed),
    )  # fmt: skip


def told(parity: Parity | None) -> str:
    """A comparison in a few sentences; None: there was none."""
    if parity is None:
        return "Nobody opened this export: it was written with --unchecked."
    return (
        f"{parity.consumer} reads {parity.texts_alike:,} of {parity.texts:,} texts and {parity.added_alike:,} of "
        f"{parity.added:,} added tokens as germline does. What it expects to follow "
        f"{parity.prompts} prompts differs from germline's fp32 by {parity.mean_divergence:.2g} nats on "
        f"the mean (the limit for {parity.format} is {parity.divergence_limit:g}), with the same best word "
        f"{parity.same_best_word} times; {parity.spoken_alike} of {parity.spoken} greedy answers are the same."
        f"{_chat_told(parity.chat)}"
    )


def _chat_told(chat: str | None) -> str:
    if not chat:
        return "" if chat is None else " A chat of two questions is read as germline reads it."
    return f" NOTE: its chat template gives a chat other ids than germline serves and was taught by: {chat}."


def divergence(ours: Tensor, theirs: Tensor) -> float:
    """KL(ours || theirs) of two vectors of log-probabilities, in nats. Not a number, or endless, where either is."""
    likely = ours > -40  # exp(-40) of a word's share adds nothing, whatever the other says
    return float((ours[likely].exp() * (ours[likely] - theirs[likely])).sum().clamp_min(0))


def _prompts(texts: Sequence[Sequence[int]], count: int, longest: int) -> list[Sequence[int]]:
    """Prompts of many lengths, from one word to the longest."""
    whole = [ids for ids in texts if len(ids) >= 4]
    return [ids[: 1 + place * (longest - 1) // (count - 1)] for place, ids in enumerate(whole[:count])]


def _parts(ours: Consumer, theirs: Consumer, prompt: Sequence[int], limit: int) -> str:
    """Where the greedy words part for more than a near tie; empty if nowhere."""
    mine, other = ours.go_on(prompt, limit), theirs.go_on(prompt, limit)
    if mine == other or (other[-1:] and other[-1] in theirs.ends and mine[: len(other)] == other):
        return ""
    place = _parting(mine, other)
    (after,) = ours.predict([[*prompt, *mine[:place]]])
    best = torch.topk(after, 2).values
    if float(best[0] - best[1]) < NEAR_TIE:
        return ""
    return (
        f"after {list(prompt)[-4:]} and {place} words it goes on with {other[place : place + 3]}, "
        f"germline with {mine[place : place + 3]}"
    )


def _mistaken(ours: Germline, theirs: Consumer) -> dict[str, str]:
    """What is wrong with which added tokens: called otherwise, not found where meant, or found where only text."""
    ids, names = [*ours.added], [token.content for token in ours.added.values()]
    special = [token.content for token in ours.added.values() if token.special]
    problems: dict[str, str] = {}
    for name, mine, other in zip(special, ours.encode(special), theirs.encode(special), strict=True):
        if mine != other:
            problems[name] = f"as plain text it is read as {other[:3]}, not {mine[:3]}"
    for name, mine, other in zip(names, ours.controls(names), theirs.controls(names), strict=True):
        if mine != other:
            problems[name] = f"where it means the token it is read as {other[:3]}, not {mine}"
    for index, name, called in zip(ids, names, theirs.names(ids), strict=True):
        if name != called:
            problems[name] = f"id {index} is called {called!r:.60}"
    return problems or _mistaken_in_text(ours, theirs)


def _mistaken_in_text(ours: Germline, theirs: Consumer) -> dict[str, str]:
    """The special token at which a text of a word and all of them is read otherwise, and how; empty if it is not.

    Left out are those that are no fixed piece of a text: `tokenizers` looks for them in the normalized text, or only
    between words, and nobody else does.
    """
    fixed = {index: token.content for index, token in ours.added.items()
             if token.special and not token.normalized and not token.single_word}  # fmt: skip
    text = "".join(["a", *fixed.values()])
    ((mine,), (other,)) = ours.controls([text]), theirs.controls([text])
    if mine == other:
        return {}
    place = _parting(mine, other)
    name = next((fixed[index] for index in mine[place:] if index in fixed), text)
    return {name: f"in a text, where it means the token, it is read as {other[place : place + 3]}"}


def _chat(ours: Germline, theirs: Consumer) -> str:
    """How the export reads a chat of two questions otherwise; empty if it does not. See `Speaker.ids`."""
    mine: list[int] = []
    for turn in CHAT:
        mine += ours.encode([turn.text + ("" if turn.speaker == "persona" else "\n")])[0]
        mine += [ours.end] if turn.speaker == "persona" else []
    (other,) = theirs.controls([rendered(CHAT, *theirs.names([ours.end]))])
    if mine == other:
        return ""
    place = _parting(mine, other)
    asked = len(ours.encode([CHAT[0].text + "\n"])[0])
    where = "in its first question" if place < asked else "from the answer to its first question on"
    return f"{where}, at id {place} {other[place : place + 3]}, not {mine[place : place + 3]}"


def _misread(texts: Sequence[str], expected: Sequence[list[int]], found: Sequence[list[int]], count: int) -> str:
    text, mine, other = next(t for t in zip(texts, expected, found, strict=True) if t[1] != t[2])
    place = _parting(mine, other)
    return (
        f"it reads {count} of {len(texts):,} texts differently, the first {text!r:.60}: at id {place} "
        f"{other[place : place + 3]}, not {mine[place : place + 3]}"
    )


def _parting(mine: Sequence[int], other: Sequence[int]) -> int:
    """The first place at which two lists of ids differ."""
    pairs = enumerate(zip(mine, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(mine), len(other)))
