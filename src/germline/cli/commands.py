"""The command `germline` itself: which commands there are, each imported only when it is asked for."""

from __future__ import annotations

import importlib
from pathlib import Path

import click

from germline import __version__
from germline.errors import did_you_mean

COMMANDS = (
    "init", "feed", "pin", "preview", "evolve", "approve", "log", "show", "diff", "report", "eval", "rollback",
    "verify", "checkpoint", "archive", "restore", "replay", "prune", "keys", "chat", "serve", "export", "karma",
    "watch", "fragments", "plan", "doctor",
)  # fmt: skip
"""In the order of the loop. `germline.cli.NAME.command` is the command."""

EXIT_CODES = """\b
Exit codes:
  0    done
  1    failed
  2    usage, or a plan that cannot be followed
  3    the gate did not promote the child
  4    the store is damaged
  5    it does not fit this machine
  6    its budget is spent; with a higher one `germline evolve` goes on
  10   there is no lineage here
  11   another germline is working in this lineage
  130  interrupted; `germline evolve` goes on where it stopped"""


class LazyGroup(click.Group):
    """A group that imports the module of a command when the command is named, and not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"germline.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and name not in COMMANDS:
            raise click.UsageError(f"there is no command {name!r}; {did_you_mean(name, COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup, invoke_without_command=True, epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
@click.option("--home", type=click.Path(path_type=Path), metavar="PATH", help="The lineage's directory.")
@click.version_option(__version__, message="germline %(version)s")
@click.pass_context
def germline(context: click.Context, home: Path | None) -> None:
    """Grow a small language model generation by generation, from your own text.

    A lineage is a directory. Without --home and GERMLINE_HOME it is the nearest one at or above the
    working directory. A generation is named g7, HEAD, HEAD~1 or by the beginning of its hash.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
