"""Fragments: facets of a persona, known by their examples, and found again in each generation's own representation.

A text is represented by the mean of the model's last hidden states over its tokens, less the mean over all examples,
at length one: hidden states of small models all point much the same way, and what tells texts apart is what is left.
A fragment is what others say in its examples, and its description; a text is as like it as to the likest of these.
Representations belong to one generation. A successor has its own, and is asked whether it still knows them apart.

Not promised: that similarity is meaning. It is what this model makes of words, and routing is only as good as that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from germline.model.rows import Text, pack
from germline.records import Digest
from germline.settings import Fragment
from germline.speaker import Speaker

LONGEST = 256
"""Tokens of a text that are looked at."""
LEAST_SIMILARITY = 0.1
"""Below it a text is like no fragment."""
KEPT = 0.5
"""A fragment that recognizes fewer of its own examples, and fewer than before, is lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Represented:
    """The fragments as one generation has them. Vectors are fp32, of the model's width D."""

    generation: Digest
    centre: Tensor
    """[D]: what all texts have in common."""
    named: Mapping[str, Fragment]
    """What the plan says of them."""
    examples: Mapping[str, Tensor]
    """Of each fragment [n, D], centred and of length one; the last is its description, if it has one."""

    def centroid(self, name: str) -> Tensor:
        """[D], of length one."""
        return _unit(self.examples[name].mean(0))

    def similarities(self, text: Tensor) -> dict[str, float]:
        """Of a text, not centred yet: its cosine with the likest example of each fragment."""
        centred = _unit(text - self.centre)
        return {name: float((rows @ centred).max()) for name, rows in self.examples.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What became of one fragment from a generation to another."""

    name: str
    distance: float
    """1 - cosine of the two centroids, each in its own space: parent's and child's are near, others' need not be."""
    recognized_before: float
    """Share of its examples whose likest other example is one of its own."""
    recognized: float
    neighbours_kept: bool
    """Whether the other fragments are near it in the same order as before."""

    @property
    def lost(self) -> bool:
        return self.recognized < KEPT and self.recognized < self.recognized_before


def represent(speaker: Speaker, generation: Digest, fragments: Sequence[Fragment]) -> Represented:
    """The fragments as this generation has them."""
    found = {}
    for one in fragments:
        texts = [asked for asked, _ in one.examples] + ([one.description] if one.description else [])
        found[one.name] = torch.stack([vector(speaker, text) for text in texts])
    width = speaker.decoder.config.hidden
    centre = torch.cat(list(found.values())).mean(0) if found else torch.zeros(width)
    examples = {name: _unit(rows - centre) for name, rows in found.items()}
    named = {one.name: one for one in fragments}
    return Represented(generation=generation, centre=centre, named=named, examples=examples)


@torch.inference_mode()
def vector(speaker: Speaker, text: str) -> Tensor:
    """A text as the model has it [D], fp32: the mean of its last hidden states. Zeros for no text."""
    config, own = speaker.decoder.config, speaker.tokenizer.encode(text)[:LONGEST]
    if not own:
        return torch.zeros(config.hidden)
    ids = config.opened(own)
    batch = pack([[Text(tuple(ids), (True,) * len(ids))]], len(ids))
    sight = speaker.decoder.within_texts(batch.segments, batch.positions)
    hidden = speaker.decoder(batch.tokens, sight)[0, len(config.opening) : len(ids)]
    mean: Tensor = hidden.float().mean(0).cpu().clone()
    return mean


def route(known: Represented, text: Tensor) -> tuple[str | None, dict[str, float]]:
    """The likest fragment, and all cosines; None where the text is like none of them."""
    found = known.similarities(text)
    best = max(found, key=lambda name: found[name], default=None)
    return (best if best is not None and found[best] >= LEAST_SIMILARITY else None), found


def recognized(known: Represented, name: str) -> float:
    """The share of a fragment's examples whose likest other example is one of its own."""
    rows = known.examples[name]
    right = 0
    for place, row in enumerate(rows):
        own = float(torch.cat((rows[:place], rows[place + 1 :])).matmul(row).max())
        others = [float((known.examples[other] @ row).max()) for other in known.examples if other != name]
        right += all(own > other for other in others)
    return right / len(rows)


def remap(before: Represented, after: Represented) -> list[Moved]:
    """What became of the fragments that both have."""
    names = [name for name in after.examples if name in before.examples]
    return [
        Moved(
            name=name,
            distance=1.0 - float(before.centroid(name) @ after.centroid(name)),
            recognized_before=recognized(before, name),
            recognized=recognized(after, name),
            neighbours_kept=_neighbours(before, name, names) == _neighbours(after, name, names),
        )
        for name in names
    ]


def in_words(moved: Sequence[Moved]) -> str:
    """The table, in words."""
    return "; ".join(
        f"{one.name} moved by {one.distance:.2f}, knows {one.recognized:.0%} of its examples "
        f"({one.recognized_before:.0%} before){'' if one.neighbours_kept else ', its neighbours changed order'}"
        for one in moved
    )


def _neighbours(known: Represented, name: str, names: Sequence[str]) -> list[str]:
    own = known.centroid(name)
    return sorted((other for other in names if other != name), key=lambda other: -float(own @ known.centroid(other)))


def _unit(rows: Tensor) -> Tensor:
    return torch.nn.functional.normalize(rows, dim=-1)
