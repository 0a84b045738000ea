"""Small random models, made once per session."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from germline.model import weights
from germline.model.decoder import Decoder
from germline.model.families import DecoderConfig

SMALL = DecoderConfig(
    vocabulary=97, hidden=32, intermediate=48, layers=2, heads=4, key_value_heads=2, head_size=8,
    max_positions=512, norm_epsilon=1e-5, rope_theta=10000.0, rope_scaling=None, tied_embeddings=True,
    attention_bias=False, mlp_bias=False,
)  # fmt: skip


@pytest.fixture
def small_weights(tmp_path: Path) -> Path:
    """The file of a small random model."""
    random = torch.Generator().manual_seed(1)
    shapes = weights.layout(SMALL)
    tensors = ((name, torch.randn(shape, generator=random) * 0.2) for name, shape in sorted(shapes.items()))
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:
        weights.write(file, shapes, tensors, torch.float32)
    return path


@pytest.fixture
def small(small_weights: Path) -> Decoder:
    return weights.load(SMALL, small_weights, torch.float32)
