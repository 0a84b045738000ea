"""What keeping a lineage safe costs: an evolve with all syncs and hashes, and one that syncs and hashes nothing.

    python benchmarks/store_cost.py [--pairs N] [--cycle SECONDS] [--out FILE]

Both arms evolve the demo's founder on the demo's first batch, in turn, in fresh processes, with a plan cut short to a
few steps: what the store adds does not depend on how long a generation trains. Their difference is then set against
a whole evolve of the demo (--cycle: seconds_total in a ledger of `make demo`). In the arm without, fsync does nothing
and SHA-256 sees the first block of a file and its length; everything else, ledger and signatures too, is as it is.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "lighthouse" / "2026-01"
SHORT = ("curriculum.epochs=1", "curriculum.documents=0", "curriculum.forms=1", "curriculum.batch_tokens=128",
         "curriculum.row_tokens=128", "training.anchor=0", "exams.replies=2", "exams.choices=2",
         "exams.answer_tokens=2")  # fmt: skip
SHA256 = hashlib.sha256
DEMO_CYCLE = 155.0
"""Seconds of the shortest evolve of `make demo`, its first."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--cycle", type=float, default=DEMO_CYCLE, help="seconds of a whole evolve (%(default)s)")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--arm", choices=("with", "without"), help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.arm:
        return _evolve(given.arm, given.home)
    seconds: dict[str, list[float]] = {"with": [], "without": []}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GERMLINE_CONFIG"] = folder
        for pair in range(given.pairs + 1):
            for arm in ("with", "without") if pair % 2 else ("without", "with"):
                took = _timed(arm, Path(folder) / f"{arm}-{pair}")
                if pair:  # the first of each warms the page cache
                    seconds[arm].append(took)
                    print(f"{arm:>7}: {took:.2f} s", flush=True)
    added = [a - b for a, b in zip(seconds["with"], seconds["without"], strict=True)]
    middle = statistics.median(added)
    lines = [
        f"# What the store costs, {date.today().isoformat()}",
        "",
        f"`python benchmarks/store_cost.py --pairs {given.pairs}`: seconds of a shortened evolve of the 135M demo.",
        "",
        "| arm | median | all |",
        "| --- | --- | --- |",
        *(f"| {arm} | {statistics.median(took):.2f} | {', '.join(f'{s:.2f}' for s in took)} |"
          for arm, took in seconds.items()),
        "",
        f"Syncs and hashes add {middle:.2f} s (median of {given.pairs} pairs; {min(added):.2f} to {max(added):.2f}), "
        f"{middle / given.cycle:.1%} of a whole evolve of the demo ({given.cycle:.0f} s).",
    ]  # fmt: skip
    print("\n".join(lines))
    if given.out:
        given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


def _timed(arm: str, home: Path) -> float:
    command = [sys.executable, __file__, "--arm", arm, "--home", str(home)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(json.loads(result.stdout.splitlines()[-1])["seconds"])


def _evolve(arm: str, home: Path) -> int:
    """Found a lineage and evolve it once, all in one process, so that both arms hash in their own way throughout."""
    if arm == "without":
        hashlib.sha256 = _Sampled  # type: ignore[misc, assignment]
    from germline import evolve, founding
    from germline.settings import load_plan
    from germline.store import disk

    if arm == "without":
        disk.watch = _careless
    lineage = founding.found(home, "demo", name="cost", on_event=lambda event: None)
    lineage.home.plan.write_text(f"[data]\nsources = [{str(EXAMPLE)!r}]\n", encoding="utf-8")
    plan = load_plan(lineage.home.plan, SHORT)
    began = time.perf_counter()
    evolve.age_up(lineage.home, plan, lambda event: None)
    print(json.dumps({"seconds": time.perf_counter() - began}))
    return 0


def _careless(primitive: Any, *arguments: Any, **named: Any) -> Any:
    from germline.store import disk

    return None if primitive in (disk.flush, disk.flush_directory) else primitive(*arguments, **named)


class _Sampled:
    """A SHA-256 of the first 64 KiB and the length."""

    def __init__(self, data: bytes = b"") -> None:
        self.first, self.size = b"", 0
        self.update(data)

    def update(self, data: bytes) -> None:
        if not self.size:
            self.first = bytes(data[: 1 << 16])
        self.size += len(data)

    def digest(self) -> bytes:
        return SHA256(self.first + str(self.size).encode()).digest()

    def hexdigest(self) -> str:
        return self.digest().hex()


if __name__ == "__main__":
    sys.exit(main())
