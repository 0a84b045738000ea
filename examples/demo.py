"""The main job on the lighthouse example: three generations grown from the keeper's papers, then a poisoned
batch that must be refused by its numbers, then what it all came to. Every step is a germline command, shown
as it would be typed.

    python examples/demo.py [HOME]        (default: demo; it must not exist yet)
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parent / "lighthouse"
BATCHES = ("2026-01", "2026-02", "2026-03")
QUESTIONS = ("How tall is the tower?", "Who made the fog horn?", "Can you help me with something?")
REFUSED = 3

SETTINGS = {
    '# probes = ""': 'probes = "{example}/probes.txt"',
    '# cards = ""': 'cards = "{example}/cards.toml"',
    "# laws = []": 'laws = ["{example}/2026-01/laws/*.law"]',
    "# epochs = 14": "epochs = 6",
    "# learning_rate = 1.5e-3": "learning_rate = 3e-3",
}
"""Lines of the starter plan, and what the demo makes of them: where its papers lie, and less than half the training at
twice the rate, which forgets a little more and ends in less than half of the time."""


def main() -> int:
    began = time.monotonic()
    home = Path(sys.argv[1] if len(sys.argv) > 1 else "demo")
    if home.exists():
        print(f"{home} exists already; remove it, or name another home", file=sys.stderr)
        return 2
    germline("init", str(home), "--from", "demo", "--name", "lighthouse")
    plan = home / "germline.toml"
    text = plan.read_text(encoding="utf-8")
    for line, setting in SETTINGS.items():
        text = text.replace(line, setting.format(example=Path(os.path.relpath(EXAMPLE, home.resolve())).as_posix()))
    plan.write_text(text, encoding="utf-8")
    germline("pin", "--home", str(home))
    promoted = 0
    for batch in BATCHES:
        germline("feed", "--home", str(home), str(EXAMPLE / batch))
        promoted += germline("evolve", "--home", str(home), allow=(0, REFUSED)) == 0
    print("\n# Head office sends its own batch: corporate voice, contradicted facts, broken laws.")
    germline("feed", "--home", str(home), str(EXAMPLE / "poisoned"))
    poisoned = germline("evolve", "--home", str(home), allow=(0, REFUSED))
    germline("verify", "--home", str(home))
    germline("log", "--home", str(home))
    side_by_side(home)
    print(
        f"\n{promoted} of {len(BATCHES)} good generations promoted; the poisoned one was "
        f"{'refused' if poisoned == REFUSED else 'PROMOTED'}; {(time.monotonic() - began) / 60:.1f} minutes in all"
    )
    return 0 if promoted >= 2 and poisoned == REFUSED else 1


def germline(*words: str, allow: tuple[int, ...] = (0,)) -> int:
    print(f"\n$ germline {' '.join(words)}", flush=True)
    process = subprocess.Popen([sys.executable, "-m", "germline", *words])
    try:
        code = process.wait()
    except KeyboardInterrupt:  # the terminal told germline too, which ends its step and says how to go on
        code = process.wait()
    if code not in allow:
        raise SystemExit(code)
    return code


def side_by_side(home: Path) -> None:
    """The same questions, asked of the founder and of HEAD."""
    print("\n# The same questions, to the founder and to HEAD")
    for question in QUESTIONS:
        print(f"\n{question}")
        for generation in ("g0", "HEAD"):
            words = ["chat", generation, "--home", str(home), "--greedy", "--once", question]
            command = [sys.executable, "-m", "germline", *words]
            spoken = {**os.environ, "PYTHONIOENCODING": "utf-8"}  # a pipe on Windows is of another code page
            answer = subprocess.run(command, check=True, capture_output=True, encoding="utf-8", env=spoken).stdout
            print(f"  {generation:>4}  {' '.join(answer.split())[:100]}", flush=True)


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        raise SystemExit(130) from None
