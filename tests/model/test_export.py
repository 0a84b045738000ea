"""Every family opened by the programs that exports are for: transformers, peft and llama.cpp themselves."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from germline.errors import ModelError
from germline.export import adapter, gguf_file, huggingface
from germline.export.consumers import Germline, LlamaCpp, Transformers
from germline.export.gguf_shape import ARCHITECTURES, context
from germline.export.gguf_tokenizer import written
from germline.export.parity import Parity, compare
from germline.export.source import Source
from germline.export.texts import strings
from germline.model import weights
from germline.model.adapter import LoraConfig, attach
from tests.model.test_families import LONGROPE, VARIANTS, Model, saved

Get = Callable[[str], Model]

REFUSED = {
    "llama longrope": "RoPE scaled as Longrope",
    "llama gelu": "the activation gelu_tanh",
    "smollm3": "RoPE that differs between these layers",
    "smollm3 windows": "RoPE that differs between these layers",
    "smollm3 biases": "these biases of queries",
    "qwen3 windows": "these biases of queries",
    "gemma2": "this scaling of attention",
    "gemma2 softcaps": "this scaling of attention",
    "gemma2 uncapped": "the activation silu",
    "gemma3_text": "this scaling of attention",
    "gemma3_text linear": "these biases of queries",
}
"""What llama.cpp would compute otherwise, and why."""
LOST = ("phi3 longrope short", "phi3 longrope long", "phi3 longrope partial")
"""llama.cpp opens no context under 256, and takes the long factors for these: found by asking it."""
AS_RELEASED: dict[str, dict[str, Any]] = {
    "smollm3 as released": {"no_rope_layer_interval": 4, "num_hidden_layers": 4},
    "gemma2 as released": {"head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 6},
    "gemma3_text as released": {"head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 6,
                                "num_hidden_layers": 6, "rope_local_base_freq": 10000.0},
    "phi3 as released": {"rope_parameters": LONGROPE, "original_max_position_embeddings": 256,
                         "max_position_embeddings": 1024},
}  # fmt: skip
"""Families whose other variants are refused, as their makers publish them."""


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Model]:
    @cache
    def get(variant: str) -> Model:
        return saved(variant, tmp_path_factory.mktemp("export"), AS_RELEASED.get(variant))

    return get


def source(model: Model) -> Source:
    """Qwen's tokenizers bring text into NFC, and transformers does so for them whatever their file says."""
    told = json.loads((model.directory / "tokenizer.json").read_bytes())
    if model.config["model_type"].startswith("qwen"):
        told["normalizer"] = {"type": "NFC"}
    tokenizer = json.dumps(told).encode()
    return Source(config=model.config, tokenizer_json=tokenizer, weights=model.weights, name="small g1")


def held(ours: Source, theirs: Any, kind: str, *, context: int = 64, normalized: bool = False) -> Parity:
    return compare(Germline(ours), theirs, kind, normalized=normalized, context=context, count=40, prompt_count=4,
                   on_event=lambda event: None)  # fmt: skip


def through_llamacpp(given: Source, quantization: str, path: Path) -> Parity:
    with path.open("wb") as file:
        notes = gguf_file.write(given, file, quantization)
    longest = min(64, context(given.shape, ARCHITECTURES[given.config["model_type"]]))
    with LlamaCpp(path, longest, given.end) as theirs:
        return held(given, theirs, quantization, context=longest, normalized=bool(notes))


@pytest.mark.parametrize("variant", [*(one for one in VARIANTS if one not in (*REFUSED, *LOST)), *AS_RELEASED])
def test_a_gguf_answers_alike(model: Get, variant: str, tmp_path: Path) -> None:
    given = source(model(variant))
    for quantization in ("f16", "q8_0", "q4_k_m"):
        parity = through_llamacpp(given, quantization, tmp_path / f"{quantization}.gguf")
        assert not parity.failed, parity


