"""`germline diff`"""

from __future__ import annotations

import click

from germline.cli import options, output
from germline.lineage import Lineage
from germline.report import comparison
from germline.store.home import Home


@click.command("diff", epilog=options.examples("germline diff g2 g3", "germline diff HEAD~1 HEAD --json"))
@click.argument("one", metavar="A")
@click.argument("other", metavar="B")
@options.home
@options.as_json
def command(one: str, other: str, home: Home, as_json: bool) -> None:
    """Two generations side by side.

    Marks on the exams that both sat, rows that only one has learned, plans, and how far each layer moved.
    """
    lineage = Lineage.open(home)
    compared = comparison.document(lineage, lineage.resolve(one), lineage.resolve(other))
    if as_json:
        output.say_json(compared)
    else:
        output.say(comparison.lines(compared, output.symbols()))
