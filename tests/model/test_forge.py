"""The forge: right gradients, strangers in a row, and a killed run that ends with the same bytes."""

from __future__ import annotations

import math
import signal
from pathlib import Path

import pytest
import torch

from germline.errors import Interrupted, TrainingError
from germline.forge import loop
from germline.forge.noise import Noise
from germline.model.adapter import LoraConfig, attach
from germline.model.decoder import Decoder
from germline.model.rows import Text, pack, predict
from germline.records import Event, OnEvent
from tests.model.training_runs import METHODS, QUIET, batches, ignore, load, train


def test_texts_that_share_a_row_are_strangers(small: Decoder) -> None:
    one, two, other = (Text(tuple(range(start, start + 9)), (True,) * 9) for start in (1, 30, 60))
    with torch.inference_mode():
        together, _ = predict(small, pack([[one, two]], 18))
        beside_another, _ = predict(small, pack([[other, two]], 20))
        alone, _ = predict(small, pack([[two]], 9))
    assert (together[8:] - alone).abs().max() < 1e-5
    assert (beside_another[8:] - alone).abs().max() < 1e-5


@pytest.mark.parametrize("noise", [None, Noise(0.1, 0)])
def test_micro_batches_give_the_large_batch(small: Decoder, noise: Noise | None) -> None:
    """Loss is per learned token however the rows are dealt: gradients agree to rounding."""
    parameters = attach(small, LoraConfig(rank=4, alpha=8), seed=0)
    for parameter in parameters.values():
        parameter.data += 0.01
    batch = batches(1)[0]
    batch.learned[0] = False
    batch.learned[1, 3:] = False

    def gradients(micro_tokens: int) -> list[torch.Tensor]:
        small.zero_grad(set_to_none=True)
        loop._backward(small, batch, None, noise, 0, micro_tokens)
        return [p.grad.clone() for p in parameters.values() if p.grad is not None]

    whole, dealt = gradients(10_000), gradients(32)
    assert len(whole) == len(dealt) == len(parameters)
    for a, b in zip(whole, dealt, strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-7)


def test_it_learns_and_leaves_the_base_alone(small_weights: Path, tmp_path: Path) -> None:
    decoder = load(small_weights)
    before = {name: parameter.clone() for name, parameter in decoder.state_dict().items()}
    training = QUIET.model_copy(update={"learning_rate": 2e-2})
    made = train(decoder, tmp_path, training=training, steps=batches(2) * 20)
    assert made.last_loss < made.first_loss - 0.5
    assert (made.steps, made.learned_tokens) == (40, 40 * 4 * 2 * 8)
    assert all(row["changed"] == (row["tensors"] if row["trained"] else 0) for row in made.parameters)
    after = decoder.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_one_step_is_a_run(small_weights: Path, tmp_path: Path) -> None:
    """LoRA's A stands still in it: its gradient passes through B, which is zero until then."""
    made = train(load(small_weights), tmp_path, steps=batches(1))
    changed = {row["group"]: bool(row["changed"]) for row in made.parameters if row["trained"]}
    assert changed == {group: group.endswith("lora_B") for group in changed}


@pytest.mark.parametrize("stop", [1, 3, 7])
@pytest.mark.parametrize("method", METHODS)
def test_stopped_and_resumed_ends_with_the_same_bytes(
    small_weights: Path, tmp_path: Path, stop: int, method: str
) -> None:
    training, fit = METHODS[method]

    def run(name: str, on_event: OnEvent = ignore) -> bytes:
        decoder = load(small_weights, training, fit)
        made = train(decoder, tmp_path / name, fit=fit, training=training, on_event=on_event)
        return made.adapter.read_bytes()

    seen = 0

    def interrupt(event: Event) -> None:
        nonlocal seen
        seen += event.kind == "step"
        if seen == stop:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted, match=f"after step {stop} of 8"):
        run("cut", interrupt)
    assert run("cut") == run("whole")


@pytest.mark.parametrize("stop", [1, 4, 5, 8])
def test_killed_without_warning_ends_with_the_same_bytes(small_weights: Path, tmp_path: Path, stop: int) -> None:
    """What a SIGKILL leaves: the last periodic checkpoint, or nothing. (The real signal: tests/tiny.)"""

    class Killed(BaseException):
        pass

    def kill(event: Event) -> None:
        if event.kind == "step" and event.data["step"] == stop:
            raise Killed

    def run(name: str, on_event: OnEvent = ignore) -> bytes:
        return train(load(small_weights), tmp_path / name, on_event=on_event).adapter.read_bytes()

    with pytest.raises(Killed):
        run("cut", kill)
    assert run("cut") == run("whole")


def test_a_loss_that_is_no_number_stops_the_run(small: Decoder, tmp_path: Path) -> None:
    training = QUIET.model_copy(update={"learning_rate": 1.0, "clip": 1e30})
    small.model.norm.weight.data.fill_(1e38)
    with pytest.raises(TrainingError, match="step 1"):
        train(small, tmp_path, training=training)


def test_a_gradient_that_is_no_number_stops_the_run_in_its_last_step_too(small: Decoder, tmp_path: Path) -> None:
    """Its loss was sound, and no later one would tell of it."""

    def spoil(event: Event) -> None:
        if event.kind == "step" and event.data["step"] == 7:
            (first, *_) = (parameter for parameter in small.parameters() if parameter.requires_grad)
            first.register_hook(lambda gradient: gradient * math.nan)

    with pytest.raises(TrainingError, match="its gradient is not a number at step 8"):
        train(small, tmp_path, on_event=spoil)
    assert not (tmp_path / "adapter.safetensors").exists()


def test_a_checkpoint_with_a_flipped_bit_is_passed_over_and_costs_no_byte(small_weights: Path, tmp_path: Path) -> None:
    whole = train(load(small_weights), tmp_path / "whole").adapter.read_bytes()
    scratch = tmp_path / "cut"

    def stop(event: Event) -> None:
        if event.kind == "step" and event.data["step"] == 7:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        train(load(small_weights), scratch, on_event=stop)
    older, newest = sorted(scratch.glob("checkpoint-*.safetensors"))
    assert (older.name, newest.name) == ("checkpoint-00000006.safetensors", "checkpoint-00000007.safetensors")
    damaged = bytearray(newest.read_bytes())
    damaged[-100] ^= 1
    newest.write_bytes(damaged)
    told: list[str] = []
    again = train(load(small_weights), scratch, on_event=lambda event: told.append(event.text))
    assert "checkpoint-00000007.safetensors is damaged and passed over" in told[0]
    assert told[1] == "resumed after step 6 of 8"
    assert again.adapter.read_bytes() == whole


def test_a_damaged_checkpoint_is_named(small_weights: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoint-00000003.safetensors").write_bytes(b"\x00" * 100)
    with pytest.raises(TrainingError, match=r"checkpoint-00000003\.safetensors"):
        train(load(small_weights), tmp_path)


def test_the_rate_warms_up_and_decays_to_zero() -> None:
    rates = [loop.share_of_peak(step, 100, 0.1) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == max(rates) == pytest.approx(1.0)
    assert rates[99] == pytest.approx(1 / 90)
    assert rates[10:] == sorted(rates[10:], reverse=True)
