"""What the plan's sources hold that no ancestor of the next child has seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from germline.corpus import json_records
from germline.corpus.clean import Digests, keep
from germline.corpus.read import FILE_TYPES, read
from germline.corpus.split import is_held_out, snapshot
from germline.corpus.whitelist import read_whitelist
from germline.errors import DataError, NothingNew
from germline.lineage import HELDOUT, TRAIN, Generation, Lineage
from germline.records import Delta, Event, OnEvent, Refusal, Row, plain
from germline.settings import Data, Plan

NAMED = 3
"""Places of each reason that are named; what is more is counted."""
UNREAD = "nothing is read of a .json file behind a record that cannot be; a .jsonl goes on with the next line"
CURES = {
    "unknown file type": f"files are read that end in {', '.join(FILE_TYPES)}; pandoc makes .md of .docx, .html and "
    ".epub, pdftotext .txt of .pdf, and a sheet is read as a Markdown table",
    "not UTF-8": "save it as UTF-8",
    "not valid text": "save it as text in UTF-8",
    "unknown shape": 'write conversations as {"messages": [{"role": "user", "content": "…"}, …]}, or in another shape '
    "that README names",
    **dict.fromkeys(("nested too deeply", "number too large", "broken JSON"), UNREAD),
    "record too long": f"a record has at most {json_records.LONGEST >> 20} MiB: write it as several, a long chat by "
    f"exporting some months at a time; {UNREAD}",
    "unknown role": 'the sides of a conversation are "user" and "assistant", or names for them such as human, gpt and '
    "bot: put these in place of others; of people's names `data.persona` says whose words are learned",
    "nobody is the persona": 'in a chat between people `data.persona = ["NAME"]` in the plan says whose words are '
    "learned, written as it stands there; of Discord's the account's, of Telegram's and Discord's the id will do",
    "unknown form of chat": "it is called as WhatsApp calls its exports, but its first line has no known stamp; "
    "under another name it is read as a document",
}


def read_new(lineage: Lineage, plan: Plan, directory: Path, on_event: OnEvent) -> Delta:
    """The delta of HEAD's next child, read now and kept in `directory`, which is made.

    Raises NothingNew where there is nothing new to learn, DataError where a source cannot be read, PlanError for a
    whitelist that is none; what was written by then is for the caller to remove.
    """
    if not plan.data.sources:
        raise DataError("the plan names no sources", hint="`germline feed PATH` adds a file or a folder")
    whitelist = read_whitelist(lineage.home.root / plan.data.whitelist) if plan.data.whitelist else None
    rows = read(
        plan.data.sources, lineage.home.root, voice=plan.data.voice, persona=plan.data.persona,
        strict=plan.data.strict, whitelist=whitelist,
    )  # fmt: skip
    new = _first(plan.data, keep(rows, seen=_learned(lineage, lineage.head)), whole=whitelist is not None)
    files: dict[str, list[str]] = {}
    delta = snapshot(_noting(new, files), directory, heldout_share=plan.data.heldout)
    if not delta.train_rows:
        cures = [CURES[reason] for reason in files if reason in CURES] or ["`germline feed PATH` adds a source"]
        cures += ["`germline evolve --set data.heldout=0` holds nothing back"] * bool(delta.heldout_rows)
        unlearned = _books({"held out": delta.heldout_rows, **delta.refused}, files)
        raise NothingNew(
            f"there is nothing new to learn: of {delta.rows_in} rows none is learned ({unlearned})",
            hint="; ".join(cures),
        )
    on_event(Event(
        kind="note", data={**plain(replace(delta, train=Path(TRAIN), heldout=Path(HELDOUT))), "files": files},
        text=f"{delta.rows_in} rows in: {delta.train_rows} to learn, {delta.heldout_rows} held out"
        + (f", {sum(delta.refused.values())} refused ({_books(delta.refused, files)})" if delta.refused else ""),
    ))  # fmt: skip
    for reason in files:
        if reason in CURES:
            on_event(Event(kind="note", text=f"{delta.refused[reason]} {reason}: {CURES[reason]}"))
    return delta


def _noting(rows: Iterable[Row | Refusal], places: dict[str, list[str]]) -> Iterator[Row | Refusal]:
    """The rows; where the first were refused goes to `places`, by reason: files, and records that could be mended."""
    for row in rows:
        if isinstance(row, Refusal) and (row.position == 0 or row.reason in CURES):
            named = places.setdefault(row.reason, [])
            if len(named) < NAMED:
                named.append(f"{row.source}:{row.position}" if row.position else row.source)
        yield row


def _first(settings: Data, rows: Iterator[Row | Refusal], *, whole: bool) -> Iterator[Row | Refusal]:
    """Up to row number `data.rows` of those that will be trained on; all where it is 0. `whole` goes through the rest
    of the file that this row is of, at the end of which its bytes are compared with the whitelist again."""
    most, taken, begun = settings.rows, 0, ""
    for row in rows:
        taken += most > 0 and isinstance(row, Row) and not is_held_out(row, settings.heldout)
        if not most or taken <= most:
            begun = row.source
            yield row
        elif not whole or row.source != begun:
            return


def _books(counts: Mapping[str, int], files: Mapping[str, Sequence[str]]) -> str:
    def told(what: str, count: int) -> str:
        names = files.get(what, ())
        return f"{count} {what}" + (": " + ", ".join(names) + ", …" * (count > len(names)) if names else "")

    return ", ".join(told(what, count) for what, count in counts.items() if count)


def _learned(lineage: Lineage, head: Generation) -> Digests:
    """Content of every row that HEAD or an ancestor of it was given, held out or not."""
    return Digests(
        row.content_digest
        for generation in lineage.trained_line(head)
        for name in (TRAIN, HELDOUT)
        for row in lineage.rows(generation, name)
    )
