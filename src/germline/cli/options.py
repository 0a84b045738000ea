"""What several commands take: --home before or after the command, --json, --set, and examples in --help."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from germline.store.home import Home

Function = TypeVar("Function", bound=Callable[..., Any])


def named_home(context: click.Context, given: Path | None) -> Path | None:
    """The --home of this command, else the one given before it."""
    before = context.find_root().params.get("home")
    return given or (before if isinstance(before, Path) else None)


def home(function: Function) -> Function:
    """Pass `home`, the opened lineage that is meant. NoLineage if there is none."""

    def find(context: click.Context, parameter: click.Parameter, given: Path | None) -> Home:
        return Home.find(named_home(context, given))

    return home_path(find)(function)


def home_path(
    callback: Callable[[click.Context, click.Parameter, Path | None], object],
) -> Callable[[Function], Function]:
    """The --home option with another way to make something of it."""
    return click.option(
        "--home", type=click.Path(path_type=Path), callback=callback, metavar="PATH",
        help="The lineage's directory.",
    )  # fmt: skip


class Finite(click.FloatRange):
    """A number within a range that is neither NaN, which lies in every one, nor infinite."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> float:
        number = float(super().convert(value, parameter, context))
        if not math.isfinite(number):
            self.fail(f"{number} is no number that can be counted with", parameter, context)
        return number


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of words.")

overrides = click.option(
    "-S", "--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE",
    help="Override one value of the plan; may be repeated.",
)  # fmt: skip

plan_file = click.option(
    "--plan", "file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Follow this plan instead of the lineage's germline.toml.",
)  # fmt: skip


def examples(*lines: str) -> str:
    """The end of a command's --help."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
