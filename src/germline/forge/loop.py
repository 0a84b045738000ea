"""The one training loop: whatever of a decoder is to be trained, killable at any instant, resumed to the same bytes."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from germline.errors import Interrupted, TrainingError
from germline.forge.anchor import Anchor
from germline.forge.fit import Fit
from germline.forge.noise import Noise, noise_for
from germline.forge.optimizer import optimizer_for
from germline.forge.resume import load_checkpoint, save_checkpoint
from germline.forge.trainable import Trainable, prepare, table
from germline.model import weights
from germline.model.decoder import Decoder
from germline.model.rows import Batch, Batches, beside, predict
from germline.ops.loss import cross_entropy_sum
from germline.ops.pointwise import compiled
from germline.records import Event, OnEvent, Trained
from germline.settings import Training
from germline.store import disk

Spend = Callable[[int], Interrupted | None]
"""Told of the tokens of each step before it is made; answers why it must not be made."""


def train(
    decoder: Decoder,
    batches: Batches,
    training: Training,
    fit: Fit,
    *,
    scratch: Path,
    on_event: OnEvent,
    spend: Spend | None = None,
    anchor: Anchor | None = None,
) -> Trained:
    """Train what `training` names on `batches`, one optimizer step each, in order.

    `decoder` comes from `weights.load` with `trainable.in_full(training)`, and what is not trained of it
    never changes: the table in the result proves it. The loss of a step is the mean over its learned
    tokens, noise and all, however they are dealt into micro-batches; an `anchor` adds a loss of its own, which the
    curve leaves out. Within one machine, thread count, torch build and fit, the same arguments give the same
    adapter bytes, killed and resumed from `scratch` or not. Raises TrainingError when the loss is not finite,
    Interrupted (state saved) on Ctrl-C or where `spend` says so.
    """
    trainable = prepare(decoder, training)
    parameters = trainable.parameters
    optimizer, noise = optimizer_for(trainable, training), noise_for(decoder, training)
    decoder.recomputed_layers = fit.setting.recomputed_layers
    curve = load_checkpoint(scratch, parameters, optimizer, on_event)
    pace, begun = _Pace(len(curve)), len(curve)
    if curve:
        on_event(Event(kind="note", text=f"resumed after step {len(curve)} of {len(batches)}"))
    with _deferred_interrupt() as interrupted, compiled(fit.compiled):
        for step in range(len(curve), len(batches)):
            share = share_of_peak(step, len(batches), training.warmup)
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * share
            batch = batches[step]
            tokens = batch.real_tokens + (anchor.tokens(step, step + 1) if anchor else 0)
            if spend and (halt := spend(tokens)):
                if step > begun:
                    save_checkpoint(scratch, parameters, optimizer, curve, training.keep_checkpoints)
                raise halt
            curve.append(_backward(decoder, batch, anchor, noise, step, fit.setting.micro_tokens))
            norm = float(torch.nn.utils.clip_grad_norm_(parameters.values(), training.clip))
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if not (math.isfinite(curve[-1]) and math.isfinite(norm)):
                raise TrainingError(
                    f"the loss or its gradient is not a number at step {step + 1}",
                    hint="a lower rate may hold: germline evolve --restart --set "
                    f"training.learning_rate={training.learning_rate / 3:.1g}",
                )
            pace.add(tokens)
            on_event(pace.event(step + 1, len(batches), curve[-1], training.learning_rate * share))
            due = (step + 1) % training.checkpoint_every == 0 and step + 1 < len(batches)
            if due or interrupted.is_set():
                save_checkpoint(scratch, parameters, optimizer, curve, training.keep_checkpoints)
            if interrupted.is_set():
                stopped = f"stopped after step {step + 1} of {len(batches)}; nothing is lost"
                raise Interrupted(stopped, hint="the same command goes on from here")
    extra = anchor.tokens(0, len(batches)) if anchor else 0
    return _finish(decoder, trainable, curve, batches, extra, scratch)


def share_of_peak(step: int, steps: int, warmup: float) -> float:
    """Linear warm-up over `warmup` of the steps, then linear decay to zero. A function of the step alone."""
    rising = max(1, round(warmup * steps))
    return min(1.0, (step + 1) / rising, (steps - step) / max(1, steps - rising))


def _backward(
    decoder: Decoder, batch: Batch, anchor: Anchor | None, noise: Noise | None, step: int, micro_tokens: int
) -> float:
    """Gradients of one step; the mean loss per learned token, nats, without the anchor's.

    The anchor's rows go through the decoder with the lesson's where they are of one length and few enough: each pass
    lays out every weight anew (`benchmarks/anchor_step.md`).
    """
    counted, loss_sum = batch.learned_tokens, 0.0
    aside = anchor.batch(step) if anchor else None
    for first_row, part in _parts(batch, micro_tokens):
        joined = _joined(part, aside, micro_tokens) if aside else None
        grain = noise.at(step, first_row, part.tokens, decoder) if noise else None
        hidden, targets = predict(decoder, joined or part, grain)
        own = part.learned_tokens
        total = cross_entropy_sum(hidden[:own], decoder.output_weight, targets[:own], decoder.config.logit_softcap)
        loss = total / counted
        if anchor and joined:
            loss, aside = loss + anchor.loss(decoder, hidden[own:], step), None
        loss.backward()  # type: ignore[no-untyped-call]
        loss_sum += float(total.detach())
    if anchor and aside:
        anchor.loss(decoder, predict(decoder, aside)[0], step).backward()  # type: ignore[no-untyped-call]
    return loss_sum / counted


def _joined(part: Batch, aside: Batch, micro_tokens: int) -> Batch | None:
    alike = part.tokens.shape[1] == aside.tokens.shape[1]
    return beside(part, aside) if alike and part.tokens.numel() + aside.tokens.numel() <= micro_tokens else None


def _parts(batch: Batch, micro_tokens: int) -> Iterator[tuple[int, Batch]]:
    """Rows that go through at once, with the number of the first."""
    rows, length = batch.tokens.shape
    size = max(1, micro_tokens // length)
    for start in range(0, rows, size):
        cut = slice(start, start + size)
        part = Batch(batch.tokens[cut], batch.segments[cut], batch.positions[cut], batch.learned[cut])
        if part.learned_tokens:
            yield start, part


def _finish(
    decoder: Decoder, trainable: Trainable, curve: Sequence[float], batches: Batches, extra: int, scratch: Path
) -> Trained:
    """What was trained, in PEFT's format: factors in fp32, whole tensors in the dtype their master is stored in."""
    adapter = scratch / "adapter.safetensors"
    factors = (".lora_A.weight", ".lora_B.weight")
    with disk.replacing(adapter) as file:
        weights.write_tensors(file, {
            name: parameter.detach() if name.endswith(factors) else parameter.detach().to(decoder.stored_dtype)
            for name, parameter in trainable.parameters.items()
        })  # fmt: skip
    tenth = max(1, len(curve) // 10)
    return Trained(
        adapter=adapter,
        steps=len(curve),
        tokens=batches.real_tokens + extra,
        learned_tokens=batches.learned_tokens,
        first_loss=sum(curve[:tenth]) / tenth,
        last_loss=sum(curve[-tenth:]) / tenth,
        curve=tuple(curve),
        parameters=table(decoder, trainable, steps=len(curve)),
    )


class _Pace:
    """Tokens per second and time left, over this process's own steps."""

    def __init__(self, done: int) -> None:
        self.first, self.tokens, self.began = done, 0, time.monotonic()

    def add(self, tokens: int) -> None:
        self.tokens += tokens

    def event(self, step: int, steps: int, loss: float, rate: float) -> Event:
        seconds = max(time.monotonic() - self.began, 1e-9)
        left = seconds / (step - self.first) * (steps - step)
        speed = self.tokens / seconds
        text = (
            f"step {step:05d}/{steps:05d} | loss {loss:.4f} | lr {rate:.1e} | {speed:,.0f} tok/s | eta {left / 60:.1f}m"
        )
        data = {"step": step, "steps": steps, "loss": loss, "lr": rate, "tokens_per_second": speed, "eta_seconds": left}
        return Event(kind="step", text=text, data=data)


@contextmanager
def _deferred_interrupt() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM set a flag, read between steps; a second Ctrl-C interrupts at once. Also where a shell's `&`
    made the process ignore SIGINT: a run that is stopped goes on, and one that cannot be stopped is worse."""
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return

    def handle(number: int, frame: object) -> None:
        if flag.is_set():
            raise KeyboardInterrupt
        flag.set()

    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield flag
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
