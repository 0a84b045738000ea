"""A founder from a Hugging Face directory, as transformers saves it."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

from germline.errors import ModelError
from germline.model.founder import CONFIG_KEYS
from germline.model.founder_directory import INDEX
from germline.model.founder_source import read_founder
from germline.model.gguf_import_tokenizer import tokenizer_json
from germline.records import canonical_json
from germline.tokenizer.text import Tokenizer
from tests.model.founder_files import byte_level_metadata

TOKENIZER = tokenizer_json(byte_level_metadata(), None)
ROWS = len(byte_level_metadata()["tokenizer.ggml.tokens"])
LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip


def save(directory, *, shard="1GB", dtype=torch.float32, **changes):
    shape = {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "vocab_size": ROWS,
    }
    shape |= {
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
        "tie_word_embeddings": True,
        "eos_token_id": 2,
    }
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**(shape | changes))).to(dtype)
    model.save_pretrained(directory, max_shard_size=shard)
    (directory / "tokenizer.json").write_bytes(TOKENIZER)
    return model


def edit(path, change):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def refusal(source):
    with pytest.raises(ModelError) as caught:
        read_founder(str(source))
    return caught.value


@pytest.mark.parametrize("shard", ["1GB", "60KB"], ids=["single", "sharded"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_round_trip(tmp_path, shard, dtype, tied):
    model = save(tmp_path, shard=shard, dtype=dtype, tie_word_embeddings=tied)
    assert (tmp_path / INDEX).exists() == (shard == "60KB")
    founder = read_founder(str(tmp_path))
    expected = model.state_dict()
    if tied:
        del expected["lm_head.weight"]
    found = list(founder.tensors())
    assert [name for name, _ in found] == sorted(expected)
    assert all(tensor.dtype == dtype and torch.equal(tensor, expected[name]) for name, tensor in found)
    assert founder.tokenizer_json == TOKENIZER
    assert founder.config["torch_dtype"] == str(dtype).removeprefix("torch.")
    assert founder.config["tie_word_embeddings"] is tied
    assert LlamaConfig(**founder.config).rope_parameters == model.config.rope_parameters
    assert founder.config["rope_theta"] == 10000.0 and "rope_scaling" not in founder.config


def test_config_is_reduced_to_what_is_allowed_and_in_one_spelling(tmp_path):
    save(tmp_path, rope_parameters={"rope_theta": 500000.0, **LLAMA3})
    new = read_founder(str(tmp_path)).config
    edit(tmp_path / "config.json", lambda raw: raw.update(auto_map={"AutoModel": "evil.Model"}, my_note="x"))

    def as_transformers_4_wrote_it(raw):
        raw["torch_dtype"] = raw.pop("dtype")
        raw.pop("rope_parameters")
        raw["rope_theta"], raw["rope_scaling"] = 500000.0, {**LLAMA3, "type": "llama3"}
        raw["rope_scaling"].pop("rope_type")

    edit(tmp_path / "config.json", as_transformers_4_wrote_it)
    old = read_founder(str(tmp_path)).config
    assert old == new and canonical_json(old)
    assert set(new) <= set(CONFIG_KEYS) and None not in new.values()
    assert new["rope_theta"] == 500000.0 and new["rope_scaling"] == LLAMA3


def test_origin_names_and_hashes_every_file_that_was_read(tmp_path):
    save(tmp_path, shard="60KB")
    (tmp_path / "README.md").write_text("---\nlanguage: en\nlicense: apache-2.0\n---\n# A model\n")
    origin = read_founder(str(tmp_path)).origin
    shards = sorted(path.name for path in tmp_path.glob("*.safetensors"))
    assert list(origin["files"]) == ["config.json", "tokenizer.json", *shards]
    assert origin["license"] == "apache-2.0" and origin["kind"] == "directory"
    assert str(tmp_path) not in json.dumps(origin)


def test_a_stored_copy_of_the_tied_embedding_is_dropped_and_another_head_refused(tmp_path):
    save(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    embedding = tensors["model.embed_tokens.weight"]
    buffer = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(8)}
    save_file({**tensors, **buffer, "lm_head.weight": embedding.clone()}, tmp_path / "model.safetensors")
    assert {name for name, _ in read_founder(str(tmp_path)).tensors()} == set(tensors)
    save_file({**tensors, "lm_head.weight": embedding + 1}, tmp_path / "model.safetensors")
    assert "lm_head.weight differs from model.embed_tokens.weight" in refusal(tmp_path).message


def test_an_untied_model_without_a_head_is_refused(tmp_path):
    save(tmp_path)
    edit(tmp_path / "config.json", lambda raw: raw.update(tie_word_embeddings=False))
    assert "lm_head.weight is missing" in refusal(tmp_path).message


def test_eos_comes_from_known_names_when_the_config_is_silent(tmp_path):
    save(tmp_path)
    edit(tmp_path / "config.json", lambda raw: raw.pop("eos_token_id"))
    assert read_founder(str(tmp_path)).config["eos_token_id"] == 0


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_missing_file_is_named(tmp_path, name):
    save(tmp_path)
    (tmp_path / name).unlink()
    error = refusal(tmp_path)
    assert str(tmp_path / name) in error.message and "a model directory holds config.json" in error.hint


def test_weights_that_are_there_twice_are_refused(tmp_path):
    """transformers takes the single file, and the index names the shards: which is the model is its owner's to say."""
    save(tmp_path, shard="60KB")
    save_file({"model.norm.weight": torch.ones(64)}, tmp_path / "model.safetensors")
    told = refusal(tmp_path)
    assert "holds weights twice" in told.message and "delete" in told.hint


