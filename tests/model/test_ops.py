"""Every operation against a plain reference in fp32: values and gradients, in one block of rows and in many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from germline.ops import attention, linear, pointwise
from germline.ops.linear import Gate, Identity, Norm, Projection, project
from germline.ops.loss import cross_entropy_sum, divergence_sum
from germline.ops.quantize import BLOCK, CODE, Bits, Int8, Nf4, quantize

TOLERANCE = 1e-5


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape))).to(dtype)


def same(ours: Callable[..., Tensor], plain: Callable[..., Tensor], *inputs: Tensor) -> None:
    """Equal values, and equal gradients of every input under one random upstream gradient, to TOLERANCE."""
    mine = [tensor.clone().requires_grad_() for tensor in inputs]
    theirs = [tensor.clone().requires_grad_() for tensor in inputs]
    found, expected = ours(*mine), plain(*theirs)
    upstream = noise(*expected.shape, seed=99)
    assert torch.allclose(found, expected, atol=TOLERANCE, rtol=TOLERANCE)
    for a, b in zip(
        torch.autograd.grad(found, mine, upstream), torch.autograd.grad(expected, theirs, upstream), strict=True
    ):
        assert torch.allclose(a, b, atol=TOLERANCE * max(1.0, float(b.abs().max())), rtol=TOLERANCE)


@pytest.fixture(params=[0, 1 << 30], ids=["many blocks", "whole"])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pointwise, "WHOLE_ELEMENTS", request.param)
    monkeypatch.setattr(pointwise, "BLOCK_ELEMENTS", 1)


def rms(x: Tensor, weight: Tensor, offset: float = 0.0) -> Tensor:
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * (weight + offset)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_norm(offset: float) -> None:
    def ours(x: Tensor, weight: Tensor) -> Tensor:
        return linear.apply(Norm(1e-5, offset), (x, weight))

    same(ours, lambda x, weight: rms(x, weight, offset), noise(3, 7, 20), noise(20) + 1)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": F.silu, "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
}  # fmt: skip


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gate(activation: str) -> None:
    act = ACTIVATIONS[activation]
    same(
        lambda gate, up: linear.apply(Gate(activation), (gate, up)), lambda gate, up: act(gate) * up,
        noise(11, 24) * 3, noise(11, 24, seed=1),
    )  # fmt: skip


def lora(x: Tensor, W: Tensor, A: Tensor, B: Tensor, bias: Tensor) -> Tensor:
    return x @ W.t() + bias + 0.5 * (x @ A.t()) @ B.t()


@pytest.mark.usefixtures("blocks")
def test_layers_with_adapters_behind_a_norm() -> None:
    """Two layers on one normed input; gradients of x, of the norm's weight, and of all W, b, A and B."""
    inputs = [noise(2, 5, 20), noise(20) + 1]
    inputs += [t for out in (12, 7) for t in (noise(out, 20), noise(out), noise(3, 20), noise(out, 3))]

    def ours(x: Tensor, weight: Tensor, *own: Tensor) -> Tensor:
        return torch.cat(project(Norm(1e-5), (x, weight), [Projection(*own[:4]), Projection(*own[4:])], 0.5), -1)

    def plain(x: Tensor, weight: Tensor, *own: Tensor) -> Tensor:
        x = rms(x, weight)
        return torch.cat([lora(x, W, A, B, bias) for W, bias, A, B in (own[:4], own[4:])], -1)

    same(ours, plain, *inputs)


@pytest.mark.usefixtures("blocks")
def test_a_layer_with_an_adapter_behind_a_gate() -> None:
    own = (noise(9, 16), noise(9), noise(3, 16), noise(9, 3))

    def ours(gate: Tensor, up: Tensor, *own: Tensor) -> Tensor:
        return project(Gate("silu"), (gate, up), [Projection(*own)], 0.5)[0]

    def plain(gate: Tensor, up: Tensor, W: Tensor, bias: Tensor, A: Tensor, B: Tensor) -> Tensor:
        return lora(F.silu(gate) * up, W, A, B, bias)

    same(ours, plain, noise(4, 6, 16), noise(4, 6, 16, seed=1), *own)


