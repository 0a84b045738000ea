"""`germline restore`"""

from __future__ import annotations

from pathlib import Path

import click

from germline.cli import options, output, progress
from germline.store import generations, keys, ledger
from germline.store.held import held
from germline.store.restore import restore


@click.command("restore", epilog=options.examples("germline restore g3-0123456789ab.tar aria"))
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--sha256", metavar="HASH", help="What FILE must hash to. What FILE.sha256 says if left out.")
@options.as_json
def command(file: Path, directory: Path, sha256: str | None, as_json: bool) -> None:
    """Make a lineage of an archive again, in a new or empty DIR.

    Everything is verified before there is a lineage; where anything is wrong, nothing is left. The generation and its
    ancestors can be looked at, talked to and compared. Growing on needs the lineage's private key and a germline.toml,
    which no archive holds; `germline plan of HEAD` prints the plan that HEAD was grown by.
    """
    with progress.files("restoring") as on_file:
        home, report = restore(file, directory, sha256, on_file)
    found, charter = held(home), home.charter
    assert found is not None  # every archive says what it holds
    able = any(keys.is_here(public) for public in charter.keys.values())
    if as_json:
        output.say_json({"lineage": charter.name, "home": home.root, "generation": found.generation,
                         "left_out": report.left_out, "key_is_here": able})  # fmt: skip
        return
    output.say(f"{charter.name} is restored in {home.root}: {found.generation}, {report.files} files verified")
    if report.left_out:
        output.say(f"not in this archive: {', '.join(report.left_out)}")
    entries = ledger.entries(home)
    if not generations.is_held(home, ledger.head(entries)):
        name = f"g{next(one.number for one in entries if one.is_birth and one.generation == found.generation)}"
        output.note(f"\nhint: HEAD is not in it: `germline rollback {name}` makes {name} HEAD here. Where the lineage "
                    "itself is still on this machine, do so with another GERMLINE_CONFIG: a ledger that goes on in two "
                    "places has grown apart")  # fmt: skip
    if not able:
        trainer = charter.keys["trainer"]
        output.note(f"\nhint: reading needs no key; to grow it on, copy its key file to {keys.path_of(trainer)}")
