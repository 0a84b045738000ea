"""Every family against transformers, from random small models: logits, gradients, generation, and the way back.

Weights are drawn wide and norms and biases moved off their start, so that nothing is hidden by being near
zero or one; windows, interpolation and LongRoPE's turning point are smaller than the texts.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from germline.errors import PlanError
from germline.export.huggingface import write_directory
from germline.model import weights
from germline.model.adapter import ALL_LINEAR, LoraConfig, attach
from germline.model.continuous_batch import ContinuousBatch
from germline.model.decoder import Decoder
from germline.model.families import read_config
from germline.model.founder_source import read_founder
from germline.model.generate import generate
from germline.model.gguf_import_tokenizer import tokenizer_json
from germline.model.rows import Text, pack, predict
from germline.model.shape import DecoderConfig
from germline.ops.loss import cross_entropy_sum
from tests.model.founder_files import byte_level_metadata

TOKENIZER = tokenizer_json(byte_level_metadata(), None)
ROWS = len(byte_level_metadata()["tokenizer.ggml.tokens"])
LENGTH = 40
TINY: dict[str, Any] = dict(  # noqa: C408 - keywords, as configs take them
    vocab_size=ROWS, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=128, initializer_range=0.2, bos_token_id=1, eos_token_id=2,
    pad_token_id=0,
)  # fmt: skip
DIVISORS = [1.0, 1.5, 2.0, 3.0]
LONGROPE = {
    "rope_type": "longrope", "rope_theta": 10000.0, "short_factor": DIVISORS, "long_factor": [4.0, 5.0, 6.0, 8.0],
}  # fmt: skip
GEMMA = {"head_dim": 16, "query_pre_attn_scalar": 24, "sliding_window": 6}
FULL, NEAR = "full_attention", "sliding_attention"
GEMMA3_ROPE = {FULL: {"rope_type": "linear", "factor": 8.0, "rope_theta": 5e4}, NEAR: {"rope_type": "default"}}

VARIANTS: dict[str, dict[str, Any]] = {
    "llama": {"tie_word_embeddings": False},
    "llama linear": {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 100.0}},
    "llama llama3": {
        "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                            "original_max_position_embeddings": 32, "rope_theta": 500.0},
    },
    "llama longrope": {"rope_parameters": {**LONGROPE, "factor": 4.0, "original_max_position_embeddings": 16}},
    "llama gelu": {"hidden_act": "gelu_pytorch_tanh", "attention_bias": True, "mlp_bias": True, "head_dim": 12},
    "smollm3": {"no_rope_layer_interval": 2},
    "smollm3 windows": {"no_rope_layers": [0, 1, 0], "use_sliding_window": True, "sliding_window": 7},
    "smollm3 biases": {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": False},
    "mistral": {"sliding_window": 9, "head_dim": 12},
    "mistral without window": {"sliding_window": None, "num_key_value_heads": 1},
    "qwen2": {"tie_word_embeddings": True},
    "qwen2 windows": {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1},
    "qwen2 layer types": {"use_sliding_window": True, "sliding_window": 5, "layer_types": [NEAR, FULL, NEAR]},
    "qwen3": {"head_dim": 16, "rope_parameters": {"rope_type": "default", "rope_theta": 1e6}},
    "qwen3 windows": {"head_dim": 16, "attention_bias": True, "tie_word_embeddings": True,
                      "use_sliding_window": True, "sliding_window": 5, "max_window_layers": 2},
    "phi3": {"num_key_value_heads": 4},
    "phi3 window": {"sliding_window": 8, "tie_word_embeddings": True},
    "phi3 partial": {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.75}},
    "phi3 longrope short": {"rope_parameters": LONGROPE, "original_max_position_embeddings": LENGTH},
    "phi3 longrope long": {"rope_parameters": LONGROPE, "original_max_position_embeddings": LENGTH - 1},
    "phi3 longrope partial": {
        "original_max_position_embeddings": 16, "sliding_window": 30,
        "rope_parameters": {**LONGROPE, "partial_rotary_factor": 0.5, "attention_factor": 1.4,
                            "short_factor": [1.0, 2.0], "long_factor": [4.0, 8.0]},
    },
    "gemma2": GEMMA,
    "gemma2 softcaps": {**GEMMA, "attn_logit_softcapping": 1.5, "final_logit_softcapping": 0.7},
    "gemma2 uncapped": {**GEMMA, "attn_logit_softcapping": None, "final_logit_softcapping": None,
                        "layer_types": [FULL, NEAR, NEAR], "attention_bias": True, "hidden_activation": "silu"},
    "gemma3_text": {**GEMMA, "layer_types": [NEAR, NEAR, FULL]},
    "gemma3_text linear": {**GEMMA, "layer_types": [NEAR, FULL, NEAR], "rope_parameters": GEMMA3_ROPE,
                           "final_logit_softcapping": 0.7, "attention_bias": True},
}  # fmt: skip
WITHOUT: dict[str, tuple[str, dict[str, Any]]] = {
    "a window": ("mistral", {"sliding_window": None}),
    "NoPE": ("smollm3", {"no_rope_layers": [1, 1, 1]}),
    "layer types": ("qwen2 layer types", {"layer_types": [FULL, FULL, NEAR]}),
    "linear scaling": ("llama linear", {"rope_scaling": None}),
    "long factors": ("phi3 longrope long", {"original_max_position_embeddings": LENGTH}),
    "an attention factor": ("phi3 longrope short", {"max_position_embeddings": LENGTH}),
    "a part of a head": ("phi3 partial", {"partial_rotary_factor": 1.0}),
    "a softcap": ("gemma2 softcaps", {"attn_logit_softcapping": None}),
    "a logit softcap": ("gemma3_text linear", {"final_logit_softcapping": None}),
    "a query scale": ("gemma2", {"query_pre_attn_scalar": 25}),
    "a near base": ("gemma3_text", {"rope_local_base_freq": 9000.0}),
    "a far scaling": ("gemma3_text linear", {"rope_scaling": None}),
    "an activation": ("llama gelu", {"hidden_act": "silu"}),
}  # fmt: skip


@dataclass(frozen=True)
class Model:
    """One variant, as transformers saved it, in transformers and read by us."""

    directory: Path
    reference: Any
    config: dict[str, Any]
    shape: DecoderConfig

    @property
    def weights(self) -> Path:
        return self.directory / "model.safetensors"

    def decoder(self) -> Decoder:
        return weights.load(self.shape, self.weights, torch.float32)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Model]:
    made: dict[str, Model] = {}

    def get(variant: str) -> Model:
        if variant not in made:
            made[variant] = saved(variant, tmp_path_factory.mktemp("model"))
        return made[variant]

    return get


def saved(variant: str, directory: Path, told: dict[str, Any] | None = None) -> Model:
    config = AutoConfig.for_model(
        variant.split()[0], **TINY | deepcopy(told or VARIANTS[variant])
    )  # it changes what it gets
    torch.manual_seed(3)
    reference = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for name, parameter in reference.named_parameters():
            if name.endswith("bias") or "norm" in name:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    reference.save_pretrained(directory)
    (directory / "tokenizer.json").write_bytes(TOKENIZER)
    founder = read_founder(str(directory))
    return Model(directory, reference, founder.config, read_config(founder.config))


def tokens_of(rows: int, seed: int = 4) -> torch.Tensor:
    return torch.randint(3, ROWS, (rows, LENGTH), generator=torch.Generator().manual_seed(seed))


def logits(decoder: Decoder, tokens: torch.Tensor) -> torch.Tensor:
    positions = torch.arange(tokens.shape[1]).expand_as(tokens)
    with torch.inference_mode():
        return decoder.logits(decoder(tokens, decoder.within_texts(torch.zeros_like(tokens), positions)))


@torch.inference_mode()
def expected(reference: Any, tokens: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = reference(tokens).logits
    return found


def gap(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max())


@pytest.mark.parametrize("variant", VARIANTS)
def test_logits(model: Callable[[str], Model], variant: str) -> None:
    this = model(variant)
    reference = expected(this.reference, tokens_of(2))
    assert reference.std() > 0.2
    assert gap(logits(this.decoder(), tokens_of(2)), reference) < 1e-4  # at most 8e-6 is measured


@pytest.mark.parametrize("setting", WITHOUT)
def test_a_setting_counts(model: Callable[[str], Model], setting: str) -> None:
    """The parity above would not hold without it."""
    variant, change = WITHOUT[setting]
    this = model(variant)
    config = {key: value for key, value in {**this.config, **change}.items() if (key, value) != ("rope_scaling", None)}
    decoder = weights.load(read_config(config), this.weights, torch.float32)
    assert gap(logits(decoder, tokens_of(2)), expected(this.reference, tokens_of(2))) > 1e-3


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_of_adapters(model: Callable[[str], Model], variant: str) -> None:
    """Against autograd through transformers' own model, its weights replaced by W + s B A."""
    this, decoder = model(variant), model(variant).decoder()
    config = LoraConfig(rank=3, alpha=6).of(this.shape)
    parameters = attach(decoder, config, seed=0)
    _randomize(parameters)
    tokens = tokens_of(2, seed=5)
    hidden, targets = predict(decoder, pack([[Text(tuple(row), (True,) * LENGTH)] for row in tokens.tolist()], LENGTH))
    loss = cross_entropy_sum(hidden, decoder.output_weight, targets, this.shape.logit_softcap)
    loss.backward()

    frozen, leaves, changed = dict(this.reference.named_parameters()), {}, {}
    for name in parameters:
        leaves[name] = parameters[name].detach().clone().requires_grad_()
    for name in {name.rsplit(".", 2)[0] for name in parameters}:
        update = leaves[f"{name}.lora_B.weight"] @ leaves[f"{name}.lora_A.weight"] * config.scale
        weight = f"{name.removeprefix('base_model.model.')}.weight"
        changed[weight] = frozen[weight].detach() + update
    predicted = torch.func.functional_call(this.reference, changed, (tokens,)).logits[:, :-1]
    reference = F.cross_entropy(predicted.flatten(0, 1), tokens[:, 1:].flatten(), reduction="sum")
    reference.backward()
    assert loss.item() == pytest.approx(reference.item(), rel=1e-5)
    assert {name.split(".")[-3] for name in parameters} == set(config.targets)
    for name, parameter in parameters.items():
        largest = float(leaves[name].grad.abs().max())
        assert largest > 1e-3, name
        assert parameter.grad is not None
        assert gap(parameter.grad, leaves[name].grad) < 1e-4 * largest, name  # at most 5e-6 is measured


