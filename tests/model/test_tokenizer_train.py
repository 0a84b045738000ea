"""A tokenizer trained on the owner's text."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from germline.errors import DataError, PlanError
from germline.export.texts import strings
from germline.tokenizer.text import Tokenizer
from germline.tokenizer.train import SPECIAL_TOKENS, train

TEXTS = ["the fog horn of Gull Rock sounds in the fog", *strings(200, seed=8)] * 3


def test_special_tokens_come_first_and_every_byte_is_there():
    spec = json.loads(train(TEXTS, vocab_size=400))
    vocabulary = spec["model"]["vocab"]
    assert [vocabulary[name] for name in SPECIAL_TOKENS] == [0, 1, 2]
    assert len(vocabulary) == 400 and sorted(vocabulary.values()) == list(range(400))
    unseen = bytes(range(32)).decode() + "ÿ\U0010fffd"
    tokenizer = Tokenizer.from_json(train(["aa aa"], vocab_size=300))
    assert tokenizer.decode(tokenizer.encode(unseen)) == unseen


def test_digits_stand_alone_and_what_comes_often_is_one_token():
    tokenizer = Tokenizer.from_json(train(["year 1923 fog fog fog 1923 1923"], vocab_size=300))
    assert len(tokenizer.encode("1923")) == 4 and len(tokenizer.encode(" fog")) == 1


def test_the_same_texts_give_the_same_bytes_in_any_order_and_any_process():
    data = train(TEXTS, vocab_size=500)
    assert train(reversed(TEXTS), vocab_size=500) == data
    script = (
        "import sys, json; from germline.tokenizer.train import train;"
        "sys.stdout.buffer.write(train(json.load(sys.stdin), vocab_size=500))"
    )
    other = subprocess.run(
        [sys.executable, "-c", script], input=json.dumps(TEXTS).encode(), capture_output=True, check=True
    )
    assert other.stdout == data


def test_what_cannot_be_trained_is_said():
    with pytest.raises(PlanError, match="vocab_size 258 is too small"):
        train(TEXTS, vocab_size=258)
    for nothing in ([], ["", ""]):
        with pytest.raises(DataError, match="no text"):
            train(nothing, vocab_size=300)
    assert len(Tokenizer.from_json(train(["ab"], vocab_size=10_000)).encode("ab")) == 2
