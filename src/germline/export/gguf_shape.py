"""What a GGUF says of a model's shape, and what its tensors are called.

Keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. llama.cpp computes each architecture in one fixed way
and ignores what it does not expect: a model that is meant otherwise would load and answer wrongly. So whatever
llama.cpp would not heed is refused here, by name. Windows that it has no pattern for are no reason to refuse: a text
that is not longer than the window reads the same without, and the file says so by a context that ends there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gguf
import torch
from torch import Tensor

from germline.errors import ModelError
from germline.model.gguf_import import permuted
from germline.model.gguf_import_config import ROPE_FACTORS, llama3_factors
from germline.model.rope import Linear, Llama3, Longrope, Rope
from germline.model.shape import DecoderConfig

Metadata = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """One of llama.cpp's, and what it can compute beside a Llama without biases."""

    name: gguf.MODEL_ARCH
    interleaved: bool = False
    """Neighbouring rows of a head turn together, not its two halves: queries and keys are stored so."""
    activation: str = "silu"
    query_bias: tuple[bool, ...] = (False,)
    other_biases: bool = False
    scalings: tuple[type, ...] = (Linear,)
    windowed: Callable[[int], bool] | None = None
    """Of which layers it knows that they are windowed."""
    silent: Callable[[int], bool] = lambda layer: False
    """Layers that it does not turn."""
    special_scale: int = 0
    """With so many layers, attention is scaled by hidden / heads instead of the head's size."""


def _llama(**own: Any) -> Architecture:
    return Architecture(
        name=gguf.MODEL_ARCH.LLAMA, interleaved=True, query_bias=(False, True), other_biases=True,
        scalings=(Linear, Llama3), **own,
    )  # fmt: skip


ARCHITECTURES: dict[str, Architecture] = {
    "llama": _llama(),
    "mistral": _llama(),
    "smollm3": Architecture(
        name=gguf.MODEL_ARCH.SMOLLM3, interleaved=True, silent=lambda layer: (layer + 1) % 4 == 0,
    ),
    "qwen2": Architecture(name=gguf.MODEL_ARCH.QWEN2, query_bias=(True,)),
    "qwen3": Architecture(name=gguf.MODEL_ARCH.QWEN3),
    "phi3": Architecture(name=gguf.MODEL_ARCH.PHI3, scalings=(Longrope,)),
    "gemma2": Architecture(
        name=gguf.MODEL_ARCH.GEMMA2, activation="gelu_tanh", windowed=lambda layer: layer % 2 == 0, special_scale=46,
    ),
    "gemma3_text": Architecture(
        name=gguf.MODEL_ARCH.GEMMA3, activation="gelu_tanh", windowed=lambda layer: (layer + 1) % 6 > 0,
        special_scale=62,
    ),
}  # fmt: skip
"""Every `model_type` that germline holds -> what llama.cpp calls and does with it."""

LOCAL_THETA = 10_000.0
"""RoPE base of Gemma 3's windowed layers, which llama.cpp has as a constant."""


def metadata(shape: DecoderConfig, model_type: str) -> Metadata:
    """The keys of the architecture, without `general.*` and the tokenizer. ModelError for what cannot be said."""
    architecture = ARCHITECTURES[model_type]
    _refuse_what_is_not_heeded(shape, architecture, model_type)
    rope = _far(shape)
    keys: Metadata = {
        "context_length": context(shape, architecture), "embedding_length": shape.hidden,
        "block_count": shape.layers, "feed_forward_length": shape.intermediate, "vocab_size": shape.vocabulary,
        "attention.head_count": shape.heads, "attention.head_count_kv": shape.key_value_heads,
        "attention.key_length": shape.head_size, "attention.value_length": shape.head_size,
        "attention.layer_norm_rms_epsilon": shape.norm_epsilon,
        "rope.freq_base": rope.theta, "rope.dimension_count": rope.dims,
    }  # fmt: skip
    if shape.window is not None:
        keys["attention.sliding_window"] = shape.window
    if shape.attention_softcap:
        keys["attn_logit_softcapping"] = shape.attention_softcap
    if shape.logit_softcap:
        keys["final_logit_softcapping"] = shape.logit_softcap
    if isinstance(rope.scaling, Linear):
        keys |= {"rope.scaling.type": "linear", "rope.scaling.factor": rope.scaling.factor}
    if isinstance(rope.scaling, Longrope):
        original = rope.scaling.original_max_position_embeddings
        keys |= {"rope.scaling.original_context_length": original,
                 "rope.scaling.attn_factor": rope.scaling.attention_factor}  # fmt: skip
    return {f"{gguf.MODEL_ARCH_NAMES[architecture.name]}.{key}": value for key, value in keys.items()}


