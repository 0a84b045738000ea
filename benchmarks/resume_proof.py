"""SIGKILL a real evolve of the 135M demo model again and again: the child must be the one of a run left alone.

    make proof-resume          (about five minutes on two cores; appends to benchmarks/resume_proof.md)

Two homes are founded from the same model. In the first, one generation is grown undisturbed. In the second
the process is killed at random moments while it reads, trains or merges, and started again, until it ends.
Both ids must be equal, and `germline verify` clean after every kill.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[1] / "examples/lighthouse/2026-03"
RESULT = Path(__file__).with_suffix(".md")
KILLS = 6
SETTINGS = ("--set", "curriculum.epochs=1", "--set", "curriculum.documents=0", "--set", "training.checkpoint_every=3",
            "--set", "exams.replies=4", "--set", "gate.recall=0.0", "--set", "gate.generalization=0.0")  # fmt: skip


def main() -> int:
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else random.SystemRandom().randrange(10**6)
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        alone, killed = Path(folder) / "alone", Path(folder) / "killed"
        for home in (alone, killed):
            germline("init", str(home), "--from", "demo")
            germline("feed", "--home", str(home), str(EXAMPLE))
        began = time.monotonic()
        expected = grow(alone, None)
        seconds = time.monotonic() - began
        print(f"undisturbed: {expected} in {seconds:.0f} s; seed {seed}", flush=True)
        deaths = []
        while True:
            patience = dice.uniform(2.0, 0.8 * seconds) if len(deaths) < KILLS else None
            found = grow(killed, patience)
            germline("verify", "--home", str(killed))
            if found is not None:
                break
            deaths.append(patience)
            print(f"killed after {patience:.1f} s, verify clean", flush=True)
    same = found == expected
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    when = ", ".join(f"{death:.0f}" for death in deaths)
    ids = "equal" if same else "DIFFERENT"
    line = (
        f"| {datetime.date.today()} | {machine} | {seed} | {len(deaths)} | {when} s of {seconds:.0f} | {ids} "
        f"| `{str(expected)[:19]}` |\n"
    )
    if not RESULT.exists():
        RESULT.write_text(
            "# A killed run ends as the child it would have been\n\n"
            "`make proof-resume`: SmolLM2-135M, one generation.\n\n"
            "| date | machine | seed | SIGKILLs | after | ids | id |\n"
            "| --- | --- | --- | --- | --- | --- | --- |\n",
            encoding="utf-8",
        )
    with RESULT.open("a", encoding="utf-8") as file:
        file.write(line)
    print(line)
    return 0 if same else 1


def germline(*words: str) -> str:
    return subprocess.run([sys.executable, "-m", "germline", *words], check=True, capture_output=True, text=True).stdout


def grow(home: Path, patience: float | None) -> str | None:
    """Evolve; the child's id, or None if it was killed first."""
    process = subprocess.Popen(
        [sys.executable, "-m", "germline", "evolve", "--home", str(home), *SETTINGS],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return None
    history = json.loads(germline("log", "--home", str(home), "--json"))
    return str(history["entries"][-1]["generation"])


if __name__ == "__main__":
    raise SystemExit(main())
