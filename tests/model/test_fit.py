"""What fits: the choices in their order, each with its reason, and the refusal with its cure."""

from __future__ import annotations

import functools
import itertools
import platform
import sysconfig
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from germline.errors import DoesNotFit, PlanError
from germline.forge import machine as machines
from germline.forge.fit import GIB, Fit, fit, reached, timed
from germline.forge.machine import Arithmetic, Machine, arithmetic, machine
from germline.forge.memory import peak_bytes
from germline.forge.shapes import CONFIGS, shape
from germline.settings import Training


def here(free: float, bf16: bool = True, compiler: bool = False, units: str = "AVX512-BF16") -> Machine:
    size = int(free * GIB)
    return Machine(cores=2, total_bytes=size, free_bytes=size, fast_bf16=bf16, units=units, compiler=compiler)


def fitted(name: str, free: float, training: Training | None = None, batch: int = 2048) -> Fit:
    return fit(shape(name), training or Training(), row_tokens=512, batch_tokens=batch, here=here(free))


def test_memory_is_saved_in_the_order_of_what_it_costs() -> None:
    """Fewer tokens at once, then recomputed layers, then packed weights; rows are shortened last of all."""
    seen: list[tuple[int, int, str | None, int]] = []
    for tenths in range(400, 5, -1):
        try:
            setting = fitted("Llama-3.2-1B", tenths / 10).setting
        except DoesNotFit:
            break
        state = (setting.micro_tokens, setting.recomputed_layers, setting.bits, setting.row_tokens)
        if not seen or seen[-1] != state:
            seen.append(state)
    assert seen[0] == (2048, 0, None, 512)
    whole = [state for state in seen if state[3] == 512]
    assert whole == seen[: len(whole)] and whole[-1][:3] == (512, 16, "nf4")
    assert all(state[1:3] == (16, "nf4") for state in seen[len(whole) :])
    bits = [state[2] for state in seen]
    assert bits == sorted(bits, key=[None, "int8", "nf4"].index) and bits[-1] == "nf4"
    assert any(state[1] for state in seen if state[2] is None), "layers are recomputed before weights are packed"
    long = fit(shape("SmolLM2-135M"), Training(), row_tokens=8192, batch_tokens=8192, here=here(1.5))
    assert 512 < long.setting.row_tokens < 8192


@pytest.mark.parametrize("name", CONFIGS)
def test_what_is_chosen_is_within_the_budget(name: str) -> None:
    for free in (1.5, 3, 6, 12, 48):
        try:
            chosen = fitted(name, free)
        except DoesNotFit:
            continue
        assert chosen.peak_bytes <= free * GIB
        assert chosen.peak_bytes == peak_bytes(shape(name), Training(), chosen.on, chosen.setting)


@pytest.mark.parametrize(("batch", "told"), [(384, 512), (768, 768), (1100, 1100)])
def test_a_step_that_is_no_whole_number_of_long_rows_goes_through_whole(batch: int, told: int) -> None:
    """Its rows are mostly short ones: 768 tokens are six of 128, and no one of 512."""
    chosen = fitted("SmolLM2-135M", 20, batch=batch)
    assert (chosen.setting.micro_tokens, chosen.setting.parts) == (told, 2)  # the anchor's is the other
    assert f"{told} tokens at once: a whole step" in chosen.reasons


def test_each_choice_has_its_reason() -> None:
    told = " | ".join(fitted("Llama-3.2-1B", 2.6).reasons)
    for part in ("in hardware", "2 threads", "nf4", "layers recomputed: to save memory", "at once", "GiB"):
        assert part in told


