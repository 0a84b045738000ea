"""The forge: right gradients, strangers in a row, and a killed run that ends with the same bytes."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from germline.errors import DoesNotFit, Interrupted, TrainingError
from germline.forge import fit, loop
from germline.model import weights
from germline.model.adapter import LoraConfig, attach
from germline.model.decoder import Decoder
from germline.model.rows import Batch, Text, pack, predict
from germline.ops.loss import CHUNK_ROWS, cross_entropy_sum
from germline.records import Event
from germline.settings import Training
from tests.model.conftest import SMALL

QUIET = Training(rank=4, alpha=8, learning_rate=3e-3, checkpoint_every=3)


def batches(count: int = 8, rows: int = 4) -> list[Batch]:
    random = torch.Generator().manual_seed(2)
    made = []
    for _ in range(count):
        texts = [
            [
                Text(tuple(torch.randint(1, 97, (12,), generator=random).tolist()), (False,) * 4 + (True,) * 8)
                for _ in range(2)
            ]
            for _ in range(rows)
        ]
        made.append(pack(texts, 32))
    return made


def ignore(event: Event) -> None:
    pass


def train(decoder: Decoder, scratch: Path, *, micro_tokens: int = 10_000, training: Training = QUIET) -> bytes:
    scratch.mkdir(exist_ok=True)
    made = loop.train(decoder, batches(), training, micro_tokens=micro_tokens, scratch=scratch, on_event=ignore)
    return made.adapter.read_bytes()


@pytest.mark.parametrize("count", [1, CHUNK_ROWS, CHUNK_ROWS + 1, 3 * CHUNK_ROWS - 5])
def test_chunked_cross_entropy_is_cross_entropy(count: int) -> None:
    random = torch.Generator().manual_seed(count)
    hidden = torch.randn(count, 24, generator=random, requires_grad=True)
    output = torch.randn(301, 24, generator=random)
    targets = torch.randint(0, 301, (count,), generator=random)
    expected = F.cross_entropy(hidden @ output.t(), targets, reduction="sum")
    (gradient,) = torch.autograd.grad(expected / 7, hidden)
    found = cross_entropy_sum(hidden, output, targets)
    (ours,) = torch.autograd.grad(found / 7, hidden)
    assert torch.allclose(found, expected, rtol=1e-5)
    assert torch.allclose(ours, gradient, atol=1e-5)


def test_texts_that_share_a_row_are_strangers(small: Decoder) -> None:
    one, two, other = (Text(tuple(range(start, start + 9)), (True,) * 9) for start in (1, 30, 60))
    with torch.inference_mode():
        together, _ = predict(small, pack([[one, two]], 18))
        beside_another, _ = predict(small, pack([[other, two]], 20))
        alone, _ = predict(small, pack([[two]], 9))
    assert (together[8:] - alone).abs().max() < 1e-5
    assert (beside_another[8:] - alone).abs().max() < 1e-5


def test_micro_batches_give_the_large_batch(small: Decoder, tmp_path: Path) -> None:
    """Loss is per learned token however the rows are dealt: gradients agree to rounding."""
    parameters = attach(small, LoraConfig(rank=4, alpha=8), seed=0)
    for parameter in parameters.values():
        parameter.data += 0.01
    batch = batches(1)[0]
    batch.learned[0] = False
    batch.learned[1, 3:] = False

    def gradients(micro_tokens: int) -> list[torch.Tensor]:
        optimizer = torch.optim.SGD(parameters.values(), lr=0.0)
        kept: list[torch.Tensor] = []
        optimizer.register_step_pre_hook(
            lambda *_: kept.extend(p.grad.clone() for p in parameters.values() if p.grad is not None)
        )
        loop._step(small, batch, parameters, optimizer, 1e9, micro_tokens)
        return kept

    whole, dealt = gradients(10_000), gradients(32)
    assert len(whole) == len(dealt) == len(parameters)
    for a, b in zip(whole, dealt, strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-7)


def test_it_learns_and_leaves_the_base_alone(small_weights: Path, tmp_path: Path) -> None:
    decoder = weights.load(SMALL, small_weights, torch.float32)
    before = {name: parameter.clone() for name, parameter in decoder.state_dict().items()}
    training = QUIET.model_copy(update={"learning_rate": 2e-2})
    made = loop.train(decoder, batches(2) * 20, training, micro_tokens=10_000, scratch=tmp_path, on_event=ignore)
    assert made.last_loss < made.first_loss - 0.5
    assert (made.steps, made.learned_tokens) == (40, 40 * 4 * 2 * 8)
    assert all(row["changed"] == row["tensors"] for row in made.parameters)
    after = decoder.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize("stop", [1, 2, 3, 4, 7])
def test_stopped_and_resumed_ends_with_the_same_bytes(small_weights: Path, tmp_path: Path, stop: int) -> None:
    def fresh() -> Decoder:
        return weights.load(SMALL, small_weights, torch.float32)

    whole = train(fresh(), tmp_path / "whole")
    seen = 0

    def interrupt(event: Event) -> None:
        nonlocal seen
        seen += event.kind == "step"
        if seen == stop:
            os.kill(os.getpid(), signal.SIGINT)

    scratch = tmp_path / "cut"
    scratch.mkdir()
    with pytest.raises(Interrupted, match=f"after step {stop} of 8"):
        loop.train(fresh(), batches(), QUIET, micro_tokens=10_000, scratch=scratch, on_event=interrupt)
    assert train(fresh(), scratch) == whole


@pytest.mark.parametrize("stop", [1, 4, 5, 8])
def test_killed_without_warning_ends_with_the_same_bytes(small_weights: Path, tmp_path: Path, stop: int) -> None:
    """What a SIGKILL leaves: the last periodic checkpoint, or nothing. (The real signal: tests/tiny.)"""

    def fresh() -> Decoder:
        return weights.load(SMALL, small_weights, torch.float32)

    class Killed(BaseException):
        pass

    def kill(event: Event) -> None:
        if event.kind == "step" and event.data["step"] == stop:
            raise Killed

    scratch = tmp_path / "cut"
    scratch.mkdir()
    with pytest.raises(Killed):
        loop.train(fresh(), batches(), QUIET, micro_tokens=10_000, scratch=scratch, on_event=kill)
    assert train(fresh(), scratch) == train(fresh(), tmp_path / "whole")


def test_a_loss_that_is_no_number_stops_the_run(small: Decoder, tmp_path: Path) -> None:
    training = QUIET.model_copy(update={"learning_rate": 1.0, "clip": 1e30})
    small.model.norm.weight.data.fill_(1e38)
    with pytest.raises(TrainingError, match="step 1"):
        train(small, tmp_path, training=training)


def test_a_damaged_checkpoint_is_named(small_weights: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.safetensors").write_bytes(b"\x00" * 100)
    with pytest.raises(TrainingError, match=r"checkpoint\.safetensors"):
        train(weights.load(SMALL, small_weights, torch.float32), tmp_path)


def test_the_rate_warms_up_and_decays_to_zero() -> None:
    training = Training(learning_rate=1.0, warmup=0.1)
    rates = [loop.learning_rate(training, step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == max(rates) == pytest.approx(1.0)
    assert rates[99] == pytest.approx(1 / 90)
    assert rates[10:] == sorted(rates[10:], reverse=True)


def machine(free: int, bf16: bool = True) -> fit.Machine:
    return fit.Machine(cores=2, free_bytes=free, native_bf16=bf16)


def test_fit_shrinks_before_it_refuses() -> None:
    def fitted(free: int) -> fit.Fit:
        return fit.fit(SMALL, Training(), row_tokens=512, batch_tokens=4096, here=machine(free))

    assert fitted(64 << 30).micro_rows == 8
    roomy = fitted(64 << 30).peak_bytes
    assert fitted(roomy - 1).micro_rows == 4
    with pytest.raises(DoesNotFit, match="GiB"):
        fitted(1 << 20)


def test_fit_says_why_it_picks_a_dtype() -> None:
    for bf16, dtype, why in ((True, torch.bfloat16, "in hardware"), (False, torch.float32, "no bf16")):
        fitted = fit.fit(SMALL, Training(), row_tokens=128, batch_tokens=128, here=machine(64 << 30, bf16))
        assert fitted.dtype is dtype
        assert why in fitted.reasons[0]
