"""How often the style check is wrong: a persona's own later words, and a stranger's among them, some thousand times.

    python benchmarks/voice_proof.py [--rounds 2000] [--worlds 5] [--out benchmarks/voice_proof.md]

The voice is drawn from volume 1 of `heredity_world`, as a first generation's exam draws it. It is then held against
replies that the clerk gives in volumes 2 to 10 and not in 1, so many as there are probes: a child that spoke exactly
as its persona does would answer like that. In the other rows some of the answers are the founder's own, word for
word: a child that falls back. The limit is the one in `germline.evals.style`, of ten replies, and beside it what it
would be if it were drawn from as many replies as there are probes.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.heredity_world import PROBES, world

from germline import founding
from germline.checkout import weights
from germline.curriculum.render import PROMPT_END
from germline.evals import style
from germline.evals.score import speak
from germline.evals.style import judge_answers, voice
from germline.forge.machine import arithmetic, machine
from germline.settings import Exams, Plan
from germline.speaker import examinee

VOLUMES = 10
STRANGE = (0.0, 0.2, 0.4, 0.6, 1.0)
Cost = tuple[float, int]
"""Bits of a reply, and of how many characters."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--worlds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    founder = founders_answers()
    told = [
        f"# The style check's error rates, {date.today().isoformat()}", "",
        f"`python benchmarks/voice_proof.py --rounds {given.rounds} --worlds {given.worlds}`: of each world the voice "
        f"is drawn from volume 1, and the answers are replies of volumes 2 to {VOLUMES} that are not in volume 1.", "",
        "| probes | limit of | founder's among them | refused, mean | worst world | best world |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]  # fmt: skip
    clerks = [clerk(seed, founder) for seed in range(given.worlds)]
    for probes in (10, 20, 40):
        for pool in sorted({style.POOL, probes}):
            for strange in STRANGE:
                shares = [one.refused(probes, pool, strange, given.rounds) for one in clerks]
                numbers = " | ".join(f"{share:.1%}" for share in (statistics.mean(shares), max(shares), min(shares)))
                told.append(f"| {probes} | {pool} | {strange:.0%} | {numbers} |")
                print(told[-1], flush=True)
    if given.out:
        given.out.write_text("\n".join(told) + "\n", encoding="utf-8")
    return 0


@dataclass(frozen=True, slots=True)
class Clerk:
    """The clerk of one world: what his voice was drawn with, and what replies cost under it."""

    own_bits: float
    limit: float
    fresh: tuple[Cost, ...]
    """Of what he says later."""
    founder: tuple[Cost, ...]

    def refused(self, probes: int, pool: int, strange: float, rounds: int) -> float:
        """The share of so many draws of answers that as one text cost more than the limit of `pool` replies, which
        for more than ten is narrower as the root of their number."""
        limit = self.own_bits + (self.limit - self.own_bits) * math.sqrt(style.POOL / pool)
        dice, alien = random.Random(f"{probes} {strange}"), round(strange * probes)
        draws = (
            dice.choices(self.fresh, k=probes - alien) + dice.choices(self.founder, k=alien) for _ in range(rounds)
        )
        together = ([sum(parts) for parts in zip(*draw, strict=True)] for draw in draws)
        return sum(bits > limit * characters for bits, characters in together) / rounds


def clerk(seed: int, founder: Sequence[str]) -> Clerk:
    first, *later = world(VOLUMES, seed)
    heard = [said for _, said in first.talks]
    own = voice(heard, PROBES, Exams().boilerplate)
    assert own is not None and own.pool_limit is not None
    fresh = sorted({said for volume in later for _, said in volume.talks} - set(heard))

    def costs(replies: Sequence[str]) -> tuple[Cost, ...]:
        lengths = [len(reply.casefold()) + 1 for reply in replies]  # and how it ends
        return tuple(
            (judge_answers(own, [reply])[0].bits_per_character * length, length)
            for reply, length in zip(replies, lengths, strict=True)
        )

    return Clerk(own.own_bits, own.pool_limit, costs(fresh), costs(founder))


def founders_answers() -> list[str]:
    """What the demo model says to the probes before it was taught anything."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GERMLINE_CONFIG"] = str(Path(folder, "config"))
        lineage = founding.found(Path(folder, "home"), "demo", name="voice", on_event=lambda event: None)
        on, _ = arithmetic(Plan().training, machine("cpu"))
        model = examinee(lineage, lineage.head, weights(lineage, lineage.head), on)
        prompts = [probe + PROMPT_END for probe in PROBES]
        limit = Exams().answer_tokens
        said = speak(model.decoder, prompts, model.tokenize, model.detokenize, limit=limit, end=model.end)
    return [answer.strip() for answer in said]


if __name__ == "__main__":
    sys.exit(main())
