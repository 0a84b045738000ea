"""Two recipes side by side in an hour: a few generations with few epochs, where recall is far from full.

    python benchmarks/heredity_short.py --work DIR [--generations 4] [--epochs 5] [--seed 1] [--set SECTION.KEY=VALUE]

After ten generations of the whole recipe 19 facts of 20 are known, and hundreds of questions hardly tell two recipes
apart. With a third of its epochs half are, and each is asked in all four sealed wordings: 640 questions after four
generations. Nothing is refused. What wins here is a candidate for `heredity.py`, no more: what a recipe does to
general text and to the voice is not asked. A run that is cut goes on where it stopped.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.heredity import OPEN, WORLDS, plan_of
from benchmarks.heredity_doses import said
from benchmarks.heredity_world import PROBES

from germline import evolve, founding
from germline.checkout import weights
from germline.forge.machine import arithmetic, machine
from germline.lineage import Lineage
from germline.records import Event
from germline.speaker import examinee
from germline.store.home import Home


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--generations", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="SECTION.KEY=VALUE")
    given = parser.parse_args()
    folder = given.work.resolve()
    os.environ["GERMLINE_CONFIG"] = str(folder / "config")
    home = folder / "home"
    if not home.exists():
        founding.found(home, "demo", name="short", on_event=lambda event: None)
    (folder / "probes.txt").write_text("\n".join(PROBES) + "\n")
    settings = (*OPEN, f"curriculum.epochs={given.epochs}", *given.settings)
    print("| | said, all | worst volume | newest | each volume |\n| --- | ---: | ---: | ---: | --- |")
    for number in range(1, given.generations + 1):
        shares = _grown(home, folder, number, given.seed, settings)
        told = " ".join(f"{share:.3f}" for share in shares)
        print(f"| g{number} | {sum(shares) / number:.3f} | {min(shares):.3f} | {shares[-1]:.3f} | {told} |", flush=True)
    return 0


def _grown(root: Path, folder: Path, number: int, seed: int, settings: tuple[str, ...]) -> list[float]:
    """What generation `number` would say of each volume, grown now unless it is there."""
    sources = []
    volumes = WORLDS["invented"](number, seed)
    for volume in volumes:
        sources.append(str(folder / f"volume-{volume.number:02}"))
        if not Path(sources[-1]).exists():
            volume.write(Path(sources[-1]))
    plan = plan_of(settings, tuple(sources), probes=str(folder / "probes.txt"))
    home = Home.open(root)
    if Lineage.open(home).next_number == number:
        evolve.age_up(home, plan, _told)
    lineage = Lineage.open(home)
    on, _ = arithmetic(plan.training, machine("cpu"))
    meant = lineage.resolve(f"g{number}")
    model = examinee(lineage, meant, weights(lineage, meant), on)
    return [said(model, volume) for volume in volumes]


def _told(event: Event) -> None:
    if event.kind in ("stage", "note", "verdict"):
        print(event.text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
