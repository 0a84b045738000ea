"""`germline replay`"""

from __future__ import annotations

import click

from germline.cli import options, output, progress
from germline.errors import GermlineError
from germline.lineage import Lineage
from germline.store.home import Home

DIFFERS = 1
"""The exit code of a generation that did not come out as it was born."""


@click.command("replay", epilog=options.examples("germline replay g3", "germline replay g3 --threads 1 --anyway"))
@click.argument("name", metavar="[GEN]", default="HEAD")
@click.option("--threads", type=click.IntRange(min=1), help="Train with so many threads instead of those recorded.")
@click.option("--anyway", is_flag=True, help="Train also where the result can hardly be the same here.")
@options.home
@options.as_json
def command(name: str, threads: int | None, anyway: bool, home: Home, as_json: bool) -> int:
    """Train a generation again, and compare.

    Adapter, merged weights and id must come out the same to the last bit, or the first thing that differs is named.
    What this machine has otherwise than the one of its birth is told first. The lineage is not changed. Exit code 1
    if it differs.
    """
    lineage = Lineage.open(home)
    meant = lineage.resolve(name)
    from germline.replay import fit_of, replay

    fit, otherwise = fit_of(meant, threads)
    if otherwise and not anyway:
        raise GermlineError(
            f"{meant.name} cannot be promised to come out the same here: {'; '.join(otherwise)}",
            hint="--anyway trains it nevertheless, and names the first thing that differs",
        )
    with progress.report(as_json=as_json) as on_event:
        found = replay(lineage, meant, fit, on_event)
    if as_json:
        output.say(output.json_line({
            "event": "outcome", "id": meant.name, "same": found.same, "otherwise": otherwise,
            "expected": found.expected, "found": found.found, "first": found.first,
        }))  # fmt: skip
    elif found.same:
        output.say([f"{meant.name} came out the same: {found.found}", *(f"although {one}" for one in otherwise)])
    else:
        output.say([f"{meant.name} came out as {found.found}, not as {found.expected}"])
        output.say([f"first: {found.first}", *(f"because {one}, perhaps" for one in otherwise)])
    return 0 if found.same else DIFFERS
