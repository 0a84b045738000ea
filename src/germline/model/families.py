"""Which models germline can hold: a Hugging Face `config.json`, read into the few numbers the decoder needs.

The decoder is configured per family, never subclassed. A `model_type` that is not listed here is refused:
a model that merely looks similar would load and answer wrongly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
class DecoderConfig:
    """The shape of a decoder. Sizes are in elements; `head_size` is per attention head."""

    vocabulary: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    key_value_heads: int
    head_size: int
    max_positions: int
    norm_epsilon: float
    rope_theta: float
    rope_scaling: RopeScaling | None
    tied_embeddings: bool
    attention_bias: bool
    mlp_bias: bool

    @property
    def parameters(self) -> int:
        """Number of weights; a tied embedding is counted once."""
        attention = self.hidden * self.head_size * (self.heads + 2 * self.key_value_heads)
        attention += self.heads * self.head_size * self.hidden
        per_layer = attention + 3 * self.hidden * self.intermediate + 2 * self.hidden
        embeddings = self.vocabulary * self.hidden * (1 if self.tied_embeddings else 2)
        return self.layers * per_layer + embeddings + self.hidden


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
        return DecoderConfig(
            vocabulary=int(config["vocab_size"]),
            hidden=hidden,
            intermediate=int(config["intermediate_size"]),
            layers=int(config["num_hidden_layers"]),
            heads=heads,
            key_value_heads=int(config.get("num_key_value_heads") or heads),
            head_size=int(config.get("head_dim") or hidden // heads),
            max_positions=int(config.get("max_position_embeddings", 2048)),
            norm_epsilon=float(config.get("rms_norm_eps", 1e-6)),
            rope_theta=float(config.get("rope_theta", 10000.0)),
            rope_scaling=_rope_scaling(config.get("rope_scaling"), source),
            tied_embeddings=bool(config.get("tie_word_embeddings", False)),
            attention_bias=bool(config.get("attention_bias", False)),
            mlp_bias=bool(config.get("mlp_bias", False)),
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
