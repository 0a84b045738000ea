"""The shape of a decoder: all that families differ in, and nothing of where it was read from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from germline.model.rope import Longrope, Rope

Activation = Literal["silu", "gelu_tanh"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerKind:
    """How one layer's attention differs from its neighbours': windowed or not, and its rotation (None: none)."""

    windowed: bool
    rope: Rope | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderConfig:
    """The shape of a decoder. Sizes are in elements; `head_size` is per attention head."""

    vocabulary: int
    hidden: int
    intermediate: int
    heads: int
    key_value_heads: int
    head_size: int
    max_positions: int
    kinds: tuple[LayerKind, ...]
    """One per layer, first to last."""
    window: int | None
    """Tokens that a windowed layer sees, its own included."""
    activation: Activation
    norm_epsilon: float
    norm_offset: float
    """What is added to every norm's weight: 1 for Gemma, else 0."""
    sandwich_norms: bool
    """Gemma: a norm after attention and feed-forward too, before their sum with the residual."""
    query_key_norms: bool
    fused_projections: bool
    """Phi-3: q, k, v stored as one matrix, and gate, up as one."""
    tied_embeddings: bool
    query_bias: bool
    """Biases on q, k and v."""
    output_bias: bool
    """A bias on o."""
    mlp_bias: bool
    embedding_scale: float
    attention_scale: float
    attention_softcap: float
    """0 for none, as for the next."""
    logit_softcap: float
    opening: tuple[int, ...] = ()
    """What stands before every text, and is none of it. Without its BOS Gemma 2 9B says 27% of LAMBADA's last words,
    and 70% or more with it (EleutherAI/lm-evaluation-harness#2049)."""

    @property
    def room(self) -> int:
        """Tokens of a text that the context holds."""
        return self.max_positions - len(self.opening)

    def opened(self, ids: Sequence[int]) -> list[int]:
        """A text behind what opens it, which it may bring with it."""
        brought = not self.opening or tuple(ids[: len(self.opening)]) == self.opening
        return [*ids] if brought else [*self.opening, *ids]

    @property
    def layers(self) -> int:
        return len(self.kinds)

    @property
    def ropes(self) -> frozenset[Rope]:
        return frozenset(kind.rope for kind in self.kinds if kind.rope is not None)

    @property
    def turning_points(self) -> frozenset[int]:
        """Lengths past which all of a text turns differently, so that keys already kept are no longer its own."""
        scalings = (rope.scaling for rope in self.ropes)
        return frozenset(one.original_max_position_embeddings for one in scalings if isinstance(one, Longrope))

    @property
    def block_parameters(self) -> int:
        """Weights of the linear layers of all blocks, biases not counted."""
        attention = self.hidden * self.head_size * 2 * (self.heads + self.key_value_heads)
        return self.layers * (attention + 3 * self.hidden * self.intermediate)

    @property
    def parameters(self) -> int:
        """Number of weights; a tied embedding is counted once, biases and head norms are not."""
        embeddings = self.vocabulary * self.hidden * (1 if self.tied_embeddings else 2)
        norms = self.hidden * (self.layers * (4 if self.sandwich_norms else 2) + 1)
        return self.block_parameters + embeddings + norms