def context(shape: DecoderConfig, architecture: Architecture) -> int:
    """Tokens up to which llama.cpp computes what germline does.

    It ends at the window where the windowed layers are not those that it knows, and for LongRoPE at the context
    before it was stretched: germline takes the long factors for long texts, llama.cpp for long contexts.
    """
    lengths = [shape.max_positions]
    if shape.window is not None and not _windows_known(shape, architecture):
        lengths.append(shape.window)
    if isinstance(scaling := _far(shape).scaling, Longrope):
        lengths.append(scaling.original_max_position_embeddings)
    return min(lengths)


def tensor_names(shape: DecoderConfig, model_type: str) -> Callable[[str], str]:
    """Hugging Face's name of a tensor -> llama.cpp's. ModelError for one that its architecture lacks."""
    names = gguf.get_tensor_name_map(ARCHITECTURES[model_type].name, shape.layers)

    def named(name: str) -> str:
        found = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if found is None:
            raise ModelError(f"llama.cpp's {model_type} has no tensor like {name}", hint="germline export --to hf")
        return str(found)

    return named


def stored(name: str, tensor: Tensor, shape: DecoderConfig, model_type: str) -> Tensor:
    """A tensor as llama.cpp computes with it, fp32: its rows in another order, a norm with its offset added."""
    values = tensor.float()
    if name.endswith("norm.weight") and shape.norm_offset:
        return values + shape.norm_offset
    if ARCHITECTURES[model_type].interleaved:
        if ".q_proj." in name:
            return permuted(values, shape.heads)
        if ".k_proj." in name:
            return permuted(values, shape.key_value_heads)
    return values


def rope_tensors(shape: DecoderConfig) -> Iterator[tuple[str, Tensor]]:
    """What RoPE's frequencies are divided by, where that is more than one number."""
    rope = _far(shape)
    if isinstance(scaling := rope.scaling, Llama3):
        told = {"factor": scaling.factor, "low_freq_factor": scaling.low_freq_factor,
                "high_freq_factor": scaling.high_freq_factor,
                "original_max_position_embeddings": scaling.original_max_position_embeddings}  # fmt: skip
        yield ROPE_FACTORS, llama3_factors(rope.theta, rope.dims, told).float()
    if isinstance(scaling, Longrope):
        yield "rope_factors_long.weight", torch.tensor(scaling.long)
        yield "rope_factors_short.weight", torch.tensor(scaling.short)


def _far(shape: DecoderConfig) -> Rope:
    """How the layers turn that see everything; all that turn, in most families."""
    turning = [kind for kind in shape.kinds if kind.rope is not None]
    far = [kind.rope for kind in turning if not kind.windowed] or [kind.rope for kind in turning]
    if not far or far[0] is None:
        raise ModelError("llama.cpp has no model without rotary positions", hint="germline export --to hf")
    return far[0]


def _windows_known(shape: DecoderConfig, architecture: Architecture) -> bool:
    known = architecture.windowed
    return known is not None and all(kind.windowed == known(layer) for layer, kind in enumerate(shape.kinds))


def _refuse_what_is_not_heeded(shape: DecoderConfig, architecture: Architecture, model_type: str) -> None:
    gemma = architecture.windowed is not None
    near = Rope(theta=LOCAL_THETA, dims=shape.head_size)
    far = _far(shape)
    size = shape.hidden // shape.heads if shape.layers == architecture.special_scale else shape.head_size
    wrong = {
        f"the activation {shape.activation}": shape.activation != architecture.activation,
        "these biases of queries, keys and values": shape.query_bias not in architecture.query_bias,
        "biases of outputs and feed-forward": (shape.output_bias or shape.mlp_bias) and not architecture.other_biases,
        "this scaling of attention": abs(shape.attention_scale - size**-0.5) > 1e-9,
        "attention without a softcap": model_type == "gemma2" and not (shape.attention_softcap and shape.logit_softcap),
        "an output layer of its own": gemma and not shape.tied_embeddings,
        f"RoPE scaled as {type(far.scaling).__name__}": (
            far.scaling is not None and not isinstance(far.scaling, architecture.scalings)
        ),
        "RoPE that differs between these layers": any(
            kind.rope != (None if architecture.silent(layer) else near if _local(model_type, kind.windowed) else far)
            for layer, kind in enumerate(shape.kinds)
        ),
        "these windowed layers": model_type == "gemma3_text" and not _windows_known(shape, architecture),
    }
    if refused := next((what for what, is_so in wrong.items() if is_so), None):
        problem = f"llama.cpp's {model_type} cannot compute {refused}"
        raise ModelError(problem, hint="germline export --to hf gives a model that transformers opens")


def _local(model_type: str, windowed: bool) -> bool:
    return model_type == "gemma3_text" and windowed
