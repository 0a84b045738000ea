"""`germline evolve`"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from germline import company
from germline.cli import options, output, progress
from germline.errors import NothingNew
from germline.judge.retained import OWN
from germline.lineage import Lineage
from germline.records import plain
from germline.report import history, tables
from germline.settings import Plan, load_plan
from germline.store.home import Home

if TYPE_CHECKING:
    from germline.evolve import Outcome

REFUSED = 3
"""The exit code of a child that the gate did not promote: a result, not an error."""

_LEARNED = ("learned", "generalization", "weight change")
_VOICE = ("style", "style drift")
_KEPT = ("retention", "parent", "said", "forgotten", "old text")
_CURES = {
    "it learned too little": "more curriculum.epochs, or a higher training.rank",
    "it forgot": "a higher curriculum.replay; where the new text is right and the old was not, data.revise=true",
    "its voice drifted": "fewer curriculum.epochs, or more of the persona's own replies in the delta",
}
"""What a refused child lacked, and what a plan could have otherwise."""

_NEXT = {"promoted": "germline chat", "proposed": "germline approve {}     with the second key"}


@click.command(
    "evolve",
    epilog=options.examples(
        "germline evolve",
        "germline evolve -S training.rank=32 -S curriculum.epochs=6",
        "germline evolve --until-mature -S data.rows=500",
        "germline evolve --if-due",
        "germline evolve --json",
    ),
)
@options.overrides
@options.plan_file
@click.option("--restart", is_flag=True, help="Give up an unfinished run and begin anew.")
@click.option("--if-due", is_flag=True, help="Only if karma pays for it, as [karma] in the plan has it: for cron.")
@click.option("--until-mature", is_flag=True, help="Grow one after another, until there is nothing to gain.")
@options.home
@options.as_json
def command(
    overrides: tuple[str, ...],
    file: Path | None,
    restart: bool,
    if_due: bool,
    until_mature: bool,
    home: Home,
    as_json: bool,
) -> int:
    """Grow one child of HEAD and judge it.

    It learns from the sources, sits its own exam and all its ancestors', and becomes HEAD if it passes;
    else HEAD stays where it was, and the exit code is 3. In a lineage with an arbiter a child that passes is
    only proposed: the exit code is 0, and HEAD moves with `germline approve`. Killed at any moment, the same
    command goes on where it stopped. --json prints one line per event.

    --until-mature grows child after child, `data.rows` new rows each, until one is not promoted, the sources
    hold nothing new, or the lineage stands still or is mature, as `[maturity]` in the plan has it.
    """
    plan = load_plan(file or home.plan, overrides)
    if if_due and until_mature:
        raise click.UsageError("--if-due grows one child, and --until-mature all there is to grow: take one of them")
    if if_due:
        return _if_due(home, plan, overrides, file, restart=restart, as_json=as_json)
    if room := company.make_room():
        output.say(output.json_line({"event": "note", "text": room, "data": {}})) if as_json else output.note(room)
    outcome = _grow(home, plan, restart=restart, as_json=as_json)
    while until_mature and outcome.kind == "promoted":
        now = history.maturity(Lineage.open(home), plan.maturity)
        if now.stage != "growing":
            _end(f"{now.stage}: {now.reason}", as_json=as_json)
            break
        try:
            outcome = _grow(home, plan, restart=False, as_json=as_json)
        except NothingNew as error:
            _end(error.message, as_json=as_json)
            break
    return 0 if outcome.kind in ("promoted", "proposed") else REFUSED


def _grow(home: Home, plan: Plan, *, restart: bool, as_json: bool) -> Outcome:
    from germline.evolve import age_up
    from germline.in_flight import shown

    with progress.report(as_json=as_json) as on_event, shown(home, on_event) as tell:
        outcome = age_up(home, plan, tell, restart=restart)
    output.say(_line(outcome) if as_json else _words(outcome))
    return outcome


def _if_due(
    home: Home, plan: Plan, overrides: tuple[str, ...], file: Path | None, *, restart: bool, as_json: bool
) -> int:
    from germline.aging import age_up_if_due

    given = [part for override in overrides for part in ("--set", override)] + (["--plan", str(file)] if file else [])
    given += ["--restart"] if restart else []
    with progress.report(as_json=as_json) as on_event:
        aged = age_up_if_due(home, plan, on_event, options=tuple(given))
    if not aged.outcome:
        _end(aged.due.reason, as_json=as_json)
        return 0
    output.say(output.json_line({"event": "aged", "outcome": aged.outcome}) if as_json else f"age-up: {aged.outcome}")
    return 0 if aged.outcome in ("promoted", "proposed") else 1 if aged.outcome == "failed" else REFUSED


def _end(reason: str, *, as_json: bool) -> None:
    output.say(output.json_line({"event": "end", "reason": reason}) if as_json else f"no further: {reason}")


def _line(outcome: Outcome) -> str:
    promoted = outcome.kind == "promoted"
    return output.json_line({
        "event": "outcome", "id": f"g{outcome.number}", "generation": outcome.generation,
        "parent": f"g{outcome.parent}", "head": f"g{outcome.number if promoted else outcome.parent}",
        "kind": outcome.kind, "verdict": plain(outcome.verdict),
    })  # fmt: skip


def _words(outcome: Outcome) -> list[str]:
    """Always in the same order: verdict, checks, the child's id, the next command."""
    child, verdict = f"g{outcome.number}", outcome.verdict
    head = child if outcome.kind == "promoted" else f"g{outcome.parent}"
    painted = output.paint(outcome.kind, "green" if outcome.kind in _NEXT else "red")
    return [
        f"verdict: {painted}; HEAD is {head}",
        *tables.indented(tables.checks(plain(verdict), output.symbols())),
        *textwrap.wrap(tables.paragraph(child, plain(verdict)), 100),
        *(f"try: {lack}: {_CURES[lack]}" for lack in _lacks(outcome)),
        f"child: {child} {outcome.generation}",
        f"next: {_NEXT.get(outcome.kind, 'germline show {} --answers recall').format(child)}",
    ]


def _lacks(outcome: Outcome) -> list[str]:
    """What a refused child lacked, of what another plan may cure."""
    if outcome.kind != "refused":
        return []
    failed = [check for check in outcome.verdict.checks if not check.passed]
    recalled = [OWN in check.reason for check in failed if check.name == "recall"]
    own = True in recalled or any(check.name in _LEARNED for check in failed)
    old = False in recalled or any(check.name in _KEPT for check in failed)
    lacks = (own, old, any(check.name in _VOICE for check in failed))
    return [lack for lack, found in zip(_CURES, lacks, strict=True) if found]
