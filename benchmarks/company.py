"""Training beside another program: how long threads look whether they may go on, before they sleep.

    python benchmarks/company.py [--rounds 8] [--out benchmarks/company.md]

A step of SmolLM2-135M as `anchor_step.py` makes it, on all cores, alone and beside one process that keeps a core busy;
for each way of waiting in processes of their own, in turn, because GNU's OpenMP reads it but once.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

WAYS = {"as it comes": {}, "1000 looks": {"GOMP_SPINCOUNT": "1000"}, "none": {"OMP_WAIT_POLICY": "passive"}}
TURNS = 3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--step", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        print(step(given.rounds))
        return 0
    alone, beside = measured(given.rounds), []
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        beside = measured(given.rounds)
        other.kill()
    lines = told(alone, beside, given.rounds)
    print("\n".join(lines))
    if given.out:
        given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


def measured(rounds: int) -> dict[str, float]:
    """Milliseconds of a step: of each way the median of its turns' medians."""
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(TURNS):
        for way, chosen in WAYS.items():
            command = [sys.executable, __file__, "--step", "--rounds", str(rounds)]
            done = subprocess.run(command, env={**os.environ, **chosen}, capture_output=True, text=True, check=True)
            found[way].append(float(done.stdout))
    return {way: statistics.median(taken) for way, taken in found.items()}


def step(rounds: int) -> float:
    import torch
    from benchmarks import anchor_step

    from germline.forge.machine import machine

    torch.set_num_threads(machine().cores)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GERMLINE_CONFIG"] = f"{folder}/config"
        anchor_step.WAYS = {"together": anchor_step.WAYS["together"]}
        (taken,) = anchor_step.measured(anchor_step.founder(Path(folder)), rounds).values()
    return statistics.median(taken) * 1000


def told(alone: dict[str, float], beside: dict[str, float], rounds: int) -> list[str]:
    lines = [
        f"# Training beside another program, {date.today()}", "",
        f"`python benchmarks/company.py --rounds {rounds}`: medians of {TURNS} turns, {os.cpu_count()} cores.", "",
        "| a waiting thread looks | alone, ms a step | to as it comes | beside one busy process | to as it comes |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]  # fmt: skip
    base_alone, base_beside = alone["as it comes"], beside["as it comes"]
    return lines + [
        f"| {way} | {alone[way]:,.0f} | {alone[way] / base_alone:.2f} | {beside[way]:,.0f} | "
        f"{beside[way] / base_beside:.2f} |"
        for way in WAYS
    ]


if __name__ == "__main__":
    sys.exit(main())
