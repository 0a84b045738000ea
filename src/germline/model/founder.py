"""The founder, generation 0: what a lineage starts from, whatever source it was read from.

Nothing here runs code from a source: no pickle, no remote code, no network. A source that cannot be taken
over exactly is refused with the reason, because a founder that is slightly wrong looks like a weak model.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from germline.errors import ModelError
from germline.model.families import FAMILIES
from germline.model.rope_config import one_spelling
from germline.records import Digest

CONFIG_KEYS = (
    "architectures", "attention_bias", "bos_token_id", "eos_token_id", "head_dim", "hidden_act",
    "hidden_size", "initializer_range", "intermediate_size", "max_position_embeddings", "mlp_bias",
    "model_type", "num_attention_heads", "num_hidden_layers", "num_key_value_heads",
    "original_max_position_embeddings", "pad_token_id", "partial_rotary_factor", "rms_norm_eps", "rope_scaling",
    "rope_theta", "tie_word_embeddings", "torch_dtype", "vocab_size",
)  # fmt: skip
"""What is kept of a Hugging Face config.json, beside a family's own keys; everything else in it is dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Founder:
    """A model to start from. Equal sources give equal founders; no path or clock is part of one."""

    config: dict[str, Any]
    """A Hugging Face config.json as `keep_config` leaves it; `tie_word_embeddings`, `vocab_size` and
    `eos_token_id` always present."""
    tokenizer_json: bytes
    """A `tokenizers` JSON file; every id in it is below `vocab_size`."""
    tensors: Callable[[], Iterator[tuple[str, Tensor]]]
    """Gives (Hugging Face name, tensor) in sorted order of names, one at a time, from the start at each call.

    The dtype is the source's own (float32 for GGUF and scratch). `lm_head.weight` comes only when untied.
    Raises ModelError when a tensor cannot be read."""
    origin: dict[str, Any]
    """Where it came from: `kind`, `files` (name -> digest), `quantization`, `license` (both may be None)."""


def keep_config(raw: Mapping[str, Any], source: Path) -> dict[str, Any]:
    """What is kept of a config.json, in the one spelling of `Founder.config`: `CONFIG_KEYS` and its family's own.

    A null is kept only where transformers would take its absence for something else: Mistral without a
    window says `"sliding_window": null`. transformers 5 writes `dtype` for `torch_dtype`; see also
    `rope_config.one_spelling`. Raises ModelError for weights stored quantized.
    """
    if raw.get("quantization_config"):
        raise ModelError(f"{source}: a quantized model cannot be a founder", hint="start from its original weights")
    try:
        config = one_spelling({"torch_dtype": raw.get("dtype"), **raw})
    except ModelError as error:
        raise ModelError(f"{source}: {error.message}", hint=error.hint) from None
    family = FAMILIES.get(str(raw.get("model_type")))
    own = family.silent if family else {}
    kept = [key for key in {*CONFIG_KEYS, *own} if config.get(key) is not None or (key in config and own.get(key))]
    return {key: config[key] for key in sorted(kept)}


def license_named(text: object) -> str | None:
    """The short name of a license, such as apache-2.0. None for anything else: it is a stranger's word, and is kept
    and shown."""
    return text if isinstance(text, str) and re.fullmatch(r"[\w.-]{1,64}", text) else None


def digest_of_file(path: Path) -> Digest:
    """The SHA-256 of a file of any size, in constant memory."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