def test_what_does_not_fit_is_refused_with_the_cure() -> None:
    with pytest.raises(DoesNotFit, match=r"training needs \d+\.\d GiB at the least and 1\.0 GiB are free") as refusal:
        fitted("Mistral-7B", 1.0)
    assert "training.rank=8" in (refusal.value.hint or "")
    with pytest.raises(DoesNotFit) as refusal:
        fitted("Llama-3.2-3B", 4.0, Training(quantize="none", recompute="none"))
    assert "--set training.quantize=nf4 --set training.recompute=all" in (refusal.value.hint or "")
    with pytest.raises(DoesNotFit) as refusal:
        fitted("Llama-3.2-1B", 8.0, Training(method="full", learning_rate=1e-4))
    assert "training.method=lora" in (refusal.value.hint or "")


def test_what_the_plan_says_is_not_changed() -> None:
    training = Training(quantize="nf4", recompute="all")
    chosen = fit(shape("SmolLM2-135M"), training, row_tokens=512, batch_tokens=2048, here=here(1), memory_gb=40)
    assert (chosen.setting.bits, chosen.setting.recomputed_layers) == ("nf4", 30)
    assert any("nf4: as the plan says" in reason for reason in chosen.reasons)


@pytest.mark.parametrize(("threads", "crowded"), [(1, False), (2, False), (3, True)])
def test_more_threads_than_cores_are_told_of(threads: int, crowded: bool) -> None:
    reasons = fitted("SmolLM2-135M", 20, Training(threads=threads)).reasons
    told = next(reason for reason in reasons if "threads" in reason)
    assert told.startswith(f"{threads} threads: as the plan says") and ("though there are 2 cores" in told) == crowded


def test_a_row_is_no_longer_than_the_models_context() -> None:
    model = shape("SmolLM2-135M")
    chosen = fit(model, Training(), row_tokens=2 * model.max_positions, batch_tokens=512, here=here(20), memory_gb=0)
    assert chosen.setting.row_tokens <= model.max_positions
    assert any("the model's context" in reason for reason in chosen.reasons)


def test_the_cure_is_never_what_the_plan_has_already() -> None:
    with pytest.raises(DoesNotFit) as refusal:
        fitted("Mistral-7B", 1.0, Training(rank=4))
    assert refusal.value.hint == "close other programs"


def test_a_gpu_has_no_more_than_is_free_and_nothing_to_compile() -> None:
    card = replace(here(4), gpu="a card")
    config = shape("Llama-3.2-1B")
    planned = fit(config, Training(compile="on"), row_tokens=512, batch_tokens=512, here=card, memory_gb=64)
    assert planned.peak_bytes <= 4 * GIB and planned.on.device == "cuda" and not planned.compiled
    small = replace(here(0.5), gpu="a card")
    with pytest.raises(DoesNotFit, match=r"0\.5 GiB are free on the GPU") as refusal:
        fit(config, Training(), row_tokens=512, batch_tokens=512, here=small, memory_gb=64)
    assert "--set training.device=cpu" in refusal.value.hint


def test_the_mission_fits() -> None:
    """A 1B model in 4 GiB and a 3B model in 8 GiB, with rows of 512 (DESIGN.md, and the mission before it)."""
    assert fitted("Llama-3.2-1B", 4, batch=512).setting.row_tokens == 512
    assert fitted("Llama-3.2-3B", 8, batch=512).setting.row_tokens == 512


def test_the_arithmetic_and_why() -> None:
    for bf16, units, dtype, why in (
        (True, "AVX512-BF16", torch.bfloat16, "bf16: AVX512-BF16 multiplies it in hardware"),
        (False, "AVX512-BF16", torch.float32, "fp32: AVX512-BF16 multiplies bf16 no faster here"),
        (False, "AVX2", torch.float32, "fp32: this processor has no bf16 matrix products"),
    ):
        assert arithmetic(Training(), here(8, bf16, units=units)) == (Arithmetic(dtype, "cpu"), why)


