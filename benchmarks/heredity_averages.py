"""Are several children better than one, averaged? The next generation of a benchmark lineage, by two candidates.

    python benchmarks/heredity.py --arm germline --generations 3 --work DIR
    python benchmarks/heredity_averages.py --work DIR --lineage germline-0

Teaches a copy of the lineage its next volume, twice, from two seeds, every checkpoint kept, and asks the sealed
questions of: each candidate; the mean of a candidate's adapters over the last steps; half of either candidate's update
on top of each other. What there is to gain by averaging is the distance between these lines.
"""

from __future__ import annotations

import argparse
import functools
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.heredity import measure
from benchmarks.heredity_doses import taught
from benchmarks.heredity_world import Volume

from germline.checkout import weights
from germline.curriculum.render import PROMPT_END
from germline.evals import suite
from germline.examination import inherited
from germline.forge.machine import arithmetic, machine
from germline.lineage import Lineage
from germline.model import weights as model_weights
from germline.records import Event
from germline.settings import Plan
from germline.speaker import examinee

LAST = {"the last tenth": 0.9, "the last third": 0.67}
"""From which share of the steps on checkpoints are averaged."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--lineage", default="germline-0", help="a lineage that heredity.py grew there, of seed 0")
    parser.add_argument("--every", type=int, default=8, help="steps between checkpoints")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="SECTION.KEY=VALUE")
    given = parser.parse_args()
    folder = given.work / "averages"
    settings = (
        *given.settings, "training.candidates=2", "training.keep_checkpoints=100",
        f"training.checkpoint_every={given.every}",
    )  # fmt: skip
    kept = folder / "kept"
    keeping = functools.partial(keep, folder / "home", kept)
    lineage, volumes, plan = taught(given.work, given.lineage, folder, settings, keeping)
    compare(lineage, volumes, plan, kept)
    return 0


def keep(home: Path, kept: Path, event: Event) -> None:
    """Copies of every checkpoint and adapter of the run, which ends by clearing them away."""
    if event.kind in ("note", "stage"):
        print(event.text, file=sys.stderr, flush=True)
    if event.kind not in ("note", "stage", "step"):
        return
    for path in (home / "runs").glob("**/*.safetensors"):
        number = int(path.parent.name.removeprefix("candidate-")) if path.parent.name.startswith("candidate-") else 0
        copy = kept / str(number) / path.name
        if path.name.startswith(("checkpoint-", "adapter")) and not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)


def compare(lineage: Lineage, volumes: Sequence[Volume], plan: Plan, kept: Path) -> None:
    adapters = [kept / str(number) / "adapter.safetensors" for number in (0, 1)]
    updates = {"candidate 0": [(adapters[0], 1.0)], "candidate 1": [(adapters[1], 1.0)]}
    for name, share in LAST.items():
        updates[f"candidate 0, {name}"] = [(mean(kept / "0", share, kept / f"{share}.safetensors"), 1.0)]
    updates["half of each"] = [(adapters[0], 0.5), (adapters[1], 0.5)]
    on, _ = arithmetic(plan.training, machine("cpu"))
    voiced = next(exam for exam in inherited(lineage, lineage.head) if exam.voice)
    print("| | exact, all | worst volume | newest | cloze | encyclopedia | probes adrift | of the voice's limit |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, parts in updates.items():
        path = merged(lineage, plan, parts, kept)
        found = measure(lineage, lineage.head, volumes, 0, general=True, path=path)
        model = examinee(lineage, lineage.head, path, on)
        style = suite.sit(model, voiced, answer_tokens=plan.exams.answer_tokens, prompt_end=PROMPT_END).style
        assert style is not None and style.limit_bits_per_character
        print(f"| {name} | {found['exact']:.3f} | {found['exact_worst']:.3f} | {found['exact_new']:.3f} | "
              f"{found['cloze']:.3f} | {found.get('general_bits_per_byte', float('nan')):.3f} | {style.drifts} | "
              f"{style.bits_per_character / style.limit_bits_per_character:.2f} |", flush=True)  # fmt: skip


def mean(checkpoints: Path, share: float, out: Path) -> Path:
    """The mean of the adapters of a run from `share` of its steps on, the final one included. Factors are averaged,
    not products: late in a run they hardly move."""
    final = dict(model_weights.read(checkpoints / "adapter.safetensors"))
    numbered = {int(path.stem[11:]): path for path in checkpoints.glob("checkpoint-*.safetensors")}
    steps = max(numbered) + 1
    chosen = [dict(model_weights.read(path)) for number, path in sorted(numbered.items()) if number >= share * steps]
    print(f"<!-- {len(chosen)} checkpoints and the end -->")
    averaged = {
        name: torch.stack([tensor.float(), *(one[f"weight/{name}"].float() for one in chosen)]).mean(0)
        for name, tensor in final.items()
    }
    with out.open("wb") as file:
        model_weights.write_tensors(file, averaged)
    return out


def merged(lineage: Lineage, plan: Plan, parts: Sequence[tuple[Path, float]], kept: Path) -> Path:
    """The parent of HEAD with so much of each adapter's update."""
    path = weights(lineage, lineage.resolve("HEAD~1"))
    for place, (adapter, share) in enumerate(parts):
        child = kept / f"merged-{place}.safetensors"
        child.unlink(missing_ok=True)
        with child.open("wb") as file:
            model_weights.merge_file(path, adapter, plan.training.alpha * share / plan.training.rank, file)
        path = child
    return path


if __name__ == "__main__":
    sys.exit(main())
