"""`germline chat`"""

from __future__ import annotations

import re
import secrets
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING

import click

from germline.cli import options, output
from germline.lineage import Generation, Lineage
from germline.records import Turn
from germline.store.home import Home

if TYPE_CHECKING:
    from germline.model.generate import Sampling
    from germline.speaker import Speaker

LONGEST_ANSWER = 256
"""Tokens."""


@click.command(
    "chat",
    epilog=options.examples(
        "germline chat",
        "germline chat g2 --greedy",
        "germline chat --once 'How high is the tower?'",
        "germline chat < questions.txt",
    ),
)
@click.argument("name", metavar="[GEN]", required=False)
@click.option("--generation", "named", metavar="GEN", help="The same as GEN.")
@click.option(
    "--temperature",
    type=options.Finite(min=0),
    default=0.7,
    show_default=True,
    help="Higher is more varied; 0 is --greedy.",
)
@click.option("--greedy", is_flag=True, help="Always the likeliest word, as in the exams.")
@click.option("--once", metavar="PROMPT", help="Answer one prompt and end.")
@options.home
def command(
    name: str | None, named: str | None, temperature: float, greedy: bool, once: str | None, home: Home
) -> None:
    """Talk with a generation.

    A line from stdin, an answer on stdout; Ctrl-D ends it, and at a terminal Ctrl-C ends an answer. The
    conversation so far is remembered. GEN is HEAD if left out.
    """
    if name and named:
        raise click.UsageError("name the generation once: GEN or --generation GEN")
    lineage = Lineage.open(home)
    meant = lineage.resolve(name or named or "HEAD")
    speaker = _load(lineage, meant)
    prompts, talking = (_lines(meant.name), sys.stdin.isatty()) if once is None else ([once], False)
    converse(speaker, prompts, None if greedy else temperature or None, talking=talking)


def converse(speaker: Speaker, prompts: Iterable[str], temperature: float | None, *, talking: bool = False) -> None:
    """Answer each prompt with all before it in mind, streaming to stdout. Greedy without a temperature. With somebody
    who is `talking`, Ctrl-C ends an answer and not the conversation."""
    turns: list[Turn] = []
    for prompt in prompts:
        turns.append(Turn(speaker="other", text=prompt))
        said = ""
        with suppress(KeyboardInterrupt) if talking else nullcontext():
            for piece in speaker.stream(turns, limit=LONGEST_ANSWER, sampling=_sampling(temperature)):
                said += piece
                output.stream(output.harmless(piece))
        output.say("")
        turns.append(Turn(speaker="persona", text=said))


def _load(lineage: Lineage, generation: Generation) -> Speaker:
    from germline.speaker import Speaker, usual_arithmetic

    return Speaker.of(lineage, generation, usual_arithmetic(lineage.home))


def _sampling(temperature: float | None) -> Sampling | None:
    """Another seed for each answer: a conversation need not repeat itself."""
    if temperature is None:
        return None
    from germline.model.generate import Sampling

    return Sampling(temperature=temperature, seed=secrets.randbits(31))


def _lines(name: str) -> Iterator[str]:
    """What the other side says, without empty lines; a prompt is shown only to a terminal, where lines can be edited
    and called back."""
    at_terminal = sys.stdin.isatty()
    if at_terminal:
        output.note(f"{name} listens; Ctrl-C ends an answer, Ctrl-D the conversation")
        with suppress(ImportError):  # Windows' console edits by itself
            import readline  # noqa: F401
    while True:
        try:
            line = input(_prompt(name)) if at_terminal and sys.stdout.isatty() else _next(name, shown=at_terminal)
        except EOFError:
            if at_terminal:
                output.note("")  # the shell's prompt begins a line of its own
            return
        if line.strip():
            yield line.strip()


def _prompt(name: str) -> str:
    """With its colours marked as of no width, or readline would break long lines too early."""
    return re.sub(r"(\x1b\[[\d;]*m)", "\001\\1\002", f"{output.paint(name, 'cyan')}> ")


def _next(name: str, *, shown: bool) -> str:
    if shown:
        click.echo(f"{output.paint(name, 'cyan')}> ", nl=False, file=sys.stderr)
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line
