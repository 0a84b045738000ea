"""`germline diff`"""

from __future__ import annotations

from pathlib import Path

import click

from germline.cli import options, output
from germline.lineage import Lineage
from germline.report import comparison, weights
from germline.store.home import Home


@click.command(
    "diff",
    epilog=options.examples(
        "germline diff g2 g3", "germline diff g2 g3 --picture g3.svg", "germline diff HEAD~1 HEAD --json"
    ),
)
@click.argument("one", metavar="A")
@click.argument("other", metavar="B")
@click.option(
    "--picture",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Draw how far each tensor of B moved from its parent, as SVG, to a new file.",
)
@options.home
@options.as_json
def command(one: str, other: str, picture: Path | None, home: Home, as_json: bool) -> None:
    """Two generations side by side.

    Marks on the exams that both sat, rows that only one has learned, plans, and how far each layer moved.
    """
    if picture is not None:
        home.require_outside(picture)
    lineage = Lineage.open(home)
    compared = comparison.document(lineage, lineage.resolve(one), lineage.resolve(other))
    if picture is not None:
        output.write_file(picture, weights.drawn(lineage, lineage.resolve(other)).encode("utf-8"))
    if as_json:
        output.say_json(compared)
    else:
        output.say(comparison.lines(compared, output.symbols()))
