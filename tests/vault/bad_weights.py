"""Weights that are not what they should be: safetensors and GGUF founders, adapters and checkpoints.

`prove` makes so many variants of one tiny model, each with a single fault, and has each refused with a reason before
anything of it becomes a generation. Legal, and so no variant here: zeros (a bias, the B of a fresh adapter), a
square matrix transposed (nothing tells), another of the float types (cast), any value up to `LARGEST_WEIGHT`.
`python -m tests.vault.bad_weights 300 7` is the long version.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import random
import struct
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import save, save_file
from torch import Tensor, nn

from germline.errors import GermlineError
from germline.forge import resume
from germline.founding import found
from germline.model import weights
from germline.model.families import read_config
from germline.model.gguf_import_tokenizer import tokenizer_json
from tests.model.founder_files import byte_level_metadata, llama_metadata, llama_tensors, write_gguf

VOCABULARY = byte_level_metadata()
ROWS = len(VOCABULARY["tokenizer.ggml.tokens"])
CONFIG: dict[str, Any] = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": ROWS,
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "head_dim": 12,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
    "tie_word_embeddings": True, "eos_token_id": 2,
}  # fmt: skip
Tensors = dict[str, Tensor]


def tensors() -> Tensors:
    """The tiny model's weights. No matrix in it is square, so that every transposition shows."""
    chance = torch.Generator().manual_seed(0)
    shapes = weights.layout(read_config(CONFIG))
    return {name: torch.randn(shape, generator=chance) * 0.1 for name, shape in shapes.items()}


# --- faults of one tensor -----------------------------------------------------------------------------


def _with(value: float, dtype: torch.dtype = torch.float32) -> Callable[[Tensor], Tensor]:
    def spoil(tensor: Tensor) -> Tensor:
        spoiled = tensor.to(dtype, copy=True)
        spoiled.view(-1)[tensor.numel() // 2] = value
        return spoiled

    return spoil


def _turned(tensor: Tensor) -> Tensor:
    return tensor.t().contiguous() if tensor.ndim == 2 else tensor[None]


VALUES: dict[str, Callable[[Tensor], Tensor]] = {
    "nan": _with(math.nan),
    "inf": _with(math.inf),
    "minus inf": _with(-math.inf),
    "huge": _with(1e30),
    "beyond bf16": _with(3.4e38),
}
SHAPES: dict[str, Callable[[Tensor], Tensor]] = {
    "longer": lambda tensor: torch.cat([tensor, tensor[:1]]),
    "shorter": lambda tensor: tensor[1:].clone(),
    "transposed": _turned,
    "flat": lambda tensor: tensor.reshape(-1) if tensor.ndim == 2 else tensor.reshape(2, -1),
    "no rows": lambda tensor: tensor[:0].clone(),
}
OTHERS: dict[str, Callable[[Tensor], Tensor]] = {
    "beyond float": _with(1e300, torch.float64),
    "int8": lambda tensor: tensor.to(torch.int8),
    "int64": lambda tensor: tensor.to(torch.int64),
    "bool": lambda tensor: tensor > 0,
    "float8": lambda tensor: tensor.to(torch.float8_e4m3fn),
}


def _spoiled(name: str, fault: str, held: Tensors, spoil: Callable[[Tensor], Tensor] | None) -> Tensors:
    rest = {key: value for key, value in held.items() if key != name}
    if fault == "missing":
        return rest
    if fault == "renamed":
        return rest | {name + "x": held[name]}
    if fault == "extra":
        return held | {name.replace("weight", "bias"): torch.zeros(3)}
    assert spoil is not None
    return rest | {name: spoil(held[name])}


NAMES = ("missing", "renamed", "extra")


# --- lies of a safetensors header ---------------------------------------------------------------------


def _relabelled(change: Callable[[dict[str, Any], str], object]) -> Callable[[bytes, str], bytes]:
    """The file with its header changed and its tensors as they were."""

    def lie(data: bytes, name: str) -> bytes:
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + size])
        change(header, name)
        told = json.dumps(header).encode()
        return len(told).to_bytes(8, "little") + told + data[8 + size :]

    return lie


