"""The lineage as a tree, the newest first: who descends from whom, with verdicts and marks; its branches drawn.

What the page and the static report show comes from here and from `card`, so that they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from germline.lineage import Lineage
from germline.report import history
from germline.report.tables import MISSING
from germline.store import generations

ROW, LANE = 64, 20
"""From one generation to the next, and from one branch to the next: pixels, where letters are of their usual size."""
_ROOT = 16
"""Pixels of that size. The picture is sized by it, as page.css sizes the rows beside it: both grow with the letters."""
COLOURS = {"founded": "#2f81f7", "promoted": "#2da44e", "refused": "#cf222e"}
_OTHER, _LINE = "#bf8700", "#8b949e"
_MARKS = ("recall", "general", "spoken", "style", "laws", "cards", "moved")


def document(lineage: Lineage) -> dict[str, Any]:
    """Every birth with its verdict and marks in words; remarks are the ledger's other entries."""
    told = history.document(lineage)
    births = [_node(lineage, entry, told["waiting"]) for entry in told["entries"] if entry["birth"]][::-1]
    return {
        "name": told["lineage"], "head": told["head"],
        "maturity": f"{told['maturity']['stage']}: {told['maturity']['reason']}",
        "generations": births,
        "remarks": [history.remark(entry).strip("- ") for entry in told["entries"] if not entry["birth"]][::-1],
        "graph": graph(births, told["head"]),
    }  # fmt: skip


def _node(lineage: Lineage, entry: Mapping[str, Any], waiting: Sequence[str]) -> dict[str, Any]:
    row = dict(zip(history.HEADER, history.row(entry), strict=True))
    digest = entry["generation"]
    here = generations.is_held(lineage.home, digest)
    return {
        "id": entry["id"], "parent": entry["parent"], "head": entry["head"], "held": here,
        "outcome": lineage.outcome(lineage.generation(digest)) if here else entry["kind"],
        "waiting": entry["id"] in waiting, "time": entry["time"],
        "marks": {name: row[name] for name in _MARKS if row[name] != MISSING},
    }  # fmt: skip


def graph(births: Sequence[Mapping[str, Any]], head: str) -> str:
    """A dot for each birth (the newest first) and a line to its parent, as SVG; HEAD's own line is the first."""
    place = {birth["id"]: number for number, birth in enumerate(births)}
    lane = lanes({birth["id"]: birth["parent"] for birth in reversed(births)}, head)
    width, height = LANE * (1 + max(lane.values(), default=0)), ROW * len(births)

    def centre(name: str) -> tuple[int, int]:
        return lane[name] * LANE + LANE // 2, place[name] * ROW + ROW // 2

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width / _ROOT}rem" '
             f'height="{height / _ROOT}rem" aria-hidden="true">']  # fmt: skip
    for birth in births:
        if birth["parent"] in place:
            (x, y), (to_x, to_y) = centre(birth["id"]), centre(birth["parent"])
            bend = "" if x == to_x else f" V{to_y - ROW + 12} Q{x} {to_y} {to_x} {to_y}"
            path = f"M{x} {y}{bend or f' V{to_y}'}"
            parts.append(f'<path d="{path}" fill="none" stroke="{_LINE}" stroke-width="2"/>')
    for birth in births:
        x, y = centre(birth["id"])
        colour = COLOURS.get(birth["outcome"], _OTHER)
        ring = f'<circle cx="{x}" cy="{y}" r="9" fill="none" stroke="{colour}" stroke-width="2"/>'
        parts.append(f'<circle cx="{x}" cy="{y}" r="6" fill="{colour}"/>' + (ring if birth["head"] else ""))
    return "\n".join([*parts, "</svg>"])


def lanes(parents: Mapping[str, str | None], head: str) -> dict[str, int]:
    """Which branch each generation is drawn on; `parents` in order of birth.

    A child goes on in its parent's lane if it leads to HEAD, or is the first of those that nobody else goes on for.
    Any other begins a lane that is free from its parent on.
    """
    line, ancestor = set[str](), head
    while ancestor in parents:
        line.add(ancestor)
        ancestor = parents[ancestor] or ""
    heirs: dict[str, str] = {}
    for name, parent in parents.items():
        if parent and (name in line or (parent not in line and parent not in heirs)):
            heirs[parent] = name
    order = {name: number for number, name in enumerate(parents)}
    lane, busy_until = dict[str, int](), list[int]()
    for name, parent in parents.items():
        if parent in lane and heirs.get(parent) == name:
            lane[name] = lane[parent]
            continue
        last = name
        while last in heirs:
            last = heirs[last]
        since = order.get(parent or "", -1)
        # HEAD's own line has the first lane to itself.
        free = (n for n, until in enumerate(busy_until) if n and until <= since)
        lane[name] = next(free, len(busy_until))
        busy_until += [0] * (lane[name] + 1 - len(busy_until))
        busy_until[lane[name]] = order[last]
    return lane
