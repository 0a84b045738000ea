"""`germline approve`"""

from __future__ import annotations

import click

from germline.approval import approve
from germline.cli import options, output
from germline.records import plain
from germline.report import tables
from germline.store.home import Home


@click.command("approve", epilog=options.examples("germline approve g4", "germline approve g4 --json"))
@click.argument("name", metavar="GEN")
@options.home
@options.as_json
def command(name: str, home: Home, as_json: bool) -> None:
    """Promote a child that was proposed, with the second key.

    In a lineage with an arbiter a child that passes the gate is only proposed. Here its marks are judged
    again and its weights checked by hash; then the entry that moves HEAD is signed with the key that did
    not sign the proposal, which must be on this machine. Exit code 4 if the proposal is not what it says.
    """
    child, verdict, entry = approve(home, name)
    signer = ", ".join(map(home.charter.owner, entry.signatures))
    if as_json:
        output.say_json({
            "approved": child.name, "generation": child.digest, "head": child.name, "signed_by": signer,
            "entry": entry.digest, "verdict": plain(verdict),
        })  # fmt: skip
        return
    output.say(f"approved by the {signer}; HEAD is {child.name}")
    output.say(tables.indented(tables.checks(plain(verdict), output.symbols())))
