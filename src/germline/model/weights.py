"""Weights on disk: safetensors read by memory map and written byte for byte the same every time.

The format is https://huggingface.co/docs/safetensors: 8 bytes little-endian header length, a JSON header,
then the tensors without gaps. Our writer sorts names, keeps one metadata key (its order is then fixed) and
pads the header to 64 bytes, so equal tensors give equal files on any machine, and aligned reads.
Reading never runs code; NaN and infinities are refused, because safetensors itself does not look.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from germline.errors import ModelError
from germline.model.adapter import merge
from germline.model.decoder import Decoder
from germline.model.families import DecoderConfig

Layout = Mapping[str, tuple[int, ...]]
"""Tensor name -> shape."""

_NAMES = {
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int32: "I32",
    torch.int64: "I64",
}


def layout(config: DecoderConfig) -> Layout:
    """Every tensor a model of this shape consists of."""
    with torch.device("meta"):
        empty = Decoder(config, torch.float32)
    return {name: tuple(tensor.shape) for name, tensor in sorted(empty.state_dict().items())}


def write(sink: BinaryIO, shapes: Layout, tensors: Iterable[tuple[str, Tensor]], dtype: torch.dtype) -> None:
    """Write a whole model to `sink`, one tensor at a time, cast to `dtype`.

    `tensors` must bring exactly the names of `shapes`, in sorted order and with these shapes; ModelError
    says which one is missing, unknown, misshapen or not finite.
    """
    sink.write(_header(shapes, dtype))
    expected = sorted(shapes)
    written = 0
    for name, tensor in tensors:
        if written == len(expected) or name != expected[written]:
            wanted = expected[written] if written < len(expected) else "nothing more"
            problem = "is missing" if name in shapes else f"is expected, but {name} came"
            raise ModelError(f"the model's tensors do not fit its config: {wanted} {problem}")
        if tuple(tensor.shape) != shapes[name]:
            raise ModelError(f"{name} has shape {list(tensor.shape)}; its config says {list(shapes[name])}")
        if not torch.isfinite(tensor).all():
            raise ModelError(f"{name} holds a value that is not a number or not finite")
        sink.write(tensor.to(dtype).contiguous().view(torch.uint8).numpy().data)
        written += 1
    if written < len(expected):
        raise ModelError(f"the model's tensors do not fit its config: {expected[written]} is missing")


def _header(shapes: Layout, dtype: torch.dtype) -> bytes:
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name in sorted(shapes):
        size = torch.Size(shapes[name]).numel() * dtype.itemsize
        entries[name] = {
            "dtype": _NAMES[dtype], "shape": list(shapes[name]), "data_offsets": [offset, offset + size],
        }  # fmt: skip
        offset += size
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % 64)
    return len(text).to_bytes(8, "little") + text


def read(path: Path) -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) in sorted order, memory-mapped: a tensor costs memory only while it is used."""
    try:
        with safe_open(path, framework="pt") as file:
            for name in sorted(file.keys()):
                yield name, file.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: cannot be read as safetensors: {error}") from error


def merge_file(parent: Path, adapter: Path, scale: float, sink: BinaryIO) -> None:
    """Write the child of `parent` and the LoRA `adapter` to `sink`, in the parent's dtype. See `merge`."""
    tensors = dict(read(parent))
    dtype = next(iter(tensors.values())).dtype
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    write(sink, shapes, merge(iter(tensors.items()), dict(read(adapter)), scale), dtype)


def relative_change(parent: Path, child: Path) -> dict[str, float]:
    """Per tensor, the Frobenius norm of child minus parent over that of the parent; `total` for all of them."""
    changes: dict[str, float] = {}
    moved = whole = 0.0
    for (name, before), (_, after) in zip(read(parent), read(child), strict=True):
        difference = float((after.float() - before.float()).square().sum(dtype=torch.float64))
        size = float(before.float().square().sum(dtype=torch.float64))
        changes[name] = math.sqrt(difference / size) if size else math.sqrt(difference)
        moved, whole = moved + difference, whole + size
    return changes | {"total": math.sqrt(moved / whole)}


def load(config: DecoderConfig, path: Path, dtype: torch.dtype) -> Decoder:
    """A frozen decoder with the weights of `path`, computing in `dtype`.

    Weights already stored in `dtype` stay memory-mapped and are never held twice.
    """
    with torch.device("meta"):
        decoder = Decoder(config, dtype)
    tensors = {name: tensor.to(dtype) for name, tensor in read(path)}
    shapes = layout(config)
    for name in sorted(shapes.keys() | tensors.keys()):
        if name not in tensors or name not in shapes:
            raise ModelError(f"{path}: {name} is {'missing' if name in shapes else 'not part of this model'}")
        if tuple(tensors[name].shape) != shapes[name]:
            raise ModelError(f"{path}: {name} has shape {list(tensors[name].shape)}, not {list(shapes[name])}")
    decoder.load_state_dict(tensors, assign=True)
    return decoder.requires_grad_(False).eval()
