"""How fast an exam's questions are answered by choosing, beside lm-evaluation-harness.

    pip install lm-eval==0.4.13
    python benchmarks/exam_bench.py HOME [--exams 3] [--rounds 3] [--out benchmarks/exam_bench_DATE.md]

HEAD of the lineage in HOME answers the oldest exams of its line, and so does its founder, who knows none of it. Three
ways in turn, in one process, after a warm-up, with the same weights, dtype and threads: lm-evaluation-harness, by its
own model class over transformers, which reads each answer behind its prompt; germline with every answer read whole,
those of a question in one row; germline as it sits exams, with wrong answers read no further than it takes.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.speech_bench import write_hugging_face

from germline import examination
from germline.checkout import weights
from germline.evals.choice import choose
from germline.evals.score import Question, likelihoods
from germline.evals.suite import Examinee
from germline.forge.machine import arithmetic, machine
from germline.lineage import Generation, Lineage
from germline.settings import Plan
from germline.speaker import examinee
from germline.store.home import Home

BATCH = 16
Answers = list[int]
"""The option that is chosen of each question."""
Way = Callable[[Sequence[Question]], Answers]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path)
    parser.add_argument("--exams", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(machine().cores)
    lineage = Lineage.open(Home.open(given.home))
    line_exams = examination.inherited(lineage, lineage.head)[: given.exams]
    questions = [Question(item.prompt, (item.answer, *item.wrong)) for exam in line_exams for item in exam.items]
    on, told = arithmetic(Plan().training, machine("cpu"))
    lines = [
        f"# Exams answered by choosing, {date.today()}", "",
        f"`python benchmarks/exam_bench.py --exams {len(line_exams)} --rounds {given.rounds}`: "
        f"{len(questions)} questions with {sum(len(question.options) for question in questions)} answers, {told}, "
        f"{torch.get_num_threads()} threads. Seconds: medians of {given.rounds} rounds, the ways in turn.", "",
        "| who | lm-evaluation-harness, s | all answers whole, s | as exams are sat, s | to lm-evaluation-harness "
        "| each round | to all whole | chosen otherwise than all whole | than lm-evaluation-harness |",
        "| --- | ---: | ---: | ---: | ---: | --- | ---: | ---: | ---: |",
    ]  # fmt: skip
    for generation in (lineage.head, lineage.born()[0]):
        model = examinee(lineage, generation, weights(lineage, generation), on)
        with tempfile.TemporaryDirectory() as folder:
            ways = {
                "theirs": _theirs(lineage, generation, Path(folder), on.dtype),
                "whole": _whole(model),
                "sat": _sat(model),
            }
            lines.append(_line(generation.name, ways, questions, given.rounds))
        print("\n".join(lines), flush=True)
    if given.out:
        given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


def _line(name: str, ways: dict[str, Way], questions: Sequence[Question], rounds: int) -> str:
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    answers: dict[str, Answers] = {}
    for turn in range(rounds + 1):
        for way, answer in ways.items():
            began = time.perf_counter()
            answers[way] = answer(questions if turn else questions[:BATCH])
            if turn:
                seconds[way].append(time.perf_counter() - began)
    theirs, whole, sat = (statistics.median(seconds[way]) for way in ("theirs", "whole", "sat"))
    each = ", ".join(f"{a / b:.1f}" for a, b in zip(seconds["theirs"], seconds["sat"], strict=True))
    other = [sum(a != b for a, b in zip(answers["sat"], answers[way], strict=True)) for way in ("whole", "theirs")]
    return (
        f"| {name} | {theirs:.1f} | {whole:.1f} | {sat:.1f} | {theirs / sat:.1f} | {each} | {whole / sat:.1f} "
        f"| {other[0]} | {other[1]} |"
    )


def _sat(model: Examinee) -> Way:
    return lambda questions: [choice.option for choice in choose(model.decoder, questions, model.tokenize)]


def _whole(model: Examinee) -> Way:
    def answer(questions: Sequence[Question]) -> Answers:
        found = likelihoods(model.decoder, questions, model.tokenize)
        return [
            _best(question, [likelihood.log_likelihood for likelihood in scored])
            for question, scored in zip(questions, found, strict=True)
        ]

    return answer


def _theirs(lineage: Lineage, generation: Generation, folder: Path, dtype: torch.dtype) -> Way:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoModelForCausalLM, AutoTokenizer

    write_hugging_face(lineage, generation, folder / "hf")
    tokenizer = AutoTokenizer.from_pretrained(folder / "hf")
    model = AutoModelForCausalLM.from_pretrained(folder / "hf", dtype=dtype).eval()
    harness = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=BATCH)

    def answer(questions: Sequence[Question]) -> Answers:
        asked = [
            Instance("loglikelihood", {}, (question.prompt, option), place)
            for question in questions
            for place, option in enumerate(question.options)
        ]
        scores = iter(harness.loglikelihood(asked, disable_tqdm=True))
        return [_best(question, [next(scores)[0] for _ in question.options]) for question in questions]

    return answer


def _best(question: Question, scores: Sequence[float]) -> int:
    per_byte = [score / len(option.encode()) for score, option in zip(scores, question.options, strict=True)]
    if all(per_byte[0] > other for other in per_byte[1:]):
        return 0
    return max(range(1, len(per_byte)), key=per_byte.__getitem__)


if __name__ == "__main__":
    sys.exit(main())
