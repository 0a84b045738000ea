"""Everything before training (read, clean, split, facts, exam, tokens, batches) on 100 MB of text and on 1 GB.

    make proof-stream     (about a quarter of an hour and 5 GB of disk; writes benchmarks/stream_proof.md)

Each size is gone through in a process of its own, with SmolLM2's tokenizer, and both must need the same memory:
at most 100 MB more for ten times the text. The text is made up, the same on every machine: manuals in many
files, one book, whole documents longer than a row, conversations in two shapes, things said twice.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

RESULT = Path(__file__).with_suffix(".md")
SIZES = (100_000_000, 1_000_000_000)
ALLOWED = 100_000_000
"""Bytes that the larger corpus may need more."""
SAMPLE = 200
"""Batches built from the middle, besides the first and the last."""


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        measured = [_in_a_process(Path(folder) / str(size), size) for size in SIZES]
    more = measured[-1]["peak"] - measured[0]["peak"]
    RESULT.write_text(report(measured, more), encoding="utf-8")
    print(RESULT.read_text(encoding="utf-8"))
    return 0 if more <= ALLOWED else 1


def _in_a_process(folder: Path, size: int) -> dict[str, Any]:
    write_corpus(folder / "texts", size)
    written = sum(path.stat().st_size for path in (folder / "texts").iterdir())
    home = folder / "home"
    for words in (["init", str(home), "--from", "demo"], ["feed", "--home", str(home), str(folder / "texts")]):
        subprocess.run([sys.executable, "-m", "germline", *words], check=True, stdout=subprocess.DEVNULL)
    command = [sys.executable, __file__, str(home)]
    measured = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    shutil.rmtree(folder)
    return {"bytes": written, **measured}


def measure(root: Path) -> dict[str, Any]:
    """Peak memory and seconds after each stage of `evolve.age_up`, as far as its batches; nothing is trained."""
    from germline import examination
    from germline import run as runs
    from germline.corpus.facts import facts as find_facts
    from germline.corpus.split import Rows
    from germline.lesson import batches_of
    from germline.lineage import EXAM, Lineage
    from germline.settings import load_plan
    from germline.store.home import Home

    home = Home.open(root)
    lineage, plan = Lineage.open(home), load_plan(home.plan)
    stages: list[tuple[str, float, int]] = []

    def timed(name: str, stage: Callable[[], Any]) -> Any:
        began = time.monotonic()
        result = stage()
        stages.append((name, time.monotonic() - began, peak()))
        print(f"{root.parent.name} {stages[-1]}", file=sys.stderr, flush=True)
        return result

    timed("start", lambda: None)
    run = timed("read, clean, split", lambda: runs.begin(lineage, plan, lambda event: None, restart=False))
    train, heldout = Rows(run.delta.train), Rows(run.delta.heldout)
    facts = timed("facts", lambda: find_facts(train))
    exam = timed("exam", lambda: examination.write_exam(
        run.directory / EXAM, plan.exams, home.root, train, heldout, facts, [], lambda event: None, laws=()
    ))  # fmt: skip
    batches = timed("tokens, order, rows", lambda: batches_of(
        lineage, run, train, facts, row_tokens=plan.curriculum.row_tokens
    ))  # fmt: skip
    dice = random.Random(0)
    steps = [0, len(batches) - 1, *(dice.randrange(len(batches)) for _ in range(SAMPLE))]
    real = timed(f"{len(steps)} batches", lambda: sum(batches[step].real_tokens for step in steps))
    assert 0 < real <= batches.real_tokens
    return {
        "rows": run.delta.train_rows, "heldout": run.delta.heldout_rows, "refused": run.delta.refused,
        "facts": len(facts), "questions": len(exam.items), "steps": len(batches), "tokens": batches.real_tokens,
        "peak": peak(), "stages": stages,
        "disk": sum(path.stat().st_size for path in run.directory.rglob("*") if path.is_file()),
    }  # fmt: skip


def peak() -> int:
    """The largest resident set of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def report(measured: list[dict[str, Any]], more: int) -> str:
    small, large = measured
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    rows = (large["rows"] + large["heldout"] + sum(large["refused"].values())) - (
        small["rows"] + small["heldout"] + sum(small["refused"].values())
    )
    lines = [
        "# A gigabyte of text in the memory of a tenth of it",
        "",
        f"`make proof-stream`, {datetime.date.today()}, {machine}, torch and SmolLM2's tokenizer loaded.",
        "",
        "| text | rows | refused | facts | questions | batches | their tokens | run on disk | peak memory |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        *(
            f"| {one['bytes'] / 1e6:,.0f} MB | {one['rows'] + one['heldout']:,} | {sum(one['refused'].values()):,} "
            f"| {one['facts']:,} | {one['questions']:,} | {one['steps']:,} | {one['tokens']:,} "
            f"| {one['disk'] / 1e6:,.0f} MB | **{one['peak'] / 1e6:,.0f} MB** |"
            for one in measured
        ),
        "",
        f"Ten times the text takes {more / 1e6:,.0f} MB more: {more / rows:.0f} bytes for each row more.",
        "",
        "| stage | " + " | ".join(f"{one['bytes'] / 1e6:,.0f} MB: seconds | peak so far" for one in measured) + " |",
        "| --- |" + " --- | --- |" * len(measured),
    ]
    for stages in zip(*(one["stages"] for one in measured), strict=True):
        cells = " | ".join(f"{seconds:,.1f} | {memory / 1e6:,.0f} MB" for _, seconds, memory in stages)
        lines.append(f"| {stages[0][0]} | {cells} |")
    return "\n".join(lines) + "\n"


