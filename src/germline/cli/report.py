"""`germline report`"""

from __future__ import annotations

from pathlib import Path

import click

from germline.cli import options, output
from germline.lineage import Lineage
from germline.report import static
from germline.store.home import Home


@click.command("report", epilog=options.examples("germline report", "germline report -o lineage.html"))
@click.option(
    "-o", "--output", "path", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    default=Path("report.html"), show_default=True, help="A new file; one that is there is not written over.",
)  # fmt: skip
@options.home
@options.as_json
def command(path: Path, home: Home, as_json: bool) -> None:
    """The lineage as one HTML file.

    The tree and a card for every generation, as the page of `germline serve` shows them, without a server, a script
    or any other file.
    """
    home.require_outside(path)
    data = static.html(Lineage.open(home)).encode()
    output.write_file(path, data)
    if as_json:
        output.say_json({"report": path, "bytes": len(data)})
    else:
        output.say(f"{path}, {len(data):,} bytes")
