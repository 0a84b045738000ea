"""`germline verify`"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from germline.cli import options, output, progress
from germline.errors import GermlineError, StoreDamaged
from germline.lineage import Lineage
from germline.report.tables import size
from germline.store import ledger, witness
from germline.store.home import Home
from germline.store.inspection import UNNAMED, Problem
from germline.store.verify import Report, verify


def _found(context: click.Context, parameter: click.Parameter, given: Path | None) -> Home:
    """The home to verify, also where `lineage.json` itself is damaged."""
    named = options.named_home(context, given)
    try:
        return Home.find(named)
    except StoreDamaged:
        return Home(Home.meant(named).absolute())


@click.command(
    "verify",
    epilog=options.examples("germline verify", 'germline verify --checkpoint "$(tail -1 checkpoints.txt)"'),
)
@click.option("--checkpoint", metavar="LINE", help="Also that the ledger holds what `germline checkpoint` printed.")
@click.option("--deep", is_flag=True, help="Also merge every generation again from the founder, and compare.")
@options.home_path(_found)
@options.as_json
def command(home: Home, checkpoint: str | None, deep: bool, as_json: bool) -> int:
    """Read and re-hash every byte of the lineage. Lists all that is wrong; repairs and removes nothing.

    Every signature is verified, and the ledger is held against what this machine has seen of it before:
    an entry that nobody saw is called unwitnessed. Where what was seen cannot be read, a checkpoint stands in for it.
    Exit code 4 if anything is wrong. germline.toml and runs/ are the owner's and are not checked.
    """
    mark = witness.read_checkpoint(home, checkpoint) if checkpoint is not None else None
    with progress.files("verifying") as on_file:
        report = verify(home, on_file, mark)
    merged = _merged_again(home, report, deep=deep)
    problems = (*report.problems, *merged)
    if as_json:
        output.say_json({"whole": not problems, "home": home.root, "report": replace(report, problems=problems)})
    else:
        output.say(f"{problem.path} {problem.what}" for problem in problems)
        output.say(_summary(report, len(problems)))
    for noted in report.notes:
        output.note(f"{noted.path} {noted.what}")
    if problems and not as_json:
        strays = [problem for problem in problems if problem.what.startswith(UNNAMED)]
        stray = "remove what is named by nothing, unless you know what it is (a file manager's, say)"
        damaged = "restore what is damaged from a backup; a file under cache/ may be deleted, it is rebuilt"
        cures = [cure for cure, meant in ((damaged, len(strays) < len(problems)), (stray, strays)) if meant]
        output.note(f"\nhint: {'; '.join(cures)}")
    return StoreDamaged.exit_code if problems else 0


def _merged_again(home: Home, report: Report, *, deep: bool) -> list[Problem]:
    """What merging again tells: of every child, or else which bytes of damaged merged weights are wrong."""
    damaged = {"sha256:" + problem.path.rsplit("/", 1)[-1] for problem in report.problems}
    if not (deep or damaged):
        return []
    try:
        lineage = Lineage(home, ledger.entries(home))  # the report has held it against what was seen
        children = lineage.born()[1:]
        wanted = {child.digest for child in children if deep or child.manifest.weights.digest in damaged}
        if not wanted:
            return []
        from germline.remerge import remerge

        with progress.report(as_json=False) as on_event:
            return remerge(lineage, wanted, on_event)
    except GermlineError as error:
        if not report.problems:
            raise
        if deep:
            output.note(f"not merged again: {error}")
        return []


def _summary(report: Report, count: int) -> str:
    found = "whole" if not count else "1 problem" if count == 1 else f"{count} problems"
    told = f"{found}: {report.files} files, {size(report.bytes)} read"
    if report.leftovers:
        told += f", {report.leftovers} harmless leftovers of interrupted writes"
    if report.pending:
        told += f", {report.pending} files of a run in flight"
    if report.unwitnessed is not None:
        told += f", unwitnessed since entry {report.unwitnessed}"
    if report.left_out:
        told += f"\nNOT VERIFIED, because this archive does not hold them: {', '.join(report.left_out)}"
    return told
