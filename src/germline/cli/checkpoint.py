"""`germline checkpoint`"""

from __future__ import annotations

import click

from germline.cli import options, output
from germline.lineage import Lineage
from germline.store import witness
from germline.store.home import Home


@click.command("checkpoint", epilog=options.examples("germline checkpoint", "germline checkpoint >> ~/checkpoints.txt"))
@options.home
@options.as_json
def command(home: Home, as_json: bool) -> None:
    """Print one signed line that says what the ledger holds now.

    Keep it where this machine cannot change it: on paper, in a mail. `germline verify --checkpoint LINE`
    then finds, at any later time, whether anything up to here was rewritten, cut off or rolled back.
    """
    line = witness.checkpoint(home, Lineage.open(home).entries)
    if as_json:
        output.say_json({"checkpoint": line})
    else:
        output.say(line)
