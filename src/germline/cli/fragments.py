"""`germline fragments`"""

from __future__ import annotations

import click

from germline.cli import options, output
from germline.errors import PlanError
from germline.lineage import Lineage
from germline.records import plain
from germline.settings import load_plan
from germline.store.home import Home


@click.command("fragments", epilog=options.examples("germline fragments", "germline fragments g1 g3 --json"))
@click.argument("before", metavar="[GEN", required=False)
@click.argument("after", metavar="GEN]", required=False)
@options.home
@options.as_json
def command(before: str | None, after: str | None, home: Home, as_json: bool) -> None:
    """What became of the plan's fragments.

    How far each moved from one generation to another, and whether it still knows its own examples from the others'.
    From HEAD's parent to HEAD if left out. What a server does where a fragment is lost is `fragments.lost`.
    """
    from germline.fragments import remap, represent
    from germline.speaker import Speaker, usual_arithmetic

    named = load_plan(home.plan).fragments.named
    if not named:
        raise PlanError(f"{home.plan} names no fragments", hint="[[fragments.named]] with name and examples")
    lineage, on = Lineage.open(home), usual_arithmetic(home)
    meant = [lineage.resolve(name) for name in (before or "HEAD~1", after or "HEAD")]
    known = [represent(Speaker.of(lineage, one, on), one.digest, named) for one in meant]
    moved = remap(*known)
    if as_json:
        output.say_json({"before": meant[0].name, "after": meant[1].name,
                         "fragments": [{**plain(one), "lost": one.lost} for one in moved]})  # fmt: skip
        return
    output.say(f"{'fragment':20} moved  knows itself  neighbours   {meant[0].name} to {meant[1].name}")
    output.say(
        f"{one.name:20} {one.distance:5.2f}  {one.recognized_before:4.0%} > {one.recognized:4.0%}   "
        f"{'kept' if one.neighbours_kept else 'changed'}{'   LOST' if one.lost else ''}"
        for one in moved
    )
