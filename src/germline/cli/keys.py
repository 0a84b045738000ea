"""`germline keys`"""

from __future__ import annotations

import click

from germline.cli import options, output
from germline.store import keys


@click.command("keys", epilog=options.examples("germline keys", "germline keys --new"))
@click.option("--new", is_flag=True, help="Make a key first, for an arbiter.")
@options.as_json
def command(new: bool, as_json: bool) -> None:
    """List the keys that can sign on this machine.

    Each with its public half and the file to back up. What lies beside them and cannot sign is told of.
    `germline init` makes a trainer's key by itself. An arbiter runs `germline keys --new` on a machine of
    their own and gives the public half to `germline init --arbiter`.
    """
    made = keys.make() if new else None
    there, failures = keys.on_this_machine()
    found = [{"public": public, "file": keys.shown(path), "new": public == made} for public, path in there]
    if as_json:
        output.say_json({"keys": found})
    else:
        output.say(
            [f"{one['public']}  {one['file']}{'  (new)' if one['new'] else ''}" for one in found]
            or ["there is no key on this machine; `germline init` makes one, and `germline keys --new`"]
        )
    for failure in failures:
        output.note(f"{failure.message}: {failure.hint}")
    for public, path in there:
        if not keys.is_here(public):
            output.note(f"{path} does not sign under this name: call it {keys.path_of(public).name}")
