"""A Hugging Face config.json from the metadata of a GGUF file of architecture llama.

Keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. A key of the architecture that is not known
here is refused, because ignoring it could change what the model computes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from germline.errors import ModelError
from germline.model.gguf_import_file import GgufFile

ARCHITECTURES = ("llama",)
"""Supported values of `general.architecture`. Mistral and SmolLM files call themselves llama too."""

ROPE_FACTORS = "rope_freqs.weight"
"""Not a weight: what llama3 RoPE scaling divides each frequency by, (head_dim / 2,) float32."""

_KNOWN_KEYS = {
    "attention.head_count", "attention.head_count_kv", "attention.key_length",
    "attention.layer_norm_rms_epsilon", "attention.value_length", "block_count", "context_length",
    "embedding_length", "expert_count", "expert_used_count", "feed_forward_length",
    "rope.dimension_count", "rope.freq_base", "rope.scale_linear", "rope.scaling.factor",
    "rope.scaling.original_context_length", "rope.scaling.type", "tensor_data_layout", "vocab_size",
}  # fmt: skip


def config_of(file: GgufFile) -> dict[str, Any]:
    """The config that `file` describes. ModelError for what cannot be taken over exactly.

    Metadata of the wrong kind may raise any of the built-in errors that computing with it raises.
    """
    architecture = file.metadata.get("general.architecture")
    if architecture not in ARCHITECTURES:
        supported = f"supported: {', '.join(ARCHITECTURES)}"
        raise _refuse(file, f"the architecture {architecture!r} is not supported", supported)
    if file.metadata.get("split.count", 1) > 1:
        raise _refuse(file, "it is one part of a split model", "join the parts with llama-gguf-split --merge")
    own = {key[6:]: value for key, value in file.metadata.items() if key.startswith("llama.")}
    if unknown := sorted(own.keys() - _KNOWN_KEYS):
        raise _refuse(file, f"llama.{unknown[0]} is not known to germline")
    if own.get("expert_count"):
        raise _refuse(file, "a mixture of experts is not supported")
    if own["block_count"] != len({name for name in file.tensors if name.endswith(".attn_norm.weight")}):
        raise _refuse(file, f"its metadata says {own['block_count']} layers, its tensors do not")
    heads = own["attention.head_count"]
    head_size = own.get("attention.key_length", own["embedding_length"] // heads)
    config = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": own["embedding_length"],
        "intermediate_size": own["feed_forward_length"],
        "num_hidden_layers": own["block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": own.get("attention.head_count_kv", heads),
        "head_dim": head_size,
        "max_position_embeddings": own["context_length"],
        "rms_norm_eps": _shortest(own["attention.layer_norm_rms_epsilon"]),
        "rope_theta": _shortest(own.get("rope.freq_base", 10000.0)),
        "tie_word_embeddings": "output.weight" not in file.tensors,
        "vocab_size": len(file.metadata["tokenizer.ggml.tokens"]),
        "hidden_act": "silu",
        "attention_bias": "blk.0.attn_q.bias" in file.tensors,
        "mlp_bias": "blk.0.ffn_gate.bias" in file.tensors,
    }
    if {own.get(key, head_size) for key in ("attention.value_length", "rope.dimension_count")} != {head_size}:
        raise _refuse(file, "heads that differ in size, or RoPE on a part of a head, are not supported")
    ids = {
        key: file.metadata.get(f"tokenizer.ggml.{long}_token_id")
        for key, long in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"))
    }
    config |= {f"{key}_token_id": value for key, value in ids.items() if value is not None}
    if scaling := _rope_scaling(file, own, config):
        config["rope_scaling"] = scaling
    return dict(sorted(config.items()))


def _shortest(value: float) -> float:
    """The shortest decimal that is the same float32: 1e-05, not 9.999999747378752e-06."""
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a number to compute with")
    return float(str(np.float32(value)))


def _rope_scaling(file: GgufFile, own: dict[str, Any], config: dict[str, Any]) -> dict[str, Any] | None:
    kind = own.get("rope.scaling.type", "linear")  # what llama.cpp assumes
    factor = own.get("rope.scaling.factor") or own.get("rope.scale_linear") or 1.0
    if kind not in ("none", "linear") or (kind == "linear" and factor != 1.0):
        raise _refuse(file, f"rope scaling {kind!r} by {factor} is not supported", "supported: none, llama3")
    if ROPE_FACTORS not in file.tensors:
        return None
    stored = file.tensors[ROPE_FACTORS].values().double()
    usual = (own.get("rope.scaling.original_context_length"), 8192, *(2**power for power in range(10, 18)))
    for original in usual:
        scaling = {
            "rope_type": "llama3",
            "factor": _shortest(stored.max().item()),
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": original,
        }
        if original and _same(stored, llama3_factors(config["rope_theta"], config["head_dim"], scaling)):
            return scaling
    raise _refuse(file, f"{ROPE_FACTORS} is not the llama3 scaling of any usual original context length")


def _same(one: Tensor, other: Tensor) -> bool:
    # The factors are stored in float32, and computed in float32 by the converter: a few units of rounding
    # are allowed. Where two context lengths give the same factors, they give the same model.
    return one.shape == other.shape and torch.allclose(one, other, rtol=1e-5, atol=0.0)


def llama3_factors(theta: float, head_size: int, scaling: dict[str, Any]) -> Tensor:
    """What llama3 scaling divides each RoPE frequency by: (head_size / 2,) float64."""
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    frequencies: Tensor = theta ** -(torch.arange(0, head_size, 2, dtype=torch.float64) / head_size)
    turns = scaling["original_max_position_embeddings"] * frequencies / (2 * math.pi)
    smooth = ((turns - low) / (high - low)).clamp(0.0, 1.0)
    stretched: Tensor = (1 - smooth) / scaling["factor"] + smooth
    return 1 / stretched


def _refuse(file: GgufFile, problem: str, hint: str = "") -> ModelError:
    return ModelError(f"{file.path}: {problem}", hint=hint)
