"""How often the judge is wrong: children whose true loss is known, judged by the real gate, some thousand times.

    python benchmarks/judge_proof.py [--rounds 2000] [--lineages 500] [--out benchmarks/judge_proof.md]
    python benchmarks/judge_proof.py --rounds 0 --lineages 100       children of children alone

Each unit of an exam is a coin of its own: a child loses it or wins it back with a known chance, so that the true loss
is known and what the judge sees is not. The ancestor's accuracy is 0.97, `churn` is the share of units that change
either way for no reason. Nothing is trained; the same on real children is `benchmarks/heredity.py`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from germline.judge.gate import judge
from germline.records import Marks, Score, Scorecard
from germline.settings import Gate

GATE = Gate(margin=0.05)
ACCURACY = 0.97
NEW = 80
"""Units of the child's own exam, which it has learned."""
TAUGHT = 800
"""Facts that a generation is taught, where its exam asks but some of them."""
WHY = (
    "No exam of a promoted generation can show less than the gate's recall; the truth can be less. The exam is a "
    "sample (of 80 facts known to nine tenths: give or take 3.4 points), the same at every generation, and of many "
    "children those pass whose sample happened to lose less than the rest. And the margin is asked of all exams "
    "together: young ones, of which little is lost yet, stand in for the oldest, of which each generation lost its 2 "
    "points."
)
Rights = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Case:
    """A child over `exams` inherited exams of `units` each."""

    exams: int
    units: int
    churn: float
    loss: float

    def verdict(self, dice: np.random.Generator) -> str:
        before = [dice.random(self.units) < ACCURACY for _ in range(self.exams)]
        after = [changed(rights, self.loss, self.churn, dice) for rights in before]
        return judged(before, after, [before]).outcome


def changed(rights: Rights, loss: float, churn: float, dice: np.random.Generator) -> Rights:
    """What a child has right: `loss` of all units less on average, and `churn` of them changed besides, half and half.

    A unit that is wrong is won back with the chance that keeps the balance, as far as there are any.
    """
    share = max(float(rights.mean()), 1e-9)
    lost = dice.random(len(rights)) < (loss + churn / 2) / share
    won = dice.random(len(rights)) < min(1.0, churn / 2 / max(1 - share, 1e-9))
    return np.where(rights, ~lost, won)


def judged(parent: Sequence[Rights], child: Sequence[Rights], line: Sequence[Sequence[Rights]]):  # type: ignore[no-untyped-def]
    learned, unknown = np.ones(NEW, bool), np.zeros(NEW, bool)
    return judge(
        card([*parent, unknown], 3.0), card([*child, learned], 0.3), GATE, weight_change=0.01,
        line=[card(rights, 0.3) for rights in line],
    )  # fmt: skip


def card(exams: Sequence[Rights], bits: float) -> Scorecard:
    return Scorecard(
        weights="w", marks={f"sha256:{place:064x}": marks(rights, bits) for place, rights in enumerate(exams)}
    )


def marks(rights: Rights, bits: float) -> Marks:
    score = Score(items=len(rights), right=int(rights.sum()), bits_per_byte=bits)
    return Marks(
        recall=score, wording=score, heldout=Score(items=0, right=0, bits_per_byte=0.0), spoken=score,
        passages_bits_per_byte=None, style=None, laws={}, cards={}, answers=(),
        units={str(place): (float(right), bits) for place, right in enumerate(rights)},
    )  # fmt: skip


def rates(rounds: int, attempt: Callable[[np.random.Generator], str]) -> Counter[str]:
    return Counter(attempt(np.random.default_rng(seed)) for seed in range(rounds))


@dataclass(frozen=True, slots=True)
class Grown:
    """What became of a lineage after a number of children."""

    lowest: float
    """The lowest share of what one of its generations was taught that a promoted one truly knew."""
    examined: float
    """The lowest that an ancestor's exam showed of a promoted one."""
    promoted: int


