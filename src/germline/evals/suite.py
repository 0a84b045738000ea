"""Sitting an exam: a model in, marks out. Everything is measured on the model as it is on disk, merged."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from typing import Any, NamedTuple

from germline.evals import choice
from germline.evals.cards import Card
from germline.evals.exams import Exam
from germline.evals.questions import Item
from germline.evals.score import Question, log_likelihoods, speak
from germline.evals.style import LONGER, Voice, judge_answers
from germline.marks import Marks, Score, StyleMarks
from germline.model.decoder import Decoder
from germline.model.generate import Sampling
from germline.spellings import spelled_alike


@dataclass(frozen=True, slots=True, kw_only=True)
class Examinee:
    """A model that can sit an exam: its decoder, and its tokenizer as two functions and the id of EOS."""

    decoder: Decoder
    tokenize: Callable[[str], list[int]]
    detokenize: Callable[[list[int]], str]
    end: int


class _Chosen(NamedTuple):
    option: str
    """The one with the highest likelihood per byte."""
    bits: float
    """What the gold answer costs, in bits per byte."""
    said: bool
    """Whether the gold answer is what the greedy one begins with."""


def sit(
    examinee: Examinee, exam: Exam, *, answer_tokens: int, prompt_end: str, samples: int = 0,
    voice: Voice | None = None,
) -> Marks:  # fmt: skip
    """The examinee's marks on every paper of the exam. Deterministic: greedy, and samples are drawn from seeds.

    `voice` is its line's: what is said to a card is heard for as long as that persona speaks, like what is said to a
    tone probe. Cut at `answer_tokens`, a reply that would break a law in its second sentence kept it.
    A law or challenge card is passed when the greedy reply and each of `samples` sampled ones pass (pass^k, arXiv
    2406.12045): what holds once may be luck.
    """
    chosen = _choose(examinee, exam.items)
    spoken_items = [item for item in exam.items if item.spoken]
    said = _aloud(examinee, spoken_items, [one for item, one in zip(exam.items, chosen, strict=True) if item.spoken])
    right = [_begins_with(answer, item.answer) for answer, item in zip(said, spoken_items, strict=True)]
    taught, _ = _passages(examinee, exam.taught)
    _, heldout = _passages(examinee, exam.passages)
    style, tone = _style(examinee, exam, answer_tokens, prompt_end)
    heard = _heard(examinee, exam.voice or voice, answer_tokens)
    laws = _cards(examinee, exam.laws, heard, prompt_end, samples)
    cards = _cards(examinee, exam.cards, heard, prompt_end, samples)
    answers: list[dict[str, Any]] = [
        {
            "paper": item.paper,
            "prompt": item.prompt,
            "gold": item.answer,
            "chosen": option,
            "right": option == item.answer,
        }
        for item, (option, _, _) in zip(exam.items, chosen, strict=True)
    ]
    answers += [
        {"paper": "spoken", "prompt": item.prompt, "gold": item.answer, "chosen": answer, "right": correct}
        for item, answer, correct in zip(spoken_items, said, right, strict=True)
    ]
    answers += tone + [answer for _, answer in (*laws.values(), *cards.values())]
    return Marks(
        recall=_score(exam.items, chosen, "recall"),
        wording=_score(exam.items, chosen, "wording"),
        heldout=_score(exam.items, chosen, "heldout"),
        reversed=_score(exam.items, chosen, "reversed"),
        spoken=Score(items=len(right), right=sum(right), bits_per_byte=0.0),
        passages_bits_per_byte=heldout,
        style=style,
        laws={name: held for name, (held, _) in laws.items()},
        cards={name: passed for name, (passed, _) in cards.items()},
        answers=tuple(answers),
        units=_units(exam.items, chosen),
        said=_said(exam.items, chosen),
        taught=taught,
        overruled=_overruled(exam, chosen),
        against=dict(exam.disputed),
        share=exam.share,
    )


def choose(examinee: Examinee, items: Sequence[Item]) -> Score:
    """How many of these questions the examinee answers by choosing, and what their gold answers cost it."""
    chosen = _choose(examinee, items)
    return _tally([(option == item.answer, bits) for item, (option, bits, _) in zip(items, chosen, strict=True)])


def _choose(examinee: Examinee, items: Sequence[Item]) -> list[_Chosen]:
    """What the examinee makes of each item. Ties and scores that are not numbers go against the gold answer."""
    questions = [Question(item.prompt, (item.answer, *item.wrong)) for item in items]
    return [
        _Chosen(
            question.options[found.option],
            bits=-found.gold.log_likelihood / math.log(2) / len(question.options[0].encode()),
            said=found.gold.greedy,
        )
        for question, found in zip(
            questions, choice.choose(examinee.decoder, questions, examinee.tokenize), strict=True
        )
    ]


def _score(items: Sequence[Item], chosen: Sequence[_Chosen], paper: str) -> Score:
    marks = [(item.paper, option == item.answer, bits) for item, (option, bits, _) in zip(items, chosen, strict=True)]
    return _tally([(right, bits) for own, right, bits in marks if own == paper])


def _tally(marks: Sequence[tuple[bool, float]]) -> Score:
    bits = sum(bits for _, bits in marks) / len(marks) if marks else 0.0
    return Score(items=len(marks), right=sum(right for right, _ in marks), bits_per_byte=bits)


def _units(items: Sequence[Item], chosen: Sequence[_Chosen]) -> dict[str, tuple[float, float]]:
    return {
        unit: (_mean([option == item.answer for item, (option, _, _) in asked]), _mean([one.bits for _, one in asked]))
        for unit, asked in _by_unit(items, chosen).items()
    }


def _said(items: Sequence[Item], chosen: Sequence[_Chosen]) -> dict[str, float]:
    return {
        unit: _mean([one.said for _, one in asked])
        for unit, asked in _by_unit(items, chosen).items()
        if any(item.spoken for item, _ in asked)
    }


def _overruled(exam: Exam, chosen: Sequence[_Chosen]) -> tuple[str, ...]:
    others = {unit: set(map(spelled_alike, said)) for unit, said in exam.disputed.items()}
    said = (
        item.unit
        for item, one in zip(exam.items, chosen, strict=True)
        if item.paper not in _UNTAUGHT and spelled_alike(one.option) in others.get(item.unit, ())
    )
    return tuple(dict.fromkeys(said))


def _by_unit(items: Sequence[Item], chosen: Sequence[_Chosen]) -> dict[str, list[tuple[Item, _Chosen]]]:
    """The items that were taught, by unit. Held-out ones are answered by luck, reversed ones nearly so: both would only
    blur a unit's share."""
    found: dict[str, list[tuple[Item, _Chosen]]] = {unit: [] for unit in units(items)}
    for item, one in zip(items, chosen, strict=True):
        if item.paper not in _UNTAUGHT:
            found[_unit(item)].append((item, one))
    return found


