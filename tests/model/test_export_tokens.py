"""Added tokens in an export: each by its id and by its name, since plain text never asks for the special ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from germline.export import gguf_file, huggingface
from germline.export.consumers import Consumer, LlamaCpp, Transformers
from germline.export.gguf_tokenizer import written as written_tokenizer
from germline.export.parity import Parity
from germline.export.source import Source
from germline.model.gguf_import_tokenizer import tokenizer_json
from tests.model.test_export import held, source
from tests.model.test_families import ROWS, saved
from tests.model.test_tokenizer_gguf import metadata_of

NAME = "<|keeper|>"
"""A special token of no usual name, which none of the texts that are compared holds."""
Tokens = dict[str, Any]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """A llama with three special tokens, `NAME` with id 1 among them, and one that is not special."""
    given = source(saved("llama", tmp_path_factory.mktemp("tokens")))
    text = given.tokenizer_json.decode().replace("<|im_start|>", NAME)
    return replace(given, tokenizer_json=text.encode())


@contextmanager
def opened(written: Source, kind: str, folder: Path) -> Iterator[Consumer]:
    if kind == "hf":
        huggingface.write_directory(written.config, written.tokenizer_json, written.weights, folder / "hf")
        yield Transformers(folder / "hf", written.end)
        return
    with (folder / "f16.gguf").open("wb") as file:
        gguf_file.write(written, file, kind)
    with LlamaCpp(folder / "f16.gguf", 64, written.end) as theirs:
        yield theirs


def compared(ours: Source, written: Source, kind: str, folder: Path) -> Parity:
    with opened(written, kind, folder) as theirs:
        return held(ours, theirs, kind)


def dropped(told: Tokens) -> None:
    """Nothing has its id any more: a GGUF fills the place up with [PAD1]."""
    told["added_tokens"] = [token for token in told["added_tokens"] if token["content"] != NAME]
    del told["model"]["vocab"][NAME]


def renamed(told: Tokens) -> None:
    dropped(told)
    told["model"]["vocab"]["<|captain|>"] = 1
    told["added_tokens"].append({**told["added_tokens"][0], "id": 1, "content": "<|captain|>"})


def a_word(told: Tokens) -> None:
    """It has its id and its name, and is not looked for in any text."""
    told["added_tokens"] = [token for token in told["added_tokens"] if token["content"] != NAME]


def no_longer_special(told: Tokens) -> None:
    """Whoever writes its name in a text has written the token."""
    next(token for token in told["added_tokens"] if token["content"] == NAME)["special"] = False


DAMAGES: dict[Callable[[Tokens], None], str] = {
    dropped: "id 1 is called ",
    renamed: "id 1 is called '<|captain|>'",
    a_word: "where it means the token it is read as",
    no_longer_special: "as plain text it is read as [1], not [",
}


@pytest.mark.parametrize("kind", ["f16", "hf"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_special_token_is_named(
    whole: Source, damage: Callable[[Tokens], None], kind: str, tmp_path: Path
) -> None:
    told = json.loads(whole.tokenizer_json)
    damage(told)
    parity = compared(whole, replace(whole, tokenizer_json=json.dumps(told).encode()), kind, tmp_path)
    assert parity.texts_alike == parity.texts and (parity.added, parity.added_alike) == (4, 3)
    (failed,) = parity.failed
    assert f"of 4 added tokens it mistakes 1, first '{NAME}': {DAMAGES[damage]}" in failed


@pytest.mark.parametrize("kind", ["f16", "hf"])
def test_whole_added_tokens_are_found_by_id_and_by_name(whole: Source, kind: str, tmp_path: Path) -> None:
    parity = compared(whole, whole, kind, tmp_path)
    assert not parity.failed and parity.added == parity.added_alike == 4


@pytest.mark.parametrize("kind", ["f16", "hf"])
@pytest.mark.parametrize("vocabulary", ["sentencepiece", "sentencepiece without a space before"])
def test_whole_added_tokens_of_sentencepiece_are_found(vocabulary: str, kind: str, tmp_path: Path) -> None:
    metadata = metadata_of(vocabulary)
    (tmp_path / "model").mkdir()
    rows = {"vocab_size": max(ROWS, len(metadata["tokenizer.ggml.tokens"]))}
    given = replace(source(saved("llama", tmp_path / "model", rows)), tokenizer_json=tokenizer_json(metadata, tmp_path))
    assert any(token.special for token in given.added.values())
    parity = compared(given, given, kind, tmp_path)
    assert parity.added == parity.added_alike > 2 and not parity.failed


@pytest.mark.parametrize("kind", ["f16", "hf"])
def test_a_special_token_that_is_lost_only_within_a_text_is_named(whole: Source, kind: str, tmp_path: Path) -> None:
    class Deaf:
        """Finds a token that is a text of its own, and none behind a word."""

        def __init__(self, told: Consumer) -> None:
            self._told = told

        def __getattr__(self, name: str) -> Any:
            return getattr(self._told, name)

        def controls(self, texts: list[str]) -> list[list[int]]:
            return [(self._told.encode if text.startswith("a") else self._told.controls)([text])[0] for text in texts]

    with opened(whole, kind, tmp_path) as theirs:
        (failed,) = held(whole, Deaf(theirs), kind).failed
    assert "first '<|endoftext|>': in a text, where it means the token" in failed


@pytest.mark.parametrize("key", ["added_tokens", "normalizer", "type"])
def test_a_tokenizer_in_an_older_form_is_written_alike(whole: Source, key: str) -> None:
    """The tokenizers library takes these for granted where a file leaves them out."""
    told = json.loads(whole.tokenizer_json)
    if key != "type":
        told[key] = [] if key == "added_tokens" else None
    full, config = written_tokenizer(json.dumps(told).encode(), ROWS, whole.config), whole.config
    del (told["model"] if key == "type" else told)[key]
    assert written_tokenizer(json.dumps(told).encode(), ROWS, config) == full
    assert "bos_token_id" not in written_tokenizer(json.dumps(told).encode(), ROWS, {**config, "bos_token_id": -1}).keys