@pytest.mark.parametrize("value", [-1, [1], "<s>", True, ROWS, 2**32 - 1], ids=str)
def test_an_id_without_a_row_is_no_token(tmp_path, value):
    save(tmp_path)
    edit(tmp_path / "config.json", lambda config: config.update(bos_token_id=value, pad_token_id=1))
    config = read_founder(str(tmp_path)).config
    assert "bos_token_id" not in config and (config["pad_token_id"], config["eos_token_id"]) == (1, 2)


def test_a_control_token_without_a_row_is_left_out_and_a_word_is_not(tmp_path):
    """Gemma 3's text models have one for images, one past their last row: no text is encoded to it."""
    save(tmp_path)
    extra = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}

    def add(special):
        token = {"id": ROWS, "content": "<image_soft_token>", **extra, "special": special}
        (tmp_path / "tokenizer.json").write_bytes(TOKENIZER)
        edit(tmp_path / "tokenizer.json", lambda told: told["added_tokens"].append(token))

    add(special=True)
    founder = read_founder(str(tmp_path))
    assert json.loads(founder.tokenizer_json) == json.loads(TOKENIZER)
    tokenizer = Tokenizer.from_json(founder.tokenizer_json, eos_id=2)
    assert tokenizer.vocab_size <= ROWS and max(tokenizer.encode("an <image_soft_token> in")) < ROWS
    add(special=False)
    assert f"ids up to {ROWS}" in refusal(tmp_path).message


def test_a_missing_shard_and_a_lying_index(tmp_path):
    save(tmp_path, shard="60KB")
    shard = min(tmp_path.glob("*.safetensors"))
    saved = shard.read_bytes()
    shard.unlink()
    assert f"{shard} is missing" in refusal(tmp_path).message
    shard.write_bytes(saved)
    edit(tmp_path / INDEX, lambda raw: raw["weight_map"].update({"model.extra.weight": shard.name}))
    assert "disagree about model.extra.weight" in refusal(tmp_path).message
    edit(tmp_path / INDEX, lambda raw: raw["weight_map"].update({"model.extra.weight": "../x.safetensors"}))
    assert "no safetensors file beside it" in refusal(tmp_path).message
    edit(tmp_path / INDEX, lambda raw: raw.pop("weight_map"))
    assert "has no weight_map" in refusal(tmp_path).message
    (tmp_path / INDEX).unlink()
    assert "the weights are in" in refusal(tmp_path).message


@pytest.mark.parametrize("damage", ["truncated", "empty", "garbage", "header"])
@pytest.mark.parametrize("shard", ["1GB", "60KB"], ids=["single", "sharded"])
def test_damaged_weights_name_the_file(tmp_path, damage, shard):
    save(tmp_path, shard=shard)
    path = max(tmp_path.glob("*.safetensors"))
    whole = path.read_bytes()
    path.write_bytes(
        {
            "truncated": whole[:-1],
            "empty": b"",
            "garbage": bytes(64),
            "header": whole[:9] + b"\xff" + whole[10:],
        }[damage]
    )
    assert f"{path}: cannot be read as safetensors" in refusal(tmp_path).message


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "consolidated.00.pth"])
def test_pickled_weights_are_never_opened(tmp_path, name):
    save(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / name).write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    error = refusal(tmp_path)
    assert name in error.message and "never read" in error.message and "save_pretrained" in error.hint


def test_a_tokenizer_model_alone_is_not_enough(tmp_path):
    save(tmp_path)
    (tmp_path / "tokenizer.json").rename(tmp_path / "tokenizer.model")
    assert "tokenizer.model alone is not read" in refusal(tmp_path).hint


BAD_CONFIGS = {
    "quantized": ({"quantization_config": {"bits": 4}}, "a quantized model cannot be a founder"),
    "per layer": ({"rope_parameters": {"full_attention": {"rope_theta": 1.0}}}, "differ between layers"),
    "rope": ({"rope_parameters": "yarn"}, "is not an object"),
    "rows": ({"vocab_size": 10}, "the tokenizer has ids up to"),
    "no rows": ({"vocab_size": None}, "'vocab_size' is missing"),
    "eos": ({"eos_token_id": ROWS}, f"eos_token_id {ROWS} is not an id below {ROWS}"),
    "eos words": ({"eos_token_id": ["</s>"]}, "eos_token_id '</s>' is not an id"),
}


@pytest.mark.parametrize("case", BAD_CONFIGS)
def test_a_config_that_cannot_be_followed(tmp_path, case):
    save(tmp_path)
    change, words = BAD_CONFIGS[case]
    edit(tmp_path / "config.json", lambda raw: raw.update(change))
    assert words in refusal(tmp_path).message


@pytest.mark.parametrize("text", ["{", "[]", "\x00", "\ufffe"])
def test_a_config_or_tokenizer_that_is_no_json(tmp_path, text):
    save(tmp_path)
    (tmp_path / "tokenizer.json").write_text(text)
    assert "the tokenizer cannot be read" in refusal(tmp_path).message
    (tmp_path / "config.json").write_text(text)
    assert str(tmp_path / "config.json") in refusal(tmp_path).message


def test_weights_stored_in_a_type_that_is_not_plain_floats(tmp_path):
    save(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    save_file({**tensors, "model.norm.weight": torch.zeros(64, dtype=torch.int8)}, tmp_path / "model.safetensors")
    assert "stores weights as I8" in refusal(tmp_path).message


def test_other_sources(tmp_path):
    for nowhere in ("somebody/some-model", "~nosuchuser/model"):
        assert "downloads nothing" in refusal(nowhere).hint
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"")
    assert "is not a .gguf file" in refusal(file).message
