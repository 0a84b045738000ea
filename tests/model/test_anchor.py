"""Held to its founder on other texts, a model stays nearer to it there, and a resumed run to the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from germline.anchoring import TOKENS, dealt
from germline.errors import Interrupted
from germline.forge import loop
from germline.forge.anchor import Anchor, anchored
from germline.forge.noise import Noise
from germline.model.decoder import Decoder
from germline.model.rows import Text, pack, predict
from germline.records import Event
from germline.settings import Training
from tests.model.training_runs import QUIET, Listed, batches, fitted, ignore, load, plan

END = 0
TEXTS = [torch.randint(1, 97, (length,), generator=torch.Generator().manual_seed(length)).tolist() for length in
         (9, 30, 2, 17, 17, 25, 31)]  # fmt: skip


def of(weights: Path, weight: float = 1.0) -> Anchor:
    return anchored(load(weights), TEXTS, batch_tokens=64, weight=weight, steps=100)


def distance(decoder: Decoder, founder: Decoder) -> float:
    """Mean KL(founder || decoder) over all anchor texts, by torch's own functions."""
    total = count = 0.0
    with torch.no_grad():
        for text in TEXTS:
            (batch,) = anchored(founder, [text], batch_tokens=64, weight=1.0, steps=100).batches
            ours, theirs = (torch.log_softmax(m.logits(predict(m, batch)[0]), 1) for m in (decoder, founder))
            total += float(F.kl_div(ours, theirs, log_target=True, reduction="sum"))
            count += len(text) - 1
    return total / count


def test_batches_hold_every_text_once_and_count_their_tokens(small_weights: Path) -> None:
    anchor = of(small_weights)
    assert sum(batch.real_tokens for batch in anchor.batches) == sum(map(len, TEXTS))
    assert all(batch.tokens.numel() <= 64 for batch in anchor.batches)
    sizes = [batch.real_tokens for batch in anchor.batches]
    for first, last in ((0, 0), (0, 3), (2, 9), (5, 23)):
        assert anchor.tokens(first, last) == sum(sizes[step % len(sizes)] for step in range(first, last))


def test_what_no_step_comes_to_is_not_predicted(small_weights: Path) -> None:
    whole, part = of(small_weights), anchored(load(small_weights), TEXTS, batch_tokens=64, weight=1.0, steps=2)
    assert len(whole.batches) > 2 == len(part.batches) == len(part.wanted)
    assert torch.equal(part.wanted[1], whole.wanted[1])


def test_each_generation_meets_the_texts_in_an_order_of_its_own() -> None:
    texts = [[END, number, number] for number in range(50)]
    orders = [dealt(texts, generation) for generation in (1, 2, 3)]
    assert all(sorted(ids[-1] for ids in order) == [*range(50)] for order in orders)
    assert orders[0] == dealt(texts, 1)
    first = [{ids[-1] for ids in order[:25]} for order in orders]
    assert first[0] != first[1] != first[2] and len(set.union(*first)) > 40


def test_every_other_text_begins_as_a_prompt_does() -> None:
    """The rows of either half are of one length: what is longer or shorter costs a pass of its own."""
    texts = [[END, *range(1, 1 + TOKENS)] for _ in range(9)]
    begun, bare = dealt(texts, 1)[::2], dealt(texts, 1)[1::2]
    assert begun == [[END, *range(1, TOKENS)]] * 5
    assert bare == [[*range(1, 1 + TOKENS)]] * 4
    assert dealt([[END, 1]] * 2, 1) == [[END, 1]]
    assert dealt(texts, 1, [END]) == [[END, *range(1, TOKENS)]] * 9  # where prompts begin so, too