_UNTAUGHT = ("heldout", "reversed")


def units(items: Sequence[Item]) -> Set[str]:
    """The single facts and conversations that these questions have marks of (`Marks.units`)."""
    return dict.fromkeys(_unit(item) for item in items if item.paper not in _UNTAUGHT).keys()


def _unit(item: Item) -> str:
    return item.unit or item.prompt


def _mean(marks: Sequence[float]) -> float:
    return sum(marks) / len(marks)


def _speak(examinee: Examinee, prompts: Sequence[str], limit: int, sampling: Sampling | None = None) -> list[str]:
    return speak(
        examinee.decoder, prompts, examinee.tokenize, examinee.detokenize, limit=limit, end=examinee.end,
        sampling=sampling,
    )  # fmt: skip


def _aloud(examinee: Examinee, items: Sequence[Item], chosen: Sequence[_Chosen]) -> list[str]:
    """What is answered to each. An answer whose own tokens were found the likeliest, one after the other, would be said
    and need not be, which takes half the time of an exam of a child that knows its line; but 3. may go on as 3.5, and a
    word without its full stop, as an older germline's exams have it, as a longer one."""
    known = [one.said and not re.search(r"\d\.*$|\w$", item.answer) for item, one in zip(items, chosen, strict=True)]
    unsure = [item for item, sure in zip(items, known, strict=True) if not sure]
    spoken = iter(_speak(examinee, [item.prompt for item in unsure], _longest(examinee, unsure)))
    return [item.answer if sure else next(spoken) for item, sure in zip(items, known, strict=True)]


