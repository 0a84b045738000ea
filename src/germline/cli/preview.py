"""`germline preview`"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from germline.cli import options, output, progress
from germline.lineage import Lineage
from germline.records import plain
from germline.settings import load_plan
from germline.store.home import BEGUN, Home

if TYPE_CHECKING:
    from germline.preview import Preview

FEW = 5
"""Facts that are shown without --facts."""
WIDTH = 100


@click.command(
    "preview",
    epilog=options.examples(
        "germline preview", "germline preview --facts", "germline preview -S data.rows=500", "germline preview --json"
    ),
)
@options.overrides
@options.plan_file
@click.option("--facts", "all_facts", is_flag=True, help=f"Show all facts that are found, not the first {FEW}.")
@options.home
@options.as_json
def command(overrides: tuple[str, ...], file: Path | None, all_facts: bool, home: Home, as_json: bool) -> None:
    """Show what `germline evolve` would teach, and train nothing.

    The sources are read as evolve would read them: rows, what is refused and why, the facts that are found, what
    contradicts an ancestor, the questions of the exam and what HEAD answers of them already, the lesson, memory and
    time on this machine, and whether these exams let any child pass (if not, it ends with 0 all the same). The lineage
    stays as it is. An unfinished run is told of and not looked at, nor are the limits of [budget].
    """
    plan = load_plan(file or home.plan, overrides)
    from germline.preview import preview

    lineage = Lineage.open(home)
    begun = home.runs / f"g{lineage.next_number}" / BEGUN
    if begun.exists():
        output.note(
            f"g{lineage.next_number} is begun, and `germline evolve` goes on with it as it was begun; what follows is "
            "what `germline evolve --restart` would begin"
        )
    with progress.report(as_json=False) as on_event:
        found = preview(lineage, plan, on_event)
    if as_json:
        output.say_json(_document(found))
    else:
        output.say(_lines(found, len(found.facts) if all_facts else FEW))


def _document(found: Preview) -> dict[str, Any]:
    document: dict[str, Any] = plain(found)
    del document["delta"]["train"], document["delta"]["heldout"]
    return {**document, "fit": found.fit.to_json()}


def _lines(found: Preview, facts: int) -> list[str]:
    known, asked = found.known, found.asked
    total = found.tokens + found.anchored
    exam = (
        f"{asked['recall']} questions as taught, {asked['wording']} in unseen wordings, {asked['heldout']} held-out "
        f"conversations, {asked['passages']} passages; {asked['laws']} law cards and {asked['cards']} challenge cards, "
        "ancestors' included"
    )
    several = f"each of {found.candidates} candidates: " if found.candidates > 1 else ""
    lesson = (
        f"{several}{found.steps} steps, {total:,} tokens: {found.tokens - found.replayed:,} of the delta, "
        f"{found.replayed:,} repeated from ancestors, about {found.anchored:,} to stay as the founder was"
    )
    told = [
        *(("told", note) for note in found.notes),
        ("facts", f"{len(found.facts)} found" + (", as in" if facts < len(found.facts) else "")),
        *(("", f"{fact.unit}: {fact.value}") for fact in found.facts[:facts]),
        ("exam", exam),
        ("known", f"{found.parent} answers {known.right} of these {known.items} as taught" if known.items else "-"),
        ("inherited", f"{found.inherited} facts and conversations of ancestors are asked again"),
        ("lesson", lesson),
        *(("fit", reason) for reason in found.fit.reasons),
        ("verdict", _verdict(found)),
    ]
    width = max(len(name) for name, _ in told)
    lines = [f"{found.child} would be a child of {found.parent}; nothing is trained, and the lineage is as it was"]
    before = ""
    for name, text in told:
        lead = "" if name == before else name
        before = name
        lines += textwrap.wrap(text, WIDTH, initial_indent=f"  {lead:<{width}}  ", subsequent_indent=" " * (width + 4))
    return lines


def _verdict(found: Preview) -> str:
    if found.foreseen.outcome == "promoted":
        return f"{found.child} becomes HEAD if it learns this, and keeps what its ancestors knew"
    return f"{found.child} cannot become HEAD, however well it learns (see above)"
