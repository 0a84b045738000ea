"""The merge: the same bytes whatever the threads and the blocks, and the update that LoRA means."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from germline.errors import ModelError, PlanError
from germline.model import weights
from germline.model.adapter import LoraConfig, attach, mean, merge
from germline.model.decoder import Decoder
from germline.model.movement import Moved, movement
from germline.model.rows import Text, pack, predict
from tests.model.conftest import SMALL


def big_pair(dtype: torch.dtype) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    random = torch.Generator().manual_seed(0)
    name = "model.layers.0.mlp.up_proj"
    parent = {
        f"{name}.weight": torch.randn(1000, 331, generator=random).to(dtype),
        "model.norm.weight": torch.ones(331).to(dtype),
    }
    adapter = {
        f"base_model.model.{name}.lora_A.weight": torch.randn(13, 331, generator=random),
        f"base_model.model.{name}.lora_B.weight": torch.randn(1000, 13, generator=random),
    }
    return parent, adapter


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_threads_and_blocks_change_no_bit(dtype: torch.dtype) -> None:
    parent, adapter = big_pair(dtype)
    before = torch.get_num_threads()
    results = []
    try:
        for threads, block in [(1, 64), (2, 64), (1, 7), (2, 1000), (3, 333)]:
            torch.set_num_threads(threads)
            merged = dict(merge(iter(parent.items()), adapter, 0.37, block_rows=block))
            results.append({name: tensor.view(torch.uint8).clone() for name, tensor in merged.items()})
    finally:
        torch.set_num_threads(before)
    for result in results[1:]:
        assert all(torch.equal(result[name], results[0][name]) for name in results[0])


def test_the_merge_is_the_low_rank_update() -> None:
    parent, adapter = big_pair(torch.float32)
    kept = {name: tensor.clone() for name, tensor in parent.items()}
    merged = dict(merge(iter(parent.items()), adapter, 0.5))
    assert all(torch.equal(parent[name], tensor) for name, tensor in kept.items())
    (name,) = (name for name in parent if "mlp" in name)
    A, B = (adapter[f"base_model.model.{name[:-7]}.lora_{factor}.weight"].double() for factor in "AB")
    assert torch.allclose(merged[name].double(), parent[name].double() + 0.5 * B @ A, atol=1e-5)
    assert torch.equal(merged["model.norm.weight"], parent["model.norm.weight"])


def test_the_mean_of_adapters_merges_to_the_mean_of_their_children() -> None:
    random = torch.Generator().manual_seed(1)
    parent, first = big_pair(torch.float32)
    head = torch.randn(7, 5, generator=random)
    parent["lm_head.weight"] = torch.zeros(7, 5)
    adapters = [first] + [
        {name: torch.randn(tensor.shape, generator=random) for name, tensor in first.items()} for _ in range(2)
    ]
    for share, adapter in enumerate(adapters):
        adapter["base_model.model.lm_head.weight"] = (head * share).to(torch.bfloat16)
    together = mean(adapters)
    name = "base_model.model.model.layers.0.mlp.up_proj"
    assert together[f"{name}.lora_A.weight"].shape == (39, 331)
    assert together[f"{name}.lora_B.weight"].shape == (1000, 39)
    merged = dict(merge(iter(parent.items()), together, 0.5))
    children = [dict(merge(iter(parent.items()), adapter, 0.5)) for adapter in adapters]
    for place, tensor in merged.items():
        middle = torch.stack([child[place].double() for child in children]).mean(0)
        assert torch.allclose(tensor.double(), middle, atol=0.02 if place == "lm_head.weight" else 1e-5)
    assert together["base_model.model.lm_head.weight"].dtype == torch.bfloat16
    assert not torch.allclose(merged["lm_head.weight"], children[0]["lm_head.weight"])


def test_the_merged_model_answers_as_base_and_adapter_do(small: Decoder, small_weights: Path, tmp_path: Path) -> None:
    config = LoraConfig(rank=4, alpha=8)
    parameters = attach(small, config, seed=0)
    random = torch.Generator().manual_seed(9)
    for parameter in parameters.values():
        parameter.data = torch.randn(parameter.shape, generator=random) * 0.1
    batch = pack([[Text(tuple(range(20)), (True,) * 20)]], 20)
    with torch.inference_mode():
        attached, _ = predict(small, batch)
        plain, _ = predict(weights.load(SMALL, small_weights, torch.float32), batch)
    save_file({name: parameter.detach() for name, parameter in parameters.items()}, tmp_path / "adapter.safetensors")
    with (tmp_path / "child.safetensors").open("wb") as file:
        weights.merge_file(small_weights, tmp_path / "adapter.safetensors", config.scale, file)
    child = weights.load(SMALL, tmp_path / "child.safetensors", torch.float32)
    with torch.inference_mode():
        merged, _ = predict(child, batch)
    assert (merged - attached).abs().max() < 1e-4
    assert (merged - plain).abs().max() > 1e-2
    total, tensors = movement(small_weights, small_weights, tmp_path / "child.safetensors")
    assert total.parent == total.founder > 0.01
    assert total.cosine is None
    ranks = [moved.stable_rank for name, moved in tensors.items() if moved.parent > 0]
    assert all(rank is not None and 1 <= rank <= 4.2 for rank in ranks)  # factors of rank 4, fp32


def test_a_target_that_matches_nothing_is_an_error(small: Decoder) -> None:
    with pytest.raises(PlanError, match="'k_porj' matches no layer"):
        attach(small, LoraConfig(rank=2, alpha=2, targets=("q_proj", "k_porj")), seed=0)


def test_written_files_are_the_same_bytes_and_read_back(small_weights: Path, tmp_path: Path) -> None:
    tensors = dict(weights.read(small_weights))
    shapes = weights.layout(SMALL)
    again = tmp_path / "again.safetensors"
    with again.open("wb") as file:
        weights.write(file, shapes, iter(tensors.items()), torch.float32)
    assert again.read_bytes() == small_weights.read_bytes()
    reference = load_file(small_weights)
    assert all(torch.equal(reference[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize("fault", ["nan", "inf", "missing", "extra", "shape"])
def test_a_model_that_does_not_fit_its_config_is_never_written(small_weights: Path, tmp_path: Path, fault: str) -> None:
    tensors = dict(weights.read(small_weights))
    name = "model.layers.1.mlp.up_proj.weight"
    match fault:
        case "nan" | "inf":
            tensors[name] = tensors[name].clone()
            tensors[name][3, 3] = float(fault)
        case "missing":
            del tensors[name]
        case "extra":
            tensors["model.layers.1.mlp.up_proj.zweight"] = torch.zeros(3)
        case "shape":
            tensors[name] = tensors[name].t().contiguous()
    with pytest.raises(ModelError), (tmp_path / "bad.safetensors").open("wb") as file:
        weights.write(file, weights.layout(SMALL), iter(sorted(tensors.items())), torch.float32)


@pytest.mark.parametrize("cut", [5, 100, -1])
def test_a_truncated_file_is_named(small_weights: Path, cut: int) -> None:
    small_weights.write_bytes(small_weights.read_bytes()[:cut])
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        weights.load(SMALL, small_weights, torch.float32)


def test_a_step_is_told_by_size_rank_and_way(tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(0)
    start = torch.randn(40, 30, generator=random)
    one, two = (torch.outer(torch.randn(40, generator=random), torch.randn(30, generator=random)) for _ in "ab")
    made = {"founder": start, "parent": start + one, "on": start + 2 * one, "back": start, "aside": start + one + two}
    for name, matrix in made.items():
        save_file({"w": matrix, "still": torch.ones(3)}, tmp_path / name)

    def step(name: str) -> Moved:
        _, tensors = movement(tmp_path / "founder", tmp_path / "parent", tmp_path / name)
        assert tensors["still"] == Moved(parent=0.0, founder=0.0, cosine=None, stable_rank=None)
        return tensors["w"]

    norm = float(start.norm())
    assert step("on").cosine == pytest.approx(1.0, abs=1e-4)
    assert step("on").founder == pytest.approx(2 * float(one.norm()) / norm, rel=1e-4)
    assert step("on").parent == pytest.approx(float(one.norm() / (start + one).norm()), rel=1e-4)
    assert step("back").cosine == pytest.approx(-1.0, abs=1e-4)
    assert step("back").founder == 0.0
    assert step("aside").stable_rank == pytest.approx(1.0, abs=1e-3)
    both = torch.linalg.svdvals(one + two)
    save_file({"w": start, "still": torch.ones(3)}, tmp_path / "parent")
    assert step("aside").stable_rank == pytest.approx(float(both.square().sum() / both[0] ** 2), rel=0.02)


def test_a_step_whose_rows_sum_to_nothing_has_a_stable_rank(tmp_path: Path) -> None:
    save_file({"w": torch.zeros(2, 2)}, tmp_path / "parent")
    save_file({"w": torch.tensor([[3.0, -3.0], [1.0, -1.0]])}, tmp_path / "child")
    _, tensors = movement(tmp_path / "parent", tmp_path / "parent", tmp_path / "child")
    assert tensors["w"].stable_rank == pytest.approx(1.0)


def test_a_stable_rank_is_close_for_a_step_rounded_to_bf16(tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(0)
    parent = (torch.randn(576, 1536, generator=random) * 0.05).bfloat16()
    factors = torch.randn(576, 16, generator=random), torch.randn(16, 1536, generator=random)
    child = (parent.float() + factors[0] @ factors[1] * 1e-3).bfloat16()
    for name, matrix in (("parent", parent), ("child", child)):
        save_file({"w": matrix}, tmp_path / name)
    _, tensors = movement(tmp_path / "parent", tmp_path / "parent", tmp_path / "child")
    values = torch.linalg.svdvals(child.float() - parent.float())
    assert tensors["w"].stable_rank == pytest.approx(float(values.square().sum() / values[0] ** 2), rel=0.04)
