"""Which models germline can hold: a Hugging Face `config.json`, read into the few numbers the decoder needs.

A `model_type` that is not listed in `FAMILIES` is refused, and so is a setting that would change what the
model computes and is not implemented: a model that merely looks similar would load and answer wrongly.
Dropout is no such setting: germline never applies it, in training either. The semantics are those of
transformers 5 (each family's configuration and modeling), which the parity tests compare with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any

from germline.errors import ModelError
from germline.model.rope import Linear, Llama3, Longrope, Rope
from germline.model.rope_config import one_spelling, read_rope
from germline.model.shape import Activation, DecoderConfig, LayerKind

Config = Mapping[str, Any]


def read_config(config: Config, *, source: str = "config.json") -> DecoderConfig:
    """The decoder's shape from a Hugging Face config. ModelError names the family or the key it stumbled on."""
    name = config.get("model_type")
    family = FAMILIES.get(name) if isinstance(name, str) else None
    if family is None:
        hint = f"supported: {', '.join(FAMILIES)}"
        raise ModelError(f"{source}: germline does not know the model family {name!r}", hint=hint)
    try:
        return _sound(family.read({**_SILENT, **family.silent, **one_spelling(config)}))
    except ModelError as error:
        raise ModelError(f"{source}: {error.message}", hint=error.hint) from None
    except KeyError as missing:
        raise ModelError(f"{source}: the key {missing} is missing") from None
    except (AttributeError, TypeError, ValueError, ArithmeticError) as error:
        raise ModelError(f"{source}: it holds a value that cannot be followed: {error}") from error


def end_id(config: Config) -> int:
    """The id that ends a document: of several, the first."""
    found = config["eos_token_id"]
    return int(found[0] if isinstance(found, list) else found)


def _llama(config: Config) -> DecoderConfig:
    biases, mlp_bias = bool(config["attention_bias"]), bool(config["mlp_bias"])
    return replace(_plain(config), query_bias=biases, output_bias=biases, mlp_bias=mlp_bias)


def _smollm3(config: Config) -> DecoderConfig:
    """Some layers do not turn at all (NoPE), and of themselves only they are windowed."""
    made = _llama(config)
    turning = config["no_rope_layers"]  # 1 where a layer does turn
    if turning is None:
        turning = [(index + 1) % config["no_rope_layer_interval"] for index in range(made.layers)]
    ropes = [kind.rope if turn else None for kind, turn in zip(made.kinds, turning[: made.layers], strict=True)]
    made = replace(made, kinds=tuple(LayerKind(windowed=False, rope=rope) for rope in ropes))
    window = config["sliding_window"] if config["use_sliding_window"] else None
    return _windowed(made, config, window, [window is not None and rope is None for rope in ropes])


def _mistral(config: Config) -> DecoderConfig:
    """Windowed in all layers or in none."""
    made, window = _plain(config), config["sliding_window"]
    made = _windowed(made, config, window, [window is not None] * made.layers)
    if any(kind.windowed != (window is not None) for kind in made.kinds):
        raise ModelError("layer_types say otherwise than sliding_window, which here is for all layers or none")
    return made


def _qwen2(config: Config) -> DecoderConfig:
    """arXiv 2407.10671: biases on q, k and v; where windows are used at all, the lower layers see everything."""
    made = replace(_plain(config), query_bias=True)
    window = config["sliding_window"] if config["use_sliding_window"] else None
    first = config["max_window_layers"] if window is not None else made.layers
    return _windowed(made, config, window, [index >= first for index in range(made.layers)])


def _qwen3(config: Config) -> DecoderConfig:
    biases = bool(config["attention_bias"])
    return replace(_qwen2(config), query_bias=biases, output_bias=biases, query_key_norms=True)


def _phi3(config: Config) -> DecoderConfig:
    return replace(_mistral(config), fused_projections=True)


def _gemma2(config: Config) -> DecoderConfig:
    """arXiv 2408.00118: softcaps, norms on both sides of a block, every other layer windowed."""
    made = replace(_gemma(config), attention_softcap=float(config["attn_logit_softcapping"] or 0))
    return _windowed(made, config, config["sliding_window"], [index % 2 == 0 for index in range(made.layers)])


