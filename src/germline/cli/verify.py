"""`germline verify`"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from germline.cli import options, output
from germline.errors import StoreDamaged
from germline.report.tables import size
from germline.store import witness
from germline.store.home import Home
from germline.store.inspection import OnFile
from germline.store.verify import Report, verify


def _found(context: click.Context, parameter: click.Parameter, given: Path | None) -> Home:
    """The home to verify, also where `lineage.json` itself is damaged."""
    named = options.named_home(context, given)
    try:
        return Home.find(named)
    except StoreDamaged:
        named = named or (Path(os.environ["GERMLINE_HOME"]) if os.environ.get("GERMLINE_HOME") else None)
        here = Path.cwd()
        nearest = (place for place in (here, *here.parents) if os.path.lexists(Home(place).identity))
        return Home((named or next(nearest)).absolute())


@click.command(
    "verify",
    epilog=options.examples("germline verify", 'germline verify --checkpoint "$(tail -1 checkpoints.txt)"'),
)
@click.option("--checkpoint", metavar="LINE", help="Also that the ledger holds what `germline checkpoint` printed.")
@options.home_path(_found)
@options.as_json
def command(home: Home, checkpoint: str | None, as_json: bool) -> int:
    """Read and re-hash every byte of the lineage. Lists all that is wrong; repairs and removes nothing.

    Every signature is verified, and the ledger is held against what this machine has seen of it before:
    an entry that nobody saw is called unwitnessed. Exit code 4 if anything is wrong. germline.toml and runs/
    are the owner's and are not checked.
    """
    mark = witness.read_checkpoint(home, checkpoint) if checkpoint else None
    with _progress() as on_file:
        report = verify(home, on_file, mark)
    if as_json:
        output.say_json({"whole": not report.problems, "home": home.root, "report": report})
    else:
        output.say(f"{problem.path} {problem.what}" for problem in report.problems)
        output.say(_summary(report))
    if report.problems and not as_json:
        output.note("\nhint: restore what is damaged from a backup; a file under cache/ may be deleted, it is rebuilt")
    return StoreDamaged.exit_code if report.problems else 0


def _summary(report: Report) -> str:
    count = len(report.problems)
    found = "whole" if not count else "1 problem" if count == 1 else f"{count} problems"
    told = f"{found}: {report.files} files, {size(report.bytes)} read"
    if report.leftovers:
        told += f", {report.leftovers} harmless leftovers of interrupted writes"
    if report.pending:
        told += f", {report.pending} files of a run in flight"
    if report.unwitnessed is not None:
        told += f", unwitnessed since entry {report.unwitnessed}"
    return told


@contextmanager
def _progress() -> Iterator[OnFile]:
    """One counting line on a terminal's stderr, and nothing elsewhere."""
    if not sys.stderr.isatty() or os.environ.get("GERMLINE_NO_PROGRESS"):
        yield lambda path, count: None
        return
    from rich.console import Console

    files = read = 0
    with Console(stderr=True).status("verifying") as status:

        def count(path: Path, length: int) -> None:
            nonlocal files, read
            files, read = files + 1, read + length
            status.update(f"verifying: {files} files, {size(read)}")

        yield count
