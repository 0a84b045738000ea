"""Our decoder against transformers: the same logits from the same weights, and the same words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from germline.errors import ModelError
from germline.model import families, generate, weights
from germline.model.founder_source import find_demo, read_founder

TINY: dict[str, Any] = dict(  # noqa: C408 - keywords, as LlamaConfig takes them
    vocab_size=211, hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=6,
    num_key_value_heads=2, max_position_embeddings=256, bos_token_id=1, eos_token_id=2,
)  # fmt: skip
LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}  # fmt: skip
VARIANTS: dict[str, dict[str, Any]] = {
    "untied": {"tie_word_embeddings": False},
    "tied": {"tie_word_embeddings": True},
    "llama3 scaling": {"rope_parameters": {"rope_theta": 500000.0, **LLAMA3}},
    "wide heads": {"head_dim": 16, "tie_word_embeddings": True},
    "all heads": {"num_key_value_heads": 6},
    "biases": {"attention_bias": True, "mlp_bias": True},
}


def logits(config: families.DecoderConfig, path: Path, tokens: torch.Tensor) -> torch.Tensor:
    decoder = weights.load(config, path, torch.float32)
    positions = torch.arange(tokens.shape[1]).expand_as(tokens)
    with torch.inference_mode():
        return decoder.logits(decoder(tokens, decoder.within_texts(torch.zeros_like(tokens), positions)))


@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_of_random_llamas(tmp_path: Path, variant: str) -> None:
    torch.manual_seed(3)
    reference = transformers.LlamaForCausalLM(transformers.LlamaConfig(**TINY | VARIANTS[variant])).eval()
    with torch.no_grad():
        for name, parameter in reference.named_parameters():
            if name.endswith("bias") or "norm" in name:
                parameter.add_(torch.randn_like(parameter) * 0.1)  # they start as constants, which hides errors
    reference.save_pretrained(tmp_path)
    founder_config = _plain_config(tmp_path)
    tokens = torch.randint(0, 211, (3, 100), generator=torch.Generator().manual_seed(4))
    with torch.inference_mode():
        expected = reference(tokens).logits
    found = logits(families.read_config(founder_config), tmp_path / "model.safetensors", tokens)
    assert (found - expected).abs().max() < 1e-4


def _plain_config(directory: Path) -> dict[str, Any]:
    from germline.model.founder import keep_config

    return keep_config(json.loads((directory / "config.json").read_text()), directory)


def test_an_unknown_family_is_named() -> None:
    with pytest.raises(ModelError, match="model family 'lama'") as failure:
        families.read_config({"model_type": "lama"})
    assert failure.value.hint.startswith("supported: llama, ")


@pytest.mark.parametrize("scaling", [{"rope_type": "yarn", "factor": 4.0}, {"type": "dynamic", "factor": 2.0}])
def test_unknown_rope_scaling_is_refused(scaling: dict[str, Any]) -> None:
    config = {"model_type": "llama", "rope_scaling": scaling, "hidden_size": 8, "num_attention_heads": 2,
              "vocab_size": 9, "intermediate_size": 8, "num_hidden_layers": 1}  # fmt: skip
    with pytest.raises(ModelError, match="rope scaling"):
        families.read_config(config)


def demo_or_skip() -> Path:
    try:
        return find_demo()
    except ModelError as missing:
        pytest.skip(f"{missing.message}: {missing.hint}")


PROMPTS = [
    f"{opening} {subject}"
    for opening in ("The capital of", "Once upon a time in", "How do I repair", "Water boils at", "In 1969,",
                    "My favourite thing about", "A poem on", "Why is", "def area_of(", "Überall in")
    for subject in ("France", "the sea", "a lamp", "100 degrees", "Straße 7")
]  # fmt: skip


def test_smollm2_logits_and_fifty_greedy_continuations(tmp_path: Path) -> None:
    """The real 135M model, dequantized: 50 continuations word for word, fp32 logits of up to 20 within 2e-4. They were
    a little over 1e-4 apart on an Emerald Rapids."""
    demo_or_skip()
    founder = read_founder("demo")
    config = families.read_config(founder.config)
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:
        weights.write(file, weights.layout(config), founder.tensors(), torch.float32)
    reference = _reference(founder.config, path)
    tokens = torch.randint(0, config.vocabulary, (2, 64), generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        expected = reference(tokens).logits
    assert (logits(config, path, tokens) - expected).abs().max() < 2e-4

    from germline.tokenizer.text import Tokenizer

    tokenizer = Tokenizer.from_json(founder.tokenizer_json, eos_id=founder.config["eos_token_id"])
    encoded = [tokenizer.encode(prompt) for prompt in PROMPTS]
    decoder = weights.load(config, path, torch.float32)
    ours = generate.generate(decoder, encoded, limit=8, end=tokenizer.eos_id)
    longest = max(map(len, encoded))
    padded = torch.tensor([[2] * (longest - len(ids)) + ids for ids in encoded])
    real = torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in encoded])
    with torch.inference_mode():
        theirs = reference.generate(padded, attention_mask=real, max_new_tokens=8, do_sample=False, pad_token_id=2)
    for mine, row in zip(ours, theirs[:, longest:].tolist(), strict=True):
        said = row[: row.index(tokenizer.eos_id)] if tokenizer.eos_id in row else row
        assert mine == said


def _reference(config: dict[str, Any], path: Path) -> Any:
    from safetensors.torch import load_file

    settings = {
        key: value
        for key, value in config.items()
        if key not in ("model_type", "architectures", "dtype", "torch_dtype")
    }
    reference = transformers.LlamaForCausalLM(transformers.LlamaConfig(**settings)).eval()
    missing, unexpected = reference.load_state_dict(load_file(path), strict=False)
    assert (missing, unexpected) == (["lm_head.weight"], [])
    return reference
