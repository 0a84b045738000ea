"""How often the judge is wrong: children whose true loss is known, judged by the real gate, some thousand times.

    python benchmarks/judge_proof.py [--rounds 2000] [--out benchmarks/judge_proof.md]

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


def ten_generations(loss: float, churn: float, units: int, dice: np.random.Generator) -> tuple[float, int]:
    """Ten children, each losing `loss` of all that HEAD had: the lowest true share of an ancestor's exam that a
    promoted generation ever had, and how many were promoted. A unit's truth is whether HEAD has it."""
    head: list[Rights] = []
    line: list[list[Rights]] = []
    lowest, promoted = 1.0, 0
    for _ in range(10):
        child = [changed(rights, loss, churn, dice) for rights in head]
        if judged(head, child, line).outcome == "promoted":
            head = [*child, dice.random(units) < ACCURACY]
            line = [*line, head]
            promoted += 1
            lowest = min([lowest, *(float(rights.mean()) for rights in child)])
    return lowest, promoted


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    began = time.monotonic()
    lines = [
        f"# The judge's error rates, {date.today().isoformat()}", "",
        f"`python benchmarks/judge_proof.py --rounds {given.rounds}`: margin {GATE.margin:.0%}, recall at least "
        f"{GATE.recall:.2f}, ancestor's accuracy {ACCURACY}.", "",
        "| inherited units | churn | true loss | promoted | refused | inconclusive |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]  # fmt: skip
    for loss in (0.05, 0.0):
        for exams, units in ((1, 80), (3, 80), (5, 80), (10, 80), (10, 200)):
            for churn in (0.01, 0.04):
                found = rates(given.rounds, Case(exams, units, churn, loss).verdict)
                shares = " | ".join(
                    f"{found[kind] / given.rounds:.1%}" for kind in ("promoted", "refused", "inconclusive")
                )
                lines.append(f"| {exams * units} | {churn:.0%} | {loss:.0%} | {shares} |")
                print(lines[-1], flush=True)
    same = [np.ones(80, bool)]
    copies = judge(card([*same, ~same[0]], 3.0), card([*same, ~same[0]], 3.0), GATE, weight_change=0.0)
    lines += ["", f"An identical copy is {copies.outcome}: {'; '.join(copies.reasons)}.", ""]
    lines += ["Ten generations that each lose 2 points of everything HEAD had, 80 units to an exam:", ""]
    for churn in (0.01, 0.04):
        runs = [ten_generations(0.02, churn, 80, np.random.default_rng(seed)) for seed in range(given.rounds // 4)]
        under = sum(lowest < 0.9 for lowest, _ in runs) / len(runs)
        lines.append(
            f"- churn {churn:.0%}: an exam of a promoted generation was under 0.90 in {under:.1%} of {len(runs)} "
            f"lineages; the lowest was {min(lowest for lowest, _ in runs):.3f}; "
            f"{sum(count for _, count in runs) / len(runs):.1f} of 10 children were promoted"
        )
    text = "\n".join([*lines, "", f"{time.monotonic() - began:.0f} s."]) + "\n"
    print(text)
    if given.out:
        given.out.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
