"""`germline archive`"""

from __future__ import annotations

from pathlib import Path

import click

from germline.cli import options, output, progress
from germline.lineage import Lineage
from germline.report.tables import size
from germline.store.archive import archive
from germline.store.home import Home


@click.command("archive", epilog=options.examples("germline archive g3", "germline archive HEAD -o /mnt/cold/aria.tar"))
@click.argument("name", metavar="[GEN]", default="HEAD")
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Where to write it.")
@options.home
@options.as_json
def command(name: str, out: Path | None, home: Home, as_json: bool) -> None:
    """Put one generation into cold storage.

    One read-only tar file holds it, its ancestors, the whole ledger and a stand-alone verifier; FILE.sha256 lies
    beside it. The same lineage gives the same bytes. FILE is GEN-HASH.tar in the working directory if left out, and
    is never overwritten.
    """
    meant = Lineage.open(home).resolve(name)
    path = out or Path(f"{meant.name}-{meant.digest[7:19]}.tar")
    with progress.files("archiving") as on_file:
        made = archive(home, meant.digest, path, on_file)
    if as_json:
        output.say_json({"id": meant.name, "generation": meant.digest, "file": path, "sha256": made.digest[7:],
                         "bytes": made.size})  # fmt: skip
    else:
        output.say([f"{made.digest[7:]}  {path}", f"{meant.name} {meant.digest}, {size(made.size)}"])
