"""`germline export`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from germline.cli import options, output, progress
from germline.lineage import Lineage
from germline.records import plain
from germline.report.tables import size
from germline.store.home import Home

if TYPE_CHECKING:
    from germline.exporting import Exported, Kind

QUANTIZATIONS = "f32, bf16, f16, q8_0, q6_k, q5_k_m or q4_k_m"


@click.command(
    "export",
    epilog=options.examples(
        "germline export g3 --to gguf",
        "germline export HEAD --to gguf --quant q4_k_m -o aria-q4",
        "germline export --to ollama && ollama create aria -f aria-g3-ollama/Modelfile",
        "germline export --to adapter --json",
    ),
)
@click.argument("name", metavar="[GEN]", default="HEAD")
@click.option(
    "--to", "kind", type=click.Choice(["gguf", "hf", "adapter", "ollama"]), required=True,
    help="A GGUF for llama.cpp; a directory for transformers; a PEFT adapter; a GGUF and Modelfile for Ollama.",
)  # fmt: skip
@click.option("--quant", metavar="TYPE", help=f"Of a GGUF: {QUANTIZATIONS} [default: q8_0].")
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="DIR", help="Where to write it: a new directory.")
@click.option("--unchecked", is_flag=True, help="Do not have it opened and compared.")
@options.home
@options.as_json
def command(
    name: str, kind: Kind, quant: str | None, out: Path | None, unchecked: bool, home: Home, as_json: bool
) -> None:
    """Write a generation for other programs.

    The program that it is for opens it, and must read a thousand texts, expect what follows and go on as germline
    does; else nothing is written. What was compared is in parity.json, where it comes from in germline.json, which
    `python -I verify_lineage.py DIR` checks. DIR is NAME-GEN-TO in the working directory if left out. The same
    generation gives the same bytes.
    """
    if quant and kind not in ("gguf", "ollama"):
        raise click.UsageError(f"--quant is of a GGUF, not of --to {kind}")
    from germline.exporting import directory_name, export

    lineage = Lineage.open(home)
    meant = lineage.resolve(name)
    directory = out or Path(directory_name(lineage, meant, kind))
    with progress.report(as_json=False) as on_event:
        made = export(lineage, meant, kind, directory, on_event, quantization=quant or "q8_0", checked=not unchecked)
    if as_json:
        output.say_json({"id": meant.name, "generation": meant.digest, "to": kind, "directory": directory,
                         "file": made.file, "sha256": made.digest[7:], "bytes": made.size,
                         "parity": plain(made.parity), "notes": made.notes})  # fmt: skip
    else:
        output.say(_words(made))


def _words(made: Exported) -> list[str]:
    from germline.export.parity import told

    return [f"{made.digest[7:]}  {made.file}", f"{size(made.size)}. {told(made.parity)}", *made.notes]