def test_the_founder_is_at_no_distance_and_its_gradient_is_that_of_plain_torch(small_weights: Path) -> None:
    founder, other, anchor = load(small_weights), load(small_weights, plan(method="full")), of(small_weights, 2.0)

    def loss(decoder: Decoder, step: int) -> torch.Tensor:
        return anchor.loss(decoder, predict(decoder, anchor.batch(step))[0], step)

    assert float(loss(founder, 0)) == pytest.approx(0.0, abs=1e-5)
    for parameter in other.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
        parameter.requires_grad_(True)
    (found,) = torch.autograd.grad(loss(other, 1), other.model.norm.weight)
    hidden, _ = predict(other, anchor.batches[1])
    truth = torch.log_softmax(founder.logits(anchor.wanted[1]), 1)
    plain = 2.0 * F.kl_div(torch.log_softmax(other.logits(hidden), 1), truth, log_target=True, reduction="batchmean")
    (wanted,) = torch.autograd.grad(plain, other.model.norm.weight)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("noise", [None, Noise(0.1, 0)])
def test_beside_the_lesson_or_by_itself_it_gives_the_same_gradients(small_weights: Path, noise: Noise | None) -> None:
    def text(seed: int) -> list[int]:
        return torch.randint(1, 97, (16,), generator=torch.Generator().manual_seed(seed)).tolist()

    lesson = pack([[Text(tuple(text(seed)), (True,) * 16)] for seed in (1, 2, 3)], 16)
    anchor = anchored(load(small_weights), [text(4)], batch_tokens=16, weight=2.0, steps=1)
    found = []
    for micro_tokens, passes in ((64, 1), (48, 2), (16, 4)):
        decoder = load(small_weights, plan(method="full"))
        for parameter in decoder.parameters():
            parameter.data += 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
            parameter.requires_grad_(True)
        rows: list[int] = []
        decoder.register_forward_hook(lambda module, given, made, rows=rows: rows.append(len(made)))
        loss = loop._backward(decoder, lesson, anchor, noise, 0, micro_tokens)
        assert len(rows) == passes and sum(rows) == 4
        found.append((loss, [parameter.grad for parameter in decoder.parameters()]))
    for loss, gradients in found[1:]:
        assert loss == pytest.approx(found[0][0], rel=1e-5)
        torch.testing.assert_close(gradients, found[0][1], rtol=1e-3, atol=1e-6)


def test_an_anchored_model_stays_nearer_to_its_founder(small_weights: Path, tmp_path: Path) -> None:
    training = plan(learning_rate=1e-2)
    ends = []
    for weight in (0.0, 4.0):
        decoder = load(small_weights, training)
        anchor = of(small_weights, weight) if weight else None
        (tmp_path / str(weight)).mkdir()
        made = loop.train(
            decoder,
            Listed(batches(30)),
            training,
            fitted(),
            scratch=tmp_path / str(weight),
            on_event=ignore,
            anchor=anchor,
        )
        ends.append(distance(decoder, load(small_weights)))
        assert made.last_loss < made.first_loss
        assert made.tokens == Listed(batches(30)).real_tokens + (anchor.tokens(0, 30) if anchor else 0)
    assert ends[1] < 0.5 * ends[0]


@pytest.mark.parametrize("training", [QUIET, plan(method="full")], ids=["lora", "full"])
def test_stopped_and_resumed_it_ends_with_the_same_bytes(
    small_weights: Path, tmp_path: Path, training: Training
) -> None:
    def run(scratch: Path, stop: int | None = None) -> bytes:
        def stopping(event: Event) -> None:
            if event.kind == "step" and event.data["step"] == stop:
                raise Interrupted("stopped")

        scratch.mkdir(exist_ok=True)
        decoder, anchor = load(small_weights, training), of(small_weights)
        return loop.train(
            decoder, Listed(batches()), training, fitted(), scratch=scratch, on_event=stopping, anchor=anchor
        ).adapter.read_bytes()

    with pytest.raises(Interrupted):
        run(tmp_path / "stopped", 5)
    assert run(tmp_path / "stopped") == run(tmp_path / "whole")