def _gemma3(config: Config) -> DecoderConfig:
    """arXiv 2503.19786: query and key norms; windowed layers turn by their own, unscaled RoPE."""
    if config["attn_logit_softcapping"]:
        raise ModelError("attn_logit_softcapping is not supported: no Gemma 3 has it, and transformers ignores it")
    made, every = replace(_gemma(config), query_key_norms=True), config["sliding_window_pattern"]
    rule = [(index + 1) % every > 0 for index in range(made.layers)]
    made = _windowed(made, config, config["sliding_window"], rule)
    near = Rope(theta=float(config["rope_local_base_freq"]), dims=made.head_size)
    return replace(made, kinds=tuple(replace(kind, rope=near) if kind.windowed else kind for kind in made.kinds))


def _bos(config: Config) -> tuple[int, ...]:
    index = config["bos_token_id"]
    if type(index) is not int or not 0 <= index < config["vocab_size"]:
        raise ModelError(f"bos_token_id {index!r} is no id: these models begin every text with it")
    return (index,)


def _gemma(config: Config) -> DecoderConfig:
    if config["use_bidirectional_attention"]:
        raise ModelError("use_bidirectional_attention is not supported: germline only predicts what comes next")
    made, biases = _plain(config, activation="hidden_activation"), bool(config["attention_bias"])
    return replace(
        made, query_bias=biases, output_bias=biases, norm_offset=1.0, sandwich_norms=True, opening=_bos(config),
        embedding_scale=made.hidden**0.5, attention_scale=float(config["query_pre_attn_scalar"]) ** -0.5,
        logit_softcap=float(config["final_logit_softcapping"] or 0),
    )  # fmt: skip


def _windowed(made: DecoderConfig, config: Config, window: int | None, rule: Sequence[bool]) -> DecoderConfig:
    """`made` with a window of so many tokens in the layers that `layer_types` names, else in those of `rule`."""
    types = config["layer_types"] or [_SLIDING if windowed else _FULL for windowed in rule]
    if len(types) != made.layers or not set(types) <= {_SLIDING, _FULL}:
        raise ModelError(f"layer_types must be {made.layers} times {_SLIDING} or {_FULL}, not {types}")
    if _SLIDING not in types:
        return made
    if not window or window < 1:
        raise ModelError(f"there are layers of {_SLIDING}, but the window of tokens that they see is {window}")
    kinds = tuple(replace(kind, windowed=kept == _SLIDING) for kind, kept in zip(made.kinds, types, strict=True))
    return replace(made, kinds=kinds, window=int(window))


def _plain(config: Config, *, activation: str = "hidden_act") -> DecoderConfig:
    """What all families share: a Llama without biases, whose layers are alike and see everything before them."""
    heads, hidden = _size(config, "num_attention_heads"), _size(config, "hidden_size")
    head_size = _size(config, "head_dim") if config.get("head_dim") else hidden // heads
    key_value_heads = _size(config, "num_key_value_heads") if config.get("num_key_value_heads") else heads
    kind = LayerKind(windowed=False, rope=read_rope(config, head_size))
    return DecoderConfig(
        vocabulary=_size(config, "vocab_size"),
        hidden=hidden,
        intermediate=_size(config, "intermediate_size"),
        heads=heads,
        key_value_heads=key_value_heads,
        head_size=head_size,
        max_positions=_size(config, "max_position_embeddings", 2**31),
        kinds=(kind,) * _size(config, "num_hidden_layers", 1_000),
        window=None,
        activation=_activation(config[activation]),
        norm_epsilon=float(config["rms_norm_eps"]),
        norm_offset=0.0,
        sandwich_norms=False,
        query_key_norms=False,
        fused_projections=False,
        tied_embeddings=bool(config["tie_word_embeddings"]),
        query_bias=False,
        output_bias=False,
        mlp_bias=False,
        embedding_scale=1.0,
        attention_scale=head_size**-0.5,
        attention_softcap=0.0,
        logit_softcap=0.0,
    )


def _size(config: Config, key: str, most: int = 2**20) -> int:
    """A size in a config, before anything is made of it."""
    if type(value := config[key]) is not int or not 1 <= value <= most:
        raise ValueError(f"{key} is {value!r:.40}, not a whole number from 1 to {most:,}")
    return value


