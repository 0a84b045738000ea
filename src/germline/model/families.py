"""Which models germline can hold: a Hugging Face `config.json`, read into the few numbers the decoder needs.

The decoder is configured per family, never subclassed. A `model_type` that is not listed here is refused:
a model that merely looks similar would load and answer wrongly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from germline.errors import ModelError

FAMILIES = ("llama",)
"""Supported `model_type` values. Llama covers Llama 2, 3, 3.1, 3.2 and SmolLM 1 and 2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RopeScaling:
    """The `llama3` frequency scaling of Llama 3.1 (wavelengths past the original context are stretched)."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_position_embeddings: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rope:
    """Rotary position embedding: the first `dims` elements of each head turn."""

    theta: float
    dims: int
    scaling: RopeScaling | None = None


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
    activation: Literal["silu", "gelu_tanh"]
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

    @property
    def layers(self) -> int:
        return len(self.kinds)

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


def read_config(config: Mapping[str, Any], *, source: str = "config.json") -> DecoderConfig:
    """The decoder's shape from a Hugging Face config. ModelError names the family or the missing key."""
    family = config.get("model_type")
    if family not in FAMILIES:
        hint = f"supported: {', '.join(FAMILIES)}"
        raise ModelError(f"{source}: germline does not know the model family {family!r}", hint=hint)
    if config.get("hidden_act", "silu") != "silu":
        raise ModelError(f"{source}: a Llama with hidden_act {config['hidden_act']!r} is not supported")
    try:
        heads = int(config["num_attention_heads"])
        hidden = int(config["hidden_size"])
        head_size = int(config.get("head_dim") or hidden // heads)
        scaling = _rope_scaling(config.get("rope_scaling"), source)
        rope = Rope(theta=float(config.get("rope_theta", 10000.0)), dims=head_size, scaling=scaling)
        return DecoderConfig(
            vocabulary=int(config["vocab_size"]),
            hidden=hidden,
            intermediate=int(config["intermediate_size"]),
            heads=heads,
            key_value_heads=int(config.get("num_key_value_heads") or heads),
            head_size=head_size,
            max_positions=int(config.get("max_position_embeddings", 2048)),
            kinds=(LayerKind(windowed=False, rope=rope),) * int(config["num_hidden_layers"]),
            window=None,
            activation="silu",
            norm_epsilon=float(config.get("rms_norm_eps", 1e-6)),
            norm_offset=0.0,
            sandwich_norms=False,
            query_key_norms=False,
            fused_projections=False,
            tied_embeddings=bool(config.get("tie_word_embeddings", False)),
            query_bias=bool(config.get("attention_bias", False)),
            output_bias=bool(config.get("attention_bias", False)),
            mlp_bias=bool(config.get("mlp_bias", False)),
            embedding_scale=1.0,
            attention_scale=head_size**-0.5,
            attention_softcap=0.0,
            logit_softcap=0.0,
        )
    except KeyError as missing:
        raise ModelError(f"{source}: the key {missing} is missing") from None


def _rope_scaling(scaling: Mapping[str, Any] | None, source: str) -> RopeScaling | None:
    kind = (scaling or {}).get("rope_type", (scaling or {}).get("type", "default"))
    if scaling is None or kind == "default":
        return None
    if kind != "llama3":
        raise ModelError(f"{source}: rope scaling {kind!r} is not supported", hint="supported: default, llama3")
    return RopeScaling(
        factor=float(scaling["factor"]),
        low_freq_factor=float(scaling["low_freq_factor"]),
        high_freq_factor=float(scaling["high_freq_factor"]),
        original_max_position_embeddings=int(scaling["original_max_position_embeddings"]),
    )
