"""How far each layer moved, from its parent and from the founder, as its birth measured it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from germline.errors import PlanError
from germline.lineage import WEIGHT_CHANGE, Generation, Lineage
from germline.report import picture
from germline.report.tables import MISSING, Symbols, columns

_LAYER = re.compile(r"\.layers\.(\d+)\.")
_ELSEWHERE = {"embed_tokens": "embeddings", "lm_head": "output head", "norm": "final norm"}
_BAR = 30
HEADER = ("layer", "parent", "founder", "rank", "way")


def document(lineage: Lineage, generation: Generation) -> dict[str, Any] | None:
    """A generation's move away from its parent and from the founder; None for the founder, which moved from nothing."""
    if WEIGHT_CHANGE not in generation.birth.files:
        return None
    moved = lineage.json(generation, WEIGHT_CHANGE)
    parent = generation.birth.body.get("parent")
    return {
        "id": generation.name, "from": None if parent is None else f"g{parent}", "total": moved["total"],
        "changed_tensors": sum(change["parent"] > 0 for change in moved["tensors"].values()),
        "tensors": len(moved["tensors"]), "layers": layers(moved["tensors"]),
    }  # fmt: skip


def drawn(lineage: Lineage, generation: Generation) -> str:
    """The same as an SVG picture. PlanError for the founder."""
    if WEIGHT_CHANGE not in generation.birth.files:
        raise PlanError(f"{generation.name} moved from nothing: it has no parent", hint="draw one of its children")
    tensors = lineage.json(generation, WEIGHT_CHANGE)["tensors"]
    return picture.svg(generation.name, f"g{generation.birth.body['parent']}", tensors)


def layers(tensors: Mapping[str, Mapping[str, float | None]]) -> dict[str, dict[str, float | None]]:
    """Layer -> the means over its tensors of what is measured of each, in the order of the model's layers."""
    grouped: dict[tuple[int, str], list[Mapping[str, float | None]]] = {}
    for tensor, change in tensors.items():
        grouped.setdefault(_place(tensor), []).append(change)
    return {
        name: {key: _mean([change[key] for change in changes]) for key in changes[0]}
        for (_, name), changes in sorted(grouped.items())
    }


def lines(change: Mapping[str, Any], symbols: Symbols) -> list[str]:
    """A bar per layer, the longest for the layer that moved most from its parent."""
    found = change["layers"]
    largest = max((layer["parent"] for layer in found.values()), default=0.0)
    bars = [symbols.bar * round(_BAR * layer["parent"] / largest) if largest else "" for layer in found.values()]
    rows = [(*row, bar) for row, bar in zip(table(change), bars, strict=True)]
    return [
        sentence(change),
        "means of a layer's tensors; rank: stable rank of the step; way: its cosine with all steps before it",
        *columns([(*HEADER, ""), *rows], right=(1, 2, 3, 4)),
    ]


def table(change: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Each layer's numbers in words, as under HEADER."""
    return [
        (
            name, f"{layer['parent']:.2%}", f"{layer['founder']:.2%}", _decimals(layer["stable_rank"], 1),
            _decimals(layer["cosine"], 2),
        )
        for name, layer in change["layers"].items()
    ]  # fmt: skip


def sentence(change: Mapping[str, Any]) -> str:
    total = change["total"]
    return (
        f"weights of {change['id']} moved by {total['parent']:.2%} from {change['from']} "
        f"and are {total['founder']:.2%} from the founder's; {change['changed_tensors']} of {change['tensors']} "
        "tensors changed"
    )


def _decimals(value: float | None, places: int) -> str:
    return MISSING if value is None else f"{value:.{places}f}"


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _place(tensor: str) -> tuple[int, str]:
    if layer := _LAYER.search(tensor):
        return int(layer[1]), f"layer {layer[1]}"
    for part, name in _ELSEWHERE.items():
        if part in tensor:
            return (-1 if part == "embed_tokens" else 1 << 30), name
    return 1 << 30, tensor
