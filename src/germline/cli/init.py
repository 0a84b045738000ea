"""`germline init`"""

from __future__ import annotations

from pathlib import Path

import click

from germline.cli import options, output, plan, progress
from germline.errors import shell_word
from germline.store import keys


@click.command(
    "init",
    epilog=options.examples(
        "germline init aria --from demo",
        "germline init aria --from ~/models/SmolLM2-135M --name Aria",
        "germline init aria --from scratch --size mini --text ~/notes",
    ),
)
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--from", "source", required=True, help="demo, a model directory, a .gguf file, or scratch.")
@click.option("--name", help="The lineage's name; DIR's if left out.")
@click.option(
    "--arbiter",
    metavar="KEY",
    help="Ask for a second key at every promotion: 64 digits, as `germline keys` prints them, or a file of them.",
)
@click.option(
    "--dtype",
    type=click.Choice(("bf16", "fp32")),
    default="bf16",
    show_default=True,
    help="How the weights are kept.",
)
@click.option("--size", type=click.Choice(("tiny", "mini", "small")), help="Of a model from scratch [default: tiny].")
@click.option(
    "--text",
    "texts",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="What the tokenizer of a model from scratch is trained on; may be repeated.",
)
@options.as_json
def command(
    directory: Path, source: str, name: str | None, arbiter: str | None, dtype: str, size: str | None,
    texts: tuple[Path, ...], as_json: bool,
) -> None:  # fmt: skip
    """Found a lineage on a base model.

    It becomes generation 0 of a new lineage in DIR, which must be new or empty. The weights are copied
    into DIR. A key is made that signs its ledger, and kept outside it: back it up. With --arbiter no
    child becomes HEAD without that key (`germline approve`); going back to a former HEAD takes one key.
    An init that was cut short may be repeated.
    """
    if source == "scratch" and not texts:
        raise click.UsageError("--from scratch needs --text PATH for its tokenizer")
    if source != "scratch" and (texts or size):
        raise click.UsageError("--size and --text are for --from scratch alone")
    second = keys.read_public(arbiter) if arbiter else None
    from germline import founding

    with progress.report(as_json=as_json) as on_event:
        lineage = founding.found(
            directory, source, name=name or directory.absolute().name, dtype=dtype, size=size or "tiny",
            texts=texts, arbiter=second, plan=plan.starter(scratch=source == "scratch"), on_event=on_event,
        )  # fmt: skip
    home, founder = lineage.home, lineage.head
    key = keys.shown(keys.path_of(home.charter.keys["trainer"]))
    if as_json:
        output.say(output.json_line({
            "event": "outcome", "lineage": home.name, "home": home.root.as_posix(), "id": founder.name,
            "generation": founder.digest, "key": key.as_posix(), "threshold": home.charter.threshold,
        }))  # fmt: skip
        return
    output.say([
        f"{home.name} is founded: {founder.name} {founder.digest}",
        f"its plan is {home.plan}",
        f"its key is {key}",
        "back the key up: without it nothing can be added to the lineage, and whoever has it can sign",
        "",
        f"next: cd {shell_word(str(directory))}",
        "      germline feed PATH     what to learn from",
        "      germline preview       what a child would be taught and asked; nothing is trained",
        "      germline evolve        grow a child and judge it",
    ])  # fmt: skip
