"""`germline rollback`"""

from __future__ import annotations

import click

from germline.cli import options, output
from germline.errors import PlanError
from germline.lineage import Generation, Lineage
from germline.store import ledger, lock
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


def move(home: Home, name: str) -> tuple[Generation, Generation]:
    """Make `name` HEAD and return HEAD before and after; no entry is written where they are the same.

    One key is enough, of two as well. PlanError for a generation that was not promoted. Takes the lock.
    """
    with lock.hold(home):
        lineage = Lineage.open(home)
        before, after = lineage.head, lineage.resolve(name)
        outcome = lineage.outcome(after)
        if outcome not in ("founded", "promoted"):
            raise PlanError(
                f"{after.name} cannot be HEAD: it was {outcome}",
                hint=f"`germline show {after.name}` says why; `germline log` lists the promoted ones",
            )
        if before.digest != after.digest:
            ledger.append(home, "rolled_back", after.digest, after.number, {"from": before.number})
        return before, after
