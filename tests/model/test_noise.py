"""Noise on a lesson's embeddings is a function of seed, step and row, and is added to them and to nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from germline.forge.noise import Noise, noise_for
from germline.model.decoder import Decoder
from germline.model.rows import predict
from germline.ops.loss import cross_entropy_sum
from tests.model.training_runs import QUIET, batches, load, train


def test_it_is_a_function_of_seed_step_and_row(small: Decoder) -> None:
    noise, tokens = Noise(0.5, 7), batches(1, rows=6)[0].tokens
    whole = noise.at(3, 0, tokens, small)
    assert whole.shape == (*tokens.shape, small.config.hidden)
    assert torch.equal(whole, torch.cat([noise.at(3, 0, tokens[:2], small), noise.at(3, 2, tokens[2:], small)]))
    others = [noise.at(4, 0, tokens, small), noise.at(3, 1, tokens, small), Noise(0.5, 8).at(3, 0, tokens, small)]
    rows = [row for made in (whole, *others) for row in made.flatten(1)]
    alike = sum(torch.equal(one, other) for place, one in enumerate(rows) for other in rows[:place])
    assert alike == len(tokens) - 1  # from row 1 on they are the whole's from its row 1 on
    assert float(whole.mean()) == pytest.approx(0.0, abs=0.02) and float(whole.std()) == pytest.approx(0.5, rel=0.03)


def test_it_is_a_share_of_the_embeddings(small: Decoder) -> None:
    table = small.model.embed_tokens.weight
    noise = noise_for(small, QUIET.model_copy(update={"noise": 0.3}))
    assert noise is not None and noise.seed == QUIET.seed
    assert noise.deviation == pytest.approx(0.3 * float(table.double().square().mean().sqrt()), rel=1e-5)
    assert noise_for(small, QUIET.model_copy(update={"noise": 0.0})) is None


def test_it_is_added_to_the_first_rows_embeddings_alone(small: Decoder) -> None:
    batch = batches(1, rows=3)[0]
    noise = Noise(0.2, 0).at(0, 0, batch.tokens[:2], small)
    with torch.no_grad():
        plain, noised = (predict(small, batch, given)[0].view(3, -1, small.config.hidden) for given in (None, noise))
        assert torch.equal(plain[2], noised[2]) and not torch.isclose(plain[:2], noised[:2]).any(2).all(1).any()
        (first,), table = batch.tokens[:1], small.model.embed_tokens.weight
        heard: list[torch.Tensor] = []
        hook = small.model.layers[0].register_forward_pre_hook(lambda module, given: heard.append(given[0]))
        predict(small, batch, noise)
        hook.remove()
        torch.testing.assert_close(heard[0][0], (table[first] + noise[0]) * small.config.embedding_scale)


def test_without_it_the_loss_is_the_lesson_s_own_and_with_it_another(small_weights: Path, tmp_path: Path) -> None:
    steps = batches(1)
    decoder = load(small_weights)
    with torch.no_grad():
        hidden, targets = predict(decoder, steps[0])
        own = float(cross_entropy_sum(hidden, decoder.output_weight, targets, 0.0)) / steps[0].learned_tokens
    losses = {}
    for share in (0.0, 0.5, 1.0):
        training = QUIET.model_copy(update={"noise": share})
        losses[share] = train(load(small_weights), tmp_path / str(share), training=training, steps=steps).curve[0]
    assert losses[0.0] == pytest.approx(own, rel=1e-5)
    assert len({round(loss, 6) for loss in losses.values()}) == 3
