"""Two generations side by side: marks, what each has learned, how their plans differ, which layers moved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from germline.lineage import PLAN, TRAIN, Generation, Lineage
from germline.records import Digest
from germline.report import exams, weights
from germline.report.tables import MISSING, Symbols, columns, indented, quoted

_SAMPLE = 3
_WIDTH = 84


def document(lineage: Lineage, one: Generation, other: Generation) -> dict[str, Any]:
    """Marks on the exams that both sat; rows by content over each one's whole ancestry; weight changes.

    The change of `other` is measured from `one` where `one` is its parent. Else both changes are given,
    each from its own parent, because the lineage records no other.
    """
    moved = [other] if other.manifest.parent == one.digest else [one, other]
    return {
        "a": _name(lineage, one), "b": _name(lineage, other), "exams": _shared(lineage, one, other),
        "rows": _rows(_learned(lineage, one), _learned(lineage, other)),
        "plan": _plans(lineage, one, other),
        "weights": [change for change in (weights.document(lineage, each) for each in moved) if change],
    }  # fmt: skip


def lines(compared: Mapping[str, Any], symbols: Symbols) -> Iterator[str]:
    a, b = compared["a"]["id"], compared["b"]["id"]
    rows = compared["rows"]
    yield f"a: {a}  {compared['a']['generation']}"
    yield f"b: {b}  {compared['b']['generation']}"
    yield from ("", "marks on the exams that both sat", *indented(exams.lines(compared["exams"])))
    yield from ("", "rows learned, ancestors' included, by content")
    yield from indented(columns([(str(rows[key]), label) for key, label in (
        ("both", "both"), ("only_a", f"only {a}"), ("only_b", f"only {b}"),
    )], right=(0,)))  # fmt: skip
    for label, sample in ((a, rows["sample_a"]), (b, rows["sample_b"])):
        yield from indented([f"only {label}: {quoted(text)}" for text in sample])
    if compared["plan"]:
        table = [(key, _said(before), _said(after)) for key, (before, after) in compared["plan"].items()]
        yield from ("", "plan", *indented(columns([("key", a, b), *table])))
    for change in compared["weights"]:
        yield from ("", *weights.lines(change, symbols))


def _name(lineage: Lineage, generation: Generation) -> dict[str, str]:
    return {"id": generation.name, "generation": generation.digest, "kind": lineage.outcome(generation)}


def _shared(lineage: Lineage, one: Generation, other: Generation) -> list[dict[str, Any]]:
    names = exams.authors(lineage, one, other)
    first, second = exams.marks_of(lineage, one), exams.marks_of(lineage, other)
    return [
        exams.sitting(exam, names.get(exam, exam[7:15]), generation.name, marks[exam])
        for exam in second
        if exam in first
        for generation, marks in ((one, first), (other, second))
    ]


def _learned(lineage: Lineage, generation: Generation) -> dict[Digest, str]:
    """Content -> its first words, for every training row of the generation and its ancestors."""
    return {
        row.content_digest: " ".join((row.text or row.turns[-1].text).split())[:_WIDTH]
        for ancestor in lineage.ancestry(generation)
        if TRAIN in ancestor.manifest.files
        for row in lineage.rows(ancestor, TRAIN)
    }


def _rows(first: Mapping[Digest, str], second: Mapping[Digest, str]) -> dict[str, Any]:
    only_a = [text for digest, text in first.items() if digest not in second]
    only_b = [text for digest, text in second.items() if digest not in first]
    return {
        "both": len(first) - len(only_a), "only_a": len(only_a), "only_b": len(only_b),
        "sample_a": only_a[:_SAMPLE], "sample_b": only_b[:_SAMPLE],
    }  # fmt: skip


def _plans(lineage: Lineage, one: Generation, other: Generation) -> dict[str, tuple[Any, Any]]:
    """`section.key` -> the two values, where they differ. Nothing for a founder, which followed no plan."""
    if not all(PLAN in generation.manifest.files for generation in (one, other)):
        return {}
    first, second = (_flat(lineage.json(generation, PLAN)) for generation in (one, other))
    return {
        key: (first.get(key), second.get(key))
        for key in sorted(first.keys() | second.keys())
        if first.get(key) != second.get(key)
    }


def _flat(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {f"{section}.{key}": value for section, table in tables.items() for key, value in table.items()}


def _said(value: Any) -> str:
    return MISSING if value is None else str(value)
