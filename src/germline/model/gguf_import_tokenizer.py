"""A `tokenizers` JSON rebuilt from the vocabulary in a GGUF file's `tokenizer.ggml.*` metadata.

It gives the ids that llama.cpp gives for the same text (tests hold both side by side), but for user-defined
tokens that overlap in a text: here the leftmost is taken, as SentencePiece and Hugging Face do; llama.cpp
takes the longest. A GGUF names its pre-tokenizer but no normalizer, so there is none: a model whose original
tokenizer normalized text (NFC in Qwen2) is given text as it is, as llama.cpp does. `add_bos` and `add_eos`
are not built in.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gguf import TokenType

from germline.errors import ModelError

WORDS = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_DEFAULT = (r"[\p{P}\$\+<=>\^~\|]+", WORDS, r"\p{N}+", r"[0-9][0-9][0-9]")
PATTERNS = {
    "default": _DEFAULT,
    "gpt-2": (WORDS,),
    "smollm": (r"\p{N}", WORDS),
    "llama-bpe": (_LLAMA3,),
    "llama3": (_LLAMA3,),
    "llama-v3": (_LLAMA3,),
    "qwen2": (_LLAMA3.replace("{1,3}", ""),),
}
"""`tokenizer.ggml.pre` -> the patterns that cut text one after the other, as in llama.cpp."""

LONGEST_TOKEN = 1_000
"""Characters. Every way to cut a SentencePiece token in two is tried."""

TAKEN_WHOLE = frozenset({"llama-bpe", "llama3", "llama-v3"})
"""Where a word that is in the vocabulary is taken whole, whatever the merges say."""


def tokenizer_json(metadata: dict[str, Any], path: Path) -> bytes:
    """The tokenizer as the bytes of a tokenizer.json. Deterministic. ModelError names `path`."""
    kinds = {"gpt2": _byte_level, "llama": _sentencepiece}
    kind = metadata.get("tokenizer.ggml.model")
    if kind not in kinds:
        raise ModelError(
            f"{path}: the tokenizer model {kind!r} is not supported", hint=f"supported: {', '.join(kinds)}"
        )
    try:
        tokens, types = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
        if len(set(tokens)) != len(tokens) or len(types) != len(tokens) or max(map(len, tokens)) > LONGEST_TOKEN:
            problem = f"a token comes twice, has no type or more than {LONGEST_TOKEN:,} characters"
            raise ModelError(f"{path}: its vocabulary is damaged: {problem}")
        parts = kinds[kind](metadata, path)
    except KeyError as missing:
        raise ModelError(f"{path}: the tokenizer has no {missing.args[0]}") from missing
    whole = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": _added(tokens, types)}
    whole |= {"post_processor": None, **parts}
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def _added(tokens: list[str], types: list[int]) -> list[dict[str, Any]]:
    """Control tokens (special) and user-defined ones (matched whole in any text, not special)."""
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    special = (TokenType.CONTROL, TokenType.UNKNOWN)
    return [
        {"id": index, "content": token, **plain, "special": type_ in special}
        for index, (token, type_) in enumerate(zip(tokens, types, strict=True))
        if type_ in special or type_ == TokenType.USER_DEFINED
    ]


def _bpe(tokens: list[str], merges: list[list[str]], **options: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
    }
    plain |= {"end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False}
    return plain | options | {"vocab": {token: index for index, token in enumerate(tokens)}, "merges": merges}


def _byte_level(metadata: dict[str, Any], path: Path) -> dict[str, Any]:
    """GPT-2's kind: every token is spelled in 256 letters that stand for bytes, and merges are listed."""
    pre = metadata.get("tokenizer.ggml.pre")
    if pre not in PATTERNS:
        known = f"known: {', '.join(sorted(PATTERNS))}"
        raise ModelError(f"{path}: the pre-tokenizer {pre!r} is not known to germline", hint=known)
    merges = [merge.split(" ") for merge in metadata["tokenizer.ggml.merges"]]
    if any(len(merge) != 2 for merge in merges):
        raise ModelError(f"{path}: its merges are damaged: one of them is not a pair")
    bytes_ = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    cuts = [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        for pattern in PATTERNS[pre]
    ]
    return {
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [*cuts, bytes_]},
        "decoder": bytes_,
        "model": _bpe(metadata["tokenizer.ggml.tokens"], merges, ignore_merges=pre in TAKEN_WHOLE),
    }


def _sentencepiece(metadata: dict[str, Any], path: Path) -> dict[str, Any]:
    """SentencePiece's kind: `▁` is a space, pieces have scores, unknown characters fall into bytes."""
    tokens, types = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    scores = metadata["tokenizer.ggml.scores"]
    if len(scores) != len(tokens):
        raise ModelError(f"{path}: its vocabulary is damaged: a token has no score")
    unknown = next((token for token, type_ in zip(tokens, types, strict=True) if type_ == TokenType.UNKNOWN), None)
    prefix = metadata.get("tokenizer.ggml.add_space_prefix", True)
    spaces = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    back = [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    strip = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
    return {
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, spaces]}
        if prefix
        else spaces,
        "pre_tokenizer": None,
        "decoder": {"type": "Sequence", "decoders": [*back, strip] if prefix else back},
        "model": _bpe(tokens, _merges(tokens, types, scores), unk_token=unknown, fuse_unk=True, byte_fallback=True),
    }


def _merges(tokens: list[str], types: list[int], scores: list[float]) -> list[list[str]]:
    """Every way to make a piece of two pieces, best score first: what SentencePiece decides as it goes.

    Only normal pieces merge, so that no text can spell a control token or a byte token.
    """
    normal = [i for i, type_ in enumerate(types) if type_ == TokenType.NORMAL]
    pieces = {tokens[i]: i for i in normal}
    pairs = [
        (-scores[i], pieces[left], pieces[right], left, right)
        for i in normal
        for left, right in ((tokens[i][:cut], tokens[i][cut:]) for cut in range(1, len(tokens[i])))
        if left in pieces and right in pieces
    ]
    return [[left, right] for *_, left, right in sorted(pairs)]
