"""What HEAD's next child would be taught and asked, and what it would take: an age-up up to where training begins.

The stages are those of `evolve`, in a directory outside the lineage that is gone afterwards. Nothing is written to the
lineage but, where the cache has lost the parent's merged weights, these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from germline import run as runs
from germline import sources
from germline.evolve import fitting
from germline.examination import PAPERS
from germline.forge.fit import Fit
from germline.lesson import batches_of, timed
from germline.lineage import Lineage
from germline.marks import Score, Verdict
from germline.preparation import prepare
from germline.records import Delta, Event, Fact, OnEvent
from germline.settings import Plan
from germline.store import ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    child: str
    parent: str
    delta: Delta
    """Its two files are gone by now."""
    facts: tuple[Fact, ...]
    asked: Mapping[str, int]
    """Of the new exam, how many questions each paper has, and how many passages there are; and the law and challenge
    cards of the whole line."""
    known: Score
    """Of what it asks about the delta, in taught wordings, what the parent answers already."""
    inherited: int
    """Facts and conversations that ancestors' exams ask of the child as well."""
    candidates: int
    steps: int
    """Of the first candidate, as all that follows but `foreseen` and `notes`."""
    tokens: int
    """Of the lesson, `replayed` among them."""
    replayed: int
    anchored: int
    """About so many tokens of the anchor come on top."""
    fit: Fit
    foreseen: Verdict
    """On a child that would answer everything as it should: where it is not promoted, no child can be."""
    notes: tuple[str, ...] = ()
    """What `germline evolve` would say of it."""


def preview(lineage: Lineage, plan: Plan, on_event: OnEvent) -> Preview:
    """Draw up HEAD's next child as `evolve.age_up` would begin it, and train nothing.

    Raises as `age_up` does up to there, with what was to be told before. Not looked at are the budget's limits on
    steps, tokens, minutes and disk; and a run that was begun is not gone on with, as the next `evolve` will.
    """
    sources.require_pinned(lineage, plan.exams)
    ledger.require_ready(lineage.home)
    notes: list[Event] = []

    def tell(event: Event) -> None:
        if event.kind == "note":
            notes.append(event)
        else:
            on_event(event)

    try:
        runs.tell_waiting(lineage, tell)
        with runs.scratch() as directory:
            found = _preview(lineage, plan, directory, tell)
    except BaseException:
        for note in notes:
            on_event(note)
        raise
    return replace(found, notes=tuple(note.text for note in notes))


def _preview(lineage: Lineage, plan: Plan, directory: Path, on_event: OnEvent) -> Preview:
    run = runs.drawn_up(lineage, plan, directory, on_event)
    fit = fitting(lineage, run)
    torch.set_num_threads(fit.threads)
    prepared = prepare(lineage, run, fit.on, on_event)
    on_event(Event(kind="stage", text=f"laying out what g{run.number} would read"))
    facts, exam = prepared.delta.facts, prepared.exam
    batches = batches_of(lineage, run, prepared.train, facts, row_tokens=fit.setting.row_tokens)
    anchored = len(batches) * plan.training.anchor_tokens if plan.training.anchor else 0
    card = prepared.parent_card
    newest = card.marks[exam.digest]
    asked = {paper: exam.asked[paper] for paper in PAPERS} | {
        "passages": len(exam.passages) + len(exam.taught),
        "laws": sum(len(each.laws) for each in prepared.line_exams),
        "cards": sum(len(each.cards) for each in prepared.line_exams),
    }
    return Preview(
        child=f"g{run.number}", parent=run.parent.name, delta=run.delta, facts=facts, asked=asked,
        known=newest.recall, inherited=sum(len(marks.units) for marks in card.marks.values()) - len(newest.units),
        candidates=plan.training.candidates, steps=len(batches), tokens=batches.real_tokens,
        replayed=batches.replayed_tokens, anchored=anchored,
        fit=timed(lineage, run, batches, anchored, fit), foreseen=prepared.foreseen,
    )  # fmt: skip
