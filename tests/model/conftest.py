"""Small random models, made once per session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from germline.model import weights
from germline.model.decoder import Decoder
from germline.model.families import read_config

SMALL = read_config({
    "model_type": "llama", "vocab_size": 97, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512, "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
})  # fmt: skip


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Matrices this small are slower on two: beside another program 64 seconds for `test_families` instead of 14."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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
