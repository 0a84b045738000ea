"""`germline karma`"""

from __future__ import annotations

from secrets import token_hex

import click

from germline.cli import options, output
from germline.karma.book import Book, KarmaEvent
from germline.records import plain
from germline.settings import load_plan
from germline.store.home import Home

SHOWN = 8


@click.group(
    "karma",
    invoke_without_command=True,
    epilog=options.examples(
        "germline karma",
        "germline karma add 3 --reason 'it found the leak'",
        "germline karma feedback chatcmpl-12ab -- -1 --correction 'It was Ada Karr.'",
    ),
)
@options.home
@options.as_json
@click.pass_context
def command(context: click.Context, home: Home, as_json: bool) -> None:
    """What HEAD's answers have earned.

    And what is missing for the next age-up that karma pays for.

    The policy is [karma] in the plan. Without threshold nothing is due.
    """
    context.obj = home
    if context.invoked_subcommand is not None:
        return
    from germline.aging import look

    book = Book(home)
    found, events = look(home, load_plan(home.plan), book), book.events()
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
               for event in events[-SHOWN:])  # fmt: skip


@command.command("add", epilog=options.examples("germline karma add 3 --reason 'it found the leak'"))
@click.argument("points", type=float)
@click.option("--reason", default="", help="Why.")
@click.option("--source", default="owner", show_default=True, help="Who; quotas go by it.")
@click.option("--key", default="", help="Told twice with one key, it counts once.")
@click.pass_obj
def add(home: Home, points: float, reason: str, source: str, key: str) -> None:
    """Give (or take) points by hand."""
    made = Book(home).add(points, reason=reason, source=source, key=key or token_hex(16))
    output.say(f"{made.points:+g} from {made.source}, event {made.sequence}")


@command.command("feedback", epilog=options.examples("germline karma feedback chatcmpl-12ab 1"))
@click.argument("message")
@click.argument("score", type=click.FloatRange(-1, 1))
@click.option("--correction", default="", help="How it should have been answered.")
@click.option("--source", default="owner", show_default=True, help="Who; quotas go by it.")
@click.option("--key", default="", help="Told twice with one key, it counts once.")
@click.pass_obj
def feedback(home: Home, message: str, score: float, correction: str, source: str, key: str) -> None:
    """Rate an answer from -1 to 1 by the id that came with it."""
    made = Book(home).feedback(message, score, correction=correction, source=source, key=key or token_hex(16))
    output.say(f"{made.points:+g} for {made.message}, event {made.sequence}")


def _json(event: KarmaEvent) -> dict[str, object]:
    return {**plain(event), "time": event.time.isoformat()}
