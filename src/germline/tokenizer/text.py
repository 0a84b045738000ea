"""The one way the rest of the house turns text into ids and ids into text."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cached_property
from typing import Any

import tokenizers

from germline.errors import DataError, ModelError

EOS_NAMES = ("<|endoftext|>", "</s>", "<|end_of_text|>", "<eos>", "<|im_end|>", "<|eot_id|>")
"""What end of text is called, tried in this order when nothing else says it."""


class Tokenizer:
    """A `tokenizers` JSON, used for plain text only.

    Nothing is added to what is encoded (no BOS, EOS or template, no truncation or padding), and a special
    token's name inside a text is text: its id never comes out of `encode`. Control ids are put in by number.
    A byte that the vocabulary lacks is dropped (SmolLM2 lacks six control characters: 04 06 13 14 16 1d).
    """

    def __init__(self, backend: tokenizers.Tokenizer, *, eos_id: int) -> None:
        """Takes `backend` over: it is changed. `eos_id` is the id that ends a document."""
        backend.no_truncation()
        backend.no_padding()
        backend.encode_special_tokens = True
        self._backend = backend
        self.eos_id = eos_id
        self.vocab_size = max(backend.get_vocab(with_added_tokens=True).values(), default=-1) + 1
        """One more than the highest id."""

    @classmethod
    def from_json(cls, data: bytes, *, eos_id: int | None = None) -> Tokenizer:
        """The tokenizer in the bytes of a tokenizer.json.

        Without `eos_id` the first of `EOS_NAMES` in the vocabulary ends a document. ModelError when the
        bytes are no tokenizer, when no id ends a document, or when a special token's name, written in a
        text, would come out as its id (a vocabulary in which that name is an ordinary word).
        """
        try:
            backend = tokenizers.Tokenizer.from_str(data.decode("utf-8"))
        except (KeyboardInterrupt, MemoryError):
            raise
        except BaseException as error:  # the library raises Exception itself, and its panics are not even that
            raise ModelError(f"the tokenizer cannot be read: {error}") from error
        known = (backend.token_to_id(name) for name in EOS_NAMES)
        found = eos_id if eos_id is not None else next((index for index in known if index is not None), None)
        if found is None or backend.id_to_token(found) is None:
            raise ModelError("the tokenizer has no token that ends a document", hint="name its eos_token_id")
        tokenizer = cls(backend, eos_id=found)
        special = {index: t.content for index, t in backend.get_added_tokens_decoder().items() if t.special}
        for (index, name), ids in zip(special.items(), tokenizer.encode_batch([*special.values()]), strict=True):
            if index in ids:
                raise ModelError(f"the tokenizer takes the text {name!r} for its control id {index}")
        return tokenizer

    def encode(self, text: str) -> list[int]:
        """The ids of `text`. DataError for lone surrogates, which are no text."""
        return self.encode_batch([text])[0]

    def controls(self, text: str) -> list[int]:
        """The ids of a text of the owner's own, in which a special token's name means the token. Never for a text
        from elsewhere."""
        special = self._controls
        names = "|".join(map(re.escape, sorted(special, key=len, reverse=True)))
        parts = re.split(f"({names})", text) if special else [text]
        return [index for part in parts for index in ([special[part]] if part in special else self.encode(part))]

    @cached_property
    def _controls(self) -> dict[str, int]:
        return {t.content: index for index, t in self._backend.get_added_tokens_decoder().items() if t.special}

    @property
    def control_ids(self) -> Collection[int]:
        """Those of special tokens, which no text is encoded to."""
        return self._controls.values()

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each of `texts`, encoded in parallel."""
        try:
            encodings = self._backend.encode_batch_fast(list(texts), add_special_tokens=False)
        except TypeError as error:
            raise DataError("a text holds lone surrogates, which are not Unicode text") from error
        return [encoding.ids for encoding in encodings]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids` without special tokens. Bytes that are not UTF-8 become U+FFFD."""
        return self._backend.decode(list(ids), skip_special_tokens=True)

    def speller(self) -> Callable[[int], str]:
        """Takes ids one at a time and gives what each adds to the text: nothing while a character is incomplete.

        What was given is never taken back, and bytes that no character begins with become U+FFFD: `decode` of all ids
        may spell a line break before such bytes as U+FFFD, too.
        """
        ids: list[int] = []
        given = 0
        characters = codecs.getincrementaldecoder("utf-8")("replace")
        try:
            pieces = self._pieces
        except ModelError:
            pieces = {}  # a kind of tokenizer that knows whole characters only

        def spell(index: int) -> str:
            nonlocal given
            ids.append(index)
            characters.decode(pieces.get(index, b""))
            before, text = self.decode(ids[:given]), self.decode(ids)
            if len(text) <= len(before) or characters.getstate()[0]:  # amid a character
                return ""
            # Kept as context: a first token is spelled otherwise, without the space before it.
            del ids[:given]
            given = len(ids)
            return text[len(before) :]

        return spell

    def token_bytes(self, index: int) -> bytes:
        """The bytes that one id stands for; none for a special token.

        Joined over `encode(text)` they are the text's UTF-8 (after the tokenizer's normalizer: with a
        SentencePiece prefix, one space more at the front). None, too, for an id that the tokenizer does not have: a
        model's table of words may be longer, rounded up. ModelError for a tokenizer that is neither byte-level nor
        SentencePiece with byte fallback.
        """
        return self._pieces.get(index, b"")

    def name(self, index: int) -> str:
        """What the vocabulary calls an id; empty where it has none."""
        return self._backend.id_to_token(index) or ""

    @cached_property
    def _pieces(self) -> dict[int, bytes]:
        added = self._backend.get_added_tokens_decoder()
        decoder = json.loads(self._backend.to_str())["decoder"]
        kinds = {part["type"] for part in [decoder, *decoder.get("decoders", [])]} if decoder else set()
        if not kinds & {"ByteLevel", "ByteFallback"}:
            raise ModelError("the bytes of a token are not known for this kind of tokenizer")
        spell = _byte_level if "ByteLevel" in kinds else _byte_fallback
        pieces = {index: spell(piece) for piece, index in self._backend.get_vocab(with_added_tokens=True).items()}
        plain = {index: b"" if token.special else token.content.encode() for index, token in added.items()}
        return pieces | plain


def _byte_level(piece: str) -> bytes:
    return bytes(_BYTES[letter] for letter in piece) if _BYTES.keys() >= set(piece) else piece.encode()


def _byte_fallback(piece: str) -> bytes:
    if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
        return bytes.fromhex(piece[3:5])
    return piece.replace("▁", " ").encode()


def _byte_letters() -> dict[str, int]:
    """GPT-2's spelling of bytes: printable Latin-1 letters are themselves, the 68 others U+0100 and on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(rest)}


_BYTES: dict[str, Any] = _byte_letters()
