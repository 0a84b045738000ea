"""A founder from nothing."""

from __future__ import annotations

import math

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from germline.errors import DataError, PlanError
from germline.export.texts import strings
from germline.model.families import read_config
from germline.model.founder import CONFIG_KEYS
from germline.model.founder_scratch import SIZES, scratch
from germline.model.weights import layout
from germline.records import canonical_json
from germline.tokenizer.text import Tokenizer

TEXTS = strings(300, seed=4)


def test_it_is_a_llama_that_transformers_loads():
    founder = scratch(TEXTS, vocab_size=400, seed=1)
    tensors = dict(founder.tensors())
    assert list(tensors) == sorted(tensors)
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == layout(read_config(founder.config))
    model = LlamaForCausalLM(LlamaConfig(**founder.config))
    assert model.load_state_dict(tensors, strict=False).missing_keys == ["lm_head.weight"]
    loss = model(torch.arange(64)[None], labels=torch.arange(64)[None]).loss
    assert loss.item() == pytest.approx(math.log(400), abs=0.1)


def test_weights_are_spread_as_promised():
    founder = scratch(TEXTS, vocab_size=400, seed=1)
    for name, tensor in founder.tensors():
        assert tensor.dtype == torch.float32
        if name.endswith("norm.weight"):
            assert (tensor == 1).all()
            continue
        deviation = 0.02 / math.sqrt(8) if "o_proj" in name or "down_proj" in name else 0.02
        assert tensor.std().item() == pytest.approx(deviation, rel=0.05), name
        assert abs(tensor.mean().item()) < deviation / 20


def test_the_seed_decides_everything():
    one, same, other = (scratch(TEXTS, vocab_size=400, seed=seed) for seed in (1, 1, 2))
    assert one.tokenizer_json == same.tokenizer_json and one.config == same.config
    for (name, a), (_, b), (_, c) in zip(one.tensors(), same.tensors(), other.tensors(), strict=True):
        assert torch.equal(a, b) and (torch.equal(a, c) == name.endswith("norm.weight"))
    assert one.origin != other.origin and canonical_json(one.origin) and canonical_json(one.config)


@pytest.mark.parametrize(
    ("size", "vocabulary", "body", "whole"),
    [("tiny", 2048, 0.8, 1.0), ("mini", 8192, 6.3, 8.4), ("small", 16384, 29.5, 37.9)],
)
def test_sizes_are_what_the_docstring_says(size, vocabulary, body, whole):
    config = scratch(TEXTS, size=size, vocab_size=300, seed=0).config
    count = read_config(config | {"vocab_size": vocabulary}).parameters
    assert round(count / 1e6, 1) == whole
    assert round((count - vocabulary * config["hidden_size"]) / 1e6, 1) == body
    assert f"{body} M" in scratch.__doc__ and f"{whole} M" in scratch.__doc__


def test_config_and_tokenizer_agree():
    founder = scratch(TEXTS, vocab_size=100_000, seed=0)
    tokenizer = Tokenizer.from_json(founder.tokenizer_json)
    assert founder.config["vocab_size"] == tokenizer.vocab_size < 100_000
    assert founder.config["eos_token_id"] == tokenizer.eos_id == 0
    assert set(founder.config) <= set(CONFIG_KEYS)


def test_what_cannot_be_made_is_said():
    with pytest.raises(PlanError) as caught:
        scratch(TEXTS, size="tny", vocab_size=300, seed=0)
    assert caught.value.hint == "did you mean 'tiny'?" and set(SIZES) == {"tiny", "mini", "small"}
    with pytest.raises(DataError):
        scratch([], vocab_size=300, seed=0)
