"""Hostile corpora: exact books, one reason for each refusal, the same delta twice, bounded memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from germline.model.gguf_import_tokenizer import tokenizer_json
from germline.tokenizer.text import Tokenizer
from tests.model.founder_files import byte_level_metadata
from tests.vault import hostile_rows


@pytest.mark.skipif(os.name == "nt", reason="measures memory as POSIX does")
def test_every_hostile_row_is_in_the_books(tmp_path: Path) -> None:
    found = hostile_rows.prove(tmp_path, count=400, seed=1)
    assert found["rows_in"] > 400
    assert found["kinds"] >= 20


def test_no_text_becomes_a_special_token(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_json(tokenizer_json(byte_level_metadata(), tmp_path))
    names = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    for name in names:
        for words in (name, f"a{name}b", name * 3, f" {name}\n", "\u200b".join(name), name.upper()):
            assert not {0, 1, 2} & {*tokenizer.encode(words)}
