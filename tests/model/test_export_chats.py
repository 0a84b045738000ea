"""Chats with an export: where an answer ends, and the ids that its template makes of several turns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from germline.export import gguf_file, huggingface
from germline.export.consumers import Germline, LlamaCpp, Transformers
from germline.export.gguf_tokenizer import rendered
from germline.export.parity import CHAT, Parity, told
from germline.export.source import Source
from germline.model.gguf_import_tokenizer import tokenizer_json
from tests.model.test_export import held, source, through_llamacpp
from tests.model.test_families import ROWS, saved
from tests.model.test_tokenizer_gguf import metadata_of

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Source:
    return source(saved("llama", tmp_path_factory.mktemp("chats")))


@pytest.mark.parametrize("left_out", ["", "generation_config.json"])
def test_transformers_ends_where_germline_does(small: Source, left_out: str, tmp_path: Path) -> None:
    """Of several ends in a founder's config germline knows the first; what it says goes on beyond the others."""
    prompt = [5, 6, 7]
    passed_by = Germline(small).go_on(prompt, 3)[1]
    several = replace(small, config={**small.config, "eos_token_id": [small.end, passed_by]})
    said = Germline(several).go_on(prompt, 8)
    assert passed_by in said[:-1]
    huggingface.write_directory(several.config, several.tokenizer_json, several.weights, tmp_path / "hf")
    if left_out:
        (tmp_path / "hf" / left_out).unlink()
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "hf", dtype=torch.float32).eval()
    found = model.generate(torch.tensor([prompt]), max_new_tokens=8, do_sample=False)[0, len(prompt) :].tolist()
    assert [token for token in found if token != several.end] == said
    assert model.generation_config.eos_token_id == model.config.eos_token_id == several.end


def through_transformers(given: Source, folder: Path) -> Parity:
    huggingface.write_directory(given.config, given.tokenizer_json, given.weights, folder / "hf")
    parity = held(given, Transformers(folder / "hf", given.end), "hf")
    tokenizer = AutoTokenizer.from_pretrained(folder / "hf")
    chat = [{"role": "assistant" if turn.speaker == "persona" else "user", "content": turn.text} for turn in CHAT]
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert text == rendered(CHAT, given.end_name)
    return parity


THROUGH: dict[str, Callable[[Source, Path], Parity]] = {
    "hf": through_transformers,
    "f16": lambda given, folder: through_llamacpp(given, "f16", folder / "f16.gguf"),
}


@pytest.mark.parametrize("kind", THROUGH)
@pytest.mark.parametrize("vocabulary", ["byte level", "sentencepiece", "sentencepiece without a space before"])
def test_a_chat_that_is_read_otherwise_is_told(kind: str, vocabulary: str, tmp_path: Path) -> None:
    metadata = metadata_of("gpt-2" if vocabulary == "byte level" else vocabulary)
    (tmp_path / "model").mkdir()
    rows = {"vocab_size": max(ROWS, len(metadata["tokenizer.ggml.tokens"]))}
    given = replace(source(saved("llama", tmp_path / "model", rows)), tokenizer_json=tokenizer_json(metadata, tmp_path))
    parity = THROUGH[kind](given, tmp_path)
    assert not parity.failed and parity.chat is not None
    if vocabulary == "sentencepiece":
        assert parity.chat.startswith("from the answer to its first question on, at id ")
        assert "NOTE: its chat template gives a chat other ids than germline serves" in told(parity)
    else:
        assert parity.chat == "" and told(parity).endswith("A chat of two questions is read as germline reads it.")


def test_a_template_that_loses_a_turn_is_told(small: Source, tmp_path: Path) -> None:
    class Deaf(LlamaCpp):
        def controls(self, texts: list[str]) -> list[list[int]]:  # type: ignore[override]
            return super().controls([text.replace(CHAT[0].text, "") for text in texts])

    with (tmp_path / "f16.gguf").open("wb") as file:
        gguf_file.write(small, file, "f16")
    with Deaf(tmp_path / "f16.gguf", 64, small.end) as theirs:
        chat = held(small, theirs, "f16").chat
    assert chat and chat.startswith("in its first question, at id 0 ")


def test_an_adapter_has_no_template(small: Source, tmp_path: Path) -> None:
    huggingface.write_directory(small.config, small.tokenizer_json, small.weights, tmp_path / "hf")
    parity = held(small, Transformers(tmp_path / "hf", small.end), "adapter")
    assert parity.chat is None and "chat" not in told(parity)
