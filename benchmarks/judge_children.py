"""The judge on real children: what they truly lost, by questions that no exam asks, beside its verdict.

    python benchmarks/heredity.py --arm germline --seeds 1 --work DIR
    python benchmarks/judge_children.py --work DIR --lineage germline-1 [--out benchmarks/judge_children.md]

Teaches a copy of a benchmark lineage its next volume as the usual loop does, without replay and anchor, which makes it
forget. A share of that update makes a child that forgot less, and so there are children that lost little and children
that lost much. What each truly lost is the share of all older facts, asked in every sealed wording, that it says less
often than its parent; those wordings stand in no exam. The default gate judges each by a look of its own, and is told
only what its exams ask.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.heredity_doses import merged, said, taught

from germline.checkout import weights
from germline.curriculum.render import PROMPT_END
from germline.evals import suite
from germline.evals.suite import Examinee
from germline.examination import inherited
from germline.forge.machine import arithmetic, machine
from germline.judge.gate import judge
from germline.judge.paired import CONFIDENCE
from germline.lineage import ADAPTER, PARENT_SCORECARD, WEIGHT_CHANGE, Lineage
from germline.marks import Scorecard, Verdict
from germline.records import Event
from germline.settings import Gate, Plan
from germline.speaker import examinee

USUAL = ("curriculum.replay=0", "training.anchor=0", "training.noise=0", "training.merge_scales=[1.0]")
HEAD = (
    "| dose | older facts said | truly lost | answers lost, by the exams | less than this lost, 95% sure | "
    "its own delta | verdict | by these checks |"
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--lineage", default="germline-0", help="a lineage that heredity.py grew there")
    parser.add_argument("--doses", type=float, nargs="+", default=[0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7, 1.0])
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    began, folder = time.monotonic(), given.work / "judged"
    lineage, volumes, plan = taught(given.work, given.lineage, folder, USUAL, _told)
    parent = lineage.resolve("HEAD~1")
    told = [
        f"# The judge on real children, {date.today().isoformat()}", "",
        f"`python benchmarks/judge_children.py --lineage {given.lineage}`: children of {parent.name}, taught volume "
        f"{lineage.head.number} of its world without replay, anchor and noise, with a share of that update "
        f"merged. Margin {Gate().margin:.0%}, recall at least {Gate().recall:.0%}.", "",
        HEAD, "|" + " ---: |" * 6 + " --- | --- |",
    ]  # fmt: skip
    print("\n".join(told), flush=True)
    known = 0.0
    for dose in (0.0, *given.doses):
        path = merged(weights(lineage, parent), lineage.path(lineage.head, ADAPTER), plan.training, dose, folder)
        model = examinee(lineage, lineage.head, path, arithmetic(plan.training, machine("cpu"))[0])
        old = _mean([said(model, volume) for volume in volumes[:-1]])
        known = known if dose else old
        told.append(_row(dose, old, known - old, judged(lineage, model, plan, dose)))
        print(told[-1], flush=True)
    shutil.rmtree(folder)
    text = "\n".join([*told, "", f"{(time.monotonic() - began) / 60:.0f} minutes."]) + "\n"
    if given.out:
        given.out.write_text(text, encoding="utf-8")
    return 0


def judged(lineage: Lineage, model: Examinee, plan: Plan, dose: float) -> Verdict:
    """The default gate's verdict on `model` as a child of HEAD's parent: HEAD with another dose of its update."""
    head, way = lineage.head, lineage.ancestry(lineage.head)
    exams = inherited(lineage, head, head.birth)
    voice = next((exam.voice for exam in exams if exam.voice), None)
    card = Scorecard(weights=f"dose {dose}", marks={
        exam.digest: suite.sit(model, exam, answer_tokens=plan.exams.answer_tokens, prompt_end=PROMPT_END, voice=voice)
        for exam in exams
    })  # fmt: skip
    return judge(
        lineage.scorecard(head, PARENT_SCORECARD), card, Gate(),
        weight_change=dose * lineage.json(head, WEIGHT_CHANGE)["total"]["parent"],
        ancestors=[ancestor.name for ancestor in way[1:-1]], line=[*map(lineage.scorecard, way[1:-1])],
        confidence=CONFIDENCE,
    )  # fmt: skip


def _row(dose: float, old: float, lost: float, verdict: Verdict) -> str:
    bounds = {check.name: check for check in verdict.checks}
    parent, own = bounds["parent"], [check for check in verdict.checks if check.name == "recall"][-1]
    failed = dict.fromkeys(check.name + "?" * check.undecided for check in verdict.checks if not check.passed)
    cells = [
        f"{dose:g}", f"{old:.1%}", f"{lost:.1%}", _lost(parent.reason), f"{-parent.value:.1%}", f"{own.value:.1%}",
        verdict.outcome, ", ".join(failed),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _lost(reason: str) -> str:
    """How many of the old answers were lost, as the verdict says it to its reader."""
    return "0 or fewer" if reason.startswith("answers as many") else reason.split()[1]


def _mean(shares: Sequence[float]) -> float:
    return sum(shares) / len(shares)


def _told(event: Event) -> None:
    if event.kind in ("note", "stage"):
        print(event.text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
