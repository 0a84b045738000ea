"""LoRA, packed weights, full fine-tuning, trained embeddings, 8-bit moments: each trains what it says, nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from germline.errors import PlanError, TrainingError
from germline.forge import trainable
from germline.forge.optimizer import BLOCK, AdamW8bit, _pack, _unpack
from germline.model import weights
from germline.model.adapter import PREFIX
from germline.model.decoder import Decoder
from germline.model.rows import predict
from germline.ops.loss import cross_entropy_sum
from germline.settings import Training
from tests.model.training_runs import METHODS, QUIET, batches, fitted, load, plan, train


@pytest.mark.parametrize("method", METHODS)
def test_each_method_learns_and_proves_what_it_trained(small_weights: Path, tmp_path: Path, method: str) -> None:
    training, fit = METHODS[method]
    training = training.model_copy(update={"learning_rate": 1e-2 if training.method == "full" else 2e-2})
    made = train(load(small_weights, training, fit), tmp_path, fit=fit, training=training, steps=batches(2) * 20)
    assert made.last_loss < made.first_loss - 0.3
    rows = {row["group"]: row for row in made.parameters}
    trained = {group for group, row in rows.items() if row["trained"]}
    assert all(row["changed"] == (row["tensors"] if row["trained"] else 0) for row in made.parameters)
    if training.method == "full":
        assert trained == set(rows) >= {"embed_tokens", "q_proj", "norm", "input_layernorm"}
        assert rows["q_proj"]["dtype"] == "float32"
    else:
        assert {"q_proj.lora_A", "down_proj.lora_B"} <= trained
        assert ("embed_tokens" in trained) == training.embeddings
        assert not rows["q_proj"]["trained"]
        assert rows["q_proj"]["dtype"] == {None: "float32", "nf4": "uint8", "int8": "int8"}[fit.setting.bits]
    if training.embeddings:
        assert rows["embed_tokens"]["learning_rate"] == 1e-3


def test_recomputed_layers_change_no_bit(small_weights: Path, tmp_path: Path) -> None:
    def run(layers: int) -> bytes:
        fit = fitted(recomputed_layers=layers)
        return train(load(small_weights, fit=fit), tmp_path / str(layers), fit=fit).adapter.read_bytes()

    assert run(0) == run(1) == run(2)


def gradients(decoder: Decoder, training: Training) -> dict[str, torch.Tensor]:
    parameters = trainable.prepare(decoder, training).parameters
    hidden, targets = predict(decoder, batches(1)[0])
    cross_entropy_sum(hidden, decoder.output_weight, targets).backward()  # type: ignore[no-untyped-call]
    return {name: parameter.grad for name, parameter in parameters.items() if parameter.grad is not None}


def test_full_gradients_are_autograds(small_weights: Path) -> None:
    """Of every weight, norm and tied embedding, against finite differences in fp64 along random directions."""
    training = plan(method="full")
    decoder = load(small_weights, training)
    found = gradients(decoder, training)
    assert set(found) == {PREFIX + name for name in decoder.state_dict()}
    exact = weights.load(decoder.config, small_weights, torch.float64)

    def loss() -> float:
        with torch.no_grad():
            hidden, targets = predict(exact, batches(1)[0])
            logits = hidden @ exact.output_weight.t()
            return float(torch.nn.functional.cross_entropy(logits, targets, reduction="sum"))

    step = 1e-4
    for name, parameter in exact.named_parameters():
        direction = torch.randn(parameter.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
        parameter.data += step * direction
        above = loss()
        parameter.data -= 2 * step * direction
        below = loss()
        parameter.data += step * direction
        slope = float((found[PREFIX + name].double() * direction).sum())
        assert slope == pytest.approx((above - below) / (2 * step), rel=2e-2, abs=2e-2), name


def test_a_child_trained_in_full_is_what_was_trained(small_weights: Path, tmp_path: Path) -> None:
    training = plan(method="full")
    decoder = load(small_weights, training)
    made = train(decoder, tmp_path, training=training)
    with (tmp_path / "child.safetensors").open("wb") as file:
        weights.merge_file(small_weights, made.adapter, 1.0, file)
    child = load_file(tmp_path / "child.safetensors")
    assert all(torch.equal(child[name], tensor) for name, tensor in decoder.state_dict().items())


def test_a_rate_for_lora_is_refused_for_full_fine_tuning() -> None:
    with pytest.raises(ValueError, match="2e-4 is usual"):
        Training(method="full")
    with pytest.raises(ValueError, match="2e-4 is usual"):
        Training(method="full", learning_rate=3e-3)
    assert Training(method="full", learning_rate=2e-4).method == "full"


def test_a_target_that_matches_nothing_is_an_error(small_weights: Path) -> None:
    with pytest.raises(PlanError, match="q_prok"):
        trainable.prepare(load(small_weights), plan(targets=("q_prok",)))


def test_a_trained_group_that_does_not_move_is_an_error(small_weights: Path, tmp_path: Path) -> None:
    training = plan(learning_rate=1e-30)
    with pytest.raises(TrainingError, match="did not move"):
        train(load(small_weights, training), tmp_path, training=training)


def test_a_frozen_tensor_that_changes_is_an_error(small_weights: Path, tmp_path: Path) -> None:
    decoder = load(small_weights)

    def meddle(event: Any) -> None:
        if event.kind == "step":
            decoder.model.norm.weight.data.mul_(1.001)

    with pytest.raises(TrainingError, match="norm was frozen, but changed"):
        train(decoder, tmp_path, on_event=meddle)


def test_unlike_quantization_is_named_in_what_is_held(small_weights: Path) -> None:
    decoder = weights.load(load(small_weights).config, small_weights, torch.bfloat16, bits="nf4")
    layer = decoder.model.layers[0].self_attn.q_proj
    assert layer.packed is not None and layer.weight.is_meta
    assert decoder.model.embed_tokens.weight.dtype is torch.bfloat16


def test_eight_bit_moments_follow_adamw() -> None:
    """On a noisy quadratic both optimizers end near the minimum, the 8-bit one within 2% of the way of fp32."""
    random = torch.Generator().manual_seed(3)
    goal = torch.randn(40, 33, generator=random)
    ends = []
    for eight in (False, True):
        weight = torch.nn.Parameter(torch.zeros(40, 33))
        group: dict[str, Any] = {"params": [weight], "lr": 0.02, "weight_decay": 0.01}
        optimizer: torch.optim.Optimizer = (
            AdamW8bit([group]) if eight else torch.optim.AdamW([group], betas=(0.9, 0.99), eps=1e-8)
        )
        noise = torch.Generator().manual_seed(4)
        for _ in range(150):
            weight.grad = (weight.detach() - goal) + 0.1 * torch.randn(40, 33, generator=noise)
            optimizer.step()
        ends.append(weight.detach())
    assert (ends[0] - goal).norm() < 0.3 * goal.norm()
    assert (ends[1] - ends[0]).norm() < 0.02 * goal.norm()


@pytest.mark.parametrize("signed", [True, False])
def test_eight_bit_values_keep_their_order_and_never_round_to_zero(signed: bool) -> None:
    values = torch.logspace(-9, 0, BLOCK + 40)
    values = values * torch.where(torch.arange(len(values)) % 2 == 0, 1, -1) if signed else values
    codes, scale = _pack(values, torch.Generator().manual_seed(0), signed=signed)
    found = _unpack(codes, scale, signed=signed)
    large = values.abs() > values.abs().max() * 1e-3
    assert torch.allclose(found[large], values[large], rtol=0.25)
    assert (found[:BLOCK].abs() <= values[:BLOCK].abs().max()).all()
    if not signed:
        assert (found > 0).all()


def test_an_empty_checkpoint_directory_starts_anew(small_weights: Path, tmp_path: Path) -> None:
    assert train(load(small_weights), tmp_path).steps == 8


def test_only_so_many_checkpoints_are_kept(small_weights: Path, tmp_path: Path) -> None:
    training = QUIET.model_copy(update={"checkpoint_every": 1, "keep_checkpoints": 3})
    train(load(small_weights), tmp_path, training=training)
    assert [path.name[-12:] for path in sorted(tmp_path.glob("checkpoint-*"))] == [
        "5.safetensors"[-12:], "6.safetensors"[-12:], "7.safetensors"[-12:],
    ]  # fmt: skip
