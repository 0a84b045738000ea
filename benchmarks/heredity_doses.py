"""How much of an update should be merged? The next generation of a benchmark lineage, at several doses.

    python benchmarks/heredity.py --arm germline --generations 10 --work DIR
    python benchmarks/heredity_doses.py --work DIR --lineage germline-0 --set training.learning_rate=2e-3

Teaches a copy of the lineage its next volume and asks every sealed wording of every fact, old and new, of its parent
and of the parent with a share of the update. Each fact is asked in all sealed wordings and not in one, so that a point
lost or won can be told from luck; "said" is that the answer's own tokens are the likeliest, one after the other.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import heredity_general
from benchmarks.heredity import OPEN, WORLDS, plan_of
from benchmarks.heredity_world import SEALED, Volume

from germline import evolve
from germline.checkout import weights
from germline.curriculum.render import PROMPT_END
from germline.evals import suite
from germline.evals.score import Question, likelihoods
from germline.evals.suite import Examinee
from germline.examination import inherited
from germline.forge.machine import arithmetic, machine
from germline.lineage import ADAPTER, Lineage
from germline.model import weights as model_weights
from germline.records import Event, OnEvent
from germline.settings import Plan, Training
from germline.speaker import examinee
from germline.store.home import Home


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--lineage", default="germline-0", help="a lineage that heredity.py grew there")
    parser.add_argument("--doses", type=float, nargs="+", default=[1.0, 0.9, 0.85, 0.8, 0.7])
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="SECTION.KEY=VALUE")
    given = parser.parse_args()
    folder = given.work / "doses"
    settings = (*given.settings, "training.merge_scales=[1.0]")
    lineage, volumes, plan = taught(given.work, given.lineage, folder, settings, _told)
    parent, head = weights(lineage, lineage.resolve("HEAD~1")), lineage.head
    print("| dose | said, old | worst volume | newest | encyclopedia | of the voice's limit |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for dose in (0.0, *given.doses):
        path = merged(parent, lineage.path(head, ADAPTER), plan.training, dose, folder)
        print(f"| {dose:g} | {row(lineage, plan, path, volumes)} |", flush=True)
    shutil.rmtree(folder)
    return 0


def merged(parent: Path, adapter: Path, training: Training, dose: float, folder: Path) -> Path:
    """A file in `folder` of the parent's weights with a share of the update; the one before it is gone."""
    path = folder / "merged.safetensors"
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        model_weights.merge_file(parent, adapter, training.alpha * dose / training.rank, file)
    return path


def taught(
    work: Path, name: str, folder: Path, settings: Sequence[str], on_event: OnEvent
) -> tuple[Lineage, list[Volume], Plan]:
    """A copy of a lineage, named by its world, arm and seed, in `folder`, taught its next volume, which nothing but
    learning nothing would refuse; all volumes up to that one; and the plan it was taught by."""
    shutil.copytree(work / name, folder / "home")
    shutil.copytree(work / "config", folder / "config")
    os.environ["GERMLINE_CONFIG"] = str((folder / "config").resolve())
    home = Home.open(folder / "home")
    seed = int(name.rpartition("-")[2])
    kind = name.partition("_")[0] if name.partition("_")[0] in WORLDS else "invented"
    volumes = WORLDS[kind](Lineage.open(home).head.number + 1, seed)
    sources = []
    for volume in volumes:
        sources.append((work / f"{kind}-{seed}" / f"{volume.number:02}").resolve())
        if not sources[-1].exists():
            volume.write(sources[-1])
    plan = plan_of((*OPEN, *settings), tuple(map(str, sources)), probes=str((work / "probes.txt").resolve()))
    outcome = evolve.age_up(home, plan, on_event)
    if outcome.kind != "promoted":
        raise SystemExit(f"g{outcome.number} is {outcome.kind}: there is no update to look at")
    return Lineage.open(home), volumes, plan


def row(lineage: Lineage, plan: Plan, path: Path, volumes: Sequence[Volume]) -> str:
    """What these weights, in place of HEAD's, know of each volume and how they speak: cells of the table."""
    on, _ = arithmetic(plan.training, machine("cpu"))
    model = examinee(lineage, lineage.head, path, on)
    shares = [said(model, volume) for volume in volumes]
    *old, new = shares
    voiced = next(exam for exam in inherited(lineage, lineage.head) if exam.voice)
    style = suite.sit(model, voiced, answer_tokens=plan.exams.answer_tokens, prompt_end=PROMPT_END).style
    assert style is not None and style.limit_bits_per_character
    general = heredity_general.measure(model).get("general_bits_per_byte", float("nan"))
    voice = style.bits_per_character / style.limit_bits_per_character
    return f"{sum(old) / len(old):.3f} | {min(old):.3f} | {new:.3f} | {general:.3f} | {voice:.2f}"


def said(model: Examinee, volume: Volume) -> float:
    """The share of a volume's facts, asked in every sealed wording, of which the answer would be said."""
    questions = []
    for truth in volume.truths:
        for form in SEALED:
            asked = form.format(a=truth.attribute, s=truth.subject)
            questions.append(Question(asked[:1].upper() + asked[1:] + PROMPT_END, (truth.value,)))
    found = likelihoods(model.decoder, questions, model.tokenize)
    return sum(one.greedy for (one,) in found) / len(found)


def _told(event: Event) -> None:
    if event.kind in ("note", "stage"):
        print(event.text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
