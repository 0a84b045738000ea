"""`germline plan`: the shipped plans, and what a plan really says."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import click

from germline.cli import options, output
from germline.errors import PlanError, did_you_mean
from germline.lineage import PLAN, Lineage
from germline.report.tables import columns
from germline.settings import kept_plan, load_plan
from germline.store.home import Home

STARTER = "tiny-cpu"
"""The plan that a new lineage gets."""
UNKEPT = "data.sources, [budget], [maturity], [karma] and [fragments]"
"""What of a plan is not kept with the child (`Run.plan_bytes`)."""


def shipped(name: str) -> str:
    """The text of a shipped plan; PlanError if there is none of that name."""
    known = _shipped()
    if name not in known:
        raise PlanError(f"there is no shipped plan {name!r}", hint=did_you_mean(name, known))
    return known[name]


def starter(*, scratch: bool) -> str:
    """The plan that a new lineage gets. Random weights learn next to nothing while their embeddings are frozen and at
    a rate for a model that can speak: 3 of 22 facts of a first delta, and 21 with the first three of these lines
    (LOG.md). Noise is a share of embeddings that mean something, which theirs do not yet."""
    if not scratch:
        return shipped(STARTER)
    learning = (
        "# Of a model from scratch the embeddings learn, too, and all of it faster.\n"
        "learning_rate = 5e-3\nembeddings = true\nembedding_learning_rate = 1e-2\n"
    )
    plan = shipped(STARTER).replace("# learning_rate = 1.5e-3\n", learning)
    return plan.replace("# noise = 0.27\n", "noise = 0.0\n")


@click.group("plan", epilog=options.examples("germline plan check", "germline plan cat laptop-8gb > germline.toml"))
def command() -> None:
    """Plans: list and print the shipped ones, check one's own."""


@command.command("ls", epilog=options.examples("germline plan ls"))
@options.as_json
def ls(as_json: bool) -> None:
    """List the shipped plans."""
    about = {name: text.splitlines()[0].lstrip("# ") for name, text in _shipped().items()}
    if as_json:
        output.say_json(about)
    else:
        output.say(columns(list(about.items())))


@command.command("cat", epilog=options.examples("germline plan cat tiny-cpu > germline.toml"))
@click.argument("name", default=STARTER)
def cat(name: str) -> None:
    """Print a shipped plan, to copy and own it."""
    output.say_file(shipped(name).rstrip("\n"))


@command.command("of", epilog=options.examples("germline plan of g3", "germline plan of HEAD > germline.toml"))
@click.argument("name", metavar="[GEN]", default="HEAD")
@options.home
def of(home: Home, name: str) -> None:
    """Print the plan that a generation was grown by, where it says other than the defaults.

    GEN is g7, HEAD, HEAD~1 or the beginning of a hash; HEAD if left out. What shapes a child is kept with it,
    also in an archive; its sources, budget, maturity, karma and fragments are not, and have to be given again.
    """
    import tomlkit

    lineage = Lineage.open(home)
    found = lineage.resolve(name)
    if PLAN not in found.manifest.files:
        raise PlanError(
            f"{found.name} was founded, and grown by no plan", hint="`germline plan cat` prints a first one"
        )
    plan = kept_plan(lineage.json(found, PLAN), source=f"{found.name} {PLAN}")
    text = tomlkit.dumps(plan.model_dump(mode="json", exclude_defaults=True)).rstrip("\n")
    output.say_file(f"# The plan that {found.name} of {home.charter.name} was grown by, but for {UNKEPT}.\n\n{text}")


@command.command(
    "check",
    epilog=options.examples("germline plan check", "germline plan check other.toml -S training.rank=8"),
)
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@options.overrides
@click.option("--home", type=click.Path(path_type=Path), metavar="PATH", help="The lineage's directory.")
@options.as_json
@click.pass_context
def check(
    context: click.Context, file: Path | None, overrides: tuple[str, ...], home: Path | None, as_json: bool
) -> None:
    """Print every effective value of a plan, and whether it is a default or the owner's.

    FILE is a plan; the lineage's own germline.toml if left out.
    """
    path = file or Home.find(options.named_home(context, home)).plan
    values = _effective(path, overrides)
    if as_json:
        output.say_json({"plan": path, "values": values})
    else:
        output.say(columns([(key, f"= {_toml(one['value'])}", one["from"]) for key, one in values.items()]))


def _shipped() -> dict[str, str]:
    found = [entry for entry in (files("germline") / "plans").iterdir() if entry.name.endswith(".toml")]
    return {
        entry.name.removesuffix(".toml"): entry.read_text(encoding="utf-8")
        for entry in sorted(found, key=lambda entry: entry.name)
    }


def _effective(path: Path, overrides: Sequence[str]) -> dict[str, dict[str, Any]]:
    plan = load_plan(path, overrides).model_dump(mode="json")
    written = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    overridden = {override.partition("=")[0].strip() for override in overrides}
    values = {}
    for section, table in plan.items():
        for key, value in table.items():
            name = f"{section}.{key}"
            origin = path.name if key in written.get(section, {}) else "default"
            values[name] = {"value": value, "from": "--set" if name in overridden else origin}
    return values


def _toml(value: Any) -> str:
    import tomlkit

    tables = isinstance(value, list) and any(isinstance(one, dict) for one in value)  # TOML has no line for them
    text = json.dumps(value, ensure_ascii=False) if tables else tomlkit.item(value).as_string()
    return text if len(text) <= 48 else f"{text[:44]} ..."