@pytest.mark.parametrize(
    ("able", "fp32", "bf16", "fast"),
    [
        (True, (9.0, 2.0, 2.0), (9.0, 1.0, 1.0), True),
        (True, (9.0, 2.0, 2.0), (9.0, 4.0, 4.0), False),  # an Emerald Rapids without its AMX
        (True, (9.0, 2.0, 8.0), (9.0, 6.0, 3.0), False),  # by the best of each, whatever else ran beside
        (False, (2.0,), (1.0,), False),
    ],
)
def test_bf16_is_fast_where_it_is_measured_to_be(
    able: bool, fp32: tuple[float, ...], bf16: tuple[float, ...], fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = {torch.float32: itertools.cycle(fp32), torch.bfloat16: itertools.cycle(bf16)}
    with monkeypatch.context() as patch:
        patch.setattr(machines, "_native_bf16", lambda: able)
        patch.setattr(machines, "_product", lambda on, side: functools.partial(next, seconds[on.dtype]))
        machines.fast_bf16.cache_clear()
        assert machines.fast_bf16() is fast
    machines.fast_bf16.cache_clear()


def test_to_measure_draws_no_luck_that_others_draw() -> None:
    torch.manual_seed(3)
    first = torch.rand(1)
    torch.manual_seed(3)
    machines.fast_bf16.cache_clear()
    machines.fast_bf16()
    assert machines.flops_per_second(Arithmetic(torch.float32, "cpu")) > 0
    assert torch.equal(torch.rand(1), first)


def test_a_long_run_is_compiled_and_a_short_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("germline.forge.fit.flops_per_second", lambda on: 4e11)
    config, plain = shape("SmolLM2-135M"), Training()
    chosen = fitted("SmolLM2-135M", 16)
    able = here(16, compiler=True)
    long, short = (timed(chosen, config, plain, able, tokens, tokens) for tokens in (1_000_000, 50_000))
    assert (long.compiled, short.compiled) == (True, False)
    assert long.seconds == pytest.approx(20 * short.seconds)
    unread = timed(chosen, config, plain, able, 1_000_000, 0)  # no loss is taken: the vocabulary costs nothing
    assert unread.seconds == pytest.approx(long.seconds * config.block_parameters / config.parameters, rel=1e-3)
    assert not timed(chosen, config, plain, here(16, compiler=False), 1_000_000, 0).compiled
    assert not timed(chosen, config, Training(compile="off"), here(16, compiler=True), 1_000_000, 0).compiled


@pytest.mark.parametrize(
    ("dtype", "rate", "share"),
    [(torch.bfloat16, 0.40e12, 0.50), (torch.float32, 0.12e12, 0.67), (torch.float32, 0.29e12, 0.45)],
)
def test_faster_products_do_not_shorten_what_lies_between_them(dtype: torch.dtype, rate: float, share: float) -> None:
    """What steps reached on two cores of three kinds."""
    on = Arithmetic(dtype, "cpu")
    assert reached(on, rate, 2) / rate == pytest.approx(share, abs=0.005)
    assert reached(on, 4 * rate, 8) == pytest.approx(4 * reached(on, rate, 2))


def test_a_fit_comes_back_from_json() -> None:
    chosen = fitted("Llama-3.2-1B", 3)
    assert Fit.from_json(chosen.to_json()) == chosen


@pytest.mark.skipif(platform.system() != "Linux", reason="the names are Linux'")
def test_a_compiler_that_torch_does_not_call_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "Python.h").touch()
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path / name))
    for name, counts in (("clang++", False), ("g++", True)):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
        assert machine("cpu").compiler is counts
    (tmp_path / "include" / "Python.h").unlink()
    assert not machine("cpu").compiler


def test_this_machine_is_seen() -> None:
    found = machine("cpu")
    assert found.cores >= 1 and found.total_bytes >= found.free_bytes > 0
    assert machines.flops_per_second(Arithmetic(torch.float32, "cpu")) > 1e8
    if not torch.cuda.is_available():
        with pytest.raises(PlanError, match="is cuda, but "):
            machine("cuda")