def grown(children: int, loss: float, churn: float, units: int, dice: np.random.Generator) -> Grown:
    """So many children one after the other, each truly losing `loss` of all that HEAD had. A generation is taught
    TAUGHT facts, of which its exam asks `units`, the same ones ever after: the others no judge sees, and what it knows
    of all of them is the truth."""
    head: list[Rights] = []
    line: list[list[Rights]] = []
    lowest, examined = 1.0, 1.0
    for _ in range(children):
        child = [changed(rights, loss, churn, dice) for rights in head]
        seen = [rights[:units] for rights in child]
        if judged([rights[:units] for rights in head], seen, line).outcome == "promoted":
            head = [*child, dice.random(TAUGHT) < ACCURACY]
            line = [*line, [rights[:units] for rights in head]]
            lowest = min([lowest, *(float(rights.mean()) for rights in head)])
            examined = min([examined, *(float(rights.mean()) for rights in seen)])
    return Grown(lowest, examined, len(head))


def lineages_table(lineages: int) -> list[str]:
    """How far what is truly known falls, unseen, where each child loses 2 points."""
    told = [
        f"Children one after the other, each truly losing 2 points of everything HEAD had. A generation is taught "
        f"{TAUGHT} facts, and its exam asks some of them. Truly known: of each ancestor's {TAUGHT}, asked or not, the "
        f"lowest share in any promoted generation of a lineage. A hundred children: an owner who never gives up.", "",
        "| children | asked | churn | lineages | promoted, mean | truly known, median | 5% are under | lowest | "
        "under 0.90 | under 0.88 | lowest exam |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]  # fmt: skip
    for children, count, churns in ((10, lineages, (0.01, 0.04)), (100, lineages // 20, (0.01,))):
        for units in (80, 160, 240) if count else ():
            for churn in churns:
                told.append(_lineages(children, count, churn, units))
                print(told[-1], flush=True)
    return [*told, "", WHY]


def _lineages(children: int, count: int, churn: float, units: int) -> str:
    runs = [grown(children, 0.02, churn, units, np.random.default_rng(seed)) for seed in range(count)]
    truths = np.array([run.lowest for run in runs])
    cells = [
        f"{children}", f"{units}", f"{churn:.0%}", f"{count}", f"{np.mean([run.promoted for run in runs]):.1f}",
        f"{np.median(truths):.3f}", f"{np.quantile(truths, 0.05):.3f}", f"{truths.min():.3f}",
        f"{np.mean(truths < 0.90):.1%}", f"{np.mean(truths < 0.88):.1%}", f"{min(run.examined for run in runs):.3f}",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def rates_table(rounds: int) -> list[str]:
    """How often one child is judged wrongly."""
    told = [
        "| inherited units | churn | true loss | promoted | refused | inconclusive |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for loss in (0.05, 0.0):
        for exams, units in ((1, 80), (3, 80), (5, 80), (10, 80), (10, 200)):
            for churn in (0.01, 0.04):
                found = rates(rounds, Case(exams, units, churn, loss).verdict)
                shares = " | ".join(f"{found[kind] / rounds:.1%}" for kind in ("promoted", "refused", "inconclusive"))
                told.append(f"| {exams * units} | {churn:.0%} | {loss:.0%} | {shares} |")
                print(told[-1], flush=True)
    same = [np.ones(80, bool)]
    copies = judge(card([*same, ~same[0]], 3.0), card([*same, ~same[0]], 3.0), GATE, weight_change=0.0)
    return [*told, "", f"An identical copy is {copies.outcome}: {'; '.join(copies.reasons)}."]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--lineages", type=int, help="a quarter of the rounds, if not given")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    began = time.monotonic()
    lineages = given.rounds // 4 if given.lineages is None else given.lineages
    lines = [
        f"# The judge's error rates, {date.today().isoformat()}", "",
        f"`python benchmarks/judge_proof.py --rounds {given.rounds} --lineages {lineages}`: margin {GATE.margin:.0%}, "
        f"recall at least {GATE.recall:.2f}, ancestor's accuracy {ACCURACY}.",
    ]  # fmt: skip
    lines += ["", *rates_table(given.rounds)] if given.rounds else []
    lines += ["", *lineages_table(lineages)] if lineages else []
    text = "\n".join([*lines, "", f"{time.monotonic() - began:.0f} s."]) + "\n"
    print(text)
    if given.out:
        given.out.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