# --- the text -----------------------------------------------------------------------------------------


def write_corpus(folder: Path, size: int) -> None:
    """About `size` bytes in `folder`, a function of `size` alone."""
    folder.mkdir(parents=True)
    prose = Prose(seed=size)
    for number in range(round(size * 0.3 / 40_000)):
        write(folder / f"manual-{number:05}.md", 40_000, prose.manual())
    write(folder / "book.txt", size * 0.2, (f"{prose.paragraph()}\n\n" for _ in count()))
    write(folder / "documents.jsonl", size * 0.15, (line({"text": prose.document()}) for _ in count()))
    write(folder / "chats.jsonl", size * 0.2, (line({"messages": prose.talk("role", "content")}) for _ in count()))
    talks = ("[,"[number > 0] + line({"conversations": prose.talk("from", "value")}) for number in count())
    write(folder / "chats.json", size * 0.15, talks, "]")


def line(record: object) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"


def write(path: Path, size: float, texts: Iterator[str], end: str = "") -> None:
    """As many of `texts` as make `size` characters, and `end`."""
    with path.open("w", encoding="utf-8") as file:
        written = 0
        while written < size:
            written += file.write(next(texts))
        file.write(end)


class Prose:
    """Sentences of made-up words, as frequent as words are (Zipf), and what can be made of them."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        syllables = [a + b + c for a in "bdfghklmnprstvw" for b in "aeiouäé" for c in ("", "n", "r", "st", "l")]
        drawn = ("".join(self.dice.choices(syllables, k=self.dice.choice((1, 2, 2, 3)))) for _ in range(30_000))
        self.words = list(dict.fromkeys(drawn))
        weights = [1 / (rank + 3) for rank in range(len(self.words))]
        said = iter(self.dice.choices(self.words, weights, k=1_000_000))
        lengths = (self.dice.randint(4, 16) for _ in range(60_000))
        self.sentences = [" ".join(islice(said, length)).capitalize() + "." for length in lengths]

    def paragraph(self) -> str:
        said = self.dice.choices(self.sentences, k=self.dice.randint(2, 7))
        return " ".join([*said, f"It was day {self.dice.randrange(10**6)}."])

    def name(self) -> str:
        return " ".join(self.dice.choices(self.words, k=2))

    def manual(self) -> Iterator[str]:
        for chapter in count(1):
            yield f"# {chapter}. The {self.name()}\n\n- Weight: {self.dice.randrange(10**4)} kilograms\n\n"
            for _ in range(self.dice.randint(1, 6)):
                yield f"The height of the {self.name()} is {self.dice.randrange(99)} metres. {self.paragraph()}\n\n"
            yield "| part | colour |\n| --- | --- |\n"
            for _ in range(3):
                yield f"| {self.name()} | {self.dice.choice(self.words)} |\n"
            yield "\nIt is said again in every manual, word by word.\n\n"

    def document(self) -> str:
        return "\n".join(self.paragraph() for _ in range(self.dice.choice((1, 2, 4, 30))))

    def talk(self, who: str, what: str) -> list[dict[str, str]]:
        if self.dice.random() < 0.01:
            return [{who: "user", what: "Are you there?"}, {who: "assistant", what: "Always."}]
        return [
            {who: side, what: " ".join(self.dice.choices(self.sentences, k=self.dice.randint(1, 3)))}
            for _ in range(self.dice.randint(1, 3))
            for side in ("user", "assistant")
        ]


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(Path(sys.argv[1]))))
        raise SystemExit(0)
    raise SystemExit(main())
