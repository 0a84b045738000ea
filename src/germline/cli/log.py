"""`germline log`"""

from __future__ import annotations

import click

from germline.cli import options, output
from germline.lineage import Lineage
from germline.report import history
from germline.store.home import Home


@click.command("log", epilog=options.examples("germline log", "germline log --json"))
@options.home
@options.as_json
def command(home: Home, as_json: bool) -> None:
    """Every generation, promoted or not, oldest first.

    rows and facts: the delta. loss: at the end of training. recall, general(ization), spoken: shares
    right. style: tone probes that drift. laws, cards: held and passed. moved: relative weight change.
    The last line tells whether HEAD's line, without what was refused or left behind by a rollback, still
    grows, stands still or is mature, as `[maturity]` in the plan has it.
    """
    record = history.document(Lineage.open(home))
    if as_json:
        output.say_json(record)
    else:
        output.say(history.lines(record))