def _told(**fields: Any) -> Callable[[bytes, str], bytes]:
    return _relabelled(lambda header, name: header[name].update(fields))


def _moved(by: int, to: int) -> Callable[[bytes, str], bytes]:
    def change(header: dict[str, Any], name: str) -> None:
        begin, end = header[name]["data_offsets"]
        header[name]["data_offsets"] = [begin + by, end + to]

    return _relabelled(change)


def _raw(change: Callable[[bytes], bytes]) -> Callable[[bytes, str], bytes]:
    """The file with other bytes for its header."""

    def lie(data: bytes, name: str) -> bytes:
        size = int.from_bytes(data[:8], "little")
        told = change(data[8 : 8 + size])
        return len(told).to_bytes(8, "little") + told + data[8 + size :]

    return lie


def _twice(data: bytes, name: str) -> bytes:
    """A second entry of one name, of the same extent and the other way round: which of them is meant?"""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    entry = header[name] | {"shape": header[name]["shape"][::-1]}
    told = data[8 : 8 + size].rstrip()[:-1] + f", {json.dumps(name)}: {json.dumps(entry)}}}".encode()
    return len(told).to_bytes(8, "little") + told + data[8 + size :]


LIES: dict[str, Callable[[bytes, str], bytes]] = {
    "overlap": _moved(-4, -4), "gap": _moved(4, 4), "longer extent": _moved(0, 4), "backwards": _moved(10**6, 0),
    "past the end": _moved(10**9, 10**9), "negative": _moved(-(10**9), -(10**9)),
    "float offsets": _told(data_offsets=[0.0, 4.0]), "no offsets": _told(data_offsets=[]),
    "three offsets": _told(data_offsets=[0, 4, 8]), "words for offsets": _told(data_offsets="ab"),
    "true for an offset": _told(data_offsets=[True, 2]), "offsets beyond all": _told(data_offsets=[2**63, 2**64]),
    "huge shape": _told(shape=[2**40, 2**40]), "negative shape": _told(shape=[-1, -32]), "no shape": _told(shape=None),
    "shape of words": _told(shape="ab"), "many dimensions": _told(shape=[1] * 100_000),
    "shape of a dict": _told(shape={}),
    "product that wraps": _told(shape=[2**32, 2**32 + 1]), "unknown type": _told(dtype="F7"),
    "type of a list": _told(dtype=[]), "other type": _told(dtype="F64"), "more keys": _told(pickle="yes"),
    "not an object": _relabelled(lambda header, name: header.update({name: 7})),
    "twice": _twice,
    "no JSON": _raw(lambda told: b"x" * len(told)), "a list": _raw(lambda told: b"[]"),
    "null": _raw(lambda told: b"null"), "nothing": _raw(lambda told: b""),
    "deep": _raw(lambda told: b'{"a":' * 100_000),
    "long number": _raw(lambda told: b'{"a": ' + b"9" * 5_000 + b"}"), "NaN": _raw(lambda told: b'{"a": NaN}'),
    "not UTF-8": _raw(lambda told: b"\xff" + told[1:]), "UTF-16": _raw(lambda told: told.decode().encode("utf-16")),
    "header of 2**63": lambda data, name: struct.pack("<Q", 2**63) + data[8:],
    "header as long as the file": lambda data, name: struct.pack("<Q", len(data)) + data[8:],
    "header of 17 MB": _raw(lambda told: told + b" " * (17 * 2**20)),
    "cut": lambda data, name: data[:-1], "half": lambda data, name: data[: len(data) // 2],
    "more behind": lambda data, name: data + b"x", "seven bytes": lambda data, name: data[:7],
    "pickle": lambda data, name: b"\x80\x04cos\nsystem\n(S'true'\ntR.", "zeros": lambda data, name: bytes(4096),
}  # fmt: skip


# --- lies of a GGUF header ----------------------------------------------------------------------------


def _gguf_place(data: bytes, name: str) -> tuple[int, int]:
    """Where the dimensions of a tensor begin in the header, and how many there are."""
    at = data.rindex(struct.pack("<Q", len(name)) + name.encode()) + 8 + len(name)
    return at + 4, int.from_bytes(data[at : at + 4], "little")


def _patched(at: Callable[[int, int], int], form: str, value: Callable[[int], int]) -> Callable[[bytes, str], bytes]:
    def lie(data: bytes, name: str) -> bytes:
        place = at(*_gguf_place(data, name))
        old = struct.unpack_from(form, data, place)[0]
        new = bytearray(data)
        struct.pack_into(form, new, place, value(old))
        return bytes(new)

    return lie


def _dimension(value: Callable[[int], int]) -> Callable[[bytes, str], bytes]:
    return _patched(lambda place, count: place, "<Q", value)


def _offset(value: Callable[[int], int]) -> Callable[[bytes, str], bytes]:
    return _patched(lambda place, count: place + 8 * count + 4, "<Q", value)


def _type(value: int) -> Callable[[bytes, str], bytes]:
    return _patched(lambda place, count: place + 8 * count, "<I", lambda old: value)


def _head(form: str, at: int, value: int) -> Callable[[bytes, str], bytes]:
    def lie(data: bytes, name: str) -> bytes:
        new = bytearray(data)
        struct.pack_into(form, new, at, value)
        return bytes(new)

    return lie


def _same_name(data: bytes, name: str) -> bytes:
    other = "blk.1.attn_q.weight" if "blk.0.attn_q" not in name else "blk.1.attn_k.weight"
    swap = {"blk.0": "blk.1", "blk.1": "blk.0"}
    twin = name.replace(name[:5], swap[name[:5]]) if name[:5] in swap else other
    return data.replace(twin.encode(), (name + " " * len(twin))[: len(twin)].encode())


GGUF_LIES: dict[str, Callable[[bytes, str], bytes]] = {
    "overlap": _offset(lambda old: max(old - 32, 0) if old else 32), "gap": _offset(lambda old: old + 32),
    "past the end": _offset(lambda old: 2**40), "wraps": _offset(lambda old: 2**64 - 32),
    "unaligned": _offset(lambda old: old + 1), "huge": _dimension(lambda old: 2**62),
    "wider": _dimension(lambda old: old + 32),
    "no width": _dimension(lambda old: 0), "unknown type": _type(999), "quantized": _type(2), "integers": _type(26),
    "five dimensions": _patched(lambda place, count: place - 4, "<I", lambda old: 5),
    "no dimensions": _patched(lambda place, count: place - 4, "<I", lambda old: 0),
    "all dimensions": _patched(lambda place, count: place - 4, "<I", lambda old: 2**32 - 1),
    "another name": _same_name,
    "version": _head("<I", 4, 99), "tensors without end": _head("<Q", 8, 2**63),
    "keys without end": _head("<Q", 16, 2**63),
    "fewer tensors": _head("<Q", 8, 3), "no tensors": _head("<Q", 8, 0), "fewer keys": _head("<Q", 16, 2),
    "a key without end": _head("<Q", 24, 2**63), "big-endian": _head(">I", 4, 3), "magic": _head("<I", 0, 0),
    "cut": lambda data, name: data[: -(len(data) // 50)], "half": lambda data, name: data[: len(data) // 2],
    "head alone": lambda data, name: data[:24], "nothing": lambda data, name: b"",
}  # fmt: skip


# --- the four kinds of file ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Variant:
    kind: str
    tensor: str
    fault: str
    refuse: Callable[[Path], object]
    """Tries to use it from an empty directory; it must raise."""

    def __str__(self) -> str:
        return f"{self.kind}: {self.tensor}: {self.fault}"


def _spoilings(held: Tensors, faults: dict[str, Callable[[Tensor], Tensor]]) -> Iterator[tuple[str, str, Tensors]]:
    for name, fault in itertools.product(held, (*faults, *NAMES)):
        if faults.get(fault) is _turned and held[name].ndim == 2 and held[name].shape[0] == held[name].shape[1]:
            continue
        yield name, fault, _spoiled(name, fault, held, faults.get(fault))


def save_directory(directory: Path, data: bytes) -> Path:
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    (directory / "tokenizer.json").write_bytes(tokenizer_json(VOCABULARY, directory))
    (directory / "model.safetensors").write_bytes(data)
    return directory


def found_from(root: Path, source: Path) -> None:
    """What `germline init` does; whatever goes wrong, no generation may be left."""
    try:
        found(root / "home", str(source), name="tiny", on_event=lambda event: None)
    finally:
        left = [*(root / "home").glob("generations/*.json"), *(root / "home").glob("ledger/*.json")]
        if sys.exc_info()[0] is not None:
            assert not left, left


def _directories(held: Tensors) -> Iterator[Variant]:
    faults = VALUES | SHAPES | OTHERS
    for name, fault, bad in _spoilings(held, faults):
        yield Variant(
            "directory", name, fault, lambda root, bad=bad: found_from(root, save_directory(root / "m", save(bad)))
        )
    whole = save(held)
    for (fault, lie), name in zip(LIES.items(), itertools.cycle(held), strict=False):
        yield Variant(
            "directory header",
            name,
            fault,
            lambda root, lie=lie, name=name: found_from(root, save_directory(root / "m", lie(whole, name))),
        )


def save_gguf(path: Path, held: Tensors) -> Path:
    shape = SimpleNamespace(**CONFIG, rope_parameters={"rope_theta": CONFIG["rope_theta"]})
    model = SimpleNamespace(config=shape, state_dict=lambda: held)
    lengths = {f"llama.attention.{one}_length": CONFIG["head_dim"] for one in ("key", "value")}
    return write_gguf(path, llama_metadata(shape) | lengths | VOCABULARY, llama_tensors(model))


def _rewritten(root: Path, lie: Callable[[bytes, str], bytes], name: str, held: Tensors) -> Path:
    path = save_gguf(root / "m.gguf", held)
    path.write_bytes(lie(path.read_bytes(), name))
    return path


def _ggufs(held: Tensors) -> Iterator[Variant]:
    faults = VALUES | {name: SHAPES[name] for name in ("longer", "transposed")} | {"int64": OTHERS["int64"]}
    for name, fault, bad in _spoilings(held, faults):
        if fault in ("longer", "transposed", "extra") and (".q_proj." in name or ".k_proj." in name):
            continue  # no converter could have written it
        yield Variant("gguf", name, fault, lambda root, bad=bad: found_from(root, save_gguf(root / "m.gguf", bad)))
    names = list(llama_tensors(SimpleNamespace(config=SimpleNamespace(**CONFIG), state_dict=lambda: held)))
    for (fault, lie), name in zip(GGUF_LIES.items(), itertools.cycle(names[1:]), strict=False):
        yield Variant(
            "gguf header",
            name,
            fault,
            lambda root, lie=lie, name=name: found_from(root, _rewritten(root, lie, name, held)),
        )


def adapter(held: Tensors) -> Tensors:
    chance, made = torch.Generator().manual_seed(1), {}
    for name in ("model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj"):
        outputs, inputs = held[f"{name}.weight"].shape
        made[f"base_model.model.{name}.lora_A.weight"] = torch.randn(3, inputs, generator=chance)
        made[f"base_model.model.{name}.lora_B.weight"] = torch.randn(outputs, 3, generator=chance)
    made["base_model.model.model.norm.weight"] = torch.ones(held["model.norm.weight"].shape)
    return made


def merge(root: Path, held: Tensors, data: bytes) -> None:
    save_file(held, root / "parent.safetensors")
    (root / "adapter.safetensors").write_bytes(data)
    with (root / "child.safetensors").open("wb") as child:
        weights.merge_file(root / "parent.safetensors", root / "adapter.safetensors", 0.5, child)


def _adapters(held: Tensors) -> Iterator[Variant]:
    factors = adapter(held)
    faults = VALUES | SHAPES | OTHERS
    for name, fault, bad in _spoilings(factors, faults):
        if fault == "missing" and "norm" in name:
            continue  # an adapter need not hold it
        yield Variant("adapter", name, fault, lambda root, bad=bad: merge(root, held, save(bad)))
    for (fault, lie), name in zip(LIES.items(), itertools.cycle(factors), strict=False):
        yield Variant(
            "adapter header", name, fault, lambda root, lie=lie, name=name: merge(root, held, lie(save(factors), name))
        )


def trained() -> tuple[dict[str, nn.Parameter], torch.optim.Optimizer]:
    torch.manual_seed(0)
    parameters = {
        "a.lora_A.weight": nn.Parameter(torch.randn(3, 8)),
        "a.lora_B.weight": nn.Parameter(torch.randn(5, 3)),
    }
    optimizer = torch.optim.AdamW(parameters.values())
    for parameter in parameters.values():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    return parameters, optimizer


def resume_from(root: Path, change: Callable[[bytes], bytes]) -> None:
    """Go on from a checkpoint; whatever is wrong with it, what trains must be untouched."""
    parameters, optimizer = trained()
    resume.save_checkpoint(root, parameters, optimizer, [1.0, 0.5], keep=1)
    (path,) = root.glob("checkpoint-*")
    path.write_bytes(change(path.read_bytes()))
    before = [parameter.detach().clone() for parameter in parameters.values()]
    try:
        resume.load_checkpoint(root, parameters, optimizer, on_event=lambda event: None)
    finally:
        if sys.exc_info()[0] is not None:
            assert all(torch.equal(old, new) for old, new in zip(before, parameters.values(), strict=True))


def _checkpoints() -> Iterator[Variant]:
    def respoiled(name: str, fault: str, spoil: Callable[[Tensor], Tensor] | None) -> Callable[[bytes], bytes]:
        def change(data: bytes) -> bytes:
            from safetensors.torch import load

            return save(_spoiled(name, fault, load(data), spoil))

        return change

    names = ["weight/a.lora_A.weight", "weight/a.lora_B.weight", "state/exp_avg/a.lora_A.weight", "curve", "crc32"]
    faults = {"nan": VALUES["nan"], "shorter": SHAPES["shorter"], "int8": OTHERS["int8"]}
    for name, fault in itertools.product(names, (*faults, "missing", "renamed")):
        if name == "crc32" and fault in faults:
            continue
        change = respoiled(name, fault, faults.get(fault))
        yield Variant("checkpoint", name, fault, lambda root, change=change: resume_from(root, change))
    for (fault, lie), name in zip(LIES.items(), itertools.cycle(names), strict=False):
        yield Variant(
            "checkpoint header",
            name,
            fault,
            lambda root, lie=lie, name=name: resume_from(root, lambda data: lie(data, name)),
        )


def variants() -> list[Variant]:
    held = tensors()
    return [*_directories(held), *_ggufs(held), *_adapters(held), *_checkpoints()]


def prove(directory: Path, count: int, seed: int) -> Counter[str]:
    """Try `count` of the variants, as many of each kind as it goes; AssertionError for one that is taken, or refused
    without a reason. What was tried, by kind. `directory` must be empty."""
    chance = random.Random(seed)
    shelves: dict[str, list[Variant]] = {}
    for variant in variants():
        shelves.setdefault(variant.kind, []).append(variant)
    for shelf in shelves.values():
        chance.shuffle(shelf)
    turns = itertools.chain.from_iterable(itertools.zip_longest(*shelves.values()))
    tried: Counter[str] = Counter()
    for variant in itertools.islice(filter(None, turns), count):
        root = directory / str(tried.total())
        root.mkdir()
        try:
            variant.refuse(root)
        except GermlineError as error:
            assert error.message.strip() and len(error.message) < 2_000, f"{variant}: {error.message[:200]}"
        else:
            raise AssertionError(f"{variant}: was taken")
        tried[variant.kind] += 1
    assert tried.total() == count, f"there are only {tried.total()} variants"
    return tried


if __name__ == "__main__":
    os.environ.setdefault("GERMLINE_CONFIG", tempfile.mkdtemp())
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps(prove(Path(scratch), int(sys.argv[1]), int(sys.argv[2])), indent=1))
