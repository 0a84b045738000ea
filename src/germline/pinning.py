"""The laws that a plan names put into force: from then on they are those that bind."""

from __future__ import annotations

from contextlib import suppress

from germline import sources
from germline.errors import GermlineError
from germline.lineage import LAW_BOOK, Lineage
from germline.records import Digest, digest_of
from germline.settings import Plan
from germline.store import disk, ledger, lock, objects
from germline.store.entry import LAWS
from germline.store.home import Home


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
            with suppress(GermlineError):  # the laws are in force
                disk.remove_tree(home.root, staging)
        return changes, digest_of(book)
