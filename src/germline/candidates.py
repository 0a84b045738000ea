"""Children of one delta: as many candidates as the plan wants are taught, and one of them is chosen.

Candidates differ in their seed: where the adapter starts and in what order it reads. They are told apart by questions
that the gate never asks, so that being chosen is no way to look better at the gate than one is. Their mean may be one
more to choose from: what they do not agree on shrinks in it, what they agree on stays (arXiv 2203.05482).
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from germline.anchoring import Ids
from germline.budget import Meter
from germline.checkout import weights
from germline.child import lora
from germline.evals import suite
from germline.evals.exams import Exam
from germline.forge.fit import Fit
from germline.lesson import batches_of, teach
from germline.lineage import Lineage
from germline.marks import Score
from germline.model import weights as model_weights
from germline.model.adapter import mean as average
from germline.preparation import Prepared
from germline.records import Event, Fact, OnEvent, Row, Trained
from germline.run import Run
from germline.speaker import examinee
from germline.store import disk

MEAN = "mean.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """One candidate, or the mean of several; and the fit with its time and with what that decides."""

    trained: Trained
    fit: Fit
    candidate: int
    """Its number, from 0 on; of the mean of all, how many there are."""
    selection: tuple[Score, ...] = ()
    """What each candidate made of the selection questions, last the mean of all if it was asked; empty where there
    was but one."""
    tokens: int
    """That all candidates were trained on, the chosen one among them."""
    replayed: int
    """Of the tokens of this one, those of its ancestors' texts."""
    anchored: int
    """Of the tokens of this one, those of its anchor."""
    seconds: float
    """That this process trained for, from laying out batches to adapters; not for choosing."""


def learn(
    lineage: Lineage, run: Run, prepared: Prepared, texts: Ids, fit: Fit, on_event: OnEvent, meter: Meter
) -> Lesson:
    """Train every candidate, one after the other, and take the one that has most of the selection questions right,
    its own delta's and its ancestors'; of equals the one that finds the right answers likelier."""
    training, train, facts = run.plan.training, prepared.train, prepared.delta.facts
    lessons: list[Lesson] = []
    scores: list[Score] = []

    def ask(lesson: Lesson, name: str) -> None:
        lessons.append(lesson)
        scores.append(_selected(lineage, run, lesson.trained, prepared.line_exams, lesson.fit))
        text = f"{name} has {scores[-1].right} of {scores[-1].items} selection questions right"
        on_event(Event(kind="note", text=text))

    for lesson in candidates(lineage, run, range(training.candidates), train, facts, texts, fit, on_event, meter):
        if training.candidates == 1:
            return lesson
        ask(lesson, f"candidate {lesson.candidate + 1} of {training.candidates}")
    tokens, seconds = sum(lesson.tokens for lesson in lessons), sum(lesson.seconds for lesson in lessons)
    if training.merge_candidates:
        ask(mean(run, lessons), f"the mean of all {training.candidates}")
    best = max(lessons, key=lambda lesson: _rank(scores[lesson.candidate]))
    return replace(best, selection=tuple(scores), tokens=tokens, seconds=seconds)


def candidates(
    lineage: Lineage,
    run: Run,
    numbers: Iterable[int],
    train: Iterable[Row],
    facts: Sequence[Fact],
    texts: Ids,
    fit: Fit,
    on_event: OnEvent,
    meter: Meter | None = None,
) -> Iterator[Lesson]:
    """Those of the plan's candidates, each trained when it is asked for, in a directory of its own in the run's."""
    for number in numbers:
        began = time.monotonic()
        own = run.of_candidate(number)
        disk.make_directory(own.directory)
        batches = batches_of(lineage, own, train, facts, row_tokens=fit.setting.row_tokens)
        trained, fit = teach(lineage, own, batches, texts, fit, on_event, meter)
        yield Lesson(
            trained=trained, fit=fit, candidate=number, tokens=trained.tokens, replayed=batches.replayed_tokens,
            anchored=trained.tokens - batches.real_tokens, seconds=time.monotonic() - began,
        )  # fmt: skip


def mean(run: Run, lessons: Sequence[Lesson]) -> Lesson:
    """What all the plan's candidates learned, averaged: a child of all their steps and tokens, whose curve is theirs
    one after the other. The parameters that it tells of are those of one."""
    each = [lesson.trained for lesson in lessons]
    adapter = run.directory / MEAN
    with disk.replacing(adapter) as file:
        model_weights.write_tensors(file, average([dict(model_weights.read(one.adapter)) for one in each]))
    trained = Trained(
        adapter=adapter,
        steps=sum(one.steps for one in each),
        tokens=sum(one.tokens for one in each),
        learned_tokens=sum(one.learned_tokens for one in each),
        first_loss=sum(one.first_loss for one in each) / len(each),
        last_loss=sum(one.last_loss for one in each) / len(each),
        curve=tuple(itertools.chain(*(one.curve for one in each))),
        parameters=each[0].parameters,
    )
    return Lesson(
        trained=trained, fit=lessons[-1].fit, candidate=len(lessons), tokens=trained.tokens,
        replayed=sum(lesson.replayed for lesson in lessons), anchored=sum(lesson.anchored for lesson in lessons),
        seconds=sum(lesson.seconds for lesson in lessons),
    )  # fmt: skip


def _rank(score: Score) -> tuple[int, float]:
    return score.right, -score.bits_per_byte if math.isfinite(score.bits_per_byte) else -math.inf


def _selected(lineage: Lineage, run: Run, trained: Trained, line_exams: Sequence[Exam], fit: Fit) -> Score:
    staged = disk.temporary_path(run.directory)
    with disk.new_file(staged) as file:
        scale = lora(run.plan, trained, 1.0).scale
        model_weights.merge_file(weights(lineage, run.parent), trained.adapter, scale, file)
    asked = [item for exam in line_exams for item in exam.selection]
    try:
        return suite.choose(examinee(lineage, run.parent, staged, fit.on), asked)
    finally:
        disk.remove(staged)
