"""One generation, from the owner's text to the verdict: the story that every other room is a chapter of."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from germline import anchoring
from germline import run as runs
from germline.anchoring import Ids
from germline.budget import Meter, metered
from germline.candidates import Lesson, learn
from germline.checkout import shape_of
from germline.child import Child, grow, keyframe, lora
from germline.errors import GermlineError
from germline.evals import exams
from germline.forge import fit as forge_fit
from germline.forge.fit import Fit
from germline.forge.machine import machine, no_gpu, peak_memory_bytes
from germline.judge.maturity import fresh_gain
from germline.lineage import (
    ADAPTER,
    ADAPTER_CONFIG,
    ANCHOR,
    EXAM,
    FACTS,
    HELDOUT,
    PARENT_SCORECARD,
    PLAN,
    SCORECARD,
    STATED,
    TRAIN,
    TRAINING,
    WEIGHT_CHANGE,
    WEIGHTS,
    Lineage,
    facts_file,
    stated_file,
)  # fmt: skip
from germline.marks import Verdict
from germline.preparation import Prepared, prepare
from germline.records import (
    Digest,
    Event,
    Fact,
    OnEvent,
    Spent,
    Trained,
    canonical_json,
    finite,
    plain,
)  # fmt: skip
from germline.run import Run
from germline.settings import Plan
from germline.store import generations, ledger, lock, objects, rules
from germline.store.entry import Kind
from germline.store.generations import Manifest
from germline.store.home import Home
from germline.store.objects import FileRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a child. HEAD moved to it if, and only if, `kind` is `promoted`."""

    generation: Digest
    number: int
    parent: int
    verdict: Verdict
    kind: Kind
    """The verdict, or `proposed` where the gate passed and a second key must approve."""


def age_up(home: Home, plan: Plan, on_event: OnEvent, *, restart: bool = False) -> Outcome:
    """Grow one child of HEAD and judge it. The ledger entry at the end is the one commit point.

    Killed anywhere before it, the lineage is as it was, and the same call goes on where it stopped and
    ends with the same child. Raises what its stages raise; see `run.begin` for the first of them.
    """
    with lock.hold(home), metered(home, plan, on_event) as meter:
        on_event, began = meter.tell, time.monotonic()
        lineage = Lineage.open(home)
        run = runs.begin(lineage, plan, on_event, restart=restart)
        fit = fitting(lineage, run)
        torch.set_num_threads(fit.threads)
        prepared = prepare(lineage, run, fit.on, on_event)

        asked = time.monotonic()
        texts = anchoring.texts(lineage, run, fit.on, on_event)
        speaking = time.monotonic() - asked
        lesson = learn(lineage, run, prepared, texts, fit, on_event, meter)
        trained, fit = lesson.trained, lesson.fit

        child = grow(lineage, run, prepared, trained, fit.on, on_event)
        spent = _spent(run, lesson, fit, meter, seconds=time.monotonic() - began, speaking=speaking)
        manifest = _store(lineage, run, prepared, texts, trained, child)
        kind = _record(home, run, manifest, prepared, lesson, child, spent)
        meter.finish()
        on_event(Event(kind="verdict", text=f"g{run.number} is {kind}", data=finite(child.verdict)))
        return Outcome(
            generation=manifest.id, number=run.number, parent=run.parent.number, verdict=child.verdict, kind=kind
        )


def fitting(lineage: Lineage, run: Run) -> Fit:
    """What this machine holds of the plan; a resumed run keeps what it began with."""
    plan = run.plan
    kept = runs.load_fit(run)
    if kept and kept.on.device == "cuda" and (missing := no_gpu()):
        raise GermlineError(f"g{run.number} was begun on a GPU, and {missing}", hint="germline evolve --restart")
    return kept or forge_fit.fit(
        shape_of(lineage, run.parent), plan.training,
        row_tokens=plan.curriculum.row_tokens, batch_tokens=plan.curriculum.batch_tokens,
        here=machine(plan.training.device), memory_gb=plan.budget.memory_gb,
    )  # fmt: skip


