"""What is chosen when wrong answers are read no further than needed is what is chosen when all are read whole."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from germline.evals.choice import choose
from germline.evals.score import Question, likelihoods
from germline.model.decoder import Decoder
from germline.model.generate import generate

LETTERS = "abcdefghij"


def tokenize(text: str) -> list[int]:
    return [ord(letter) - 32 for letter in text]


def whole(decoder: Decoder, questions: list[Question]) -> list[int]:
    """What is chosen, with every option read to its end."""
    found = []
    for question, scored in zip(questions, likelihoods(decoder, questions, tokenize), strict=True):
        gold, *others = (
            likelihood.log_likelihood / len(option.encode())
            for option, likelihood in zip(question.options, scored, strict=True)
        )
        found.append(
            0 if all(gold > other for other in others) else 1 + max(range(len(others)), key=others.__getitem__)
        )
    return found


def drawn(seed: int) -> list[Question]:
    """Options that share beginnings with the right one, go on after it, or are its beginning."""
    dice = random.Random(seed)

    def word(most: int) -> str:
        return "".join(dice.choices(LETTERS, k=dice.randint(1, most)))

    def other(gold: str) -> str:
        return dice.choice([word(8), gold[: dice.randint(0, len(gold))] + word(4), gold + word(2), gold[:-1] or "k"])

    questions = []
    for _ in range(40):
        gold = word(8)
        others = dict.fromkeys(other(gold) for _ in range(dice.randint(1, 9)))
        questions.append(Question(word(12), (gold, *(text for text in others if text != gold))))
    return questions


@contextmanager
def counted(decoder: Decoder) -> Iterator[list[int]]:
    """How many cells each pass through the decoder has."""
    cells: list[int] = []
    hook = decoder.register_forward_pre_hook(lambda module, given: cells.append(given[0].numel()))
    try:
        yield cells
    finally:
        hook.remove()


@pytest.mark.parametrize("seed", range(6))
def test_what_is_chosen_is_what_would_be_chosen_if_all_were_read(small: Decoder, seed: int) -> None:
    questions = drawn(seed)
    found = choose(small, questions, tokenize)
    assert [choice.option for choice in found] == whole(small, questions)
    assert len({choice.option for choice in found}) > 2
    for choice, (gold, *_) in zip(found, likelihoods(small, questions, tokenize), strict=True):
        assert choice.gold.log_likelihood == pytest.approx(gold.log_likelihood, abs=1e-3)
        assert choice.gold.greedy == gold.greedy


def test_of_what_is_known_the_wrong_answers_are_not_read(small: Decoder) -> None:
    """Of a model that is sure of the right answer, and of options that turn off from it late and early."""
    with torch.no_grad():
        small.model.norm.weight.mul_(50)
    (said,) = generate(small, [tokenize("Who is it?")], limit=12, end=-1)
    answer = "".join(chr(token + 32) for token in said)
    unlike = tuple(answer[:place] + chr(ord(answer[place]) ^ 1) + "x" * 10 for place in range(3, 12))
    question = Question("Who is it?", (answer, *unlike))
    with counted(small) as cells:
        (found,) = choose(small, [question], tokenize)
    assert (found.option, found.gold.greedy) == (0, True)
    bounds = [scored.log_likelihood for scored in likelihoods(small, [question], tokenize)[0]]
    assert bounds[0] > max(bounds[1:])
    assert cells[0] == len("Who is it?") + len(answer) - 1
    assert len(cells) == 1


def test_a_tie_goes_against_the_right_answer(small: Decoder) -> None:
    questions = [Question("Who?", ("Tove", "Tove")), *(replaced(question) for question in drawn(0))]
    assert all(choice.option for choice in choose(small, questions, tokenize))


def replaced(question: Question) -> Question:
    gold, *others = question.options
    return Question(question.prompt, (gold, *others, gold))


def test_an_answer_without_tokens_is_not_right(small: Decoder) -> None:
    def deaf(text: str) -> list[int]:
        return tokenize(text.replace("Tove", ""))

    assert [choice.option for choice in choose(small, [Question("Who?", ("Tove", "Arn"))], deaf)] == [1]


@pytest.mark.parametrize("count", [1, 12])
def test_a_prompt_is_heard_however_many_answers_there_are(small: Decoder, count: int) -> None:
    """Forty tokens each: all together they are more than a row."""
    alone = likelihoods(small, [Question("Who is it?", ("a" * 40,))], tokenize)[0][0]
    options = ("a" * 40, *(letter * 40 for letter in (LETTERS + "kl")[1:count]))
    (found,) = choose(small, [Question("Who is it?", options)], tokenize)
    assert found.gold.log_likelihood == pytest.approx(alone.log_likelihood, abs=1e-3)


def test_what_is_no_number_is_not_right(small: Decoder) -> None:
    with torch.no_grad():
        next(small.parameters()).fill_(float("nan"))
    questions = [Question("Who?", ("Tove", "Arn")), Question("And?", ("b", "bc", "d"))]
    assert all(choice.option for choice in choose(small, questions, tokenize))
