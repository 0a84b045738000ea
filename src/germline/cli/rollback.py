"""`germline rollback`"""

from __future__ import annotations

import click

from germline.cli import options, output
from germline.rollback import move
from germline.store.home import Home


@click.command("rollback", epilog=options.examples("germline rollback g2", "germline rollback HEAD~1"))
@click.argument("name", metavar="GEN")
@options.home
@options.as_json
def command(name: str, home: Home, as_json: bool) -> None:
    """Make an earlier generation HEAD again. Appends to the ledger; deletes nothing.

    The next `germline evolve` grows from there. Going forward again is a rollback too.
    """
    before, after = move(home, name)
    moved = before.digest != after.digest
    if as_json:
        output.say_json({"moved": moved, "from": before.name, "head": after.name, "generation": after.digest})
    elif moved:
        output.say(f"HEAD is {after.name} (it was {before.name})")
    else:
        output.say(f"HEAD is {after.name} already; nothing to do")
