"""One generation, from the owner's text to the verdict: the story that every other room is a chapter of."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from germline import anchoring, examination, sources
from germline import run as runs
from germline.anchoring import Ids
from germline.budget import Meter, metered
from germline.checkout import weights
from germline.corpus.facts import facts as find_facts
from germline.corpus.split import Rows
from germline.curriculum.batches import Batches, laid_out
from germline.curriculum.texts import items
from germline.evals import exams
from germline.evals.exams import Exam
from germline.forge import fit as forge_fit
from germline.forge import loop, resume, trainable
from germline.forge.anchor import Anchor
from germline.forge.fit import Fit
from germline.forge.machine import machine, memory_bytes, peak_memory_bytes
from germline.judge.gate import judge
from germline.judge.maturity import fresh_gain
from germline.lineage import (
    ADAPTER,
    ADAPTER_CONFIG,
    ANCHOR,
    CONFIG,
    EXAM,
    FACTS,
    HELDOUT,
    PARENT_SCORECARD,
    PLAN,
    SCORECARD,
    TOKENIZER,
    TRAIN,
    TRAINING,
    WEIGHT_CHANGE,
    WEIGHTS,
    Lineage,
)  # fmt: skip
from germline.model import weights as model_weights
from germline.model.adapter import LoraConfig
from germline.model.families import read_config
from germline.model.movement import movement
from germline.records import (
    Cost,
    Digest,
    Event,
    Fact,
    OnEvent,
    Row,
    Scorecard,
    Spent,
    Trained,
    Verdict,
    canonical_json,
    finite,
    plain,
)  # fmt: skip
from germline.run import Run
from germline.settings import Plan
from germline.speaker import eos
from germline.store import disk, generations, ledger, lock, objects, rules
from germline.store.entry import Kind
from germline.store.generations import Manifest
from germline.store.home import Home
from germline.store.objects import FileRef
from germline.tokenizer.text import Tokenizer

KEYFRAME_EVERY = 8
"""Every so many generations the merged weights are kept as an object, so that no rebuild walks a longer chain."""


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
        fit = _fit(lineage, run)
        torch.set_num_threads(fit.threads)

        train, heldout = Rows(run.delta.train), Rows(run.delta.heldout)
        facts = find_facts(train)
        inherited = examination.inherited(lineage, run.parent)
        exam = examination.fixed(
            run.directory / EXAM,
            plan.exams,
            home.root,
            train,
            heldout,
            facts,
            inherited,
            on_event,
            laws=sources.laws(lineage),
        )
        papers = [*inherited, exam]
        parent_card = examination.parent_card(lineage, run.parent, papers, plan.exams, fit.on, on_event)
        examined = time.monotonic()

        batches = batches_of(lineage, run, train, facts, row_tokens=fit.setting.row_tokens)
        texts = anchoring.texts(lineage, run, fit.on, on_event)
        trained, fit = teach(lineage, run, batches, texts, fit, on_event, meter)
        trained_at = time.monotonic()

        child, moved = _merge(lineage, run, trained, on_event)
        child_card = examination.child_card(lineage, run.parent, child, papers, plan.exams, fit.on, on_event)
        ancestors = examination.children(lineage, run.parent)
        verdict = judge(
            parent_card, child_card, plan.gate, weight_change=moved["total"]["parent"],
            ancestors=[ancestor.name for ancestor in ancestors], line=[*map(lineage.scorecard, ancestors)],
        )  # fmt: skip
        spent = Spent(
            seconds_training=trained_at - examined,
            seconds_exams=(examined - began) + (time.monotonic() - trained_at),
            seconds_total=time.monotonic() - began,
            tokens_per_second=None if run.resumed else trained.tokens / (trained_at - examined),
            peak_memory_bytes=peak_memory_bytes(fit.on.device),
            all_attempts=meter.spent,
        )
        manifest = _store(lineage, run, exam, facts, texts, trained, child)
        kind = _record(home, run, manifest, verdict, parent_card, child_card, moved, trained, facts, spent, fit)
        meter.finish()
        on_event(Event(kind="verdict", text=f"g{run.number} is {kind}", data=finite(verdict)))
        return Outcome(generation=manifest.id, number=run.number, parent=run.parent.number, verdict=verdict, kind=kind)


def batches_of(lineage: Lineage, run: Run, train: Iterable[Row], facts: Sequence[Fact], *, row_tokens: int) -> Batches:
    """Every optimizer step's rows, in order: a pure function of the delta, the ancestors, how well the
    parent knows what they were taught, and the plan.

    What is trained on lies on disk; memory holds some 70 bytes for each row of the delta.
    """
    plan, founder = run.plan.curriculum, lineage.founder_of(run.parent)
    tokenizer = Tokenizer.from_json(lineage.read(founder, TOKENIZER), eos_id=eos(lineage, founder))

    ancestors = examination.children(lineage, run.parent)
    known = lineage.scorecard(run.parent).marks if ancestors else {}
    taught = (
        items(
            lineage.rows(a, TRAIN), lineage.facts(a) if plan.forms else (), known[a.manifest.files[EXAM].digest].units
        )
        for a in ancestors
    )
    pools = itertools.chain([items(train, facts if plan.forms else ())], taught)
    return laid_out(
        run.directory / "batches", pools, plan.model_copy(update={"row_tokens": row_tokens}), run.plan.training.seed,
        tokenize=tokenizer.encode_batch, end=tokenizer.eos_id,
    )  # fmt: skip


def _fit(lineage: Lineage, run: Run) -> Fit:
    """What this machine holds of the plan; a resumed run keeps what it began with."""
    plan = run.plan
    return runs.load_fit(run) or forge_fit.fit(
        read_config(lineage.json(lineage.founder_of(run.parent), CONFIG)), plan.training,
        row_tokens=plan.curriculum.row_tokens, batch_tokens=plan.curriculum.batch_tokens,
        here=machine(plan.training.device), memory_gb=plan.budget.memory_gb,
    )  # fmt: skip


def teach(
    lineage: Lineage, run: Run, batches: Batches, texts: Ids, fit: Fit, on_event: OnEvent, meter: Meter | None = None
) -> tuple[Trained, Fit]:
    """The trained adapter, and the fit with its time and with what that decides. `texts` are to anchor it."""
    training = run.plan.training
    trained = runs.load_trained(run)
    if trained is not None:
        return trained, fit
    anchor = anchoring.anchor(lineage, run, texts, training, fit.on)
    tokens = batches.real_tokens + (anchor.tokens(0, len(batches)) if anchor else 0)
    text = f"training g{run.number}: {len(batches)} steps, {tokens:,} tokens"
    on_event(Event(kind="stage", text=text))
    config = read_config(lineage.json(lineage.founder_of(run.parent), CONFIG))
    if not fit.seconds:
        fit = forge_fit.timed(fit, config, training, machine(training.device), tokens)
        runs.save_fit(run, fit)
    if meter is not None:
        meter.foresee(*_foreseen(lineage, run, batches, anchor, fit))
    for reason in fit.reasons:
        on_event(Event(kind="note", text=reason))
    decoder = model_weights.load(
        config, weights(lineage, run.parent), fit.on.dtype, bits=fit.setting.bits,
        in_full=trainable.in_full(training), device=fit.on.device,
    )  # fmt: skip
    memory = functools.partial(memory_bytes, fit.on.device)
    spend = None if meter is None else functools.partial(meter.spend, memory=memory)
    trained = loop.train(
        decoder, batches, training, fit, scratch=run.directory, on_event=on_event, spend=spend, anchor=anchor
    )
    runs.save_trained(run, trained)
    return trained, fit


def _foreseen(lineage: Lineage, run: Run, batches: Batches, anchor: Anchor | None, fit: Fit) -> tuple[Cost, float]:
    """What the steps that are left will cost, and the bytes that checkpoints, adapter and child will take."""
    done = resume.steps_done(run.directory)
    left, tokens = len(batches) - done, batches.real_tokens - batches.tokens_before(done)
    tokens += anchor.tokens(done, len(batches)) if anchor else 0
    config = read_config(lineage.json(lineage.founder_of(run.parent), CONFIG))
    state = forge_fit.state_bytes(config, run.plan.training)
    merged = run.parent.manifest.weights.size * (1 + _keyframe(lineage, run))
    room = state * (run.plan.training.keep_checkpoints + 2) + merged
    return Cost(seconds=fit.seconds * left / len(batches), steps=left, tokens=tokens), room


def _merge(lineage: Lineage, run: Run, trained: Trained, on_event: OnEvent) -> tuple[FileRef, dict[str, Any]]:
    """The child's weights, in the cache, and how far they moved: `total`, and each of `tensors`."""
    on_event(Event(kind="stage", text=f"merging g{run.number} and reading it back"))
    parent = weights(lineage, run.parent)
    staged = disk.temporary_path(run.directory)
    scale = lora(run.plan, trained).scale
    with disk.new_file(staged) as file:
        model_weights.merge_file(parent, trained.adapter, scale, file)
    child = objects.put_in_cache(lineage.home, staged)
    founder = weights(lineage, lineage.founder_of(run.parent))
    total, tensors = movement(founder, parent, objects.place(lineage.home.cache, child.digest))
    return child, plain({"total": total, "tensors": tensors})


