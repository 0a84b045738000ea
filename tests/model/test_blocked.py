"""Weights in blocks: the same products, sooner, and no gradients."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from germline import speaker
from germline.forge.machine import Arithmetic
from germline.model import weights
from germline.model.decoder import Decoder, Linear
from germline.model.generate import generate
from germline.model.shape import DecoderConfig
from germline.ops.blocked import blocked
from germline.ops.linear import Identity, Projection, project
from tests.model.test_families import VARIANTS, saved

DTYPES = [dtype for dtype in (torch.float32, torch.bfloat16) if blocked(torch.zeros(16, 16, dtype=dtype))]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("rows", [1, 3, 64])
@pytest.mark.parametrize("shape", [(576, 192), (48, 80), (7, 5)], ids=str)
def test_a_product_with_blocks_is_the_product(dtype: torch.dtype, rows: int, shape: tuple[int, int]) -> None:
    weight, x = torch.randn(shape).to(dtype), torch.randn(rows, shape[1]).to(dtype)
    made = blocked(weight)
    assert made is not None
    exact = x.double() @ weight.double().t()
    error = {torch.float32: 1e-5, torch.bfloat16: 2e-2}[dtype]
    assert torch.allclose(made.product(x).double(), exact, rtol=error, atol=error * float(exact.abs().max()))


@pytest.mark.skipif(not DTYPES, reason="oneDNN is not in this torch")
@pytest.mark.parametrize("variant", ["llama", "qwen2", "gemma2", "phi3"])
def test_a_model_laid_out_says_the_same(variant: str, tmp_path: Path) -> None:
    this = saved(variant, tmp_path, VARIANTS[variant])
    plain = weights.load(this.shape, tmp_path / "model.safetensors", torch.float32)
    laid_out = weights.load(this.shape, tmp_path / "model.safetensors", torch.float32).lay_out()
    assert all(module.weight.is_meta for name, module in laid_out.named_modules() if isinstance(module, Linear)
               and name != "lm_head")  # fmt: skip
    prompts = [[5, 9, 3], [7, 1, 2, 8, 4]]
    spoken = [generate(one, prompts, limit=12, end=-1) for one in (plain, laid_out)]
    assert spoken[0] == spoken[1]


@pytest.mark.parametrize("variant", ["llama", "qwen2", "gemma2", "phi3"])
def test_a_model_that_does_not_fit_answers_from_its_file(
    variant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit by bit as it would in memory; only norms and biases are there twice."""
    this, path = saved(variant, tmp_path, VARIANTS[variant]), tmp_path / "half.safetensors"
    with path.open("wb") as file:
        weights.write(file, weights.layout(this.shape), weights.read(this.weights), torch.bfloat16)
    monkeypatch.setattr(speaker, "total_bytes", lambda: 1 << 10)
    whole, in_file = (_answering(this.shape, path, free, monkeypatch) for free in (1 << 40, speaker.BESIDE))
    matrices = [tensor for tensor in in_file.state_dict().values() if tensor.dim() == 2]
    assert {tensor.dtype for tensor in matrices} == {torch.bfloat16}
    assert {tensor.dtype for tensor in whole.state_dict().values()} == {torch.float32}
    tokens = torch.tensor([[5, 9, 3, 7, 1, 2, 8, 4]])
    logits = [one.logits(one(tokens, one.within_texts(tokens * 0, torch.arange(8)[None]))) for one in (whole, in_file)]
    assert torch.equal(*logits)
    spoken = [generate(one, [[5, 9, 3], [7, 1, 2, 8, 4]], limit=12, end=-1) for one in (whole, in_file)]
    assert spoken[0] == spoken[1]


def _answering(shape: DecoderConfig, path: Path, free: int, monkeypatch: pytest.MonkeyPatch) -> Decoder:
    monkeypatch.setattr(speaker, "free_bytes", lambda device: free)
    return speaker.answering(shape, path, Arithmetic(torch.float32, "cpu"))


@pytest.mark.skipif(not DTYPES, reason="oneDNN is not in this torch")
def test_blocks_have_no_gradients() -> None:
    x = torch.randn(2, 16, requires_grad=True)
    (y,) = project(Identity(), [x], [Projection(blocked(torch.randn(8, 16)))], 1.0)
    with pytest.raises(TypeError, match="no gradients"):
        y.sum().backward()