@pytest.mark.parametrize("variant", REFUSED)
def test_what_llamacpp_would_compute_otherwise_is_refused_by_name(model: Get, variant: str) -> None:
    with pytest.raises(ModelError, match=f"cannot compute {REFUSED[variant]}"):
        gguf_file.write(source(model(variant)), BytesIO(), "f16")


@pytest.mark.parametrize("variant", LOST)
def test_what_nobody_foresaw_is_found_by_asking(model: Get, variant: str, tmp_path: Path) -> None:
    failed = through_llamacpp(source(model(variant)), "f16", tmp_path / "f16.gguf").failed
    assert failed and "nats, the limit for f16 is 0.001" in failed[0]


@pytest.mark.parametrize("variant", [*VARIANTS, *AS_RELEASED])
def test_a_directory_answers_alike(model: Get, variant: str, tmp_path: Path) -> None:
    given = source(model(variant))
    huggingface.write_directory(given.config, given.tokenizer_json, given.weights, tmp_path / "hf")
    assert not held(given, Transformers(tmp_path / "hf", given.end), "hf").failed


def test_what_opens_every_text_does_so_for_other_programs(model: Get, tmp_path: Path) -> None:
    for variant, opens in (("gemma2 as released", True), ("llama", False)):
        given, directory = source(model(variant)), tmp_path / variant
        keys = written(given.tokenizer_json, given.shape.vocabulary, given.config, opening=given.shape.opening).keys
        assert keys["add_bos_token"] is opens and keys["bos_token_id"] == 1
        huggingface.write_directory(given.config, given.tokenizer_json, given.weights, directory)
        chat = [{"role": "user", "content": "Lit?"}]
        ids = AutoTokenizer.from_pretrained(directory).apply_chat_template(chat)["input_ids"]
        assert ids == given.shape.opened(given.tokenizer().encode("Lit?\n")) and (ids[0] == 1) is opens


def line(founder: Source, folder: Path) -> Path:
    """Three generations of chance, the second of which trained only some of the layers: the weights of the last.

    In `folder` the founder as a directory, and as `adapter` all that they learned.
    """
    fused = founder.shape.fused_projections
    some = ("qkv_proj", "o_proj") if fused else ("q_proj", "v_proj")
    folder.mkdir(exist_ok=True)
    steps, path = [], founder.weights
    for place, targets in enumerate((("all-linear",), some, ("all-linear",))):
        config = LoraConfig(rank=2 + place, alpha=3.0, targets=targets)
        chance = torch.Generator().manual_seed(place)
        decoder = weights.load(founder.shape, path, torch.float32)
        factors = {name: torch.randn(part.shape, generator=chance) * 0.2
                   for name, part in attach(decoder, config, seed=0).items()}  # fmt: skip
        step, child = folder / f"adapter-{place}", folder / f"child-{place}"
        with step.open("wb") as file:
            weights.write_tensors(file, factors)
        with child.open("wb") as file:
            weights.merge_file(path, step, config.scale, file)
        steps.append((step, config.scale))
        path = child
    (folder / "adapter").mkdir()
    adapter.write(steps, founder.shape, "founder", folder / "adapter")
    huggingface.write_directory(founder.config, founder.tokenizer_json, founder.weights, folder / "founder")
    return path


@pytest.mark.parametrize("variant", ["llama", "qwen3", "phi3", "gemma2 as released"])
def test_all_that_a_line_learned_as_one_adapter(model: Get, variant: str, tmp_path: Path) -> None:
    founder = source(model(variant))
    child = line(founder, tmp_path)
    theirs = Transformers(tmp_path / "founder", founder.end, adapter=tmp_path / "adapter")
    assert not held(replace(founder, weights=child), theirs, "adapter").failed
    unlike = held(founder, theirs, "adapter")
    assert unlike.failed and unlike.mean_divergence > 0.01