def test_frozen_weights_get_no_gradient_and_the_first_layer_sends_none_back() -> None:
    x, W, A, B = noise(5, 8), noise(6, 8), noise(2, 8).requires_grad_(), noise(6, 2).requires_grad_()
    y = project(Identity(), (x,), [Projection(W, None, A, B)], 2.0)[0]
    y.sum().backward()  # type: ignore[no-untyped-call]
    assert (x.grad, W.grad) == (None, None)
    assert A.grad is not None and torch.allclose(A.grad, 2 * (torch.ones(5, 6) @ B).t().detach() @ x, atol=TOLERANCE)


def test_rotation_turns_pairs_and_leaves_the_rest() -> None:
    cosine, sine = noise(2, 1, 6, 4).cos(), noise(2, 1, 6, 4).sin()

    def plain(x: Tensor) -> Tensor:
        first, second, rest = x[..., :4], x[..., 4:8], x[..., 8:]
        turned = (first * cosine - second * sine, second * cosine + first * sine, rest)
        return torch.cat(turned, -1) * 0.3

    same(lambda x: attention.rotate(x, cosine, sine, 0.3), plain, noise(2, 3, 6, 10))


SEGMENTS = torch.tensor([[0] * 5 + [1] * 9 + [2] * 6 + [-1] * 4, [0] * 24])