def lora(plan: Plan, trained: Trained) -> LoraConfig:
    """How the trained adapter is to be read, and merged."""
    groups = {row["group"] for row in trained.parameters if row["trained"]}
    whole = {group.removesuffix(".bias") for group in groups if not group.endswith((".lora_A", ".lora_B"))}
    training = plan.training
    targets = training.targets if training.method == "lora" else ()
    return LoraConfig(rank=training.rank, alpha=training.alpha, targets=targets, whole=tuple(whole))


def made(
    lineage: Lineage, run: Run, facts: Sequence[Fact], trained: Trained, *, keep: Callable[[bytes | Path], FileRef]
) -> dict[str, FileRef]:
    """Those of a child's files that its run made; the others were given. `keep` takes bytes, or a file of them."""
    training = plain(trained)
    del training["adapter"]
    shape = read_config(lineage.json(lineage.founder_of(run.parent), CONFIG))
    return {
        ADAPTER: keep(trained.adapter),
        ADAPTER_CONFIG: keep(canonical_json(lora(run.plan, trained).of(shape).peft())),
        FACTS: keep(canonical_json(list(facts))),
        TRAINING: keep(canonical_json(training)),
    }


def _put(home: Home, data: bytes | Path) -> FileRef:
    return objects.put(home, data) if isinstance(data, bytes) else objects.put_file(home, data)