def _sound(made: DecoderConfig) -> DecoderConfig:
    """`made`, if its heads can share keys and turn, and no number in it makes what is not finite."""
    if made.heads % made.key_value_heads or made.head_size % 2:
        raise ValueError(f"{made.heads} heads of {made.head_size} cannot share {made.key_value_heads} keys, or turn")
    if not all(map(math.isfinite, _numbers(made))) or made.norm_epsilon < 0:
        raise ValueError(f"not all of it is finite, or its epsilon is below 0: {made}")
    for rope in made.ropes:
        turns, scaling = [*_numbers(rope), *(_numbers(rope.scaling) if rope.scaling else ())], rope.scaling
        flat = isinstance(scaling, Llama3) and scaling.low_freq_factor >= scaling.high_freq_factor
        if flat or not all(math.isfinite(one) and one > 0 for one in turns):
            raise ValueError(f"nothing can turn by it: {rope}")
    return made


def _numbers(part: DecoderConfig | Rope | Linear | Llama3 | Longrope) -> Iterator[float]:
    for value in astuple(part):
        yield from (one for one in (value if isinstance(value, tuple) else [value]) if isinstance(one, float))


def _activation(name: object) -> Activation:
    known: dict[object, Activation] = {"silu": "silu", "swish": "silu", "gelu_pytorch_tanh": "gelu_tanh"}
    if name not in known:
        raise ModelError(f"the activation {name!r} is not supported", hint=f"supported: {', '.join(map(str, known))}")
    return known[name]


_SLIDING, _FULL = "sliding_attention", "full_attention"
_SILENT = {
    "attention_bias": False, "hidden_act": "silu", "max_position_embeddings": 2048, "mlp_bias": False,
    "rms_norm_eps": 1e-6, "rope_theta": 10_000.0, "tie_word_embeddings": False,
}  # fmt: skip
_QWEN = {
    "layer_types": None, "max_position_embeddings": 32768, "max_window_layers": 28, "num_key_value_heads": 32,
    "sliding_window": 4096, "use_sliding_window": False,
}  # fmt: skip
_GEMMA = {
    "attn_logit_softcapping": None, "bos_token_id": 2, "final_logit_softcapping": None, "head_dim": 256,
    "hidden_activation": "gelu_pytorch_tanh", "layer_types": None, "num_key_value_heads": 4,
    "query_pre_attn_scalar": 256, "sliding_window": 4096, "tie_word_embeddings": True,
    "use_bidirectional_attention": None,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """What belongs to one `model_type`."""

    architecture: str
    """The class that transformers opens it with."""
    read: Callable[[Config], DecoderConfig]
    silent: Config
    """The keys it has beside those of all, and what transformers assumes where a config is silent about one."""


FAMILIES: Mapping[str, Family] = {
    "llama": Family(architecture="LlamaForCausalLM", read=_llama, silent={}),
    "smollm3": Family(
        architecture="SmolLM3ForCausalLM", read=_smollm3,
        silent={
            "layer_types": None, "max_position_embeddings": 32768, "no_rope_layer_interval": 4,
            "no_rope_layers": None, "num_key_value_heads": 4, "rope_theta": 2_000_000.0, "sliding_window": None,
            "tie_word_embeddings": True, "use_sliding_window": False,
        },
    ),
    "mistral": Family(
        architecture="MistralForCausalLM", read=_mistral,
        silent={
            "layer_types": None, "max_position_embeddings": 131072, "num_key_value_heads": 8,
            "sliding_window": 4096,
        },
    ),
    "qwen2": Family(architecture="Qwen2ForCausalLM", read=_qwen2, silent=_QWEN),
    "qwen3": Family(architecture="Qwen3ForCausalLM", read=_qwen3, silent={**_QWEN, "head_dim": 128}),
    "phi3": Family(
        architecture="Phi3ForCausalLM", read=_phi3,
        silent={
            "layer_types": None, "max_position_embeddings": 4096, "original_max_position_embeddings": 4096,
            "rms_norm_eps": 1e-5, "sliding_window": None,
        },
    ),
    "gemma2": Family(
        architecture="Gemma2ForCausalLM", read=_gemma2,
        silent={
            **_GEMMA, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0,
            "max_position_embeddings": 8192,
        },
    ),
    "gemma3_text": Family(
        architecture="Gemma3ForCausalLM", read=_gemma3,
        silent={
            **_GEMMA, "max_position_embeddings": 131072, "rope_local_base_freq": 10_000.0,
            "rope_theta": 1_000_000.0, "sliding_window_pattern": 6,
        },
    ),
}  # fmt: skip
"""Supported `model_type`s. Llama covers Llama 1 to 3.3 and SmolLM 1 and 2; qwen2 Qwen 2.5; phi3 Phi-4-mini."""
