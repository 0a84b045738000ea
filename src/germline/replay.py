"""A generation trained again from what the lineage keeps of it, and held against what it was born as.

The stages are those of `evolve`, in a directory of their own outside the lineage, which is gone afterwards. Nothing
is written to the lineage but, where the cache has lost the parent's merged weights, these.

What the last bits depend on was recorded at birth (`Fit.fingerprint`). What of it this machine has otherwise is told
before anything is trained. Not recorded, and so never named: the C++ compiler where training was compiled, and the
driver of a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from germline import candidates, evolve
from germline import run as runs
from germline.checkout import weights
from germline.child import lora
from germline.corpus.facts import facts as find_facts
from germline.corpus.split import Rows
from germline.errors import Interrupted, PlanError
from germline.forge.fit import Fit
from germline.lineage import ADAPTER, ANCHOR, FACTS, HELDOUT, PLAN, TRAIN, TRAINING, WEIGHTS, Generation, Lineage
from germline.model import weights as model_weights
from germline.records import Delta, Digest, Event, OnEvent, Trained, digest_of, digest_of_delta, plain
from germline.run import Run
from germline.settings import kept_plan
from germline.store import objects
from germline.store.objects import FileRef, Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What came out. It is the same if the ids are."""

    expected: Digest
    found: Digest
    first: str | None
    """The first thing that differs, in the order in which things come about; None if nothing does."""

    @property
    def same(self) -> bool:
        return self.found == self.expected


def fit_of(generation: Generation, threads: int | None = None) -> tuple[Fit, tuple[str, ...]]:
    """How to train a generation again, and what was otherwise at its birth: `threads was 2 and is 1`.

    PlanError for a founder, which was never trained.
    """
    recorded: dict[str, Any] | None = generation.birth.body.get("environment")
    if recorded is None:
        raise PlanError(f"{generation.name} was not trained here", hint="a founder came from elsewhere")
    fit = Fit.recorded(recorded, seconds=max(1.0, generation.birth.body["spent"]["seconds_training"]))
    fit = replace(fit, threads=threads or fit.threads)
    now = fit.fingerprint
    told = (f"{key} was {recorded.get(key)} and is {now.get(key)}" for key in {**recorded, **now}
            if recorded.get(key) != now.get(key))  # fmt: skip
    return fit, tuple(told)


def replay(lineage: Lineage, generation: Generation, fit: Fit, on_event: OnEvent) -> Replay:
    """Train a generation again as `fit` says. StoreDamaged if what it is trained from is; Interrupted on Ctrl-C,
    and then nothing is left."""
    try:
        with runs.scratch() as directory:
            return _replay(lineage, generation, fit, directory, on_event)
    except Interrupted:
        hint = "nothing of it is kept: the same command begins anew"
        raise Interrupted(f"the replay of {generation.name} was stopped", hint=hint) from None


def _replay(lineage: Lineage, generation: Generation, fit: Fit, scratch: Path, on_event: OnEvent) -> Replay:
    run = _run(lineage, generation, scratch)
    torch.set_num_threads(fit.threads)
    train = Rows(run.delta.train)
    facts = find_facts(train)
    texts = lineage.json(generation, ANCHOR) if ANCHOR in generation.manifest.files else []
    born, several = int(generation.birth.body.get("candidate", 0)), run.plan.training.candidates
    numbers = range(several) if born == several else (born,)
    lessons = [*candidates.candidates(lineage, run, numbers, train, facts, texts, fit, on_event)]
    trained = (candidates.mean(run, lessons) if born == several else lessons[0]).trained
    on_event(Event(kind="stage", text=f"merging {generation.name} and comparing"))
    share = float(generation.birth.body.get("merge_scale", 1.0))
    files = generation.manifest.files | evolve.trained_files(lineage, run, facts, trained, share, keep=_reference)
    tally = Tally()
    scale = lora(run.plan, trained, share).scale
    model_weights.merge_file(weights(lineage, run.parent), trained.adapter, scale, tally)
    merged = tally.reference
    if WEIGHTS in files:
        files[WEIGHTS] = merged
    found = replace(generation.manifest, files=files, weights=merged)
    first = next(_differences(lineage, generation, trained, files, merged), None)
    return Replay(expected=generation.digest, found=found.id, first=first)


def _run(lineage: Lineage, generation: Generation, scratch: Path) -> Run:
    """The run that bore a generation, as the ledger and its files tell of it."""
    assert generation.manifest.parent is not None
    files, books = generation.manifest.files, generation.birth.body["delta"]
    delta = Delta(
        digest=digest_of_delta(files[TRAIN].digest, files[HELDOUT].digest),
        train=lineage.checked(generation, TRAIN), heldout=lineage.checked(generation, HELDOUT),
        train_rows=books["rows"], heldout_rows=books["heldout"], train_bytes=books["bytes"],
        rows_in=books["rows_in"], refused=books["refused"], sources=0,
    )  # fmt: skip
    plan = kept_plan(lineage.json(generation, PLAN), source=f"{generation.name} {PLAN}")
    parent = lineage.generation(generation.manifest.parent)
    return Run(directory=scratch, parent=parent, number=generation.number, plan=plan, delta=delta)


def _differences(
    lineage: Lineage, generation: Generation, trained: Trained, files: dict[str, FileRef], merged: FileRef
) -> Iterator[str]:
    """What differs from what is recorded, what came first first."""
    born, recorded, now = generation.manifest, lineage.json(generation, TRAINING), plain(trained)
    if files[FACTS] != born.files[FACTS]:
        yield "the facts found in its delta"
    for key in ("steps", "tokens", "learned_tokens"):
        if recorded[key] != now[key]:
            yield f"the number of {key.replace('_', ' ')}: {recorded[key]} then, {now[key]} now"
    for step, (then, here) in enumerate(zip(recorded["curve"], now["curve"], strict=False), 1):
        if then != here:
            yield f"the loss of step {step}: {then!r} then, {here!r} now"
    if files[ADAPTER] != born.files[ADAPTER]:
        kept = lineage.path(generation, ADAPTER)
        for (name, then), (_, here) in zip(model_weights.read(kept), model_weights.read(trained.adapter), strict=False):
            if then.shape != here.shape or not torch.equal(then, here):
                yield f"the adapter, at {name}"
        yield "the adapter's bytes"
    yield from (name for name in files if files[name] != born.files[name])
    if merged != born.weights:
        yield "the merged weights"


def _reference(data: bytes | Path) -> FileRef:
    return FileRef(digest_of(data), len(data)) if isinstance(data, bytes) else objects.hash_file(data)
