"""A `tokenizers` JSON as the `tokenizer.ggml.*` keys of a GGUF.

llama.cpp knows how to cut text into words by name only, and so does what is here: a tokenizer that cuts otherwise than
any name says is refused. The same of normalizers: llama.cpp has none but SentencePiece's spaces, so NFC (Qwen) is left
out and told. Nothing is added to a text (no BOS, no EOS) but what opens every text here, too (Gemma). That the ids
really are the same is not believed but shown: see `parity`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tokenizers
from gguf import TokenType

from germline.errors import ModelError
from germline.model.gguf_import_tokenizer import PATTERNS, TAKEN_WHOLE, WORDS
from germline.records import Turn

RAW_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}{{ message['content'] + eos_token }}"
    "{% else %}{{ message['content'] + '\\n' }}{% endif %}{% endfor %}"
)
"""What `curriculum.render.prompt` does, in Jinja: no role tags, no system prompt; EOS after the persona's turns."""

Part = Mapping[str, Any]


def rendered(turns: Sequence[Turn], end: str) -> str:
    """What `RAW_TEMPLATE` makes of a chat; `end` is what the token is called that ends the persona's turns."""
    return "".join(turn.text + (end if turn.speaker == "persona" else "\n") for turn in turns)


@dataclass(frozen=True, slots=True)
class Written:
    keys: dict[str, Any]
    """`tokenizer.ggml.*` without the prefix."""
    normalized: bool = False
    """germline brings text into NFC first, llama.cpp does not."""


def written(tokenizer_json: bytes, rows: int, config: Mapping[str, Any], *, opening: tuple[int, ...] = ()) -> Written:
    """The vocabulary of `rows` ids, unused ones filled up. ModelError for what llama.cpp has no name for."""
    told = json.loads(tokenizers.Tokenizer.from_str(tokenizer_json.decode()).to_str())  # older forms leave keys out
    model = told["model"]
    if model["type"] != "BPE":
        raise _refuse(f"a vocabulary of the kind {model['type']}")
    if model.get("dropout") or model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
        raise _refuse("BPE with dropout, prefixes or suffixes")
    added = {token["id"]: token for token in told["added_tokens"]}
    names = {index: piece for piece, index in model["vocab"].items()}
    names |= {index: token["content"] for index, token in added.items()}
    tokens = [names.get(index, f"[PAD{index}]") for index in range(rows)]
    if len(set(tokens)) != len(tokens) or max(names) >= rows:
        raise _refuse(f"{len(names):,} tokens, two of one name or more than the model's {rows:,}")
    kinds = [_kind(names.get(index), added.get(index), model) for index in range(rows)]
    own = _sentencepiece(told, tokens, kinds) if model.get("byte_fallback") else _byte_level(told)
    keys = {**own, "tokens": tokens, "token_type": kinds, "add_bos_token": bool(opening), "add_eos_token": False}
    if opening:
        config = {**config, "bos_token_id": opening[0]}
    return Written(keys | _special(tokens, kinds, config), normalized=_is_nfc(told["normalizer"]))


def _special(tokens: list[str], kinds: list[int], config: Mapping[str, Any]) -> dict[str, int]:
    eos = config["eos_token_id"]
    told = {"bos": config.get("bos_token_id"), "eos": eos[0] if isinstance(eos, list) else eos,
            "padding": config.get("pad_token_id")}  # fmt: skip
    if TokenType.UNKNOWN in kinds:
        told["unknown"] = kinds.index(TokenType.UNKNOWN)
    return {
        f"{name}_token_id": index for name, index in told.items() if type(index) is int and 0 <= index < len(tokens)
    }


def _kind(name: str | None, added: Part | None, model: Part) -> int:
    if name is None:
        return int(TokenType.UNUSED)
    if name == model.get("unk_token"):
        return int(TokenType.UNKNOWN)
    if added is not None:
        return int(TokenType.CONTROL if added["special"] else TokenType.USER_DEFINED)
    byte = model.get("byte_fallback") and len(name) == 6 and name.startswith("<0x") and name.endswith(">")
    return int(TokenType.BYTE if byte else TokenType.NORMAL)


