"""Weights in a map: few descriptors, no more memory than is in use, and what is changed stays in memory."""

from __future__ import annotations

import gc
import mmap
import os
import sys
from pathlib import Path

import psutil
import pytest
import torch

from germline.errors import ModelError
from germline.model import weights

SIZE = 4 * 2**20
Tensors = dict[str, torch.Tensor]


def file_of(path: Path, tensors: Tensors) -> Path:
    with path.open("wb") as file:
        weights.write_tensors(file, tensors)
    return path


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    chance = torch.Generator().manual_seed(1)
    found = {f"t{place:03}": torch.randn(3 + place, 5, generator=chance) for place in range(300)}
    return found | {"empty": torch.empty(0), "z.odd": torch.arange(3, dtype=torch.uint8), "zz": torch.ones(5)}


@pytest.fixture(scope="module")
def path(tensors: Tensors, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return file_of(tmp_path_factory.mktemp("mapped") / "model.safetensors", tensors)


@pytest.mark.skipif(os.name == "nt", reason="no descriptors to count")
@pytest.mark.parametrize("stretch", [weights.STRETCH, 2**18])
def test_a_file_takes_few_descriptors(
    path: Path, tensors: Tensors, stretch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "STRETCH", stretch)
    gc.collect()  # what tests before this one have left open
    before, most = psutil.Process().num_fds(), -(-path.stat().st_size // stretch)
    found = dict(weights.read(path))
    assert psutil.Process().num_fds() - before <= most
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    del found
    gc.collect()
    assert psutil.Process().num_fds() == before


def test_what_holds_nothing_is_not_mapped(tmp_path: Path) -> None:
    only = file_of(tmp_path / "empty.safetensors", {"empty": torch.empty(0)})
    assert [(name, tensor.numel()) for name, tensor in weights.read(only)] == [("empty", 0)]
    assert weights.fetch(only, weights.header(only)["empty"]).numel() == 0


def test_what_is_changed_stays_in_memory_whatever_its_neighbours_do(path: Path, tensors: Tensors) -> None:
    before, found = path.read_bytes(), dict(weights.read(path))
    kept = found["t150"]
    kept.add_(1)
    del found
    gc.collect()
    assert torch.equal(kept, tensors["t150"] + 1) and path.read_bytes() == before
    alone = weights.fetch(path, weights.header(path)["t150"])
    assert torch.equal(alone, tensors["t150"])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere mapped pages are counted otherwise")
def test_a_tensor_costs_memory_only_while_it_is_used(tmp_path: Path) -> None:
    whole = {f"t{place:02}": torch.ones(SIZE // 4) for place in range(16)} | {"a": torch.ones(9), "z": torch.ones(9)}
    path = file_of(tmp_path / "large.safetensors", whole)
    before, kept, most = mapped_of_files(), [], 0
    for name, tensor in weights.read(path):
        assert float(tensor.sum()) == whole[name].numel()
        most = max(most, mapped_of_files() - before)
        if name in ("a", "z"):
            kept.append(tensor)  # as the norms of a model that is packed
        del tensor
    assert most < 2 * SIZE and mapped_of_files() - before < SIZE


def mapped_of_files() -> int:
    """Bytes of files in this process's memory."""
    return int(Path("/proc/self/statm").read_text().split()[2]) * mmap.PAGESIZE


@pytest.mark.skipif(os.name == "nt", reason="no limit of descriptors")
def test_no_descriptor_left_is_told_as_that(path: Path) -> None:
    import resource

    stored = weights.header(path)["t150"]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.open(path, os.O_RDONLY)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken[0] + 1, hard))
    try:
        for ask in (lambda: weights.header(path), lambda: weights.fetch(path, stored)):
            with pytest.raises(ModelError, match="Too many open files") as failure:
                ask()
            assert "ulimit -n" in failure.value.hint
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        os.close(taken[0])
    path.with_name("cut").write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelError) as failure:
        weights.header(path.with_name("cut"))
    assert failure.value.hint == "copy or download it again"
