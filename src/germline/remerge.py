"""Generations merged again from the founder on, all in one pass, and nothing written.

A merge goes tensor by tensor, and so does a whole family tree of them: each tensor of the founder is handed down to
every child, changed by the child's adapter, and so on. What would be a generation's file is hashed as it goes by, and
held against the file where there is one. Memory holds one tensor for each generation of the longest line.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import Tensor

from germline.checkout import scale_of
from germline.errors import GermlineError
from germline.lineage import ADAPTER, ADAPTER_CONFIG, WEIGHTS, Generation, Lineage
from germline.model import weights
from germline.model.adapter import merge
from germline.records import Digest, Event, OnEvent
from germline.store import objects
from germline.store.inspection import Problem
from germline.store.objects import Tally

NEAR = 4096
"""Differences that lie closer than this many bytes are told as one range."""

SHOWN = 4


def remerge(lineage: Lineage, wanted: Collection[Digest], on_event: OnEvent) -> list[Problem]:
    """Merge the children in `wanted` again and list those whose weights come out as others than they were born with,
    and files of weights that differ from what comes out, with the bytes that do.

    Whoever descends from a damaged adapter cannot be judged: that is told in a note. StoreDamaged where the founder's
    weights are damaged.
    """
    founder, *_ = born = lineage.born()
    source = lineage.weights_at_hand(founder)
    assert source is not None  # a founder's are an object
    tree = _Node(founder, None, {}, 0.0)
    nodes = {founder.digest: tree}
    needed = {ancestor.digest for child in born if child.digest in wanted for ancestor in lineage.ancestry(child)}
    for child in born[1:]:
        parent = nodes.get(child.manifest.parent or "")
        if child.digest not in needed or parent is None:
            continue
        try:
            node = _node(lineage, child, watched=child.digest in wanted)
        except GermlineError as error:
            on_event(Event(kind="note", text=f"{child.name} and its descendants are not merged again: {error}"))
            continue
        nodes[child.digest] = node
        parent.children.append(node)
    watched = [node for node in nodes.values() if node.out]
    total, began = sum(node.generation.manifest.weights.size for node in watched), time.monotonic()
    shapes = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in weights.read(source)}
    tree.write(weights.header_of(shapes))
    for name, tensor in weights.read(source):
        tree.hand_down(name, tensor)
        done = sum(node.out.tally.size for node in watched if node.out)
        left = (time.monotonic() - began) * (total - done) / max(done, 1)
        data = {"done": done, "total": max(total, 1), "what": "merging", "eta_seconds": left}
        text = f"merged {done / (1 << 20):,.0f} of {total / (1 << 20):,.0f} MiB again"
        on_event(Event(kind="progress", text=text, data=data))
    return [problem for node in watched for problem in node.problems(lineage)]


class _Adapter(Mapping[str, Tensor]):
    """An adapter's tensors, each read when it is asked for: thousands may be open at once."""

    def __init__(self, path: Path) -> None:
        self._path, self._stored = path, weights.header(path)

    def __getitem__(self, name: str) -> Tensor:
        return weights.fetch(self._path, self._stored[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)


@dataclass(slots=True)
class _Out:
    """A file of weights as it would be written: its hash, and where a file that is there differs from it."""

    path: Path | None
    """The file that should hold it, if there is one."""
    tally: Tally = field(default_factory=Tally)
    ranges: list[tuple[int, int]] = field(default_factory=list)
    """First byte, and the one after the last."""

    def write(self, data: bytes | memoryview) -> None:
        start = self.tally.size
        self.tally.write(data)
        if self.path is not None:
            with self.path.open("rb") as file:
                file.seek(start)
                theirs = np.frombuffer(file.read(len(data)), np.uint8)
            ours = np.frombuffer(data, np.uint8)
            length = min(len(ours), len(theirs))
            places = np.flatnonzero(ours[:length] != theirs[:length])
            for run in np.split(places, np.flatnonzero(np.diff(places) > NEAR) + 1):
                if len(run):
                    self._add(start + int(run[0]), start + int(run[-1]) + 1)
            if length < len(ours):
                self._add(start + length, start + len(ours))

    def _add(self, first: int, end: int) -> None:
        if self.ranges and first - self.ranges[-1][1] <= NEAR:
            first = self.ranges.pop()[0]
        self.ranges.append((first, end))


@dataclass(slots=True)
class _Node:
    generation: Generation
    out: _Out | None
    adapter: Mapping[str, Tensor]
    scale: float
    children: list[_Node] = field(default_factory=list)

    def write(self, header: bytes) -> None:
        if self.out:
            self.out.write(header)
        for child in self.children:
            child.write(header)

    def hand_down(self, name: str, tensor: Tensor) -> None:
        if self.out:
            self.out.write(weights.bytes_of(tensor))
        for child in self.children:
            ((_, own),) = merge(iter([(name, tensor)]), child.adapter, child.scale)
            child.hand_down(name, own)

    def problems(self, lineage: Lineage) -> Iterator[Problem]:
        assert self.out is not None
        generation, expected = self.generation, self.generation.manifest.weights
        made = self.out.tally.reference
        if made != expected:
            what = f"({generation.name}) names weights that merging from the founder does not give, but {made.digest}"
            yield Problem(path=f"generations/{generation.digest[7:]}.json", what=what)
        elif self.out.path is not None:
            size, ranges = self.out.path.stat().st_size, self.out.ranges
            if size > made.size:
                ranges.append((made.size, size))
            if ranges:
                told = ", ".join(f"{first:,} to {end - 1:,}" for first, end in ranges[:SHOWN])
                more = f" and {len(ranges) - SHOWN} more ranges" if len(ranges) > SHOWN else ""
                path = self.out.path.relative_to(lineage.home.root).as_posix()
                yield Problem(path=path, what=f"differs from what merging gives again in bytes {told}{more}")


def _node(lineage: Lineage, generation: Generation, *, watched: bool) -> _Node:
    """A child with its adapter, whose bytes are checked before they are used."""
    for name in (ADAPTER, ADAPTER_CONFIG):
        lineage.read(generation, name)
    adapter = _Adapter(lineage.path(generation, ADAPTER))
    manifest, home = generation.manifest, lineage.home
    out = None
    if watched:
        path = objects.place(home.objects if WEIGHTS in manifest.files else home.cache, manifest.weights.digest)
        there = path.is_file() and not path.is_symlink()
        out = _Out(path if there else None)
    return _Node(generation, out, adapter, scale_of(lineage, generation))