def _spent(run: Run, lesson: Lesson, fit: Fit, meter: Meter, *, seconds: float, speaking: float) -> Spent:
    """What a child cost that took this process `seconds` up to now.

    `seconds_training` and `tokens_per_second` are of all candidates together: laying out what they read, loading the
    parent, the founder's predictions on the anchor, the steps. What the founder said for the anchor (`speaking`) is
    in `seconds_total` alone. All else counts as exams, choosing among the candidates too.
    """
    return Spent(
        seconds_training=lesson.seconds,
        seconds_exams=seconds - speaking - lesson.seconds,
        seconds_total=seconds,
        tokens_per_second=None if run.resumed else lesson.tokens / lesson.seconds,
        peak_memory_bytes=peak_memory_bytes(fit.on.device),
        all_attempts=meter.spent,
    )


def trained_files(
    lineage: Lineage,
    run: Run,
    facts: Sequence[Fact],
    trained: Trained,
    merge_scale: float,
    *,
    keep: Callable[[bytes | Path], FileRef],
) -> dict[str, FileRef]:
    """Those of a child's files that its run made; the others were given. `keep` takes bytes, or a file of them."""
    training = plain(trained)
    del training["adapter"]
    update = lora(run.plan, trained, merge_scale)
    return {
        ADAPTER: keep(trained.adapter),
        ADAPTER_CONFIG: keep(canonical_json(update.of(shape_of(lineage, run.parent)).peft())),
        FACTS: keep(facts_file(facts)),
        TRAINING: keep(canonical_json(training)),
    }


def _put(home: Home, data: bytes | Path) -> FileRef:
    return objects.put(home, data) if isinstance(data, bytes) else objects.put_file(home, data)


def _store(lineage: Lineage, run: Run, prepared: Prepared, texts: Ids, trained: Trained, child: Child) -> Manifest:
    """Put all that the child is made of into the store. It is not in the lineage before the ledger names it."""
    home, delta = lineage.home, prepared.delta
    files = trained_files(lineage, run, delta.facts, trained, child.merge_scale, keep=lambda data: _put(home, data)) | {
        TRAIN: objects.put_file(home, run.delta.train),
        HELDOUT: objects.put_file(home, run.delta.heldout),
        EXAM: objects.put(home, exams.to_bytes(prepared.exam)),
        PLAN: objects.put(home, run.plan_bytes),
    }
    if more := stated_file(delta):
        files[STATED] = objects.put(home, more)
    if texts:
        files[ANCHOR] = objects.put(home, canonical_json(texts))
    if keyframe(lineage, run):
        files[WEIGHTS] = objects.put_file(home, objects.place(home.cache, child.weights.digest))
    manifest = Manifest(parent=run.parent.digest, files=files, weights=child.weights, about={"kind": "child"})
    generations.commit(home, manifest)
    return manifest


def _record(
    home: Home, run: Run, manifest: Manifest, prepared: Prepared, lesson: Lesson, child: Child, spent: Spent
) -> Kind:
    """Append the verdict to the ledger: from here on the child is history. Then clear the run away."""
    delta, trained = run.delta, lesson.trained
    body = {
        "verdict": finite(child.verdict),
        "parent": run.parent.number,
        "delta": {
            "rows": delta.train_rows, "heldout": delta.heldout_rows, "bytes": delta.train_bytes,
            "facts": len(prepared.delta.facts), "refused": delta.refused, "rows_in": delta.rows_in,
        },
        "training": {
            "steps": trained.steps, "tokens": trained.tokens, "learned_tokens": trained.learned_tokens,
            "first_loss": trained.first_loss, "last_loss": trained.last_loss,
            "replayed_tokens": lesson.replayed, "anchor_tokens": lesson.anchored,
            "tokens_of_all_candidates": lesson.tokens,
        },
        "scores": finite(child.card.summary()), "fresh_gain": finite(fresh_gain(prepared.parent_card, child.card)),
        "parent_scores": finite(prepared.parent_card.summary()),
        "candidate": lesson.candidate, "candidates": run.plan.training.candidates,
        "selection": plain(lesson.selection), "merge_scale": child.merge_scale,
        "weight_change": finite(child.moved["total"]["parent"]),
        "weight_change_since_founder": finite(child.moved["total"]["founder"]),
        "environment": lesson.fit.fingerprint,
        "spent": plain(spent),
    }  # fmt: skip
    files = {
        SCORECARD: objects.put(home, canonical_json(finite(child.card))),
        PARENT_SCORECARD: objects.put(home, canonical_json(finite(prepared.parent_card))),
        WEIGHT_CHANGE: objects.put(home, canonical_json(finite(child.moved))),
    }
    kind = rules.birth(home.charter, child.verdict.outcome)
    ledger.append(home, kind, manifest.id, run.number, body, files=files)
    runs.end(home, run)
    return kind
