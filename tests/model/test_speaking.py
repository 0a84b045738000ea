"""Generation in a batch and scoring in a shared row are the same as one text at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from germline.evals import score
from germline.evals.cards import Card
from germline.evals.exams import Exam
from germline.evals.questions import Item
from germline.evals.score import Question, likelihoods, log_likelihoods, speak
from germline.evals.style import voice
from germline.evals.suite import Examinee, _aloud, _begins_with, _choose, sit
from germline.forge.machine import Arithmetic, arithmetic, machine
from germline.model import generate as speaking
from germline.model.continuous_batch import ContinuousBatch
from germline.model.decoder import Decoder
from germline.model.generate import Sampling, generate, latest
from germline.settings import Training
from germline.speaker import usual_arithmetic
from tests.unit.small_lineage import lighthouse

PROMPTS = [[5, 6, 7, 8, 9], [11], [20, 21, 22], list(range(30, 60))]


def plain_logits(decoder: Decoder, ids: list[int]) -> torch.Tensor:
    tokens, positions = torch.tensor([ids]), torch.arange(len(ids)).unsqueeze(0)
    with torch.inference_mode():
        return decoder.logits(decoder(tokens, decoder.within_texts(torch.zeros_like(tokens), positions)))[0]


def test_a_batch_with_a_cache_says_what_each_prompt_says_alone(small: Decoder) -> None:
    together = generate(small, PROMPTS, limit=12, end=96)
    for prompt, answer in zip(PROMPTS, together, strict=True):
        ids = list(prompt)
        for _ in range(12):
            token = int(plain_logits(small, ids)[-1].argmax())
            if token == 96:
                break
            ids.append(token)
        assert answer == ids[len(prompt) :]


def test_of_a_model_that_keeps_much_for_each_word_fewer_texts_go_on_at_once(
    small: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    class Seen(ContinuousBatch):
        def __init__(self, decoder: Decoder, rows: int) -> None:
            made.append(rows)
            super().__init__(decoder, rows)

    whole = generate(small, PROMPTS, limit=12, end=96)
    each = ContinuousBatch(small, 1).bytes_of(min(2 * (len(PROMPTS[3]) + 12), small.config.max_positions))
    with monkeypatch.context() as little:
        little.setattr(speaking, "ContinuousBatch", Seen)
        for kept in (10 * each, 2 * each, 0):
            little.setattr(speaking, "KEPT", kept)
            assert generate(small, PROMPTS, limit=12, end=96) == whole
    assert made == [4, 2, 1]


def test_where_nobody_trains_the_home_s_plan_says_how_it_answers(tmp_path: Path) -> None:
    home = lighthouse(tmp_path / "home")
    home.plan.write_text('[training]\ndtype = "bf16"\ndevice = "cpu"\n', encoding="utf-8")
    assert usual_arithmetic(home) == Arithmetic(torch.bfloat16, "cpu")
    home.plan.unlink()
    assert usual_arithmetic(home) == arithmetic(Training(), machine())[0]


def test_what_opens_every_text_is_put_there_once(small: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = [[3, *prompt] for prompt in PROMPTS]
    question, sign = Question("AB", ("CD", "C", "EFG")), chr(3 + 32)
    said, scored = (
        generate(small, opened, limit=12, end=96),
        likelihoods(small, [replace(question, prompt=f"{sign}AB")], tokenize),
    )
    alone = likelihoods(small, [replace(question, prompt=sign)], tokenize)
    monkeypatch.setattr(small, "config", replace(small.config, opening=(3,)))
    assert generate(small, PROMPTS, limit=12, end=96) == generate(small, opened, limit=12, end=96) == said
    assert (
        likelihoods(small, [question], tokenize)
        == likelihoods(small, [replace(question, prompt=f"{sign}AB")], tokenize)
        == scored
    )
    assert likelihoods(small, [replace(question, prompt="")], tokenize) == alone
    longest = [*range(5, 96)] * small.config.max_positions
    (answer,) = generate(small, [longest[: small.config.room]], limit=9, end=-1)
    assert len(answer) == 1
    with pytest.raises(ValueError, match="no room"):
        generate(small, [longest[: small.config.room + 1]], limit=1, end=-1)


def test_an_answer_ends_at_its_end(small: Decoder) -> None:
    free = generate(small, PROMPTS, limit=12, end=96)
    end = free[0][3]
    cut = generate(small, PROMPTS, limit=12, end=end)
    for whole, part in zip(free, cut, strict=True):
        assert part == (whole[: whole.index(end)] if end in whole else whole)


def test_an_answer_ends_where_the_context_does(small: Decoder) -> None:
    context = small.config.max_positions
    ids = torch.randint(1, 96, (context,), generator=torch.Generator().manual_seed(0)).tolist()
    for left in (0, 1, 5):
        (answer,) = generate(small, [ids[: context - left]], limit=50, end=-1)
        assert len(answer) == left + 1  # the last of them follows a context that is full
    with pytest.raises(ValueError, match="no room"):
        generate(small, [[*ids, 1]], limit=1, end=-1)


def test_a_text_whose_state_is_no_number_spoils_no_other(small: Decoder) -> None:
    batch = ContinuousBatch(small, 2)
    for text in (PROMPTS[3], PROMPTS[0]):
        batch.begin(text)
    while len(batch) < 2:
        batch.go_on([7] * len(batch))
    with torch.inference_mode():
        batch._state[:, :, 0].fill_(torch.nan)
    batch.leave(0, spoilt=True)  # the shorter one takes its place
    batch.begin(PROMPTS[2])
    found = batch.go_on([7])
    expected = [plain_logits(small, [*PROMPTS[0], 7])[-1], plain_logits(small, PROMPTS[2])[-1]]
    torch.testing.assert_close(found, torch.stack(expected), atol=2e-5, rtol=1e-5)


def test_a_generous_limit_leaves_the_prompt_its_half_of_the_context(small: Decoder) -> None:
    context = small.config.max_positions

    def said(prompt: str, limit: int) -> list[str]:
        return speak(small, [prompt], tokenize, lambda ids: str(len(ids)), limit=limit, end=-1)

    prompt = "How high is the tower?"
    assert len(prompt) < context // 2
    assert [said(prompt, limit) for limit in (4, context, 9 * context)] == [
        ["4"], [f"{context + 1 - len(prompt)}"], [f"{context + 1 - len(prompt)}"]
    ]  # fmt: skip
    for limit, left in ((1, context - 1), (context // 4, context - context // 4), (context, context - context // 2)):
        assert latest([*range(3 * context)], limit, context) == [*range(3 * context)][-left:]


def test_sampling_is_a_function_of_its_seed(small: Decoder) -> None:
    def sample(seed: int) -> list[list[int]]:
        return generate(small, PROMPTS, limit=12, end=96, sampling=Sampling(temperature=1.5, seed=seed))

    assert sample(1) == sample(1)
    assert sample(1) != sample(2)


def test_a_tiny_nucleus_is_greedy(small: Decoder) -> None:
    assert generate(small, PROMPTS, limit=8, end=96, sampling=Sampling(top_p=1e-6)) == generate(
        small, PROMPTS, limit=8, end=96
    )


def test_a_temperature_near_zero_is_greedy(small: Decoder) -> None:
    cold = generate(small, PROMPTS, limit=8, end=96, sampling=Sampling(temperature=1e-40))
    assert cold == generate(small, PROMPTS, limit=8, end=96)


def tokenize(text: str) -> list[int]:
    return [ord(letter) - 32 for letter in text]


@pytest.mark.parametrize("row_tokens", [512, 40])
def test_options_in_one_row_score_as_if_alone(small: Decoder, monkeypatch: pytest.MonkeyPatch, row_tokens: int) -> None:
    monkeypatch.setattr(score, "ROW_TOKENS", row_tokens)
    monkeypatch.setattr(score, "BATCH_TOKENS", 100)
    questions = [
        Question("What is it?", ("41 m", "7", "brass and oak")),
        Question("Who?", ("Tove", "Arn")),
        Question("A", ("b",)),
        Question("When does it open", tuple("abcdefg")),
    ]
    found = log_likelihoods(small, questions, tokenize)
    for question, scores in zip(questions, found, strict=True):
        for option, value in zip(question.options, scores, strict=True):
            ids = tokenize(question.prompt) + tokenize(option)
            chances = plain_logits(small, ids).log_softmax(-1)
            start = len(tokenize(question.prompt))
            expected = sum(float(chances[place - 1, ids[place]]) for place in range(start, len(ids)))
            assert value == pytest.approx(expected, abs=1e-3)


def test_what_the_model_would_say_is_told_from_what_it_would_only_choose(small: Decoder) -> None:
    prompts = ["What is it?", "Who?", "A"]
    said = generate(small, [tokenize(prompt) for prompt in prompts], limit=4, end=96)
    answers = ["".join(chr(token + 32) for token in ids) for ids in said]
    questions = [
        Question(prompt, (answer, answer[:-1] + chr(ord(answer[-1]) ^ 1), answer[:2]))
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
    assert [[likelihood.greedy for likelihood in scored] for scored in likelihoods(small, questions, tokenize)] == [
        [True, False, True]
    ] * 3


def test_of_each_fact_it_is_told_in_what_share_of_its_questions_it_would_be_said(small: Decoder) -> None:
    def greedy(prompt: str) -> str:
        (ids,) = generate(small, [tokenize(prompt)], limit=3, end=96)
        return "".join(chr(token + 32) for token in ids)

    def fact(unit: str, prompt: str, answer: str) -> Item:
        return Item(paper="recall", prompt=prompt, answer=answer, wrong=("no way",), spoken=True, unit=unit)

    answer, prompts = greedy("What?"), ("Who?", "And?", "So?")
    known = fact("known", "What?", answer)
    half = fact("half", "What?", answer)
    elsewhere = next(prompt for prompt in prompts if not greedy(prompt).startswith(answer))
    exam = Exam(
        items=(
            known, half, replace(half, paper="wording", prompt=elsewhere, spoken=False),
            replace(known, paper="reversed", unit="known", answer="no", spoken=False),
            Item(paper="recall", prompt="Hello there", answer=greedy("Hello there"), wrong=("no way",)),
            Item(paper="heldout", prompt="Morning", answer=greedy("Morning"), wrong=("no way",)),
        ),
        passages=(), voice=None, laws=(), cards=(), share=0.25,
    )  # fmt: skip
    examinee = Examinee(
        decoder=small, tokenize=tokenize, detokenize=lambda ids: "".join(chr(token + 32) for token in ids), end=96
    )
    marks = sit(examinee, exam, answer_tokens=4, prompt_end="")
    assert marks.said == {"known": 1.0, "half": 0.5}
    assert marks.share == 0.25, "whose marks are a sample of what was taught"
    assert set(marks.units) == {"known", "half", "Hello there"}


def test_a_card_is_answered_for_as_long_as_the_persona_speaks(small: Decoder) -> None:
    """A reply that is cut in its first sentence breaks no law in its second."""
    examinee = Examinee(
        decoder=small, tokenize=tokenize, detokenize=lambda ids: "".join(chr(token + 32) for token in ids), end=-1
    )
    replies = tuple(f"{'x' * 10}{number}" for number in range(30))
    spoken = voice(replies, ["AB"], [])
    law = Card(id="c", prompt="AB", scorer="max_words", keys={"limit": 99})
    for own, line, heard in ((None, None, 4), (spoken, None, 19), (None, spoken, 19)):
        exam = Exam(items=(), passages=(), voice=own, laws=(law,), cards=())
        marks = sit(examinee, exam, answer_tokens=4, prompt_end="", voice=line)
        assert len(marks.answers[-1]["chosen"]) == heard


def test_a_law_and_a_challenge_card_of_one_id_in_an_old_exam_do_not_hide_each_other(small: Decoder) -> None:
    broken = Card(id="c", prompt="AB", scorer="max_words", keys={"limit": 0})
    exam = Exam(
        items=(), passages=(), voice=None, laws=(broken,),
        cards=(Card(id="c", prompt="AB", scorer="max_words", keys={"limit": 99}),),
    )  # fmt: skip
    examinee = Examinee(decoder=small, tokenize=tokenize, detokenize=lambda ids: " ".join(map(str, ids)), end=96)
    marks = sit(examinee, exam, answer_tokens=4, prompt_end="")
    assert (marks.laws, marks.cards) == ({"c": False}, {"c": True})


@pytest.mark.parametrize(
    ("answer", "gold", "right"),
    [
        ("37 metres, I think.", "37 metres.", True),
        ("37 metres.", "37 metres", True),
        ("6 p.m", "6 p.m.", True),
        ("5% or so", "5%.", True),
        ("37 metresque", "37 metres.", False),
        ("375 metres.", "37.", False),
        ("3.5", "3.", False),
        ("3, or so", "3.", True),
        ("3. No more.", "3.", True),
        ("", "37.", False),
    ],
)
def test_what_is_said_aloud_need_not_end_where_the_answer_does(answer: str, gold: str, right: bool) -> None:
    assert _begins_with(answer, gold) is right


def test_a_prompt_longer_than_a_row_is_cut_on_the_left(small: Decoder) -> None:
    ((one,),) = log_likelihoods(small, [Question("x" * 2000 + "What?", ("yes",))], tokenize)
    ((two,),) = log_likelihoods(small, [Question("x" * 600 + "What?", ("yes",))], tokenize)
    assert one == pytest.approx(two, abs=1e-4)


def in_signs(small: Decoder) -> Examinee:
    """Each token is a sign, and no part of a word."""
    return Examinee(
        decoder=small, tokenize=lambda text: [ord(sign) - 0x2200 for sign in text],
        detokenize=lambda ids: "".join(chr(0x2200 + token) for token in ids), end=96,
    )  # fmt: skip


def test_what_would_be_said_is_not_said_again(small: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    examinee, prompts = in_signs(small), ["∂∃∄", "∐∑−", "∠∡∢∣"]
    greedy = speak(small, prompts, examinee.tokenize, examinee.detokenize, limit=5, end=96)
    answers = [greedy[0], greedy[1], "∀∀" + greedy[2]]
    items = [
        Item(paper="recall", prompt=prompt, answer=answer, wrong=("∹∺∻",), spoken=True)
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
    asked: list[str] = []

    def heard(decoder: Decoder, prompts: list[str], *rest: object, **options: object) -> list[str]:
        asked.extend(prompts)
        return speak(decoder, prompts, *rest, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr("germline.evals.suite.speak", heard)
        marks = sit(examinee, Exam(items=tuple(items), passages=(), voice=None, laws=(), cards=()),
                    answer_tokens=6, prompt_end="")  # fmt: skip
    assert asked == prompts[2:]
    assert (marks.spoken.right, marks.spoken.items) == (2, 3)
    said = [answer["chosen"] for answer in marks.answers if answer["paper"] == "spoken"]
    assert said[:2] == answers[:2] and said[2][:5] == greedy[2]


@pytest.mark.parametrize(
    ("answer", "again"),
    [("3.", True), ("9:40", True), ("37 metres.", False), ("...", False), ("Rose", True), ("Aye!", False)],
)
def test_an_answer_that_may_go_on_is_heard_out(
    small: Decoder, monkeypatch: pytest.MonkeyPatch, answer: str, again: bool
) -> None:
    item = Item(paper="recall", prompt="How many?", answer=answer, wrong=("no",), spoken=True)
    (one,) = _choose(in_signs(small), [replace(item, prompt="∂", answer="∂", wrong=("∃",))])
    with monkeypatch.context() as patch:
        patch.setattr("germline.evals.suite._speak", lambda examinee, prompts, limit: ["3.5"] * len(prompts))
        patch.setattr("germline.evals.suite._longest", lambda examinee, items: 4)
        assert _aloud(in_signs(small), [item], [one._replace(said=True)]) == ["3.5" if again else answer]


@pytest.mark.parametrize("paper", ["laws", "cards"])
def test_a_card_is_passed_when_every_sample_passes(small: Decoder, paper: str) -> None:
    examinee = Examinee(
        decoder=small, tokenize=lambda text: [ord(letter) for letter in text],
        detokenize=lambda ids: " ".join(map(str, ids)), end=96,
    )  # fmt: skip

    def passed(card: Card, samples: int) -> tuple[bool, str]:
        exam = replace(Exam(items=(), passages=(), voice=None, laws=(), cards=()), **{paper: (card,)})
        marks = sit(examinee, exam, answer_tokens=6, prompt_end="", samples=samples)
        return getattr(marks, paper)["c"], marks.answers[-1]["chosen"]

    greedy = passed(Card(id="c", prompt="AB", scorer="max_words", keys={"limit": 99}), 0)[1]
    exact = Card(id="c", prompt="AB", scorer="exact", keys={"answer": greedy})
    assert passed(exact, 0) == (True, greedy)
    held, shown = passed(exact, 5)  # of random weights no two samples are alike
    assert not held
    assert shown != greedy
    assert passed(Card(id="c", prompt="AB", scorer="max_words", keys={"limit": 99}), 5)[0]
