"""A generation as one GGUF file, which llama.cpp and Ollama read: weights, tokenizer and where they come from.

The header is the gguf package's; tensors are streamed behind it, one at a time, in the order of their names. Equal
sources give equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO, cast

import numpy as np
from gguf import GGUF_DEFAULT_ALIGNMENT as ALIGNMENT
from gguf import MODEL_ARCH_NAMES, GGUFWriter
from gguf.gguf_writer import WriterState
from torch import Tensor

from germline.errors import ModelError
from germline.export.gguf_shape import ARCHITECTURES, metadata, rope_tensors, stored, tensor_names
from germline.export.gguf_tokenizer import RAW_TEMPLATE, written
from germline.export.gguf_types import QUANTIZATIONS, encoded, size_of, type_of
from germline.export.source import Source
from germline.model import weights


def write(source: Source, sink: BinaryIO, quantization: str) -> list[str]:
    """Write `source` to `sink` and tell what a reader has to know of it.

    `quantization` is one of `QUANTIZATIONS`. ModelError for a model or tokenizer that llama.cpp would take for another.
    """
    shape, family = source.shape, source.config["model_type"]
    if family not in ARCHITECTURES:
        raise ModelError(f"germline writes no GGUF of the family {family}", hint="germline export --to hf")
    vocabulary = written(source.tokenizer_json, shape.vocabulary, source.config, opening=shape.opening)
    keys = {
        **_general(source, quantization), **metadata(shape, family),
        **{f"tokenizer.ggml.{key}": value for key, value in vocabulary.keys.items()},
        "tokenizer.chat_template": RAW_TEMPLATE,
    }  # fmt: skip
    writer = GGUFWriter(None, MODEL_ARCH_NAMES[ARCHITECTURES[family].name])
    for key, value in keys.items():
        _add(writer, key, value)
    kinds = {}
    for name, size in _shapes(source).items():
        kinds[name] = type_of(name, size, quantization, layers=shape.layers, tied=shape.tied_embeddings)
        writer.add_tensor_info(name, size, np.dtype(np.float32), size_of(size, kinds[name]), kinds[name])
    writer.fout, writer.state = [cast(Any, sink)], WriterState.EMPTY  # a file that is open, in place of a path to open
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    sink.write(bytes(-sink.tell() % ALIGNMENT))
    for name, values in _values(source):
        for block in encoded(values, kinds[name]):
            sink.write(block.data)
        sink.write(bytes(-size_of(tuple(values.shape), kinds[name]) % ALIGNMENT))
    return ["llama.cpp does not bring text into NFC: give it text that is"] if vocabulary.normalized else []


def _shapes(source: Source) -> dict[str, tuple[int, ...]]:
    named = tensor_names(source.shape, source.config["model_type"])
    shapes = {named(name): size for name, size in weights.layout(source.shape).items()}
    return shapes | {name: tuple(values.shape) for name, values in rope_tensors(source.shape)}


def _values(source: Source) -> Iterator[tuple[str, Tensor]]:
    """All tensors as llama.cpp computes with them, float32, in the order of `_shapes`."""
    family = source.config["model_type"]
    named = tensor_names(source.shape, family)
    for name, tensor in source.tensors():
        yield named(name), stored(name, tensor, source.shape, family)
    yield from rope_tensors(source.shape)


def _general(source: Source, quantization: str) -> dict[str, Any]:
    _, number = QUANTIZATIONS[quantization]
    told = {"general.name": source.name, "general.file_type": int(number), "general.quantization_version": 2}
    if license_ := source.about.get("license"):
        told["general.license"] = license_
    return told | {f"germline.{key}": value for key, value in source.about.items() if key != "license"}


def _add(writer: GGUFWriter, key: str, value: Any) -> None:
    """By what a value is; whole numbers are unsigned, as all of llama.cpp's sizes and ids are."""
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)