def plain_attention(seen: Tensor, softcap: float) -> Callable[..., Tensor]:
    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        key, value = (t.repeat_interleave(query.shape[1] // t.shape[1], 1) for t in (key, value))
        scores = query @ key.transpose(2, 3)
        scores = softcap * torch.tanh(scores / softcap) if softcap else scores
        return torch.softmax(scores.masked_fill(~seen.unsqueeze(1), -torch.inf), -1) @ value

    return attend


@pytest.mark.parametrize("queries", [4, 7, 128])
@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("softcap", [0.0, 2.0])
def test_attention_in_tiles(monkeypatch: pytest.MonkeyPatch, queries: int, window: int | None, softcap: float) -> None:
    monkeypatch.setattr(attention, "QUERIES", queries)
    places = torch.arange(24)
    seen = (SEGMENTS.unsqueeze(2) == SEGMENTS.unsqueeze(1)) & (places.unsqueeze(1) >= places)
    if window:
        seen &= places.unsqueeze(1) - places < window
    tiles = attention.within_texts(SEGMENTS, torch.float32, window)
    same(
        lambda *inputs: attention.attend(*inputs, tiles, softcap), plain_attention(seen, softcap),
        noise(2, 6, 24, 8), noise(2, 2, 24, 8, seed=1), noise(2, 2, 24, 8, seed=2),
    )  # fmt: skip


def test_tiles_leave_out_what_no_query_sees() -> None:
    tiles = attention.within_texts(torch.arange(8).repeat_interleave(64).unsqueeze(0), torch.float32)
    assert [(tile.first, tile.last, tile.start, tile.end) for tile in tiles] == [
        (start, start + 128, start, start + 128) for start in range(0, 512, 128)
    ]


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("softcap", [0.0, 5.0])
def test_cross_entropy_with_a_trained_vocabulary(softcap: float) -> None:
    targets = torch.randint(0, 301, (700,), generator=torch.Generator().manual_seed(1))

    def plain(hidden: Tensor, weight: Tensor) -> Tensor:
        logits = hidden @ weight.t()
        logits = softcap * torch.tanh(logits / softcap) if softcap else logits
        return F.cross_entropy(logits, targets, reduction="sum").reshape(1)

    def ours(hidden: Tensor, weight: Tensor) -> Tensor:
        return cross_entropy_sum(hidden, weight, targets, softcap).reshape(1)

    same(ours, plain, noise(700, 24), noise(301, 24))


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("softcap", [0.0, 5.0])
def test_divergence_from_another_model(softcap: float) -> None:
    wanted, held = noise(700, 24), noise(301, 24) + 0.1

    def said(hidden: Tensor, weight: Tensor) -> Tensor:
        logits = hidden @ weight.t()
        return torch.log_softmax(softcap * torch.tanh(logits / softcap) if softcap else logits, 1)

    def plain(hidden: Tensor, weight: Tensor) -> Tensor:
        return F.kl_div(said(hidden, weight), said(wanted, held), log_target=True, reduction="sum").reshape(1)

    def ours(hidden: Tensor, weight: Tensor) -> Tensor:
        return divergence_sum(hidden, weight, wanted, held, softcap).reshape(1)

    same(ours, plain, noise(700, 24), noise(301, 24))
    assert float(ours(wanted, held)) == 0.0


def test_bf16_errs_by_bf16s_own_rounding() -> None:
    """Against the same step in fp64: no worse than twice what plain bf16 autograd errs."""
    inputs = [noise(40, 64), noise(64) + 1, noise(48, 64) / 8, noise(8, 64) / 8, noise(48, 8) / 3]

    def gradients(dtype: torch.dtype, run: Callable[..., Tensor]) -> list[Tensor]:
        leaves = [tensor.to(dtype).requires_grad_() for tensor in inputs]
        return list(torch.autograd.grad(run(*leaves).double().square().sum(), leaves))

    def plain(x: Tensor, weight: Tensor, W: Tensor, A: Tensor, B: Tensor) -> Tensor:
        x = rms(x, weight)
        return x @ W.t() + (x @ A.t()) @ B.t()

    def ours(x: Tensor, weight: Tensor, W: Tensor, A: Tensor, B: Tensor) -> Tensor:
        return project(Norm(1e-5), (x, weight), [Projection(W, None, A, B)], 1.0)[0]

    exact = gradients(torch.float64, plain)
    for truth, found, usual in zip(
        exact, gradients(torch.bfloat16, ours), gradients(torch.bfloat16, plain), strict=True
    ):
        limit = 2 * (usual.double() - truth).norm() + 1e-9
        assert (found.double() - truth).norm() < limit


def plain_nf4(packed: Nf4) -> Tensor:
    """Unpacked one weight at a time, as the format says."""
    values = []
    for place in range(packed.codes.numel() * 2):
        byte = int(packed.codes[place // 2])
        block = place // BLOCK
        scale = (int(packed.scales[block]) / 255) ** 2 * float(packed.largest[block // 256])
        values.append(CODE[byte >> 4 if place % 2 == 0 else byte & 15] * scale)
    return torch.tensor(values).view(packed.shape)


def test_nf4_is_the_nearest_of_sixteen_values_times_the_blocks_scale() -> None:
    weight = noise(24, 128) * noise(24, 1).exp()
    packed = quantize(weight, "nf4")
    assert isinstance(packed, Nf4)
    assert torch.allclose(packed.dense(torch.float32), plain_nf4(packed), rtol=1e-6)
    assert packed.codes.numel() == weight.numel() // 2
    scale = weight.view(-1, BLOCK).abs().amax(1, keepdim=True)
    share = weight.view(-1, BLOCK, 1) / scale.unsqueeze(2)
    nearest = torch.tensor(CODE)[(share - torch.tensor(CODE)).abs().argmin(2)]
    assert torch.allclose(packed.dense(torch.float32).view(-1, BLOCK) / scale, nearest, atol=0.03)


@pytest.mark.parametrize(("bits", "limit"), [("int8", 0.008), ("nf4", 0.1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_quantization_errs_by_its_step(bits: Bits, limit: float, dtype: torch.dtype) -> None:
    weight = noise(64, 256).to(dtype)
    error = (quantize(weight, bits).dense(dtype).float() - weight.float()).norm() / weight.float().norm()
    assert error < limit + (0.004 if dtype is torch.bfloat16 else 0)


def test_int8_holds_a_row_of_zeros() -> None:
    packed = quantize(torch.zeros(3, 64), "int8")
    assert isinstance(packed, Int8)
    assert torch.equal(packed.dense(torch.float32), torch.zeros(3, 64))


@pytest.mark.parametrize("bits", ["int8", "nf4"])
def test_gradients_through_a_packed_weight_are_those_of_what_it_stands_for(bits: Bits) -> None:
    packed = quantize(noise(64, 64), bits)
    inputs = [noise(5, 64), noise(4, 64), noise(64, 4)]

    def run(weight: Any) -> Callable[..., Tensor]:
        return lambda x, A, B: project(Identity(), (x,), [Projection(weight, None, A, B)], 2.0)[0]

    same(run(packed), run(packed.dense(torch.float32).clone()), *inputs)
