"""Weights on disk: safetensors read by memory map and written byte for byte the same every time.

The format is https://huggingface.co/docs/safetensors: 8 bytes little-endian header length, a JSON header,
then the tensors without gaps. Our writer sorts names, keeps one metadata key (its order is then fixed) and
pads the header to 64 bytes, so equal tensors give equal files on any machine, and aligned reads.
The header is read here, strictly: what one reader takes for this and another for that is refused. Reading never
runs code. What is written is looked at: no NaN, no infinity, nothing beyond `LARGEST_WEIGHT`.
"""

from __future__ import annotations

import errno
import json
import math
import mmap
import stat
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from germline.errors import ModelError
from germline.foreign import parse_json
from germline.model.adapter import fits, merge
from germline.model.decoder import Decoder, Linear
from germline.model.shape import DecoderConfig
from germline.ops.quantize import Bits

Layout = Mapping[str, tuple[int, ...]]
"""Tensor name -> shape."""


class Sink(Protocol):
    """What weights are written to: a file, or what only hashes them."""

    def write(self, data: bytes | memoryview, /) -> object: ...


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

LARGEST_WEIGHT = 65504.0
"""What half precision can hold: a model that was ever run in it has no larger weight, a damaged one soon has."""

LONGEST_HEADER = 16 * 2**20
"""Bytes; room for 100,000 tensors."""

STRETCH = 2**30
"""Bytes of a file that are mapped at once: a map that may be written to is refused where it exceeds all memory."""

_GIVE_BACK: int | None = getattr(mmap, "MADV_DONTNEED", None)  # not on Windows


def layout(config: DecoderConfig) -> Layout:
    """Every tensor a model of this shape consists of."""
    with torch.device("meta"):
        empty = Decoder(config, torch.float32)
    return {name: tuple(tensor.shape) for name, tensor in sorted(empty.state_dict().items())}


def write(sink: Sink, shapes: Layout, tensors: Iterable[tuple[str, Tensor]], dtype: torch.dtype) -> None:
    """Write a whole model to `sink`, one tensor at a time, cast to `dtype`.

    `tensors` must bring exactly the names of `shapes`, in sorted order and with these shapes; ModelError
    says which one is missing, unknown, misshapen, not finite or beyond `LARGEST_WEIGHT`.
    """
    sink.write(header_of({name: (dtype, shape) for name, shape in shapes.items()}))
    expected = sorted(shapes)
    written = 0
    for name, tensor in tensors:
        if written == len(expected) or name != expected[written]:
            wanted = expected[written] if written < len(expected) else "nothing more"
            problem = "is missing" if name in shapes else f"is expected, but {name} came"
            raise ModelError(f"the model's tensors do not fit its config: {wanted} {problem}")
        if tuple(tensor.shape) != shapes[name]:
            raise ModelError(f"{name} has shape {list(tensor.shape)}; its config says {list(shapes[name])}")
        if tensor.numel() and not all(-LARGEST_WEIGHT <= end <= LARGEST_WEIGHT for end in map(float, tensor.aminmax())):
            raise ModelError(f"{name} holds a value that is no number, or none that a weight can have")
        sink.write(bytes_of(tensor.to(dtype)))
        written += 1
    if written < len(expected):
        raise ModelError(f"the model's tensors do not fit its config: {expected[written]} is missing")


def write_tensors(sink: Sink, tensors: Mapping[str, Tensor]) -> None:
    """Write `tensors` as they are to `sink`: each in its own dtype, sorted by name, none copied whole twice."""
    sink.write(header_of({name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}))
    for name in sorted(tensors):
        sink.write(bytes_of(tensors[name]))


def bytes_of(tensor: Tensor) -> memoryview:
    return tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data


