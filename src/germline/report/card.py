"""One generation on a card: its data, exams, verdict and weights, in words, tables and a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from germline.lineage import TRAIN, Generation, Lineage
from germline.records import Row
from germline.report import exams, generation, tables, weights

_ROWS, _FACTS, _CHARACTERS = 6, 12, 400
"""How much of its data a card shows."""
_TOLD = ("origin", "delta", "training", "spent", "signatures", "environment", "files")
"""The sections of `germline show` that are shown as they stand."""


def document(lineage: Lineage, meant: Generation) -> dict[str, Any]:
    """Texts and tables of texts, to be shown as they are. What was learned is quoted from the delta, and hostile."""
    shown = generation.document(lineage, meant)
    verdict = shown["body"].get("verdict")
    told = generation.sections(shown, tables.UNICODE)
    return {
        "id": meant.name, "digest": meant.digest, "outcome": shown["kind"], "time": shown["time"],
        "head": shown["head"], "waiting": shown["waiting"], "parent": shown["parent"] and shown["parent"]["id"],
        "may_be_head": shown["kind"] in ("founded", "promoted"),
        "verdict": tables.paragraph(meant.name, verdict) if verdict else "",
        "checks": _checks(verdict) if verdict else None,
        "exams": _exams(shown) if shown["exams"] else None,
        "learned": [*islice(_rows(lineage, meant), _ROWS)], "facts": _facts(lineage, meant),
        "weights": _weights(lineage, meant),
        "told": [{"name": name, "lines": told[name]} for name in _TOLD if any(told[name])],
    }  # fmt: skip


def _table(caption: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[str, Any]:
    return {"caption": caption, "header": [*header], "rows": [[*row] for row in rows]}


def _checks(verdict: Mapping[str, Any]) -> dict[str, Any]:
    rows = [
        (
            tables.UNICODE.mark(check["passed"], check.get("undecided", False)), check["name"],
            tables.number(check["value"]), tables.number(check["limit"]), check["reason"],
        )
        for check in verdict["checks"]
    ]  # fmt: skip
    return _table("What the gate asked, and what it found", ("", "check", "value", "limit", "why"), rows)


def _exams(shown: Mapping[str, Any]) -> dict[str, Any]:
    return _table(exams.LEGEND, exams.HEADER, [exams.row(one) for one in shown["exams"]])


def _weights(lineage: Lineage, meant: Generation) -> dict[str, Any] | None:
    change = weights.document(lineage, meant)
    if change is None:
        return None
    table = _table("Means of each layer's tensors", weights.HEADER, weights.table(change))
    return {"sentence": weights.sentence(change), "picture": weights.drawn(lineage, meant), "layers": table}


def _rows(lineage: Lineage, meant: Generation) -> Iterator[str]:
    if TRAIN in meant.manifest.files:
        for row in lineage.rows(meant, TRAIN):
            said = _said(row)
            yield said if len(said) <= _CHARACTERS else f"{said[:_CHARACTERS]} …"


def _said(row: Row) -> str:
    return row.text or "\n".join(f"{turn.speaker}: {turn.text}" for turn in row.turns)


def _facts(lineage: Lineage, meant: Generation) -> list[str]:
    found = lineage.facts(meant)
    more = [f"and {len(found) - _FACTS} more"] if len(found) > _FACTS else []
    return [*(f"{fact.unit}: {fact.value}" for fact in found[:_FACTS]), *more]
