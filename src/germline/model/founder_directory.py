"""A founder from a Hugging Face model directory: config.json, *.safetensors and tokenizer.json.

Weights are memory-mapped safetensors (https://huggingface.co/docs/safetensors), single or sharded with
`model.safetensors.index.json`. Pickled weights (.bin, .pt, .pth) are never opened.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from germline import foreign
from germline.errors import ModelError
from germline.model.founder import Founder, digest_of_file, keep_config, license_named
from germline.model.weights import fetch, header

NEEDS = "a model directory holds config.json, tokenizer.json and model.safetensors (or shards with their index)"
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
LARGEST_JSON, LARGEST_TOKENIZER = 16 * 2**20, 128 * 2**20
"""Bytes. The largest index there is has a few megabytes, the largest tokenizer some 35."""


def read_directory(directory: Path) -> Founder:
    """The founder in `directory`, tensors in the dtype they are stored in.

    A tied model that also stores `lm_head.weight` loses the copy; ModelError if it is no copy. Buffers that
    old checkpoints store (`rotary_emb.inv_freq`) are dropped: they follow from the config.
    """
    raw = _json(directory / "config.json")
    tokenizer = _present(directory / "tokenizer.json")
    files = _tensor_files(directory)
    config = keep_config(raw, directory / "config.json")
    config.setdefault("tie_word_embeddings", HEAD not in files)
    _settle_head(config, files, directory)
    if not isinstance(config.get("vocab_size"), int):
        raise ModelError(f"{directory / 'config.json'}: the key 'vocab_size' is missing")
    read = [directory / "config.json", tokenizer, *sorted(set(files.values()))]
    return Founder(
        config=config,
        tokenizer_json=_bytes(tokenizer, LARGEST_TOKENIZER),
        tensors=lambda: _tensors(files),
        origin={
            "kind": "directory",
            "files": {path.name: digest_of_file(path) for path in read},
            "quantization": None,
            "license": _license(directory / "README.md"),
        },
    )


def _present(path: Path) -> Path:
    if path.is_file():
        return _within(path)
    hint = NEEDS
    if path.name == "tokenizer.json" and (path.parent / "tokenizer.model").is_file():
        hint = "tokenizer.model alone is not read: save the model's fast tokenizer, which writes tokenizer.json"
    raise ModelError(f"{path} is {'no regular file' if path.exists() else 'missing'}", hint=hint)


def _within(path: Path) -> Path:
    """`path`, unless it is a link out of its directory. A Hugging Face cache links from `snapshots` to `blobs`."""
    real, home = path.resolve(), path.parent.resolve()
    if real.parent not in (home, home.parent.parent / "blobs" if home.parent.name == "snapshots" else home):
        raise ModelError(f"{path} is a link out of the model's directory", hint="copy the file that is meant there")
    return path


def _bytes(path: Path, most: int) -> bytes:
    try:
        return foreign.read(_present(path), most)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}", hint=NEEDS) from error


def _json(path: Path) -> dict[str, Any]:
    try:
        value = foreign.parse_json(_bytes(path, LARGEST_JSON))
    except ValueError as error:
        raise ModelError(f"{path} is not JSON: {error}", hint="copy or download it again") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} does not hold a JSON object")
    return value


def _tensor_files(directory: Path) -> dict[str, Path]:
    """Tensor name -> the safetensors file that holds it, from the files' own headers."""
    if not (directory / INDEX).is_file():
        return dict.fromkeys(_names(_single(directory)), _single(directory))
    index = _json(directory / INDEX).get("weight_map")
    if not isinstance(index, dict):
        raise ModelError(f"{directory / INDEX} has no weight_map")
    if (directory / SINGLE).exists() and SINGLE not in index.values():
        hint = f"delete {SINGLE}, or {INDEX} and its shards: whichever is not the model"
        raise ModelError(f"{directory} holds weights twice, in {SINGLE} and in the shards of {INDEX}", hint=hint)
    found: dict[str, Path] = {}
    for shard in sorted(set(map(str, index.values()))):
        if Path(shard).name != shard or not shard.endswith(".safetensors"):
            raise ModelError(f"{directory / INDEX} names {shard!r}, which is no safetensors file beside it")
        found |= dict.fromkeys(_names(_present(directory / shard)), directory / shard)
    listed = {name: shard for name, shard in index.items() if _is_weight(name)}
    for name in sorted(listed.keys() | found.keys()):
        if name not in listed or name not in found or found[name].name != listed[name]:
            raise ModelError(f"{directory / INDEX} and its shards disagree about {name}")
    return found


def _single(directory: Path) -> Path:
    files = sorted(directory.glob("*.safetensors"))
    if directory / SINGLE in files:
        return _within(directory / SINGLE)
    if len(files) == 1:
        return _within(files[0])
    if files:
        raise ModelError(f"{directory / INDEX} is missing, but the weights are in {len(files)} files", hint=NEEDS)
    pickles = sorted(path.name for kind in ("bin", "pt", "pth") for path in directory.glob(f"*.{kind}"))
    if pickles:
        raise ModelError(
            f"{directory} has its weights only as {pickles[0]}: pickle can run code and is never read",
            hint="convert it where you trust it: load it with transformers and save_pretrained(directory), "
            "which writes model.safetensors",
        )
    raise ModelError(f"{directory / SINGLE} is missing", hint=NEEDS)


def _names(path: Path) -> list[str]:
    kinds = {name: stored.dtype for name, stored in header(path).items() if _is_weight(name)}
    if unfit := [str(kind) for kind in kinds.values() if not kind.is_floating_point]:
        raise ModelError(f"{path} stores weights as {unfit[0]}", hint="start from the weights before quantization")
    return [*kinds]


def _is_weight(name: str) -> bool:
    return not name.endswith("rotary_emb.inv_freq")


def _settle_head(config: dict[str, Any], files: dict[str, Path], directory: Path) -> None:
    """Leave `lm_head.weight` in `files` exactly when the model is untied."""
    if not config["tie_word_embeddings"]:
        if HEAD not in files:
            raise ModelError(f"{directory}: {HEAD} is missing, and its config does not tie the embeddings")
    elif HEAD in files and EMBEDDING in files:
        head, embedding = (dict(_tensors({name: files[name]}))[name] for name in (HEAD, EMBEDDING))
        if not torch.equal(head, embedding):
            raise ModelError(f"{directory}: its config ties the embeddings, but {HEAD} differs from {EMBEDDING}")
        del files[HEAD]


def _tensors(files: dict[str, Path]) -> Iterator[tuple[str, Tensor]]:
    headers = {path: header(path) for path in sorted(set(files.values()))}
    for name in sorted(files):
        yield name, fetch(files[name], headers[files[name]][name])


def _license(readme: Path) -> str | None:
    """The `license:` of a model card's front matter, where there is one."""
    if not readme.is_file():
        return None
    text = _bytes(readme, LARGEST_JSON).decode("utf-8", errors="replace")
    front = re.match(r"---\r?\n(.*?)\n---", text, re.DOTALL)
    found = re.search(r"^license:\s*(\S+)\s*$", front[1], re.MULTILINE) if front else None
    return license_named(found[1]) if found else None
