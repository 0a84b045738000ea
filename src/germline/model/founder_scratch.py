"""A founder from nothing: a small Llama with random weights and a tokenizer trained on the owner's text."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from germline.errors import PlanError, did_you_mean
from germline.model.families import read_config
from germline.model.founder import Founder
from germline.model.weights import layout
from germline.records import digest_of
from germline.tokenizer.text import Tokenizer
from germline.tokenizer.train import train

SIZES: dict[str, dict[str, int]] = {
    "tiny": {"hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 4, "head_dim": 32},
    "mini": {"hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 8, "head_dim": 64},
    "small": {"hidden_size": 512, "intermediate_size": 1408, "num_hidden_layers": 10, "head_dim": 64},
}
DEVIATION = 0.02


def scratch(texts: Iterable[str], *, size: str = "tiny", vocab_size: int, seed: int) -> Founder:
    """A Llama that has learned nothing, with tied embeddings and a context of 2,048 tokens.

    Parameters without and with the embeddings of a usual vocabulary:
      tiny    0.8 M    1.0 M with 2,048 tokens
      mini    6.3 M    8.4 M with 8,192 tokens
      small  29.5 M   37.9 M with 16,384 tokens
    The tokenizer is `train`'s, so the vocabulary may be smaller than `vocab_size`. Weights are float32,
    normal(0, 0.02), with the two projections into the residual stream divided by sqrt(2 * layers); norms are
    ones. Equal arguments give equal founders with the same numpy and tokenizers, one tensor at a time.
    PlanError for an unknown size; PlanError and DataError as `train`.
    """
    if size not in SIZES:
        raise PlanError(f"there is no model size {size!r}", hint=did_you_mean(size, SIZES))
    tokenizer_json = train(texts, vocab_size=vocab_size)
    tokenizer = Tokenizer.from_json(tokenizer_json)
    config = _config(SIZES[size], tokenizer)
    return Founder(
        config=config,
        tokenizer_json=tokenizer_json,
        tensors=lambda: _tensors(config, seed),
        origin={
            "kind": "scratch",
            "files": {"tokenizer.json": digest_of(tokenizer_json)},
            "quantization": None,
            "license": None,
            "size": size,
            "seed": seed,
        },
    )


def _config(size: dict[str, int], tokenizer: Tokenizer) -> dict[str, Any]:
    heads = size["hidden_size"] // size["head_dim"]
    return {
        **size,
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "num_attention_heads": heads,
        "num_key_value_heads": heads // 2,
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
        "vocab_size": tokenizer.vocab_size,
        "eos_token_id": tokenizer.eos_id,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "initializer_range": DEVIATION,
        "torch_dtype": "float32",
    }


def _tensors(config: dict[str, Any], seed: int) -> Iterator[tuple[str, Tensor]]:
    residual = 1 / math.sqrt(2 * config["num_hidden_layers"])
    for name, shape in layout(read_config(config)).items():
        if name.endswith("norm.weight"):
            yield name, torch.ones(shape)
            continue
        # One stream per tensor, so that a tensor's values do not depend on those before it.
        stream = np.random.default_rng([seed, *hashlib.sha256(name.encode()).digest()])
        scale = DEVIATION * (residual if name.endswith(("o_proj.weight", "down_proj.weight")) else 1.0)
        yield name, torch.from_numpy(stream.standard_normal(shape, np.float32) * np.float32(scale))