def _store(
    lineage: Lineage, run: Run, exam: Exam, facts: Sequence[Fact], texts: Ids, trained: Trained, child: FileRef
) -> Manifest:
    """Put all that the child is made of into the store. It is not in the lineage before the ledger names it."""
    home = lineage.home
    files = made(lineage, run, facts, trained, keep=lambda data: _put(home, data)) | {
        TRAIN: objects.put_file(home, run.delta.train),
        HELDOUT: objects.put_file(home, run.delta.heldout),
        EXAM: objects.put(home, exams.to_bytes(exam)),
        PLAN: objects.put(home, run.plan_bytes),
    }
    if texts:
        files[ANCHOR] = objects.put(home, canonical_json(texts))
    if _keyframe(lineage, run):
        files[WEIGHTS] = objects.put_file(home, objects.place(home.cache, child.digest))
    manifest = Manifest(parent=run.parent.digest, files=files, weights=child, about={"kind": "child"})
    generations.commit(home, manifest)
    return manifest


def _keyframe(lineage: Lineage, run: Run) -> bool:
    return (len(examination.children(lineage, run.parent)) + 1) % KEYFRAME_EVERY == 0


def _record(
    home: Home,
    run: Run,
    manifest: Manifest,
    verdict: Verdict,
    parent_card: Scorecard,
    child_card: Scorecard,
    moved: dict[str, Any],
    trained: Trained,
    facts: Sequence[Fact],
    spent: Spent,
    fit: Fit,
) -> Kind:
    """Append the verdict to the ledger: from here on the child is history. Then clear the run away."""
    delta = run.delta
    body = {
        "verdict": finite(verdict),
        "parent": run.parent.number,
        "delta": {
            "rows": delta.train_rows, "heldout": delta.heldout_rows, "bytes": delta.train_bytes,
            "facts": len(facts), "refused": delta.refused, "rows_in": delta.rows_in,
        },
        "training": {
            "steps": trained.steps, "tokens": trained.tokens, "learned_tokens": trained.learned_tokens,
            "first_loss": trained.first_loss, "last_loss": trained.last_loss,
        },
        "scores": finite(child_card.summary()), "fresh_gain": finite(fresh_gain(parent_card, child_card)),
        "parent_scores": finite(parent_card.summary()),
        "weight_change": finite(moved["total"]["parent"]),
        "weight_change_since_founder": finite(moved["total"]["founder"]),
        "environment": fit.fingerprint,
        "spent": plain(spent),
    }  # fmt: skip
    files = {
        SCORECARD: objects.put(home, canonical_json(finite(child_card))),
        PARENT_SCORECARD: objects.put(home, canonical_json(finite(parent_card))),
        WEIGHT_CHANGE: objects.put(home, canonical_json(finite(moved))),
    }
    kind = rules.birth(home.charter, verdict.outcome)
    ledger.append(home, kind, manifest.id, run.number, body, files=files)
    runs.end(home, run)
    return kind