def header_of(tensors: Mapping[str, tuple[torch.dtype, tuple[int, ...]]]) -> bytes:
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, (dtype, shape) in sorted(tensors.items()):
        size = torch.Size(shape).numel() * dtype.itemsize
        entries[name] = {"dtype": _NAMES[dtype], "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % 64)
    return len(text).to_bytes(8, "little") + text


@dataclass(frozen=True, slots=True)
class Stored:
    """Where one tensor lies in its file."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int
    size: int
    """Bytes."""


def header(path: Path) -> dict[str, Stored]:
    """The tensors of a safetensors file by their sorted names. ModelError unless its header describes every byte
    of the file exactly once: no gap, no overlap, no end beyond the file's, no extent that is not its shape's."""
    try:
        return _described(path)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        problem = f"{path}: cannot be read as safetensors: {error}"
        raise ModelError(problem, hint=_hint(error)) from error


def _described(path: Path) -> dict[str, Stored]:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is not a regular file")
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(status.st_size - 8, LONGEST_HEADER):
            raise ValueError(f"its header is said to be {length:,} bytes long")
        entries = parse_json(file.read(length))
    entries.pop("__metadata__", None)
    found = {name: _stored(path, name, entry, 8 + length) for name, entry in sorted(entries.items())}
    end = 8 + length
    for name, tensor in sorted(found.items(), key=lambda item: (item[1].start, item[1].size)):
        if tensor.start != end:
            raise ValueError(f"{name} begins at byte {tensor.start:,}, and what is before it ends at {end:,}")
        end += tensor.size
    if end != status.st_size:
        raise ValueError(f"its tensors end at byte {end:,}, the file at {status.st_size:,}")
    return found


def _stored(path: Path, name: str, entry: Any, base: int) -> Stored:
    (begin, end), shape, dtype = entry["data_offsets"], entry["shape"], entry["dtype"]
    numbers = (begin, end, *shape)
    if len(entry) != 3 or len(shape) > 8 or any(type(n) is not int or not 0 <= n < 2**48 for n in numbers):
        raise ValueError(f"{name} is not described as a tensor is")
    if dtype not in _DTYPES:
        raise ModelError(f"{path} stores weights as {dtype!s:.20}", hint="start from the weights before quantization")
    size = math.prod(shape) * _DTYPES[dtype].itemsize
    if type(shape) is not list or end - begin != size or (not size and shape != [0]):
        raise ValueError(f"{name} of shape {shape} in {dtype} lies in {end - begin:,} bytes")
    return Stored(_DTYPES[dtype], tuple(shape), base + begin, size)


def fetch(path: Path, stored: Stored) -> Tensor:
    """One tensor, memory-mapped by itself. What is changed stays in memory. ModelError where it cannot be read."""
    if not stored.size:
        return torch.empty(stored.shape, dtype=stored.dtype)
    start = stored.start - stored.start % mmap.ALLOCATIONGRANULARITY
    return _part(_mapped(path, start, stored.start + stored.size), start, stored)


def read(path: Path) -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) in sorted order, memory-mapped as by `fetch`; each costs memory only while it is used. The file
    takes one descriptor a `STRETCH`, however many tensors it holds. ModelError as `header`."""
    tensors, stretches = header(path), dict[int, mmap.mmap]()
    for name, stored in tensors.items():
        if not stored.size:  # nothing is a length that no map has
            yield name, fetch(path, stored)
            continue
        number = stored.start // STRETCH
        if number not in stretches:
            end = max(one.start + one.size for one in tensors.values() if one.start // STRETCH == number)
            stretches[number] = _mapped(path, number * STRETCH, end)
        yield name, _part(stretches[number], number * STRETCH, stored)


def _mapped(path: Path, start: int, end: int) -> mmap.mmap:
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), end - start, access=mmap.ACCESS_COPY, offset=start)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read: {error}", hint=_hint(error)) from error


def _part(mapped: mmap.mmap, start: int, stored: Stored) -> Tensor:
    """One tensor of a map that begins at byte `start` of its file. Once it is gone its pages are given back: those of
    a map would count as this process's until the last tensor of it went."""
    begin = stored.start - start
    part = np.frombuffer(mapped, np.uint8, stored.size, begin)
    first, last = -(-begin // mmap.PAGESIZE) * mmap.PAGESIZE, (begin + stored.size) // mmap.PAGESIZE * mmap.PAGESIZE
    if first < last and _GIVE_BACK is not None:  # whole pages of its own: what a neighbour changed is kept
        weakref.finalize(part, mapped.madvise, _GIVE_BACK, first, last - first).atexit = False
    aligned = part if stored.start % stored.dtype.itemsize == 0 else np.array(part)
    return torch.from_numpy(aligned).view(stored.dtype).view(stored.shape)


def _hint(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return "let processes open more files (ulimit -n) and run the command again"
    return "copy or download it again"


def merge_file(parent: Path, adapter: Path, scale: float, sink: Sink) -> None:
    """Write the child of `parent` and the LoRA `adapter` to `sink`, in the parent's dtype. See `merge`.

    ModelError for an adapter of which a tensor has no place in the parent, or does not fit there.
    """
    tensors, factors = dict(read(parent)), dict(read(adapter))
    dtype = next(iter(tensors.values())).dtype
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if misfit := next((name for name in sorted(factors) if not fits(name, factors, shapes)), None):
        raise ModelError(f"{adapter}: {misfit} has no place in {parent}, or does not fit there")
    write(sink, shapes, merge(iter(tensors.items()), factors, scale), dtype)


def load(
    config: DecoderConfig,
    path: Path,
    dtype: torch.dtype,
    *,
    bits: Bits | None = None,
    in_full: Callable[[str], bool] = lambda name: False,
    device: str = "cpu",
    in_file: bool = False,
) -> Decoder:
    """A frozen decoder with the weights of `path`, computing in `dtype` on `device`.

    Weights already stored in `dtype` stay memory-mapped on a CPU and are never held twice. With `in_file` all
    matrices stay mapped as they are stored, and are brought to `dtype` and `device` for one product at a time: the
    same products, in the memory of the largest matrix. With `bits`, the linear layers of the blocks are packed as they
    are read, one at a time. Tensors for whose name `in_full` says so are fp32 and never packed: the masters of what is
    to be trained itself.
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
        as_stored = in_file and tensor.dim() == 2
        kept = tensor if as_stored else tensor.to(device, torch.float32 if in_full(name) else dtype)
        setattr(module, leaf, nn.Parameter(kept, requires_grad=False))
        if bits and isinstance(module, Linear) and leaf == "weight" and ".layers." in name and not in_full(name):
            module.pack(bits)
    for name in sorted(shapes.keys() - found):
        raise ModelError(f"{path}: {name} is missing")
    return decoder.eval()
