"""Marks side by side: who sat whose exam, and what was answered."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from germline.lineage import EXAM, PARENT_SCORECARD, SCORECARD, Generation, Lineage
from germline.marks import Marks, Score
from germline.records import Digest, plain
from germline.report.tables import MISSING, Symbols, columns, decimals, of, quoted, share

PAPERS = ("recall", "wording", "heldout", "spoken", "reversed", "style", "card")
"""What `--answers` can list."""

HEADER = (
    "exam", "sat by", "recall", "wording", "held-out", "spoken", "said",
    "reversed", "passages", "style", "laws", "cards",
)  # fmt: skip
LEGEND = (
    "right of asked, bits per byte of the right answers; said: of the wordings of each fact, unseen ones too, the "
    "share that it would answer right, word for word; passages: bits per byte; style: probes that drift"
)


def authors(lineage: Lineage, *asked: Generation) -> dict[Digest, str]:
    """Exam -> the generation that wrote it. Of two equal exams, as a child and its refused sibling have, the author in
    the line of those `asked` about counts, and else the older one."""
    written: dict[Digest, str] = {}
    lines = (generation for one in asked for generation in lineage.trained_line(one))
    for generation in (*lines, *lineage.born()):
        if EXAM in generation.manifest.files:
            written.setdefault(generation.manifest.files[EXAM].digest, generation.name)
    return written


def at_birth(lineage: Lineage, generation: Generation) -> dict[Digest, Marks]:
    """The marks that a generation was judged by; none for the founder."""
    if SCORECARD not in generation.birth.files:
        return {}
    return dict(lineage.scorecard(generation).marks)


def marks_of(lineage: Lineage, generation: Generation) -> dict[Digest, Marks]:
    """All that is recorded of how a generation did: at its birth, and later beside each of its children."""
    found = at_birth(lineage, generation)
    for child in lineage.born():
        if child.manifest.parent == generation.digest and PARENT_SCORECARD in child.birth.files:
            later = lineage.scorecard(child, PARENT_SCORECARD).marks
            found |= {exam: marks for exam, marks in later.items() if exam not in found}
    return found


def beside(lineage: Lineage, generation: Generation, parent: Generation) -> dict[Digest, Marks]:
    """The marks of its parent that a generation was judged beside, without what was revised, or pinned anew, since."""
    if PARENT_SCORECARD not in generation.birth.files:
        return marks_of(lineage, parent)
    return dict(lineage.scorecard(generation, PARENT_SCORECARD).marks)


def without_answers(marks: Marks) -> dict[str, Any]:
    table: dict[str, Any] = plain(marks)
    del table["answers"]
    return table


def sitting(exam: Digest, author: str, sat_by: str, marks: Marks) -> dict[str, Any]:
    """One row of the marks table, as it goes into a document."""
    return {"exam": exam, "written_by": author, "sat_by": sat_by, "marks": without_answers(marks)}


def lines(sittings: Iterable[Mapping[str, Any]]) -> list[str]:
    """The marks table; a line that says so when there is nothing in it."""
    rows = [row(one) for one in sittings]
    return [*columns([HEADER, *rows]), *textwrap.wrap(f"({LEGEND})", 100)] if rows else ["no exam was sat"]


def sealed_lines(sealed: Sequence[Mapping[str, Any]]) -> list[str]:
    """Sealed questions, those of each exam in a row."""
    rows = [(one["written_by"], _score(one["score"])) for one in sealed]
    return columns([("exam", "sealed"), *rows]) if rows else ["no exam has sealed questions"]


def answers(marks: Mapping[Digest, Marks], names: Mapping[Digest, str], paper: str) -> list[dict[str, Any]]:
    """Every recorded answer on one paper, with the exam it belongs to."""
    return [
        {"exam": exam, "written_by": names.get(exam, exam[7:15]), **answer}
        for exam, sat in marks.items()
        for answer in sat.answers
        if answer["paper"] == paper
    ]


def answer_lines(found: Sequence[Mapping[str, Any]], symbols: Symbols) -> list[str]:
    """Each question with what was answered and, where that is wrong, what is right. Quoted as in JSON."""
    told = []
    for answer in found:
        mark = f"{symbols.passed} right" if answer["right"] else f"{symbols.failed} wrong"
        told.append(f"{mark}  {answer['written_by']}  {quoted(answer['prompt'])}")
        told.append(f"    said {quoted(answer['chosen'])}")
        if not answer["right"] and answer.get("gold") is not None:
            told.append(f"    gold {quoted(answer['gold'])}")
        if answer.get("fault"):
            told.append(f"    {answer['fault']}")
    return told or ["nothing was asked on this paper"]


def row(one: Mapping[str, Any]) -> tuple[str, ...]:
    """A sitting's marks in words, as under HEADER."""
    marks = one["marks"]
    style = marks["style"]
    return (
        one["written_by"], one["sat_by"],
        *(_score(marks[paper]) for paper in ("recall", "wording", "heldout")),
        of(marks["spoken"]["right"], marks["spoken"]["items"]),
        share(statistics.mean(marks["said"].values()) if marks["said"] else None),
        of(marks["reversed"]["right"], marks["reversed"]["items"]),
        decimals(marks["passages_bits_per_byte"]),
        of(style["drifts"], style["probes"]) if style else MISSING,
        of(sum(marks["laws"].values()), len(marks["laws"])),
        of(sum(marks["cards"].values()), len(marks["cards"])),
    )  # fmt: skip


def _score(table: Mapping[str, Any]) -> str:
    score = Score(**table)
    return f"{of(score.right, score.items)} {decimals(score.bits_per_byte)}" if score.items else MISSING
