"""The fossil record: every entry of the ledger, oldest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from germline import in_flight
from germline.errors import PlanError
from germline.judge.maturity import Age, age
from germline.lineage import Lineage
from germline.records import plain
from germline.report.tables import MISSING, columns, decimals, of, percent, share, short
from germline.settings import Maturity, load_plan
from germline.store import ledger
from germline.store.entry import Entry
from germline.store.home import BEGUN, Charter, Home

HEADER = (
    "id", "from", "verdict", "rows", "facts", "steps", "loss", "recall", "general", "spoken", "style",
    "laws", "cards", "moved", "date",
)  # fmt: skip
_NUMBERS = range(3, 14)


def document(lineage: Lineage) -> dict[str, Any]:
    """The lineage with all its entries. `head` marks the entry of the birth of what HEAD is now."""
    head, charter = lineage.birth(ledger.head(lineage.entries)), lineage.home.charter
    return {
        "lineage": charter.name,
        "home": lineage.home.root.as_posix(),
        "head": f"g{head.number}",
        "maturity": plain(_maturity(lineage)),
        "unfinished": _unfinished(lineage.home),
        "waiting": [f"g{entry.number}" for entry in ledger.waiting(lineage.home, lineage.entries)],
        "entries": [_entry(charter, entry, head.sequence) for entry in lineage.entries],
    }


def lines(history: Mapping[str, Any]) -> list[str]:
    """One line per entry, 100 columns at most for up to 99 generations. `*` marks HEAD."""
    entries: Sequence[Mapping[str, Any]] = history["entries"]
    rows = [row(entry) if entry["birth"] else remark(entry) for entry in entries]
    born = sum(entry["birth"] for entry in entries)
    counted = "1 generation" if born == 1 else f"{born} generations"
    return [
        f"{history['lineage']}: {counted}, HEAD is {history['head']} (*)",
        "",
        *columns([HEADER, *rows], right=_NUMBERS, gap=1),
        "",
        f"{history['maturity']['stage']}: {history['maturity']['reason']}",
        *(f"{name} waits for `germline approve {name}`" for name in history["waiting"]),
        *(
            f"{one['id']} {one['doing'] or 'is unfinished: `germline evolve` goes on with it'}"
            for one in history["unfinished"]
        ),
    ]


def _unfinished(home: Home) -> list[dict[str, str | None]]:
    """The children that were begun and are not in the ledger, and what the process that is at work on them does."""
    begun = [path.name for path in home.run_directories() if (path / BEGUN).exists() and path.name[1:].isdigit()]
    at_work = in_flight.look(home)
    return [{"id": name, "doing": f"is being grown: {at_work['text']}" if at_work else None} for name in begun]


def maturity(lineage: Lineage, policy: Maturity) -> Age:
    """The stage of HEAD's own line. A child that was refused or still waits, and what a rollback left behind, is no
    part of it: such a birth says nothing of what HEAD has learned."""
    return age([entry.body for entry in _line(lineage)], policy)


def _line(lineage: Lineage) -> list[Entry]:
    """The births from the founder to HEAD. Read off the ledger alone, which tells also of those that an archive
    left out; each number is taken once, so that no ledger can make this go round in circles."""
    births = {entry.number: entry for entry in lineage.entries if entry.is_birth}
    line, number = list[Entry](), lineage.birth(ledger.head(lineage.entries)).number
    while birth := births.pop(number, None):
        line.append(birth)
        number = birth.body.get("parent", -1)
    return line[::-1]


def _maturity(lineage: Lineage) -> Age | dict[str, str]:
    """The stage as the owner's plan draws it. A plan that cannot be followed hides none of the history."""
    plan = lineage.home.plan
    try:
        policy = load_plan(plan).maturity if plan.exists() else Maturity()
    except PlanError as error:
        return {"stage": "not told", "reason": error.message}
    return maturity(lineage, policy)


def _entry(charter: Charter, entry: Entry, head: int) -> dict[str, Any]:
    parent = entry.body.get("parent")
    return {
        "sequence": entry.sequence, "kind": entry.kind, "id": f"g{entry.number}", "number": entry.number,
        "generation": entry.generation, "time": entry.time, "head": entry.sequence == head,
        "birth": entry.is_birth, "signed_by": [charter.owner(public) for public in entry.signatures],
        "parent": None if parent is None else f"g{parent}", "body": plain(entry.body),
    }  # fmt: skip


def row(entry: Mapping[str, Any]) -> tuple[str, ...]:
    """A birth in words, as under HEADER."""
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


def remark(entry: Mapping[str, Any]) -> str:
    """An entry that bears nothing, on a line of its own."""
    left, signers = entry["body"].get("from"), " and ".join(entry["signed_by"])
    said = {
        "rolled_back": f"rolled back to {entry['id']}" + ("" if left is None else f" from g{left}"),
        "promoted": f"{entry['id']} approved by the {signers}",
        "pinned": f"laws pinned by the {signers}",
    }
    return f"-- {said[entry['kind']]}, {entry['time'][:10]}"