def _randomize(parameters: dict[str, torch.nn.Parameter]) -> None:
    random = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.copy_(torch.randn(parameter.shape, generator=random) * 0.1)


PROMPTS = [list(range(20, 32)), [11], list(range(60, 65)), list(range(100, 118))]


@pytest.mark.parametrize(
    "variant",
    ["smollm3 windows", "mistral", "qwen2 windows", "qwen3 windows", "phi3 longrope partial", "gemma2", "gemma3_text"],
)
def test_a_padded_batch_with_a_cache_says_what_transformers_says(model: Callable[[str], Model], variant: str) -> None:
    """Windows smaller than the texts, prompts on both sides of LongRoPE's turning point and across it."""
    this = model(variant)
    answers = generate(this.decoder(), PROMPTS, limit=10, end=-1)
    assert this.shape.opening == ((1,) if variant.startswith("gemma") else ())
    for prompt, answer in zip(map(this.shape.opened, PROMPTS), answers, strict=True):
        ids = list(prompt)
        for _ in range(10):
            ids.append(int(expected(this.reference, torch.tensor([ids]))[0, -1].argmax()))
        assert answer == ids[len(prompt) :]


@pytest.mark.parametrize("variant", ["gemma3_text linear", "phi3 longrope partial", "smollm3 windows"])
def test_texts_side_by_side_are_as_if_alone(model: Callable[[str], Model], variant: str) -> None:
    this = model(variant)
    texts = [tokens_of(1)[0, :cut].tolist() for cut in (24, 9, 16, 17)]
    batch = pack([[Text(tuple(text), (True,) * len(text)) for text in part] for part in (texts[:2], texts[2:])], 40)
    decoder = this.decoder()
    with torch.inference_mode():
        together = decoder.logits(decoder(batch.tokens, decoder.within_texts(batch.segments, batch.positions)))
    for index, text in enumerate(texts):
        place = (batch.segments[index // 2] == index % 2).nonzero().squeeze(1)
        assert gap(together[index // 2, place], expected(this.reference, torch.tensor([text]))[0]) < 1e-4


@pytest.mark.parametrize("piece", [5, 24])
@pytest.mark.parametrize("variant", VARIANTS)
def test_texts_that_come_and_go_are_as_if_alone(model: Callable[[str], Model], variant: str, piece: int) -> None:
    decoder = model(variant).decoder()
    whole = {seed: decoder.config.opened(tokens_of(1, seed)[0, : LENGTH - seed].tolist()) for seed in range(6)}
    alone = {seed: logits(decoder, torch.tensor([text]))[0] for seed, text in whole.items()}
    read: list[int] = []
    batch, going, waiting = ContinuousBatch(decoder, 3, piece=piece), [], list(whole)

    def check(seed: int, found: torch.Tensor, length: int) -> None:
        expected = logits(decoder, torch.tensor([whole[seed][:length]]))[0, -1] if turns else alone[seed][length - 1]
        torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-5)

    turns = bool(decoder.config.turning_points)
    coming: list[tuple[int, int]] = []
    while waiting or coming or going:
        while waiting and batch.has_room:
            seed = waiting.pop(0)
            batch.begin(whole[seed][: 3 + 5 * seed])
            coming.append((seed, 3 + 5 * seed))
        stepped = len(going)
        found = batch.go_on([whole[seed][length] for seed, length in going])
        going = [(seed, length + 1) for seed, length in going]
        going, coming = going + coming[: len(found) - stepped], coming[len(found) - stepped :]
        read.append(len(found) - stepped)
        for (seed, length), row in zip(going, found, strict=True):
            check(seed, row, length)
        for place in reversed([n for n, (seed, length) in enumerate(going) if length == len(whole[seed])]):
            batch.leave(place)
            going[place] = going[-1]
            going.pop()
    assert sum(read) == len(whole)
    assert max(read) == (2 if piece == 24 else 1)  # the first two fit side by side into one piece of 24 tokens
    assert len(batch) == 0


def test_a_newcomer_that_is_given_up_leaves_the_others_as_they_are(model: Callable[[str], Model]) -> None:
    decoder = model("llama").decoder()
    texts = [tokens_of(1, seed)[0, :length].tolist() for seed, length in enumerate((7, 12, 4, 9))]
    batch = ContinuousBatch(decoder, 4, piece=5)
    for text in texts:
        batch.begin(text)
    assert not batch.has_room
    assert len(batch.go_on([])) == 0  # five of the first's seven tokens
    batch.give_up(0)
    batch.give_up(1)
    for text in (texts[1], texts[3]):
        while not len(found := batch.go_on([])):
            pass
        torch.testing.assert_close(found[0], logits(decoder, torch.tensor([text]))[0, -1], atol=2e-5, rtol=1e-5)
        batch.leave(0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_merged_child_reopened_by_transformers(model: Callable[[str], Model], variant: str, tmp_path: Path) -> None:
    this, decoder = model(variant), model(variant).decoder()
    config = LoraConfig(rank=2, alpha=4)
    parameters = attach(decoder, config, seed=0)
    _randomize(parameters)
    save_file({name: parameter.detach() for name, parameter in parameters.items()}, tmp_path / "adapter.safetensors")
    with (tmp_path / "child.safetensors").open("wb") as file:
        weights.merge_file(this.weights, tmp_path / "adapter.safetensors", config.scale, file)
    child = tmp_path / "child"
    write_directory(this.config, TOKENIZER, tmp_path / "child.safetensors", child)

    reopened = AutoModelForCausalLM.from_pretrained(child, attn_implementation="eager").eval()
    assert type(reopened) is type(this.reference) and reopened.dtype == torch.float32
    ours = logits(weights.load(this.shape, tmp_path / "child.safetensors", torch.float32), tokens_of(2))
    assert gap(ours, expected(reopened, tokens_of(2))) < 1e-4
    assert gap(ours, logits(decoder, tokens_of(2))) < 1e-4
    assert gap(ours, expected(this.reference, tokens_of(2))) > 1e-2
    again = read_founder(str(child))
    assert again.config == this.config and again.tokenizer_json == TOKENIZER
    assert read_config(json.loads((child / "config.json").read_bytes())) == this.shape
    tokenizer = AutoTokenizer.from_pretrained(child)
    assert tokenizer("the tower", add_special_tokens=False).input_ids == [87, 261, 260, 82, 90, 72, 85]
    assert tokenizer.eos_token_id == 2


def test_a_written_directory_tells_the_dtype_of_its_weights_and_is_never_written_over(
    model: Callable[[str], Model], tmp_path: Path
) -> None:
    this = model("gemma2")
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:
        weights.write(file, weights.layout(this.shape), weights.read(this.weights), torch.bfloat16)
    (tmp_path / "empty").mkdir()
    write_directory(this.config, TOKENIZER, path, tmp_path / "empty")
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "empty").dtype == torch.bfloat16
    before = (tmp_path / "empty" / "config.json").read_bytes()
    with pytest.raises(PlanError, match="is not empty"):
        write_directory(this.config, TOKENIZER, path, tmp_path / "empty")
    assert (tmp_path / "empty" / "config.json").read_bytes() == before


def test_what_all_linear_layers_are_called(model: Callable[[str], Model]) -> None:
    assert LoraConfig(rank=2, alpha=2).targets == (ALL_LINEAR,)
    phi, llama = model("phi3"), model("llama")
    told = LoraConfig(rank=2, alpha=2).of(phi.shape).peft()
    assert told["target_modules"] == ["down_proj", "gate_up_proj", "o_proj", "qkv_proj"]
    told = LoraConfig(rank=2, alpha=2, targets=("v_proj", "q_proj")).of(llama.shape).peft()
    assert told["target_modules"] == ["q_proj", "v_proj"]
    with pytest.raises(PlanError, match="lora target 'q_proj' matches no layer") as failure:
        attach(phi.decoder(), LoraConfig(rank=2, alpha=2, targets=("q_proj",)), seed=0)
    assert failure.value.hint == "did you mean 'qkv_proj'?"


@pytest.mark.parametrize("target", ["k_proj", "up_proj"])
def test_a_lone_target_is_scaled_as_it_is_merged(model: Callable[[str], Model], target: str, tmp_path: Path) -> None:
    this, decoder = model("llama"), model("llama").decoder()
    config = LoraConfig(rank=2, alpha=8, targets=(target,))
    parameters = attach(decoder, config, seed=0)
    _randomize(parameters)
    save_file({name: parameter.detach() for name, parameter in parameters.items()}, tmp_path / "adapter.safetensors")
    with (tmp_path / "child.safetensors").open("wb") as file:
        weights.merge_file(this.weights, tmp_path / "adapter.safetensors", config.scale, file)
    child = weights.load(this.shape, tmp_path / "child.safetensors", torch.float32)
    assert gap(logits(child, tokens_of(1)), logits(decoder, tokens_of(1))) < 1e-4
