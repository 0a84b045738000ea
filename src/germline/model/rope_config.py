"""What a Hugging Face config says of RoPE: brought into one spelling, and read.

transformers 4 wrote `rope_theta` and `rope_scaling` (Gemma 3 also `rope_local_base_freq`), transformers 5
writes them together as `rope_parameters`, for Gemma 3 one per kind of layer, and reads both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from germline.errors import ModelError
from germline.model.rope import Linear, Llama3, Longrope, Rope

Config = Mapping[str, Any]


def one_spelling(config: Config) -> dict[str, Any]:
    """`config` with what it says of RoPE as transformers 4 wrote it, which every version reads.

    `rope_scaling` is there only when it scales. What is in this spelling already stays as it is.
    ModelError for what is no object, and for RoPE that differs between layers in a family where it may not.
    """
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(rope, Mapping):
        raise ModelError(f"rope_scaling {rope!r} is not an object")
    found = {key: value for key, value in config.items() if key not in ("rope_parameters", "rope_scaling")}
    if any(isinstance(value, Mapping) for value in rope.values()):
        if config.get("model_type") != "gemma3_text":
            raise ModelError("rope_parameters that differ between layers are not supported")
        near, rope = (rope.get(f"{kind}_attention") or {} for kind in ("sliding", "full"))
        if not (isinstance(near, Mapping) and isinstance(rope, Mapping)):
            raise ModelError("rope_parameters of a kind of layer are not an object")
        if near.get("rope_type", "default") != "default":
            raise ModelError(f"rope scaling {near['rope_type']!r} in sliding layers is not supported")
        found |= {"rope_local_base_freq": near["rope_theta"]} if "rope_theta" in near else {}
    rope = dict(rope)
    found |= {key: rope.pop(key) for key in ("rope_theta", "partial_rotary_factor") if key in rope}
    if "type" in rope:
        rope.setdefault("rope_type", rope.pop("type"))
    if rope.get("rope_type") == "su" and config.get("model_type") == "phi3":
        rope["rope_type"] = "longrope"  # what the first Phi-3 called it
    return found | ({"rope_scaling": rope} if rope.get("rope_type", "default") != "default" else {})


def read_rope(config: Config, head_size: int) -> Rope:
    """How heads of `head_size` turn, from a config in `one_spelling`. ModelError for what is not implemented."""
    share = float(config.get("partial_rotary_factor") or 1.0)
    if share != 1.0 and config["model_type"] != "phi3":  # elsewhere only some rope types heed it
        raise ModelError(f"partial_rotary_factor {share} is supported for phi3 alone")
    dims, scaling = int(head_size * share), config.get("rope_scaling") or {}
    kind = scaling.get("rope_type", "default")
    supported = ("default", "longrope") if config["model_type"] == "phi3" else ROPE_TYPES
    if kind not in supported:
        raise ModelError(f"rope scaling {kind!r} is not supported", hint=f"supported: {', '.join(supported)}")
    made = _SCALINGS[kind](scaling, config) if kind in _SCALINGS else None
    if isinstance(made, Longrope) and {len(made.short), len(made.long)} != {math.ceil(dims / 2)}:
        raise ModelError(f"LongRoPE has {len(made.short)} and {len(made.long)} factors for {dims} rotary elements")
    return Rope(theta=float(config["rope_theta"]), dims=dims, scaling=made)


def _linear(scaling: Config, config: Config) -> Linear:
    return Linear(factor=float(scaling["factor"]))


def _llama3(scaling: Config, config: Config) -> Llama3:
    return Llama3(
        factor=float(scaling["factor"]),
        low_freq_factor=float(scaling["low_freq_factor"]),
        high_freq_factor=float(scaling["high_freq_factor"]),
        original_max_position_embeddings=_original(scaling, config),
    )


def _longrope(scaling: Config, config: Config) -> Longrope:
    original, stretch = _original(scaling, config), scaling.get("attention_factor")
    if stretch is None:
        factor = float(scaling.get("factor") or config["max_position_embeddings"] / original)
        stretch = math.sqrt(1 + math.log(factor) / math.log(original)) if factor > 1 else 1.0
    return Longrope(
        short=tuple(map(float, scaling["short_factor"])),
        long=tuple(map(float, scaling["long_factor"])),
        attention_factor=float(stretch),
        original_max_position_embeddings=original,
    )


_SCALINGS: dict[str, Callable[[Config, Config], Linear | Llama3 | Longrope]] = {
    "linear": _linear, "llama3": _llama3, "longrope": _longrope,
}  # fmt: skip
ROPE_TYPES = ("default", *_SCALINGS)


def _original(scaling: Config, config: Config) -> int:
    """Tokens of the context before it was stretched; what stands beside `rope_scaling` is heeded before it."""
    key = "original_max_position_embeddings"
    return int(config.get(key) or scaling[key])
