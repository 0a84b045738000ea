"""A founder from a GGUF file: config, weights and tokenizer, in Hugging Face's spelling.

Weights are dequantized exactly as the gguf package does it; what quantization lost stays lost. A tensor that
the config does not imply is refused, as one that is missing: half a model answers, but wrongly.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGML_QUANT_SIZES
from gguf.quants import dequantize
from torch import Tensor

from germline.errors import ModelError
from germline.model.families import read_config
from germline.model.founder import Founder, digest_of_file, license_named
from germline.model.gguf_import_config import ROPE_FACTORS, config_of
from germline.model.gguf_import_file import GgufFile, open_gguf
from germline.model.gguf_import_tokenizer import tokenizer_json
from germline.model.weights import layout

_TOP = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_LAYER = {
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip


def read_gguf(path: Path) -> Founder:
    """The founder in `path`, tensors in float32. ModelError for whatever cannot be taken over exactly."""
    file = open_gguf(path)
    try:
        return _founder(file)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        # Metadata is whatever somebody wrote: a missing key, a string for a number, a size beyond all memory.
        problem = f"its metadata does not describe a Llama ({type(error).__name__}: {error})"
        raise _refuse(path, problem) from error


def _founder(file: GgufFile) -> Founder:
    path, metadata = file.path, file.metadata
    config = config_of(file)
    names = {_hugging_face_name(name, path): name for name in sorted(file.tensors) if name != ROPE_FACTORS}
    _check_tensors(file, names, config)
    return Founder(
        config=config,
        tokenizer_json=tokenizer_json(metadata, path),
        tensors=lambda: _tensors(file, names, config),
        origin={
            "kind": "gguf",
            "files": {path.name: digest_of_file(path)},
            "quantization": "+".join(sorted({tensor.type.name for tensor in file.tensors.values()})),
            "license": license_named(metadata.get("general.license")),
            **{
                key: flag if isinstance(flag := metadata.get(f"tokenizer.ggml.{key}_token"), bool) else None
                for key in ("add_bos", "add_eos")
            },
        },
    )


def _refuse(path: Path, problem: str, hint: str = "") -> ModelError:
    return ModelError(f"{path}: {problem}", hint=hint)


def _hugging_face_name(name: str, path: Path) -> str:
    if (found := re.fullmatch(r"blk\.(\d+)\.(\w+)\.(weight|bias)", name)) and found[2] in _LAYER:
        return f"model.layers.{found[1]}.{_LAYER[found[2]]}.{found[3]}"
    if (found := re.fullmatch(r"(\w+)\.(weight)", name)) and found[1] in _TOP:
        return f"{_TOP[found[1]]}.weight"
    raise _refuse(path, f"{name} is not part of a Llama")


def _check_tensors(file: GgufFile, names: dict[str, str], config: dict[str, Any]) -> None:
    """ModelError unless the file holds exactly the tensors its config implies, in types that can be read."""
    shapes = layout(read_config(config, source=str(file.path)))
    for name in sorted(shapes.keys() | names.keys()):
        if name not in names or name not in shapes:
            raise _refuse(file.path, f"{names.get(name, name)} is {'missing' if name in shapes else 'not expected'}")
        if file.tensors[names[name]].shape != shapes[name]:
            found = list(file.tensors[names[name]].shape)
            raise _refuse(file.path, f"{names[name]} has shape {found}; its metadata says {list(shapes[name])}")
    for kind in {tensor.type for tensor in file.tensors.values()}:
        try:
            dequantize(np.zeros((1, GGML_QUANT_SIZES[kind][1]), np.uint8), kind)
        except NotImplementedError as error:
            raise _refuse(file.path, f"tensors of type {kind.name} cannot be dequantized") from error


def _tensors(file: GgufFile, names: dict[str, str], config: dict[str, Any]) -> Iterator[tuple[str, Tensor]]:
    for name in sorted(names):
        values = file.tensors[names[name]].values()
        if ".q_proj." in name:
            values = unpermuted(values, config["num_attention_heads"])
        elif ".k_proj." in name:
            values = unpermuted(values, config["num_key_value_heads"])
        yield name, values


def unpermuted(rows: Tensor, heads: int) -> Tensor:
    """The rows of a query or key projection in Hugging Face's order: (heads * head_size, …).

    llama.cpp rotates neighbouring rows of a head, Hugging Face rotates its two halves; the converter to GGUF
    interleaves the halves, and this takes them apart again.
    """
    paired = rows.reshape(heads, -1, 2, *rows.shape[1:])
    return paired.transpose(1, 2).reshape(rows.shape)


def permuted(rows: Tensor, heads: int) -> Tensor:
    """The same rows in llama.cpp's order: what `unpermuted` takes apart."""
    halves = rows.reshape(heads, 2, -1, *rows.shape[1:])
    return halves.transpose(1, 2).reshape(rows.shape)
