"""`germline prune`"""

from __future__ import annotations

import click

from germline.cli import options, output
from germline.report.tables import columns, size
from germline.store.home import Home
from germline.store.prune import KEEP_WEIGHTS, prune


@click.command("prune", epilog=options.examples("germline prune --dry-run", "germline prune --keep-weights 1"))
@click.option("--dry-run", is_flag=True, help="Show what would go, and remove nothing.")
@click.option(
    "--keep-weights", type=click.IntRange(0), default=KEEP_WEIGHTS, show_default=True, metavar="N",
    help="Merged weights to keep, HEAD's first, then its nearest ancestors'.",
)  # fmt: skip
@options.home
@options.as_json
def command(dry_run: bool, keep_weights: int, home: Home, as_json: bool) -> None:
    """Remove what no ledger entry reaches, to free disk space.

    Merged weights go, too: they are made again when they are needed. Nothing that belongs to a generation in the
    ledger is ever removed, refused ones included.
    """
    items = prune(home, keep_weights=keep_weights, dry_run=dry_run)
    gone = [item for item in items if not item.in_use]
    freed = sum(item.size for item in gone)
    if as_json:
        output.say_json({"dry_run": dry_run, "bytes": freed, "items": items})
        return
    output.say(columns([(size(item.size), item.path, item.what) for item in gone], right=(0,)) if gone else ())
    told = "would free" if dry_run else "freed"
    output.say(f"{told} {size(freed)} in {len(gone)} places" if gone else "nothing to do")
    for item in items:
        if item.in_use:
            output.note(f"{item.path} stays: another process is reading it, or it may not be removed")
