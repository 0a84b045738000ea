"""What training holds in memory: a sum of what is really there, term by term.

Checked against measured peaks over a grid of settings (`make proof-fit`, benchmarks/fit_proof.md), and what a layer
keeps against autograd's own saved tensors (`tests/model/test_fit_families.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from germline.forge.anchor import TEXTS, TOKENS
from germline.forge.machine import Arithmetic
from germline.model.adapter import LoraConfig
from germline.model.shape import DecoderConfig
from germline.ops.attention import QUERIES
from germline.ops.loss import CHUNK_ROWS
from germline.ops.quantize import Bits
from germline.settings import Training

BASE = {"cpu": 480 << 20, "cuda": 700 << 20}
"""Bytes that Python, torch and its libraries hold before a model is there (on CUDA: of the GPU)."""

SLACK = 1.03
"""What an allocator holds beyond what was asked of it."""

BITS_BYTES = {None: 0.0, "int8": 1.01, "nf4": 0.517}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is weighed against memory."""

    bits: Bits | None
    """How the blocks' frozen linear layers are held while training; None: as they are."""
    recomputed_layers: int
    micro_tokens: int
    """Tokens that go through the model at once; a step adds up over the rest."""
    row_tokens: int
    parts: int = 1
    """Micro-batches in a step; with more than one, gradients wait while activations are made."""


def peak_bytes(config: DecoderConfig, training: Training, on: Arithmetic, setting: Setting) -> int:
    """Predicted peak of memory while training, in bytes: resident on a CPU, the allocator's on a GPU."""
    size, full = on.dtype.itemsize, training.method == "full"
    aside = training.anchor_tokens if training.anchor else 0
    tokens = max(setting.micro_tokens, aside)
    embeddings = config.parameters - config.block_parameters
    frozen = 0.0
    if not full:
        frozen = config.block_parameters * (BITS_BYTES[setting.bits] or size) + embeddings * size
        frozen -= embeddings * size * training.embeddings
    trained, state = _trained_parameters(config, training), state_bytes(config, training)
    layer, recomputed = kept_by_layer(config, training, setting, size), setting.recomputed_layers
    # The lesson's gradients lie where its activations lay: a longer pass of the anchor finds no room between them.
    beside = tokens + setting.micro_tokens * (aside > setting.micro_tokens)
    kept = beside * size * ((config.layers - recomputed) * layer + recomputed * config.hidden)
    gradients, early = trained * 4.0, 0.0
    if full or training.embeddings:  # the vocabulary's gradient comes first, while all activations are there
        early = config.vocabulary * config.hidden * 4.0
    # Within one backward activations go as gradients come; over several, all gradients lie beside activations.
    crest = kept + gradients if setting.parts > 1 else max(kept + early, gradients)
    once = tokens * size * (layer * (recomputed > 0) + _passing(config))
    logits = CHUNK_ROWS * config.vocabulary * size * (3 if aside else 2) + 2 * tokens * config.hidden * size
    unpacked = 2 * size * config.hidden * config.intermediate if setting.bits or full else 0
    if full or training.embeddings:  # beside that: what it is scaled to and added in, one more for the anchor's, ...
        waiting = setting.parts - (training.anchor > 0) > 1  # ... and what an earlier part of the lesson left
        unpacked += config.vocabulary * config.hidden * 4 * (2 + (aside > 0) + waiting)
    held = frozen + state + (_anchored(config, on) if training.anchor else 0)
    return int(BASE[on.device] + SLACK * (held + crest + max(once, logits) + unpacked))


def _anchored(config: DecoderConfig, on: Arithmetic) -> int:
    """What the founder leaves behind: its output weight, which bf16 on a CPU has in the file, and its predictions,
    which lie in the machine's memory."""
    mapped = on == Arithmetic(torch.bfloat16, "cpu")
    rows = (0 if mapped else config.vocabulary) + (TEXTS * TOKENS if on.device == "cpu" else 0)
    return config.hidden * on.dtype.itemsize * rows


def state_bytes(config: DecoderConfig, training: Training) -> float:
    """What trains, in fp32, with both moments: what a checkpoint holds."""
    moments = 2.1 if training.optimizer == "adamw8bit" else 8.0
    return _trained_parameters(config, training) * (4.0 + moments)


def _trained_parameters(config: DecoderConfig, training: Training) -> int:
    if training.method == "full":
        return config.parameters
    embeddings = config.parameters - config.block_parameters
    return adapter_parameters(config, training) + embeddings * training.embeddings


def adapter_parameters(config: DecoderConfig, training: Training) -> int:
    """How many numbers an adapter on these targets has."""
    query, pair = config.heads * config.head_size, config.key_value_heads * config.head_size
    widths = {
        "q_proj": config.hidden + query, "k_proj": config.hidden + pair, "v_proj": config.hidden + pair,
        "o_proj": config.hidden + query, "gate_proj": config.hidden + config.intermediate,
        "up_proj": config.hidden + config.intermediate, "down_proj": config.hidden + config.intermediate,
        "qkv_proj": config.hidden + query + 2 * pair, "gate_up_proj": config.hidden + 2 * config.intermediate,
    }  # fmt: skip
    named = LoraConfig(rank=training.rank, alpha=1.0, targets=training.targets).of(config).targets
    return config.layers * training.rank * sum(widths[name] for name in named)


def kept_by_layer(config: DecoderConfig, training: Training, setting: Setting, size: int) -> int:
    """Elements of `size` bytes that one layer keeps per token for its backward (see `ops`): the inputs of norms and
    gate, rotated queries and keys, values, attention weights of half a row and half a tile, mixed heads, and the
    rank-wide products. Where heads have norms, their queries and keys as they were before; where scores have a cap,
    its fp32 tangent."""
    query, pair = config.heads * config.head_size, config.key_value_heads * config.head_size
    seen = (setting.row_tokens + min(QUERIES, setting.row_tokens)) // 2
    norms = (4 if config.sandwich_norms else 2) * config.hidden
    scores = config.heads * seen * (1 + (4 // size) * (config.attention_softcap > 0))
    heads = 2 * query + 2 * pair + (query + pair) * config.query_key_norms
    return norms + heads + scores + 2 * config.intermediate + 7 * training.rank


def _passing(config: DecoderConfig) -> int:
    """Elements per token that come and go within one layer's backward: gradients of gate, up and their product,
    that product again, and the residual's."""
    return 4 * config.intermediate + 4 * config.hidden
