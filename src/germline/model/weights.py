"""Weights on disk: safetensors read by memory map and written byte for byte the same every time.

The format is https://huggingface.co/docs/safetensors: 8 bytes little-endian header length, a JSON header,
then the tensors without gaps. Our writer sorts names, keeps one metadata key (its order is then fixed) and
pads the header to 64 bytes, so equal tensors give equal files on any machine, and aligned reads.
Reading never runs code; NaN and infinities are refused, because safetensors itself does not look.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from germline.errors import ModelError
from germline.model.adapter import merge
from germline.model.decoder import Decoder, Linear
from germline.model.shape import DecoderConfig
from germline.ops.quantize import Bits

Layout = Mapping[str, tuple[int, ...]]
"""Tensor name -> shape."""

_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.uint8: "U8",
    torch.int32: "I32",
    torch.int64: "I64",
}
_DTYPES = {name: dtype for dtype, name in _NAMES.items()}


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
    sink.write(header({name: (dtype, shape) for name, shape in shapes.items()}))
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
        sink.write(bytes_of(tensor.to(dtype)))
        written += 1
    if written < len(expected):
        raise ModelError(f"the model's tensors do not fit its config: {expected[written]} is missing")


def write_tensors(sink: BinaryIO, tensors: Mapping[str, Tensor]) -> None:
    """Write `tensors` as they are to `sink`: each in its own dtype, sorted by name, none copied whole twice."""
    sink.write(header({name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}))
    for name in sorted(tensors):
        sink.write(bytes_of(tensors[name]))


def bytes_of(tensor: Tensor) -> memoryview:
    return tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data


def header(tensors: Mapping[str, tuple[torch.dtype, tuple[int, ...]]]) -> bytes:
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, (dtype, shape) in sorted(tensors.items()):
        size = torch.Size(shape).numel() * dtype.itemsize
        entries[name] = {"dtype": _NAMES[dtype], "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % 64)
    return len(text).to_bytes(8, "little") + text


def read(path: Path) -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) in sorted order, each mapped by itself: it costs memory only while it is used.

    safetensors checks the header; its own tensors share one map of the whole file, whose pages would all
    count as this process's until the last tensor went.
    """
    try:
        with safe_open(path, framework="pt") as file:
            names = sorted(file.keys())
        with path.open("rb") as raw:
            size = int.from_bytes(raw.read(8), "little")
            header = json.loads(raw.read(size))
        for name in names:
            entry = header[name]
            start, end = entry["data_offsets"]
            dtype = _DTYPES[entry["dtype"]]
            if start == end:
                yield name, torch.empty(entry["shape"], dtype=dtype)
                continue
            mapped = np.memmap(path, np.uint8, mode="c", offset=8 + size + start, shape=(end - start,))
            yield name, torch.from_numpy(mapped).view(dtype).view(entry["shape"])
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: cannot be read as safetensors: {error}") from error
    except KeyError as unknown:
        raise ModelError(f"{path}: holds a dtype that is not supported: {unknown}") from None


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


def load(
    config: DecoderConfig,
    path: Path,
    dtype: torch.dtype,
    *,
    bits: Bits | None = None,
    in_full: Callable[[str], bool] = lambda name: False,
    device: str = "cpu",
) -> Decoder:
    """A frozen decoder with the weights of `path`, computing in `dtype` on `device`.

    Weights already stored in `dtype` stay memory-mapped on a CPU and are never held twice. With `bits`, the
    linear layers of the blocks are packed as they are read, one at a time. Tensors for whose name `in_full`
    says so are fp32 and never packed: the masters of what is to be trained itself.
    """
    with torch.device("meta"):
        decoder = Decoder(config, dtype)
    shapes = layout(config)
    found = set()
    for name, tensor in read(path):
        if name not in shapes:
            raise ModelError(f"{path}: {name} is not part of this model")
        if tuple(tensor.shape) != shapes[name]:
            raise ModelError(f"{path}: {name} has shape {list(tensor.shape)}, not {list(shapes[name])}")
        found.add(name)
        decoder.stored_dtype = tensor.dtype
        owner, _, leaf = name.rpartition(".")
        module = decoder.get_submodule(owner)
        kept = tensor.to(device, torch.float32 if in_full(name) else dtype)
        setattr(module, leaf, nn.Parameter(kept, requires_grad=False))
        if bits and isinstance(module, Linear) and leaf == "weight" and ".layers." in name and not in_full(name):
            module.pack(bits)
    for name in sorted(shapes.keys() - found):
        raise ModelError(f"{path}: {name} is missing")
    return decoder.eval()
