"""The fossil record: every entry of the ledger, oldest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from germline.lineage import Lineage
from germline.records import plain
from germline.report.tables import MISSING, columns, decimals, of, percent, share, short
from germline.store.entry import Entry

_HEADER = (
    "id", "from", "verdict", "rows", "facts", "steps", "loss", "recall", "general", "spoken", "style",
    "laws", "cards", "moved", "date",
)  # fmt: skip
_NUMBERS = range(3, 14)


def document(lineage: Lineage) -> dict[str, Any]:
    """The lineage with all its entries. `head` marks the entry of the birth of what HEAD is now."""
    head = lineage.head
    return {
        "lineage": lineage.home.name,
        "home": lineage.home.root.as_posix(),
        "head": head.name,
        "entries": [_entry(entry, head.birth.sequence) for entry in lineage.entries],
    }


def lines(history: Mapping[str, Any]) -> list[str]:
    """One line per entry, 100 columns at most for up to 99 generations. `*` marks HEAD."""
    entries: Sequence[Mapping[str, Any]] = history["entries"]
    rows = [_moved_back(entry) if entry["kind"] == "rolled_back" else _row(entry) for entry in entries]
    born = sum(entry["kind"] != "rolled_back" for entry in entries)
    counted = "1 generation" if born == 1 else f"{born} generations"
    return [
        f"{history['lineage']}: {counted}, HEAD is {history['head']} (*)",
        "",
        *columns([_HEADER, *rows], right=_NUMBERS, gap=1),
    ]


def _entry(entry: Entry, head: int) -> dict[str, Any]:
    parent = entry.body.get("parent")
    return {
        "sequence": entry.sequence, "kind": entry.kind, "id": f"g{entry.number}", "number": entry.number,
        "generation": entry.generation, "time": entry.time, "head": entry.sequence == head,
        "parent": None if parent is None else f"g{parent}", "body": plain(entry.body),
    }  # fmt: skip


def _row(entry: Mapping[str, Any]) -> tuple[str, ...]:
    body = entry["body"]
    delta, training, scores = (body.get(name) or {} for name in ("delta", "training", "scores"))
    laws = scores.get("laws")
    return (
        entry["id"] + ("*" if entry["head"] else ""),
        entry["parent"] or MISSING,
        entry["kind"],
        short(delta.get("rows")),
        short(delta.get("facts")),
        short(training.get("steps")),
        decimals(training.get("last_loss")),
        share(scores.get("recall")),
        share(scores.get("generalization")),
        share(scores.get("spoken")),
        of(scores.get("style_drifts"), scores.get("style_probes")),
        of(laws - scores["laws_broken"], laws) if laws else MISSING,
        of(scores.get("cards_passed"), scores.get("cards")),
        percent(body.get("weight_change")),
        entry["time"][:10],
    )


def _moved_back(entry: Mapping[str, Any]) -> str:
    left = entry["body"].get("from")
    origin = "" if left is None else f" from g{left}"
    return f"-- rolled back to {entry['id']}{origin}, {entry['time'][:10]}"
