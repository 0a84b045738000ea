"""What was trained becomes a child: merged, examined, judged. Before a refusal is final, in smaller doses.

A smaller dose of the same update forgets less and drifts less, and up to a point knows as much: of three benchmark
generations 0.8 of the update kept 97 to 99% of the answers, and brought back a voice that had left its limits.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from germline import examination
from germline.checkout import weights
from germline.doses import doses
from germline.forge.machine import Arithmetic
from germline.judge.gate import judge
from germline.lineage import Lineage
from germline.marks import Scorecard, Verdict
from germline.model import weights as model_weights
from germline.model.adapter import LoraConfig
from germline.model.movement import movement
from germline.preparation import Prepared
from germline.records import Event, OnEvent, Trained, plain
from germline.run import Run
from germline.settings import Plan
from germline.store import disk, objects
from germline.store.objects import FileRef

KEYFRAME_EVERY = 8
"""Every so many generations the merged weights are kept as an object, so that no rebuild walks a longer chain."""
NOT_ENOUGH = frozenset({"learned", "generalization", "weight change", "questions", "scorecards"})
"""Checks that a smaller dose cannot mend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """Merged weights, in the cache, and what is known of them."""

    weights: FileRef
    merge_scale: float
    """The share of the trained update that was merged."""
    moved: dict[str, Any]
    """How far the weights moved: `total`, and each of `tensors`."""
    card: Scorecard
    verdict: Verdict


def grow(lineage: Lineage, run: Run, prepared: Prepared, trained: Trained, on: Arithmetic, on_event: OnEvent) -> Child:
    """The child at the first of the plan's merge scales that the gate lets pass; if at none, at the first.

    Each scale is another look at the same exam, and judged with the confidence that `doses` has for it.
    """
    looks = doses(run.plan.training, first=not lineage.trained_line(run.parent))
    merged = functools.partial(_merged, lineage, run, prepared, trained, looks, on, on_event)
    chosen, *others = try_scales(looks, merged, on_event)
    for child in others:
        if child.weights.digest not in (chosen.weights.digest, run.parent.manifest.weights.digest):
            disk.remove(objects.place(lineage.home.cache, child.weights.digest))
    return chosen


def try_scales(shares: Iterable[float], merged: Callable[[float], Child], on_event: OnEvent) -> list[Child]:
    """The children at these shares of the update, until one was promoted; the chosen one first. Where one failed as no
    smaller dose can mend, no smaller one is made."""
    found: list[Child] = []
    too_little = 0.0
    for share in shares:
        if share <= too_little:
            continue
        child = merged(share)
        if child.verdict.outcome == "promoted":
            return [child, *found]
        found.append(child)
        failed = [check for check in child.verdict.checks if not check.passed]
        text = f"with {share:.0%} of its update {child.verdict.outcome}: {failed[0].reason}"
        on_event(Event(kind="note", text=text))
        if any(check.name in NOT_ENOUGH for check in failed):
            too_little = share
    return found


def _merged(
    lineage: Lineage,
    run: Run,
    prepared: Prepared,
    trained: Trained,
    looks: Mapping[float, float],
    on: Arithmetic,
    on_event: OnEvent,
    scale: float,
) -> Child:
    on_event(Event(kind="stage", text=f"merging {scale:.0%} of g{run.number}'s update and reading it back"))
    parent, founder = weights(lineage, run.parent), weights(lineage, lineage.founder_of(run.parent))
    staged = disk.temporary_path(run.directory)
    with disk.new_file(staged) as file:
        model_weights.merge_file(parent, trained.adapter, lora(run.plan, trained, scale).scale, file)
    child = objects.put_in_cache(lineage.home, staged)
    total, tensors = movement(founder, parent, objects.place(lineage.home.cache, child.digest))
    card = examination.child_card(lineage, run.parent, child, prepared.line_exams, run.plan.exams, on, on_event)
    ancestors = lineage.trained_line(run.parent)
    verdict = judge(
        prepared.parent_card, card, run.plan.gate, weight_change=total.parent,
        ancestors=[ancestor.name for ancestor in ancestors], line=[*map(lineage.scorecard, ancestors)],
        confidence=looks[scale],
    )  # fmt: skip
    moved = plain({"total": total, "tensors": tensors})
    return Child(weights=child, merge_scale=scale, moved=moved, card=card, verdict=verdict)


def lora(plan: Plan, trained: Trained, merge_scale: float) -> LoraConfig:
    """How the trained adapter is to be read, and merged: a share of the update is a smaller alpha. The mean of
    several candidates has the ranks of all of them, and an alpha as much larger, which is the same scale."""
    training = plan.training
    targets = training.targets if training.method == "lora" else ()
    stored = model_weights.header(trained.adapter)
    rank = next((stored[name].shape[0] for name in stored if name.endswith(".lora_A.weight")), training.rank)
    alpha = training.alpha * (rank // training.rank) * merge_scale
    return LoraConfig(rank=rank, alpha=alpha, targets=targets, whole=whole(trained))


def whole(trained: Trained) -> tuple[str, ...]:
    """Modules that were trained themselves, and not by an adapter beside them."""
    groups = {row["group"] for row in trained.parameters if row["trained"]}
    return tuple({group.removesuffix(".bias") for group in groups if not group.endswith((".lora_A", ".lora_B"))})


def keyframe(lineage: Lineage, run: Run) -> bool:
    """Whether this child's merged weights are kept as an object."""
    return (len(lineage.trained_line(run.parent)) + 1) % KEYFRAME_EVERY == 0
