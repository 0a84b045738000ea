"""`germline pin`"""

from __future__ import annotations

import click

from germline.cli import options, output
from germline.pinning import pin
from germline.settings import load_plan
from germline.store.home import Home


@click.command("pin", epilog=options.examples("germline pin", "germline pin --json"))
@options.home
@options.as_json
def command(home: Home, as_json: bool) -> None:
    """Pin the laws that the plan names, as they are now.

    From here on `germline evolve` stops if a byte of them changes, or one comes or goes, until they are
    pinned anew. Shows what differs from the laws pinned before. In a lineage with an arbiter only the
    arbiter's key can pin.
    """
    plan = load_plan(home.plan)
    changes, pinned = pin(home, plan)
    if as_json:
        output.say_json({"pinned": bool(changes), "changes": changes, "laws": pinned})
    elif changes:
        output.say([*changes, f"pinned: {pinned}"])
    elif plan.exams.laws:
        output.say("these laws are pinned already; nothing to do")
    else:
        output.say("the plan names no laws (exams.laws), and none is in force; nothing to do")
