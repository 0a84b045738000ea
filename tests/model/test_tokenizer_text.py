"""The wrapper that everything else encodes and decodes with."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as some
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers

from germline.errors import DataError, ModelError
from germline.export.texts import strings
from germline.tokenizer.text import Tokenizer
from germline.tokenizer.train import train

TEXTS = strings(500, seed=3)
DATA = train(TEXTS, vocab_size=600)
TOKENIZER = Tokenizer.from_json(DATA)


@given(some.text())
def test_every_text_comes_back_and_its_bytes_too(text):
    ids = TOKENIZER.encode(text)
    assert TOKENIZER.decode(ids) == text
    assert b"".join(map(TOKENIZER.token_bytes, ids)) == text.encode()


def byte_fallback() -> Tokenizer:
    """As Llama 2 and Mistral have it: a space before the first word, and a token for each byte."""
    names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "a", "b", "▁a"]
    vocabulary = {name: index for index, name in enumerate(names)}
    backend = Backend(models.BPE(vocabulary, [("▁", "a")], unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.add_special_tokens(["<unk>", "<s>", "</s>"])
    return Tokenizer.from_json(backend.to_str().encode(), eos_id=2)


SENTENCEPIECE = byte_fallback()


@pytest.mark.parametrize("tokenizer", [TOKENIZER, SENTENCEPIECE])
@given(text=some.text())
@example(text="\ufffd")
@example(text="\ufffd\ufffd\U0001f600")
def test_a_text_is_spelled_piece_by_piece(tokenizer, text):
    spell = tokenizer.speller()
    whole = tokenizer.decode(tokenizer.encode(text))
    assert "".join(map(spell, tokenizer.encode(text))) == whole


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        (["<0x0A>", "<0xF0>", "b", "a"], ["\n", "", "\ufffdb", "a"]),
        (["a", "<0xF0>", "b"], ["a", "", "\ufffdb"]),
        (["▁a", "<0xE2>", "<0x82>", "<0xAC>", "▁a"], ["a", "", "", "€", " a"]),
        (["a", "</s>", "▁a"], ["a", "", " a"]),
        (["a", *["<0xFF>"] * 4, "b"], ["a", *["\ufffd"] * 4, "b"]),
        (["a", "<0xEF>", "<0xBF>", "<0xBD>"], ["a", "", "", "\ufffd"]),
    ],
)
def test_bytes_that_are_no_text_end_no_answer(pieces, said):
    spell, ids = SENTENCEPIECE.speller(), json.loads(SENTENCEPIECE._backend.to_str())["model"]["vocab"]
    assert [spell(ids[piece]) for piece in pieces] == said


def test_a_batch_is_its_texts_one_by_one():
    assert TOKENIZER.encode_batch(TEXTS) == [TOKENIZER.encode(text) for text in TEXTS]
    assert TOKENIZER.encode_batch([]) == []


@pytest.mark.parametrize("name", ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
def test_special_names_in_text_are_text_and_special_ids_are_silent(name):
    text = f"say {name} and{name}{name} go"
    ids = TOKENIZER.encode(text)
    assert min(ids) > 2 and TOKENIZER.decode(ids) == text
    assert TOKENIZER.decode([0, *ids, 1, 2]) == text
    assert TOKENIZER.token_bytes(0) == b""


def test_nothing_is_added_cut_or_padded_whatever_the_file_says():
    backend = Backend.from_str(DATA.decode())
    backend.enable_truncation(3)
    backend.enable_padding(length=9)
    spec = json.loads(backend.to_str())
    spec["post_processor"] = {
        "type": "TemplateProcessing", "pair": [], "single": [
            {"SpecialToken": {"id": "<|im_start|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "special_tokens": {"<|im_start|>": {"id": "<|im_start|>", "ids": [1], "tokens": ["<|im_start|>"]}},
    }  # fmt: skip
    changed = Tokenizer.from_json(json.dumps(spec).encode())
    assert changed.encode_batch(TEXTS) == TOKENIZER.encode_batch(TEXTS)


def test_the_id_that_ends_a_document():
    assert TOKENIZER.eos_id == 0 and Tokenizer.from_json(DATA, eos_id=2).eos_id == 2
    nameless = Backend(models.BPE({"a": 0}, [])).to_str().encode()
    assert Tokenizer.from_json(nameless, eos_id=0).eos_id == 0
    for wrong in (None, 1):
        with pytest.raises(ModelError, match="no token that ends a document"):
            Tokenizer.from_json(nameless, eos_id=wrong)


def test_what_cannot_be_read_or_encoded_is_said():
    with pytest.raises(ModelError, match="the tokenizer cannot be read"):
        Tokenizer.from_json(b"{}")
    with pytest.raises(DataError, match="lone surrogates"):
        TOKENIZER.encode("\ud800")
    assert TOKENIZER.token_bytes(600) == b""  # as in a model whose table of words is rounded up
    words = Backend(models.WordLevel({"<eos>": 0, "a": 1}, unk_token="<eos>")).to_str().encode()
    with pytest.raises(ModelError, match="bytes of a token are not known"):
        Tokenizer.from_json(words).token_bytes(1)
