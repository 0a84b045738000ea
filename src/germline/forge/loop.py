"""The one training loop: LoRA on a frozen decoder, killable at any instant, resumed to the same bytes."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from germline.errors import Interrupted, TrainingError
from germline.forge.resume import load_checkpoint, save_checkpoint
from germline.model.adapter import LoraConfig, attach
from germline.model.decoder import Decoder
from germline.model.rows import Batch, predict
from germline.ops.loss import cross_entropy_sum
from germline.records import Event, OnEvent, Trained
from germline.settings import Training
from germline.store import disk


def train(
    decoder: Decoder,
    batches: Sequence[Batch],
    training: Training,
    *,
    micro_tokens: int,
    scratch: Path,
    on_event: OnEvent,
) -> Trained:
    """Fit an adapter to `batches`, one optimizer step each, in order. The decoder's weights never change.

    The loss of a step is the mean over its learned tokens, however they are dealt into rows or
    micro-batches of at most `micro_tokens`. Within one machine, thread count and torch build, the same
    arguments give the same adapter bytes, killed and resumed from `scratch` or not. Raises TrainingError
    when the loss is not finite, Interrupted (state saved) on Ctrl-C.
    """
    config = LoraConfig(rank=training.rank, alpha=training.alpha, targets=training.targets)
    parameters = attach(decoder, config, training.seed)
    start = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    optimizer = torch.optim.AdamW(
        parameters.values(), lr=training.learning_rate, betas=(0.9, 0.99),
        weight_decay=training.weight_decay, fused=True,
    )  # fmt: skip
    curve = load_checkpoint(scratch, parameters, optimizer)
    pace = _Pace(len(curve))
    if curve:
        on_event(Event(kind="note", text=f"resumed after step {len(curve)} of {len(batches)}"))
    with _deferred_interrupt() as interrupted:
        for step in range(len(curve), len(batches)):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(training, step, len(batches))
            curve.append(_step(decoder, batches[step], parameters, optimizer, training.clip, micro_tokens))
            if not math.isfinite(curve[-1]):
                raise TrainingError(
                    f"the loss is not a number at step {step + 1}",
                    hint="a lower rate may hold: germline evolve --restart --set training.learning_rate=1e-3",
                )
            pace.add(batches[step])
            on_event(pace.event(step + 1, len(batches), curve[-1], optimizer.param_groups[0]["lr"]))
            due = (step + 1) % training.checkpoint_every == 0 and step + 1 < len(batches)
            if due or interrupted.is_set():
                save_checkpoint(scratch, parameters, optimizer, curve)
            if interrupted.is_set():
                raise Interrupted(
                    f"stopped after step {step + 1} of {len(batches)}; nothing is lost",
                    hint="`germline evolve` goes on from here",
                )
    return _finish(parameters, start, curve, batches, training, scratch)


def learning_rate(training: Training, step: int, steps: int) -> float:
    """Linear warm-up over `warmup` of the steps, then linear decay to zero. A function of the step alone."""
    warmup = max(1, round(training.warmup * steps))
    rise = (step + 1) / warmup
    fall = (steps - step) / max(1, steps - warmup)
    return training.learning_rate * min(1.0, rise, fall)


def _step(
    decoder: Decoder,
    batch: Batch,
    parameters: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    clip: float,
    micro_tokens: int,
) -> float:
    """One optimizer step; the mean loss per learned token, nats."""
    counted = batch.learned_tokens
    loss_sum = 0.0
    for part in _parts(batch, micro_tokens):
        hidden, targets = predict(decoder, part)
        loss = cross_entropy_sum(hidden, decoder.output_weight, targets, decoder.config.logit_softcap) / counted
        loss.backward()  # type: ignore[no-untyped-call]
        loss_sum += float(loss.detach())
    torch.nn.utils.clip_grad_norm_(parameters.values(), clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss_sum


def _parts(batch: Batch, micro_tokens: int) -> Iterator[Batch]:
    rows, length = batch.tokens.shape
    size = max(1, micro_tokens // length)
    for start in range(0, rows, size):
        cut = slice(start, start + size)
        part = Batch(batch.tokens[cut], batch.segments[cut], batch.positions[cut], batch.learned[cut])
        if part.learned_tokens:
            yield part


def _finish(
    parameters: Mapping[str, nn.Parameter],
    start: Mapping[str, Tensor],
    curve: Sequence[float],
    batches: Sequence[Batch],
    training: Training,
    scratch: Path,
) -> Trained:
    adapter = scratch / "adapter.safetensors"
    disk.replace(adapter, save({name: parameter.detach() for name, parameter in parameters.items()}))
    tenth = max(1, len(curve) // 10)
    return Trained(
        adapter=adapter,
        steps=len(curve),
        tokens=sum(batch.real_tokens for batch in batches),
        learned_tokens=sum(batch.learned_tokens for batch in batches),
        first_loss=sum(curve[:tenth]) / tenth,
        last_loss=sum(curve[-tenth:]) / tenth,
        curve=tuple(curve),
        parameters=_table(parameters, start, training),
    )


def _table(
    parameters: Mapping[str, nn.Parameter], start: Mapping[str, Tensor], training: Training
) -> tuple[dict[str, Any], ...]:
    """What was trained, one row per target and factor, and whether every tensor of it really moved."""
    groups: dict[str, list[str]] = {}
    for name in parameters:
        module, factor = name.removesuffix(".weight").rsplit(".", 1)
        groups.setdefault(f"{module.rsplit('.', 1)[-1]}.{factor}", []).append(name)
    return tuple(
        {
            "group": group,
            "tensors": len(names),
            "parameters": sum(parameters[name].numel() for name in names),
            "dtype": "float32",
            "learning_rate": training.learning_rate,
            "weight_decay": training.weight_decay,
            "changed": sum(not torch.equal(parameters[name], start[name]) for name in names),
        }
        for group, names in sorted(groups.items())
    )


class _Pace:
    """Tokens per second and time left, over this process's own steps."""

    def __init__(self, done: int) -> None:
        self.first, self.tokens, self.began = done, 0, time.monotonic()

    def add(self, batch: Batch) -> None:
        self.tokens += batch.real_tokens

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
    """Ctrl-C and SIGTERM set a flag, read between steps; a second Ctrl-C interrupts at once."""
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
