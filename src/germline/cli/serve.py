"""`germline serve`"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import click

from germline.cli import options, output, progress
from germline.errors import Interrupted, PlanError
from germline.settings import Plan, load_plan
from germline.store.home import Home


@click.command(
    "serve",
    epilog=options.examples(
        "germline serve",
        "germline serve --port 9000 --rows 32",
        "germline serve --token",
        "curl -H \"Authorization: Bearer $(germline serve --token)\" -H 'Content-Type: application/json' \\",
        '    -d \'{"prompt": "The lamp"}\' http://127.0.0.1:8420/v1/completions',
    ),
)
@click.option("--port", type=click.IntRange(0, 65535), default=8420, show_default=True, help="0 takes a free one.")
@click.option("--rows", type=click.IntRange(1, 256), default=16, show_default=True, help="Answers side by side.")
@click.option(
    "--template", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Put chats by this Jinja template instead of raw, as germline trains.",
)  # fmt: skip
@click.option("--template-sha256", metavar="HEX", default="", help="Refuse any other template.")
@click.option("--allow-host", "hosts", multiple=True, metavar="NAME", help="Another exact Host header, for a proxy.")
@click.option("--token", "token_only", is_flag=True, help="Print the token that requests must bring, and end.")
@options.home
@options.as_json
def command(
    port: int, rows: int, template: Path | None, template_sha256: str, hosts: tuple[str, ...], token_only: bool,
    home: Home, as_json: bool,
) -> None:  # fmt: skip
    """Answer over HTTP, as OpenAI's API does, on this machine.

    HEAD answers, wherever the ledger puts it: after `germline evolve` or `germline rollback` the new HEAD is loaded
    beside the old, takes the next questions, and the old one ends what it has begun. `model` may name any generation.
    Every request but those for the page's own files needs the token; the page at the printed address has it already.
    Ctrl-C ends it.
    """
    if template_sha256 and not template:
        raise click.UsageError("--template-sha256 is of a --template")
    try:
        from germline.serve import page, server
    except ImportError as error:
        hint = "pip install -c constraints.txt -e . in the folder germline came from"
        raise PlanError(f"{error.name}, which serving needs, is not installed", hint=hint) from error
    if token_only:
        secret = server.token(home)
        return output.say_json({"token": secret}) if as_json else output.say(secret)
    from germline.serve import heaps
    from germline.serve.api import application
    from germline.serve.guard import Rules
    from germline.serve.notes import Notes
    from germline.serve.prompts import raw, templated
    from germline.serve.swap import Serving
    from germline.speaker import usual_arithmetic

    prompts = templated(template, template_sha256) if template else raw
    secret, sock = server.token(home), server.listening(port)
    taken = sock.getsockname()[1]
    proxied = frozenset(name.lower() for name in hosts)
    rules = Rules(token=secret, hosts=server.names(taken, proxied), proxied=proxied, public=page.PUBLIC)
    karma = _plan(home).karma
    notes = Notes(home, keep=lambda: keeps(home)) if karma.threshold or karma.keep_conversations else None
    heaps.keep_few()
    on = usual_arithmetic(home)
    with progress.report(as_json=as_json, bar=False) as tell, server.told_aside(tell) as on_event:
        try:
            serving = Serving(home, on, rows=rows, on_event=on_event, fragments=lambda: _plan(home).fragments)
        except KeyboardInterrupt:
            _end_at_once()
        address = f"http://{server.ADDRESS}:{taken}/"
        if as_json:
            output.say(output.json_line({"event": "serving", "url": address, "token_file": server.token_path(home),
                                         "head": serving.head.name}))  # fmt: skip
        else:
            output.say(f"{serving.head.name} answers at {address}#{secret}")
        try:
            server.run(application(serving, prompts, notes), rules, serving, sock)
        finally:
            if notes:
                notes.close()
            if serving.is_loading or not serving.has_ended:
                _end_at_once()
    return None


def _end_at_once() -> NoReturn:
    """Without waiting for a thread that loads a generation, or answers: Python would abort with it in the midst of
    torch."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(Interrupted.exit_code)


def keeps(home: Home) -> bool:
    """Whether the owner lets conversations be kept, as the plan has it now. PlanError for one that cannot be read."""
    return _plan(home).karma.keep_conversations


def _plan(home: Home) -> Plan:
    """The owner's plan as it is now; a copy that is only served needs none."""
    return load_plan(home.plan) if home.plan.exists() else Plan()
