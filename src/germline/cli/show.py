"""`germline show`"""

from __future__ import annotations

import click

from germline.cli import options, output
from germline.lineage import Lineage
from germline.report import exams, generation
from germline.store.home import Home


@click.command(
    "show",
    epilog=options.examples("germline show g3", "germline show HEAD~1", "germline show g4 --answers recall"),
)
@click.argument("name", metavar="[GEN]", default="HEAD")
@click.option(
    "--answers", "paper", type=click.Choice(exams.PAPERS), help="List every answer on one exam paper instead."
)
@options.home
@options.as_json
def command(name: str, paper: str | None, home: Home, as_json: bool) -> None:
    """Everything about one generation.

    Its verdict, delta, exams, training, cost and files. GEN is g7, HEAD, HEAD~1 or the beginning of a
    hash; HEAD if left out.
    """
    lineage = Lineage.open(home)
    meant = lineage.resolve(name)
    if paper:
        found = exams.answers(exams.marks_of(lineage, meant), exams.authors(lineage, meant), paper)
        if as_json:
            output.say_json({"id": meant.name, "paper": paper, "answers": found})
        else:
            output.say(exams.answer_lines(found, output.symbols()))
        return
    shown = generation.document(lineage, meant)
    if as_json:
        output.say_json(shown)
    else:
        output.say(generation.lines(shown, output.symbols()))
