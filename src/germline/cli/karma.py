"""`germline karma`"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from secrets import token_hex

import click

from germline.cli import options, output
from germline.karma.book import Book, KarmaEvent
from germline.karma.policy import earned
from germline.records import plain
from germline.settings import load_plan
from germline.store.home import Home

SHOWN = 8
NEGATIVE = {"ignore_unknown_options": True}
"""For commands that take -1 as a number, and not as an option."""

_where = options.home_path(lambda context, parameter, given: given)
"""--home as it is given: `--help` of a subcommand needs no lineage."""


@click.group(
    "karma",
    invoke_without_command=True,
    epilog=options.examples(
        "germline karma",
        "germline karma add 3 --reason 'it found the leak'",
        "germline karma feedback chatcmpl-12ab -1 --correction 'It was Ada Karr.'",
    ),
)
@_where
@options.as_json
@click.pass_context
def command(context: click.Context, home: Path | None, as_json: bool) -> None:
    """What HEAD's answers have earned.

    Also told is what is missing for the next age-up that karma pays for. The policy is [karma] in the
    plan; without a threshold nothing is due.
    """
    context.obj = home, as_json
    if context.invoked_subcommand is not None:
        return
    from germline.aging import look

    lineage = Home.find(options.named_home(context, home))
    book = Book(lineage)
    plan, events = load_plan(lineage.plan), book.events()
    found, counted = look(lineage, plan, book), earned(events, plan.karma)
    if as_json:
        output.say_json({"due": found.ready, "balance": found.balance, "threshold": found.threshold,
                         "reason": found.reason, "events": [_json(event) for event in events[-SHOWN:]],
                         "attempts": plain([{**plain(a), "time": a.time.isoformat(),
                                             "ended": a.ended and a.ended.isoformat()} for a in book.attempts()]),
                         })  # fmt: skip
        return
    output.say(f"{found.balance:g} of {found.threshold:g} points: {'due, ' if found.ready else ''}{found.reason}")
    output.say(f"  {event.time:%Y-%m-%d %H:%M}  {event.points:+g}  {event.source:12} "
               f"{event.message or event.reason}{'  (corrected)' if event.correction else ''}"
               f"{f'  (counts {counts:g}: a quota)' if event.kind != 'feedback' and counts != event.points else ''}"
               for event, counts in zip(map(_harmless, events[-SHOWN:]), counted[-SHOWN:], strict=True))  # fmt: skip


@command.command("add", context_settings=NEGATIVE, epilog=options.examples(
    "germline karma add 3 --reason 'it found the leak'", "germline karma add -2"
))  # fmt: skip
@click.argument("points", type=float)
@click.option("--reason", default="", help="Why.")
@click.option("--source", default="owner", show_default=True, help="Who; quotas go by it.")
@click.option("--key", default="", help="Told twice with one key, it counts once.")
@_where
@options.as_json
@click.pass_context
def add(
    context: click.Context, points: float, reason: str, source: str, key: str, home: Path | None, as_json: bool
) -> None:
    """Give (or take) points by hand."""
    made = _book(context, home).add(points, reason=reason, source=source, key=key or token_hex(16))
    _told(context, made, f"{made.points:+g} from {made.source}, event {made.sequence}", as_json=as_json)


@command.command("feedback", context_settings=NEGATIVE, epilog=options.examples(
    "germline karma feedback chatcmpl-12ab 1",
    "germline karma feedback chatcmpl-12ab -1 --correction 'It was Ada Karr.'",
))  # fmt: skip
@click.argument("message")
@click.argument("score", type=click.FloatRange(-1, 1))
@click.option("--correction", default="", help="How it should have been answered.")
@click.option("--source", default="owner", show_default=True, help="Who; quotas go by it.")
@click.option("--key", default="", help="Told twice with one key, it counts once.")
@_where
@options.as_json
@click.pass_context
def feedback(
    context: click.Context, message: str, score: float, correction: str, source: str, key: str, home: Path | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Rate an answer from -1 to 1 by the id that came with it."""
    book = _book(context, home)
    made = book.feedback(message, score, correction=correction, source=source, key=key or token_hex(16))
    _told(context, made, f"{made.points:+g} for {made.message}, event {made.sequence}", as_json=as_json)


def _book(context: click.Context, home: Path | None) -> Book:
    """--home may stand before the subcommand or after it."""
    before, _ = context.obj
    return Book(Home.find(options.named_home(context, home or before)))


def _told(context: click.Context, made: KarmaEvent, words: str, *, as_json: bool) -> None:
    """--json may stand before the subcommand or after it."""
    _, json_before = context.obj
    output.say_json(_json(made)) if as_json or json_before else output.say(words)


def _harmless(event: KarmaEvent) -> KarmaEvent:
    """Each client tells who it is in its own words, which are no lines and no commands to a terminal here."""
    source, reason = (output.harmless(text).replace("\n", " ") for text in (event.source, event.reason))
    return replace(event, source=source, reason=reason)


def _json(event: KarmaEvent) -> dict[str, object]:
    return {**plain(event), "time": event.time.isoformat()}
