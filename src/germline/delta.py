"""What the plan's sources hold that no ancestor of the next child has seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from germline.corpus.clean import Digests, keep
from germline.corpus.read import read
from germline.corpus.split import snapshot
from germline.corpus.whitelist import read_whitelist
from germline.errors import DataError, NothingNew
from germline.lineage import HELDOUT, TRAIN, Generation, Lineage
from germline.records import Delta, Event, OnEvent, Refusal, Row, plain
from germline.settings import Plan


def read_new(lineage: Lineage, plan: Plan, directory: Path, on_event: OnEvent) -> Delta:
    """The delta of HEAD's next child, read now and kept in `directory`, which is made.

    Raises NothingNew where there is nothing new to learn, DataError where a source cannot be read, PlanError for a
    whitelist that is none; what was written by then is for the caller to remove.
    """
    if not plan.data.sources:
        raise DataError("the plan names no sources", hint="`germline feed PATH` adds a file or a folder")
    whitelist = read_whitelist(lineage.home.root / plan.data.whitelist) if plan.data.whitelist else None
    rows = read(
        plan.data.sources, lineage.home.root, voice=plan.data.voice, strict=plan.data.strict, whitelist=whitelist
    )
    new = _first(plan.data.rows, keep(rows, seen=_learned(lineage, lineage.head)), whole=whitelist is not None)
    delta = snapshot(new, directory, heldout_share=plan.data.heldout)
    if not delta.train_rows:
        more = "; `germline evolve --set data.heldout=0` holds nothing back" if delta.heldout_rows else ""
        unlearned = _books({"held out": delta.heldout_rows, **delta.refused})
        raise NothingNew(
            f"there is nothing new to learn: of {delta.rows_in} rows none is learned ({unlearned})",
            hint=f"`germline feed PATH` adds a source{more}",
        )
    on_event(Event(
        kind="note", data=plain(replace(delta, train=Path(TRAIN), heldout=Path(HELDOUT))),
        text=f"{delta.rows_in} rows in: {delta.train_rows} to learn, {delta.heldout_rows} held out"
        + (f", {sum(delta.refused.values())} refused ({_books(delta.refused)})" if delta.refused else ""),
    ))  # fmt: skip
    return delta


def _first(most: int, rows: Iterator[Row | Refusal], *, whole: bool) -> Iterator[Row | Refusal]:
    """Up to the row number `most`, refusals not counted; all where it is 0. `whole` goes through the rest of the file
    that this row is of, at the end of which its bytes are compared with the whitelist again."""
    taken, begun = 0, ""
    for row in rows:
        taken += isinstance(row, Row)
        if not most or taken <= most:
            begun = row.source
            yield row
        elif not whole or row.source != begun:
            return


def _books(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count)


def _learned(lineage: Lineage, head: Generation) -> Digests:
    """Content of every row that HEAD or an ancestor of it was given, held out or not."""
    return Digests(
        row.content_digest
        for generation in lineage.ancestry(head)[1:]
        for name in (TRAIN, HELDOUT)
        for row in lineage.rows(generation, name)
    )
