"""Age-ups that karma pays for: is one due, what is learned of feedback, and what came of it.

The child grows in a process of its own, at low priority: a server beside it goes on answering, and a crash there is
none here. What came of an age-up is read from the ledger, not from that process: whoever dies in between, the next call
sees whether its karma was spent. Karma is spent by a promotion alone.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from germline import company
from germline.errors import BudgetSpent, GermlineError, Interrupted, Locked, PlanError
from germline.karma import harvest
from germline.karma.book import Attempt, Book
from germline.karma.policy import Due, due
from germline.lineage import Lineage
from germline.records import Event, OnEvent
from germline.settings import Plan
from germline.store import ledger, lock
from germline.store.entry import APPROVES
from germline.store.home import Home

STOPPED: dict[int, type[GermlineError]] = {
    kind.exit_code: kind for kind in (Interrupted, BudgetSpent, Locked, PlanError)
}
"""How `germline evolve` ends where nothing came of it that could be judged or has failed: the same call may be made
again as soon as its cause is gone."""
NOT_BEGUN = "not begun"
"""What became of an attempt that another germline, or a plan that cannot be followed, kept from beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How the process of a child ended: its exit code, and what it said of it."""

    code: int
    message: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aged:
    """What a call came to."""

    due: Due
    outcome: str
    """`promoted`, `proposed`, `refused`, `inconclusive`, `failed`; empty where nothing was due."""
    harvested: int = 0


def look(home: Home, plan: Plan, book: Book, now: datetime | None = None) -> Due:
    """Whether an age-up is due now; first, what came of the last is written down if it was not yet."""
    lineage = Lineage.open(home)
    settle(lineage, book)
    generations = sum(entry.kind == "promoted" for entry in lineage.entries)
    moment = now or datetime.now(UTC)
    return due(book.events(), book.attempts(), plan.karma, generations=generations, now=moment)


def settle(lineage: Lineage, book: Book) -> None:
    """Write down what the ledger says of attempts whose end is not known: killed ones, and proposals.

    A proposal that can no longer be approved was refused. If HEAD goes back to where it can be and it is approved
    after all, it was promoted, and is paid for.
    """
    for attempt in book.attempts():
        outcome = _outcome(lineage, attempt) if attempt.outcome in ("", "proposed", "refused") else attempt.outcome
        if outcome != attempt.outcome and (attempt.outcome != "refused" or outcome == "promoted"):
            book.end(attempt, outcome)


def age_up_if_due(home: Home, plan: Plan, on_event: OnEvent, *, options: tuple[str, ...] = ()) -> Aged:
    """Grow a child if karma pays for one. `options` go to `germline evolve` as they are.

    Interrupted where Ctrl-C stopped it (it goes on with the next call), BudgetSpent where its budget did, Locked where
    another germline is at work, PlanError where the plan cannot be followed. An attempt that these two kept from
    beginning is over: what another germline grows meanwhile is not paid by it, and nothing waits for a cooldown.
    """
    book = Book(home)
    try:
        found = look(home, plan, book)
        if not found.ready:
            return Aged(due=found, outcome="")
        with lock.hold(home):  # nothing is taken for an age-up that could not begin now
            attempts = book.attempts()
            open_ones = [attempt for attempt in attempts if not attempt.outcome]
            not_begun = bool(attempts) and attempts[-1].outcome == NOT_BEGUN
            count = _harvest(home, plan, book, goes_on=bool(open_ones) or not_begun)
            attempt = open_ones[-1] if open_ones else book.begin(found.through, len(Lineage.open(home).entries))
        on_event(Event(kind="stage", text=f"an age-up is due: {found.reason}; {count} conversations of feedback"))
        ended = _evolve(home, plan, on_event, options)
        if stopped := STOPPED.get(ended.code):
            if stopped in (Locked, PlanError) and not open_ones:
                book.end(attempt, NOT_BEGUN)
            raise stopped(ended.message or "the age-up was stopped", hint=ended.hint)
        outcome = _outcome(Lineage.open(home), attempt) or "failed"
        if outcome == "failed":
            why = "; ".join(filter(None, [ended.message or f"exit code {ended.code}", ended.hint]))
            on_event(Event(kind="note", text=f"the age-up failed: {why}"))
        book.end(attempt, outcome)
        return Aged(due=found, outcome=outcome, harvested=count)
    finally:
        book.close()


def _harvest(home: Home, plan: Plan, book: Book, *, goes_on: bool) -> int:
    """Let the folder of feedback hold what people and the plan say now; how many conversations are new in it.

    Where the plan keeps no conversations, none may be learned. An age-up that `goes_on`, or could not begin last time,
    has taken its share already.
    """
    exchanges = book.exchanges() if plan.karma.keep_conversations else {}
    lessons = harvest.lessons(book.events(), exchanges, plan.karma)
    harvest.drop_others(home.root, lessons)
    return 0 if goes_on else harvest.write(home.root, lessons, plan.karma.cap)


def _outcome(lineage: Lineage, attempt: Attempt) -> str:
    """What the ledger says of the first child since an attempt began; empty if there is none yet.

    `refused` also for one that was proposed and waits no longer: HEAD or the laws are not what it was judged by.
    """
    since = lineage.entries[attempt.entries :]
    birth = next((entry for entry in since if entry.is_birth), None)
    if birth is None:
        return ""
    approved = any(entry.generation == birth.generation and APPROVES in entry.body for entry in since)
    if approved:
        return "promoted"
    lost = birth.kind == "proposed" and birth not in ledger.waiting(lineage.home, lineage.entries)
    return "refused" if lost else birth.kind


def _lower(process: psutil.Process) -> None:
    """Give it less of the processor than others get, unless it has no more already; none but root may raise it."""
    with suppress(psutil.Error):  # a courtesy: nothing depends on it
        if sys.platform == "win32":
            process.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
        else:
            process.nice(max(10, process.nice()))


def _evolve(home: Home, plan: Plan, on_event: OnEvent, options: tuple[str, ...]) -> Ended:
    """`germline evolve` in a process of its own, at low priority. Its events come here, and what else it says.

    -P: no module is taken from the working directory, which may be anybody's folder of texts.
    """
    command = [sys.executable, "-P", "-m", "germline", "--home", str(home.root), "evolve", "--json", *options]
    sources = [*plan.data.sources]
    learned = plan.karma.keep_conversations and harvest.is_there(home.root)  # an empty source would be an error
    if learned and harvest.FOLDER not in sources:
        command += ["--set", f"data.sources={json.dumps([*sources, harvest.FOLDER], ensure_ascii=False)}"]
    pipe, mixed = subprocess.PIPE, subprocess.STDOUT
    said: dict[str, str] = {}
    environment = dict(os.environ) if company.CHOSEN & os.environ.keys() else {**os.environ, **company.ASLEEP}
    with subprocess.Popen(
        command, stdout=pipe, stderr=mixed, text=True, encoding="utf-8", errors="replace", env=environment
    ) as process:
        _lower(psutil.Process(process.pid))
        assert process.stdout is not None
        try:
            for line in process.stdout:
                told = _event(line)
                if told.kind == "exit":
                    said = {key: str(told.data.get(key, "")) for key in ("message", "hint")}
                elif told.text or told.data:
                    on_event(told)
            return Ended(code=process.wait(), **said)
        except KeyboardInterrupt:
            if not _by_terminal():  # which sends it there, too; a second one would not wait for the step's end
                process.send_signal(signal.SIGINT)
            process.communicate()  # it leaves a run that can go on, and may tell of it at length
            raise
        finally:
            if process.poll() is None:
                process.terminate()


def _by_terminal() -> bool:
    """Whether Ctrl-C came from a terminal, to all of this process's group. On Windows it always does."""
    if sys.platform == "win32":
        return True
    try:
        with Path("/dev/tty").open("rb", buffering=0) as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:  # there is none
        return False


def _event(line: str) -> Event:
    """What a line of the child's tells; one that is none of its own, such as a library's warning, as a note."""
    try:
        told: dict[str, Any] = json.loads(line)
        kind = told.pop("event")
        if kind == "outcome":
            return Event(kind=kind, text=f"{told['id']} was {told['kind']}; HEAD is {told['head']}", data=told)
        if kind == "exit":
            return Event(kind=kind, text="", data=told)
        return Event(kind=kind, text=told.get("text", ""), data=told.get("data", {}))
    except (ValueError, KeyError, TypeError, AttributeError):
        return Event(kind="note", text=line.rstrip())
