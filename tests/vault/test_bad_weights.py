"""No variant of bad weights becomes a generation, and what is legal is still taken."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from tests.vault import bad_weights


def test_every_kind_of_bad_weights_is_refused(tmp_path: Path) -> None:
    tried = bad_weights.prove(tmp_path, count=160, seed=1)
    assert len(tried) == 8
    assert min(tried.values()) >= 15


def test_the_long_proof_has_three_hundred_variants_to_try() -> None:
    assert len(bad_weights.variants()) >= 300


def test_what_every_variant_was_made_of_is_taken(tmp_path: Path) -> None:
    held = bad_weights.tensors()
    for number, name in enumerate(["directory", "gguf"]):
        root = tmp_path / str(number)
        root.mkdir()
        whole = bad_weights.save_directory(root / "m", save(held)) if name == "directory" else None
        bad_weights.found_from(root, whole or bad_weights.save_gguf(root / "m.gguf", held))
        assert [*(root / "home").glob("ledger/*.json")]
    (tmp_path / "merged").mkdir()
    bad_weights.merge(tmp_path / "merged", held, save(bad_weights.adapter(held)))
    (tmp_path / "resumed").mkdir()
    bad_weights.resume_from(tmp_path / "resumed", lambda data: data)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_zeros_and_other_floats_are_legal(tmp_path: Path, dtype: torch.dtype) -> None:
    held = bad_weights.tensors() | {
        "model.norm.weight": torch.zeros(32),
        "model.layers.0.mlp.up_proj.weight": torch.zeros(48, 32),
    }
    data = save({name: tensor.to(dtype) for name, tensor in held.items()})
    bad_weights.found_from(tmp_path, bad_weights.save_directory(tmp_path / "m", data))
    assert [*(tmp_path / "home").glob("ledger/*.json")]


def test_a_header_that_ends_off_a_boundary_is_read_exactly(tmp_path: Path) -> None:
    """Other writers do not pad their header, and every tensor of such a file begins at an odd byte."""
    data = save({"a": torch.arange(7, dtype=torch.float32), "b": torch.arange(3, dtype=torch.bfloat16)})
    size = int.from_bytes(data[:8], "little")
    told = data[8 : 8 + size].rstrip()
    told += b" " * (1 - len(told) % 2)
    (tmp_path / "odd.safetensors").write_bytes(len(told).to_bytes(8, "little") + told + data[8 + size :])
    from germline.model import weights

    found = dict(weights.read(tmp_path / "odd.safetensors"))
    assert torch.equal(found["a"], torch.arange(7.0)) and found["b"].tolist() == [0, 1, 2]
