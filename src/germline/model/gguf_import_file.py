"""Reading a GGUF file: its metadata and its tensors, memory-mapped.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3, little-endian, not split.
Types and dequantization are the gguf package's. The header is read here because the package's reader trusts
the counts in it: a damaged one can loop for hours, and a whole vocabulary costs it seconds. Here every count
is checked against the file's length before it is believed, and tensors must lie one behind the other.
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFValueType
from gguf.quants import dequantize
from torch import Tensor

from germline.errors import ModelError

LONGEST_HEADER = 32 * 2**20
"""Bytes. A vocabulary of 260,000 pieces with its merges takes some 12 million."""

_SCALARS = {
    GGUFValueType.UINT8: "B", GGUFValueType.INT8: "b", GGUFValueType.UINT16: "H", GGUFValueType.INT16: "h",
    GGUFValueType.UINT32: "I", GGUFValueType.INT32: "i", GGUFValueType.UINT64: "Q", GGUFValueType.INT64: "q",
    GGUFValueType.FLOAT32: "f", GGUFValueType.FLOAT64: "d", GGUFValueType.BOOL: "?",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """One stored tensor. `shape` is row-major (GGUF lists dimensions the other way round)."""

    shape: tuple[int, ...]
    type: GGMLQuantizationType
    data: np.ndarray[Any, np.dtype[np.uint8]]
    """The stored bytes, not copied: (rows…, bytes per row)."""

    def values(self) -> Tensor:
        """The tensor as float32 in memory of its own, bit for bit what the gguf package dequantizes."""
        values = dequantize(self.data, self.type).reshape(self.shape)
        return torch.from_numpy(np.require(values, np.float32, ["C", "W"]))  # copies what is still the file


@dataclass(frozen=True, slots=True)
class GgufFile:
    path: Path
    metadata: dict[str, Any]
    tensors: dict[str, GgufTensor]


def open_gguf(path: Path) -> GgufFile:
    """Map `path` and read its header. ModelError, naming the file, for anything that is not a whole GGUF."""
    try:
        with path.open("rb") as file:
            return _read(path, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (ArithmeticError, LookupError, ValueError, struct.error, OSError) as error:
        raise ModelError(f"{path}: cannot be read as GGUF: {error}", hint="copy or download it again") from error


def _read(path: Path, data: mmap.mmap) -> GgufFile:
    header = _Header(data)
    magic, version = header.take(4), header.scalar("I")
    if magic != b"GGUF":
        raise ValueError("it does not begin with GGUF")
    if version not in (2, 3):
        raise ValueError(f"version {version} is not 2 or 3 (or the file is big-endian)")
    tensor_count, field_count = header.scalar("Q"), header.scalar("Q")
    metadata: dict[str, Any] = {}
    for _ in range(header.plausible(field_count, 13)):
        key = header.string()
        if key in metadata:
            raise ValueError(f"the key {key} comes twice")
        metadata[key] = header.value(header.scalar("I"))
    entries = [header.entry() for _ in range(header.plausible(tensor_count, 24))]
    alignment = metadata.get("general.alignment", 32)
    if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
        raise ValueError(f"alignment {alignment} makes no sense")
    start = -(-header.position // alignment) * alignment
    tensors: dict[str, GgufTensor] = {}
    end = start
    for name, shape, kind, offset in entries:
        if start + offset != end:
            raise ValueError(f"{name} begins at byte {start + offset:,}, and what is before it ends at {end:,}")
        tensors[name] = _tensor(data, name, shape, kind, end)
        end += -(-tensors[name].data.size // alignment) * alignment
    if len(data) > end:
        raise ValueError(f"{len(data) - end:,} bytes follow its last tensor")
    if len(tensors) != len(entries):
        raise ValueError("two tensors have the same name")
    return GgufFile(path, metadata, tensors)


def _tensor(data: mmap.mmap, name: str, shape: tuple[int, ...], kind: int, start: int) -> GgufTensor:
    type_ = GGMLQuantizationType(kind)
    block, block_bytes = GGML_QUANT_SIZES[type_]
    if not shape or shape[-1] % block:
        raise ValueError(f"{name} has shape {list(shape)}, which {type_.name} cannot store")
    stored = (*shape[:-1], shape[-1] // block * block_bytes)
    size = math.prod(stored)
    if start + size > len(data):
        raise ValueError(f"the file ends inside {name}")
    return GgufTensor(shape, type_, np.frombuffer(data, np.uint8, size, start).reshape(stored))


class _Header:
    """A cursor over the header. ValueError or struct.error at the first thing that cannot be."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.position = 0
        self.end = min(len(data), LONGEST_HEADER)  # all that a header becomes is bounded by it

    def take(self, size: int) -> bytes:
        self.plausible(size, 1)
        self.position += size
        return self.data[self.position - size : self.position]

    def plausible(self, count: int, size: int) -> int:
        """`count`, if that many things of at least `size` bytes can still follow."""
        if count * size > self.end - self.position:
            limit = f" or its header is larger than {LONGEST_HEADER:,} bytes" if self.end < len(self.data) else ""
            raise ValueError(f"the file ends too early{limit}")
        return count

    def scalar(self, code: str) -> Any:
        size = struct.calcsize("<" + code)
        return struct.unpack("<" + code, self.take(size))[0]

    def string(self) -> str:
        return self.take(self.scalar("Q")).decode("utf-8")

    def value(self, kind: int) -> Any:
        type_ = GGUFValueType(kind)
        if type_ is GGUFValueType.STRING:
            return self.string()
        if type_ is not GGUFValueType.ARRAY:
            return self.scalar(_SCALARS[type_])
        item, count = GGUFValueType(self.scalar("I")), self.scalar("Q")
        if item is GGUFValueType.STRING:
            return [self.string() for _ in range(self.plausible(count, 8))]
        if item is GGUFValueType.ARRAY:
            raise ValueError("arrays of arrays are not supported")
        size = struct.calcsize("<" + _SCALARS[item])
        return np.frombuffer(self.take(count * size), f"<{_SCALARS[item]}").tolist()

    def entry(self) -> tuple[str, tuple[int, ...], int, int]:
        """A tensor's name, row-major shape, type number and offset."""
        name, dimensions = self.string(), self.scalar("I")
        if dimensions > 4:
            raise ValueError(f"{name} has {dimensions} dimensions")
        shape = tuple(self.scalar("Q") for _ in range(dimensions))
        return name, shape[::-1], self.scalar("I"), self.scalar("Q")
