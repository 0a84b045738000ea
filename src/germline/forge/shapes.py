"""Well-known models by their shape alone: for `germline doctor`, and for proofs that need no download."""

from __future__ import annotations

from typing import Any

from germline.model.families import read_config
from germline.model.shape import DecoderConfig

_LLAMA3 = {
    "rope_theta": 500000.0, "vocab_size": 128256, "max_position_embeddings": 131072, "tie_word_embeddings": True,
    "rope_scaling": {
        "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
}  # fmt: skip
_QWEN = {"model_type": "qwen2", "vocab_size": 151936, "tie_word_embeddings": True, "rms_norm_eps": 1e-6}

CONFIGS: dict[str, dict[str, Any]] = {
    "SmolLM2-135M": {
        "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
        "num_key_value_heads": 3, "vocab_size": 49152, "tie_word_embeddings": True, "rope_theta": 100000.0,
    },
    "Qwen2.5-0.5B": {
        **_QWEN, "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14,
        "num_key_value_heads": 2,
    },
    "Llama-3.2-1B": {
        **_LLAMA3, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
        "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64,
    },
    "Llama-3.2-3B": {
        **_LLAMA3, "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28,
        "num_attention_heads": 24, "num_key_value_heads": 8, "head_dim": 128,
    },
    "Mistral-7B": {
        "model_type": "mistral", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 32768, "sliding_window": None,
    },
}  # fmt: skip
"""Name -> what of a Hugging Face config.json gives the model its shape (from the models' own files)."""


def shape(name: str) -> DecoderConfig:
    return read_config({"model_type": "llama", **CONFIGS[name]}, source=name)
