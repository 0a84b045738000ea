"""How far each layer moved, from the per-tensor changes that a birth records."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from germline.lineage import WEIGHT_CHANGE, Generation, Lineage
from germline.report.tables import Symbols, columns

_LAYER = re.compile(r"\.layers\.(\d+)\.")
_ELSEWHERE = {"embed_tokens": "embeddings", "lm_head": "output head", "norm": "final norm"}
_BAR = 40


def document(lineage: Lineage, generation: Generation) -> dict[str, Any] | None:
    """A generation's move away from its parent; None for the founder, which moved from nothing."""
    if WEIGHT_CHANGE not in generation.birth.files:
        return None
    changes = lineage.json(generation, WEIGHT_CHANGE)
    parent = generation.birth.body.get("parent")
    return {
        "id": generation.name, "from": None if parent is None else f"g{parent}",
        "total": changes["total"], "layers": layers(changes),
    }  # fmt: skip


def layers(changes: Mapping[str, float]) -> dict[str, float]:
    """Layer -> mean relative change of its tensors, in the order of the model's layers."""
    grouped: dict[tuple[int, str], list[float]] = {}
    for tensor, change in changes.items():
        if tensor != "total":
            grouped.setdefault(_place(tensor), []).append(change)
    return {name: sum(found) / len(found) for (_, name), found in sorted(grouped.items())}


def lines(change: Mapping[str, Any], symbols: Symbols) -> list[str]:
    """A bar per layer, the longest for the layer that moved most."""
    found = change["layers"]
    largest = max(found.values(), default=0.0)
    rows = [
        (name, f"{value:.3%}", symbols.bar * round(_BAR * value / largest) if largest else "")
        for name, value in found.items()
    ]
    head = f"weights of {change['id']} moved by {change['total']:.3%} from {change['from']}"
    return [f"{head} (bars: mean relative change of a layer's tensors)", *columns(rows, right=(1,))]


def _place(tensor: str) -> tuple[int, str]:
    if layer := _LAYER.search(tensor):
        return int(layer[1]), f"layer {layer[1]}"
    for part, name in _ELSEWHERE.items():
        if part in tensor:
            return (-1 if part == "embed_tokens" else 1 << 30), name
    return 1 << 30, tensor