def _byte_level(told: Part) -> dict[str, Any]:
    if told["normalizer"] is not None and not _is_nfc(told["normalizer"]):
        raise _refuse(f"the normalizer {told['normalizer']['type']}")
    cuts, whole = _cuts(told["pre_tokenizer"]), bool(told["model"].get("ignore_merges"))
    named = (name for name, patterns in PATTERNS.items() if tuple(map(_plain, patterns)) == cuts)
    name = next((name for name in named if (name in TAKEN_WHOLE) == whole), None)
    if name is None:
        raise _refuse("a pre-tokenizer that cuts text as this one does")
    merges = [" ".join(merge) if isinstance(merge, list) else merge for merge in told["model"]["merges"]]
    return {"model": "gpt2", "pre": name, "merges": merges}


def _cuts(pre_tokenizer: Part | None) -> tuple[str, ...]:
    """The patterns that cut text one after the other, before bytes become letters."""
    if pre_tokenizer is None:
        raise _refuse("byte-level BPE without a pre-tokenizer")
    found: list[str] = []
    for part in pre_tokenizer.get("pretokenizers", [pre_tokenizer]):
        if part["type"] == "Digits" and part["individual_digits"]:
            found.append(r"\p{N}")
        elif part["type"] == "Split" and part["behavior"] == "Isolated" and not part["invert"]:
            found.append(_plain(part["pattern"].get("Regex", "")))
        elif part["type"] == "ByteLevel" and not part["add_prefix_space"]:
            found += [_plain(WORDS)] if part.get("use_regex", True) else []
        else:
            raise _refuse(f"a pre-tokenizer that cuts by {part['type']} like this")
    return tuple(found)


def _plain(pattern: str) -> str:
    """Without the alternative that takes what is left of spaces: they are left over as a piece either way."""
    return pattern.removesuffix(r"|\s+")


def _sentencepiece(told: Part, tokens: list[str], kinds: list[int]) -> dict[str, Any]:
    """Pieces with scores. Merges are done best score first there, first in the list here: so ranks become scores."""
    prefix = _space_prefix(told["normalizer"], told["pre_tokenizer"])
    ranks: dict[str, int] = {}
    for rank, merge in enumerate(told["model"]["merges"]):
        ranks.setdefault("".join(merge) if isinstance(merge, list) else merge.replace(" ", ""), rank)
    last = len(told["model"]["merges"])
    scores = [
        -float(ranks.get(token, last)) if kind == TokenType.NORMAL else 0.0
        for token, kind in zip(tokens, kinds, strict=True)
    ]
    return {"model": "llama", "pre": "default", "scores": scores, "add_space_prefix": prefix}


def _space_prefix(normalizer: Part | None, pre_tokenizer: Part | None) -> bool:
    """Whether a text begins with a space more. ModelError for spaces treated in any way but SentencePiece's."""
    parts = (normalizer or {}).get("normalizers", [normalizer] if normalizer else [])
    steps = [(part["type"], part.get("prepend"), part.get("pattern"), part.get("content")) for part in parts]
    replace = ("Replace", None, {"String": " "}, "▁")
    if pre_tokenizer is not None and pre_tokenizer["type"] == "Metaspace" and not steps:
        if pre_tokenizer["replacement"] == "▁" and not pre_tokenizer.get("split", True):
            return bool(pre_tokenizer["prepend_scheme"] != "never")
    elif steps == [replace] and (pre_tokenizer is None or pre_tokenizer["type"] == "Split"):
        return False  # Gemma splits at spaces, of which there are none left
    elif steps == [("Prepend", "▁", None, None), replace] and pre_tokenizer is None:
        return True
    raise _refuse("a SentencePiece vocabulary with this normalizer and pre-tokenizer")


def _is_nfc(normalizer: Part | None) -> bool:
    return normalizer is not None and normalizer["type"] == "NFC"


def _refuse(what: str) -> ModelError:
    return ModelError(f"llama.cpp has no name for {what}", hint="germline export --to hf keeps the tokenizer as it is")
