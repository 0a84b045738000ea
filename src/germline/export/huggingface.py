"""A model written out as a directory that transformers opens."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from germline.errors import PlanError
from germline.export.gguf_tokenizer import RAW_TEMPLATE
from germline.model import weights as model_weights
from germline.model.families import FAMILIES, read_config
from germline.model.shape import DecoderConfig
from germline.store import disk


def write_directory(config: Mapping[str, Any], tokenizer_json: bytes, weights: Path, directory: Path) -> None:
    """Write config, weights and tokenizer into `directory`, which is made if it is missing.

    The weights are copied byte for byte; config.json is `Founder.config` with the class that opens it, the dtype
    the weights really have, and of several ends the first alone, at which germline ends. It comes last, so that a
    copy that was cut short is not taken for a model.
    PlanError when the directory holds anything already, ModelError when germline cannot read such a config.
    """
    shape = read_config(config)
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise PlanError(f"{directory} is there already and is not empty", hint="name a directory that is not there")
    _, tensor = next(model_weights.read(weights))  # a master is written in one dtype
    told = {
        **config,
        "architectures": [FAMILIES[config["model_type"]].architecture],
        "tie_word_embeddings": shape.tied_embeddings,
        "torch_dtype": str(tensor.dtype).removeprefix("torch."),
        **_end(config),
    }
    disk.make_directory(directory)
    disk.write_new(directory / "model.safetensors", _blocks(weights))
    disk.write_new(directory / "tokenizer.json", tokenizer_json)
    disk.write_new(directory / "tokenizer_config.json", _text(_tokenizer_config(config, tokenizer_json, shape)))
    disk.write_new(directory / "generation_config.json", _text(_generation_config(config)))
    disk.write_new(directory / "config.json", _text(told))


def _tokenizer_config(config: Mapping[str, Any], tokenizer_json: bytes, shape: DecoderConfig) -> dict[str, str]:
    """Told nothing, transformers 5 takes the family's usual class, which demands and adds tokens of its own. What opens
    every text opens a chat, too; before any other text the tokenizer's own post-processor puts it."""
    named = Tokenizer.from_str(tokenizer_json.decode()).id_to_token
    ids = {"eos_token": _end(config).get("eos_token_id"), "bos_token": next(iter(shape.opening), None)}
    names = {key: name for key, index in ids.items() if index is not None and (name := named(index)) is not None}
    template = "{{ bos_token }}" * bool(shape.opening) + RAW_TEMPLATE
    return {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": template, **names}


def _generation_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Greedy, as the exams ask. Without this file transformers would take its defaults from the config."""
    told = {name: config.get(name) for name in ("bos_token_id", "pad_token_id")} | _end(config)
    return {"do_sample": False, **{name: value for name, value in told.items() if value is not None}}


def _end(config: Mapping[str, Any]) -> dict[str, int]:
    """The one id at which germline ends an answer, for whom transformers would end at every one of a list."""
    eos = config.get("eos_token_id")
    eos = next(iter(eos), None) if isinstance(eos, list) else eos
    return {} if eos is None else {"eos_token_id": eos}


def _text(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, indent=2, sort_keys=True).encode() + b"\n"


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(disk.BLOCK):
            yield block