def test_a_line_that_was_trained_in_full_has_no_adapter(tmp_path: Path) -> None:
    whole = {"base_model.model.lm_head.weight": torch.ones(2, 2)}
    with pytest.raises(ModelError, match="trained in full"):
        adapter.stack([(whole, 1.0)])


def test_swapped_tensors_shifted_tokens_and_dropped_ones_are_found(model: Get, tmp_path: Path) -> None:
    given = source(model("llama"))
    told = json.loads(given.tokenizer_json)
    words = {index: piece for piece, index in told["model"]["vocab"].items()}
    shifted = deepcopy(told)
    shifted["model"]["vocab"] = {words[index]: index + 1 if 200 <= index < 240 else index for index in words}
    shifted["model"]["vocab"][words[240]] = 200
    swapped = tmp_path / "swapped.safetensors"
    tensors = dict(weights.read(given.weights))
    one, other = (f"model.layers.{layer}.self_attn.q_proj.weight" for layer in (0, 1))
    tensors[one], tensors[other] = tensors[other], tensors[one]
    with swapped.open("wb") as file:
        weights.write_tensors(file, tensors)
    wrong = {
        "swapped": replace(given, weights=swapped),
        "shifted": replace(given, tokenizer_json=json.dumps(shifted).encode()),
    }
    for name, changed in wrong.items():
        path = tmp_path / f"{name}.gguf"
        with path.open("wb") as file:
            gguf_file.write(changed, file, "f16")
        with LlamaCpp(path, 64, given.end) as theirs:
            failed = held(given, theirs, "f16").failed
        assert failed and ("nats" in failed[0] if name == "swapped" else "texts differently" in failed[0])
        directory = tmp_path / name
        huggingface.write_directory(changed.config, changed.tokenizer_json, changed.weights, directory / "hf")
        assert held(given, Transformers(directory / "hf", given.end), "hf").failed


def test_a_dropped_added_token_is_found(model: Get, tmp_path: Path) -> None:
    whole = json.loads(source(model("llama")).tokenizer_json)
    last, index = max(whole["model"]["vocab"].items(), key=lambda pair: pair[1])
    del whole["model"]["vocab"][last]
    pairs = [tuple(merge.split(" ") if isinstance(merge, str) else merge) for merge in whole["model"]["merges"]]
    whole["model"]["merges"] = [list(pair) for pair in pairs if last not in (*pair, "".join(pair))]
    whole["model"]["vocab"]["the"] = index
    added = {"id": index, "content": "the", "special": False, "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False}  # fmt: skip
    dropped = deepcopy(whole)
    whole["added_tokens"].append(added)
    given, wrong = (
        replace(source(model("llama")), tokenizer_json=json.dumps(one).encode()) for one in (whole, dropped)
    )
    assert not through_llamacpp(given, "f16", tmp_path / "whole.gguf").failed
    with (tmp_path / "dropped.gguf").open("wb") as file:
        gguf_file.write(wrong, file, "f16")
    with LlamaCpp(tmp_path / "dropped.gguf", 64, given.end) as theirs:
        assert "texts differently" in held(given, theirs, "f16").failed[0]


def test_llamacpp_ends_at_every_token_that_is_called_like_an_end(model: Get, tmp_path: Path) -> None:
    """A mistral of random weights says `<|endoftext|>`, which is not its end, and goes on; llama.cpp does not."""
    given = source(model("mistral without window"))
    ours = Germline(given)
    with (tmp_path / "f16.gguf").open("wb") as file:
        gguf_file.write(given, file, "f16")
    with LlamaCpp(tmp_path / "f16.gguf", 64, given.end) as theirs:
        texts = [text[:13] for text in ours.encode(strings(80, seed=11)) if text]
        prompt = next(text for text in texts if ours.go_on(text, 3)[2:] == [0])
        said = theirs.go_on(prompt, 8)
        assert said == ours.go_on(prompt, 3) and theirs.ends == {0}
        assert not held(given, theirs, "f16").failed
