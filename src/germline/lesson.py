"""What one candidate is taught, and the teaching."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence

from germline import anchoring, revisions
from germline import run as runs
from germline.anchoring import Ids
from germline.budget import Meter
from germline.checkout import shape_of, tokenizer_of, weights
from germline.child import keyframe
from germline.curriculum.batches import Batches, lay_out
from germline.curriculum.texts import Item, items
from germline.errors import PlanError
from germline.forge import fit as forge_fit
from germline.forge import loop, memory, resume, trainable
from germline.forge.anchor import Anchor
from germline.forge.fit import Fit
from germline.forge.machine import machine, memory_bytes
from germline.lineage import EXAM, TRAIN, Generation, Lineage
from germline.model import weights as model_weights
from germline.records import Cost, Event, Fact, OnEvent, Row, Trained
from germline.run import Run


def batches_of(lineage: Lineage, run: Run, train: Iterable[Row], facts: Sequence[Fact], *, row_tokens: int) -> Batches:
    """Every optimizer step's rows, in order: a pure function of the delta, the ancestors, how well the
    parent knows what they were taught, and the plan. PlanError if there is none.

    What is trained on lies on disk; memory holds some 70 bytes for each row of the delta.
    """
    plan, tokenizer = run.plan.curriculum, tokenizer_of(lineage, run.parent)

    ancestors = lineage.trained_line(run.parent)
    known = lineage.scorecard(run.parent).marks if ancestors else {}
    gone = revisions.replaced(lineage, ancestors, revisions.revising(run.plan, facts))

    def taught(ancestor: Generation) -> Iterator[Item]:
        """What still holds of it. A row that tells what has changed goes as a whole; its other facts come as facts."""
        stale = gone[ancestor.digest]
        kept = (row for row in lineage.rows(ancestor, TRAIN) if not revisions.tells(row, stale))
        own = [fact for fact in lineage.facts(ancestor) if fact not in stale] if plan.forms else ()
        return items(kept, own, known[ancestor.manifest.files[EXAM].digest])

    pools = itertools.chain([items(train, facts if plan.forms else ())], map(taught, ancestors))
    batches = lay_out(
        run.directory / "batches", pools, plan.model_copy(update={"row_tokens": row_tokens}), run.plan.training.seed,
        tokenize=tokenizer.encode_batch, end=tokenizer.eos_id,
        opening=shape_of(lineage, run.parent).opening,
    )  # fmt: skip
    if not len(batches):
        raise PlanError(
            "nothing of this delta is trained on: it is text that states no fact, and curriculum.documents is 0",
            hint="germline evolve --restart --set curriculum.documents=2",
        )
    return batches


def teach(
    lineage: Lineage, run: Run, batches: Batches, texts: Ids, fit: Fit, on_event: OnEvent, meter: Meter | None = None
) -> tuple[Trained, Fit]:
    """The trained adapter, and the fit with its time and with what that decides. `texts` are to anchor it."""
    training = run.plan.training
    trained = runs.load_trained(run)
    if trained is not None:
        return trained, fit
    anchor = anchoring.anchor(lineage, run, texts, training, fit.on, steps=len(batches))
    anchored = anchor.tokens(0, len(batches)) if anchor else 0
    tokens = batches.real_tokens + anchored
    text = f"training g{run.number}: {len(batches)} steps, {tokens:,} tokens"
    on_event(Event(kind="stage", text=text))
    config = shape_of(lineage, run.parent)
    if not fit.seconds:
        fit = timed(lineage, run, batches, anchored, fit)
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


def timed(lineage: Lineage, run: Run, batches: Batches, anchored: int, fit: Fit) -> Fit:
    """The fit with the time that all steps will take, `anchored` tokens of the anchor among them."""
    training, predicted = run.plan.training, batches.learned_tokens + 1.5 * anchored
    # The founder's logits are a third product where the anchor is predicted.
    config, here = shape_of(lineage, run.parent), machine(training.device)
    return forge_fit.timed(fit, config, training, here, batches.real_tokens + anchored, predicted)


def _foreseen(lineage: Lineage, run: Run, batches: Batches, anchor: Anchor | None, fit: Fit) -> tuple[Cost, float]:
    """What the steps that are left will cost, and the bytes that checkpoints, adapters and child will take."""
    done = resume.steps_done(run.directory)
    left, tokens = len(batches) - done, batches.real_tokens - batches.tokens_before(done)
    tokens += anchor.tokens(done, len(batches)) if anchor else 0
    others = run.plan.training.candidates - run.candidate - 1
    whole = batches.real_tokens + (anchor.tokens(0, len(batches)) if anchor else 0)
    state = memory.state_bytes(shape_of(lineage, run.parent), run.plan.training)
    merged = run.parent.manifest.weights.size * (len(run.plan.training.merge_scales) + keyframe(lineage, run))
    kept = run.plan.training.keep_checkpoints
    room = state * (kept + 2) * (1 + others) + merged  # each keeps its own to the end
    room -= min(resume.bytes_kept(run.directory), state * kept)
    return Cost(
        seconds=fit.seconds * (left / len(batches) + others), steps=left + others * len(batches),
        tokens=tokens + others * whole,
    ), room  # fmt: skip