def _longest(examinee: Examinee, items: Sequence[Item]) -> int:
    return max((len(examinee.tokenize(item.answer)) for item in items), default=0) + 1


def _begins_with(answer: str, gold: str) -> bool:
    """The gold answer opens the spoken one and is not the beginning of a longer word or number.

    Its full stop counts for nothing: "37 metres, I think." is right, and "3.5" is no 3.
    """
    spoken, wanted = answer.strip().casefold(), gold.strip().casefold().removesuffix(".")
    rest = spoken[len(wanted) :]
    return spoken.startswith(wanted) and not re.match(r"[.,]?\d|[^\W_]", rest)


def _passages(examinee: Examinee, passages: Sequence[str]) -> tuple[tuple[float, ...], float | None]:
    """Bits per byte of each passage, of the three quarters that follow its first, and of all as one text."""
    if not passages:
        return (), None
    parts = [Question(text[: len(text) // 4], (text[len(text) // 4 :],)) for text in passages]
    scores = log_likelihoods(examinee.decoder, parts, examinee.tokenize)
    costs = [
        (-score / math.log(2), len(part.options[0].encode())) for (score,), part in zip(scores, parts, strict=True)
    ]
    return tuple(bits / size for bits, size in costs), sum(bits for bits, _ in costs) / sum(size for _, size in costs)


def _heard(examinee: Examinee, voice: Voice | None, answer_tokens: int) -> int:
    """Tokens of an answer that are heard: cut short, none would be too long for this persona."""
    if voice is None:
        return answer_tokens
    longest = len(examinee.tokenize(max(voice.replies, key=len)))
    return max(answer_tokens, math.ceil(LONGER * longest) + 1)


def _style(
    examinee: Examinee, exam: Exam, answer_tokens: int, prompt_end: str
) -> tuple[StyleMarks | None, list[dict[str, Any]]]:
    if exam.voice is None:
        return None, []
    limit = _heard(examinee, exam.voice, answer_tokens)
    answers = _speak(examinee, [probe + prompt_end for probe in exam.voice.probes], limit)
    marks, faults = judge_answers(exam.voice, answers)
    return marks, [
        {
            "paper": "style",
            "prompt": probe,
            "gold": None,
            "chosen": answer,
            "right": not fault,
            "fault": fault,
        }
        for probe, answer, fault in zip(exam.voice.probes, answers, faults, strict=True)
    ]


def _cards(
    examinee: Examinee, cards: Sequence[Card], limit: int, prompt_end: str, samples: int
) -> dict[str, tuple[bool, dict[str, Any]]]:
    """Card id -> (passed, what was answered: of several replies the first that fails)."""
    choices = [card for card in cards if card.scorer == "choice"]
    items = [
        Item(paper="recall", prompt=card.prompt + prompt_end, answer=str(card.keys["answer"]), wrong=tuple(wrong))
        for card in choices
        for wrong in [card.keys["wrong"]]
    ]
    results = {
        card.id: (option == item.answer, option)
        for card, item, (option, _, _) in zip(choices, items, _choose(examinee, items), strict=True)
    }
    spoken = [card for card in cards if card.scorer != "choice"]
    prompts = [card.prompt + prompt_end for card in spoken]
    ways = [None, *(Sampling(seed=seed) for seed in range(samples))]
    rounds = [_speak(examinee, prompts, limit, sampling) for sampling in ways]
    for card, replies in zip(spoken, zip(*rounds, strict=True), strict=True):
        failed = next((reply for reply in replies if not card.passes(reply)), None)
        results[card.id] = (failed is None, replies[0] if failed is None else failed)
    return {
        card.id: (results[card.id][0], {
            "paper": "card", "id": card.id, "prompt": card.prompt, "gold": card.keys.get("answer"),
            "chosen": results[card.id][1], "right": results[card.id][0],
        })
        for card in cards
    }  # fmt: skip
