"""`germline pin`"""

from __future__ import annotations

import click

from germline import sources
from germline.cli import options, output
from germline.lineage import LAW_BOOK, Lineage
from germline.records import Digest, digest_of
from germline.settings import Plan, load_plan
from germline.store import disk, ledger, lock, objects
from germline.store.entry import LAWS
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
    changes, pinned = pin(home, load_plan(home.plan))
    if as_json:
        output.say_json({"pinned": bool(changes), "changes": changes, "laws": pinned})
    elif changes:
        output.say([*changes, f"pinned: {pinned}"])
    else:
        output.say("these laws are pinned already; nothing to do")


def pin(home: Home, plan: Plan) -> tuple[list[str], Digest]:
    """Put the plan's laws into force; how they differ from those before, and their digest. Takes the lock."""
    with lock.hold(home):
        lineage = Lineage.open(home)
        book = sources.law_book(plan.exams, home.root)
        changes = sources.law_changes(sources.pinned_book(lineage), book)
        if changes:
            ledger.require_ready(home, "pinned")
            staging = home.runs / "pin"
            disk.make_directory(staging)  # until an entry names the book, verify calls it pending
            head, kept = lineage.head, objects.put(home, book)
            ledger.append(home, "pinned", head.digest, head.number, {LAWS: kept.digest}, files={LAW_BOOK: kept})
            disk.remove_tree(home.root, staging)
        return changes, digest_of(book)
