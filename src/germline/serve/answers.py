"""Answers in OpenAI's words: whole, or in pieces as server-sent events."""

from __future__ import annotations

import codecs
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from germline.serve.engine import Said
from germline.tokenizer.text import Tokenizer

Kind = Literal["chat", "completion"]
_OBJECTS = {"chat": ("chat.completion", "chat.completion.chunk"), "completion": ("text_completion", "text_completion")}


@dataclass(frozen=True, slots=True)
class Shown:
    """A piece of an answer: text, and the tokens behind it."""

    text: str
    tokens: tuple[Said, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What all JSON about one answer shares."""

    kind: Kind
    id: str
    generation: str
    digest: str
    tokenizer: Tokenizer
    probabilities: bool
    """Whether they were asked for."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """What else it says of itself."""
    with_usage: bool = False
    """Whether a stream ends with a piece that counts the tokens; every other piece then says that it does not."""
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, shown: Sequence[Shown], reason: str, prompt_tokens: int, tokens: int) -> dict[str, Any]:
        text = "".join(piece.text for piece in shown)
        said = [token for piece in shown for token in piece.tokens]
        content = {"message": {"role": "assistant", "content": text}} if self.kind == "chat" else {"text": text}
        return {
            **self._head(0),
            "choices": [{"index": 0, **content, "logprobs": self._probabilities(said), "finish_reason": reason}],
            "usage": usage(prompt_tokens, tokens),
        }

    def opening(self) -> list[bytes]:
        """The event before the first: a chat says who speaks."""
        if self.kind == "completion":
            return []
        return [self._event({"delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None})]

    def piece(self, shown: Shown, start: int) -> bytes:
        """The event of a piece that begins at character `start` of the answer."""
        content = {"delta": {"content": shown.text}} if self.kind == "chat" else {"text": shown.text}
        return self._event({**content, "logprobs": self._probabilities(shown.tokens, start), "finish_reason": None})

    def closing(self, reason: str, prompt_tokens: int, tokens: int) -> list[bytes]:
        content: dict[str, Any] = {"delta": {}} if self.kind == "chat" else {"text": ""}
        events = [self._event({**content, "logprobs": None, "finish_reason": reason})]
        if self.with_usage:
            events.append(event({**self._head(1), "choices": [], "usage": usage(prompt_tokens, tokens)}))
        return [*events, b"data: [DONE]\n\n"]

    def _event(self, choice: dict[str, Any]) -> bytes:
        uncounted = {"usage": None} if self.with_usage else {}
        return event({**self._head(1), "choices": [{"index": 0, **choice}], **uncounted})

    def _head(self, streamed: Literal[0, 1]) -> dict[str, Any]:
        return {
            "id": self.id, "object": _OBJECTS[self.kind][streamed], "created": self.created,
            "model": self.generation, "system_fingerprint": self.digest, **self.more,
        }  # fmt: skip

    def _probabilities(self, said: Sequence[Said], start: int = 0) -> dict[str, Any] | None:
        if not self.probabilities:
            return None
        if self.kind == "chat":
            return {"content": [{**self._word(s.token, s.log_probability), "top_logprobs": [
                self._word(*pair) for pair in s.likeliest]} for s in said], "refusal": None}  # fmt: skip
        chosen = [{self._name(s.token): s.log_probability} for s in said]
        return {
            "tokens": [self._name(s.token) for s in said],
            "token_logprobs": [s.log_probability for s in said],
            "top_logprobs": [
                {self._name(token): value for token, value in s.likeliest} | own
                for s, own in zip(said, chosen, strict=True)
            ],
            "text_offset": self._offsets(said, start),
        }

    def _offsets(self, said: Sequence[Said], start: int) -> list[int]:
        """The character of the answer that each token begins in."""
        offsets, characters = [], codecs.getincrementaldecoder("utf-8")("replace")
        for one in said:
            offsets.append(start)
            start += len(characters.decode(self.tokenizer.token_bytes(one.token)))
        return offsets

    def _name(self, token: int) -> str:
        """A token where there is nothing but a text to tell it by: part of a character as its bytes, and what has none
        (the end of text, say) by its name."""
        data = self.tokenizer.token_bytes(token)
        try:
            return data.decode() or self.tokenizer.name(token)
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)

    def _word(self, token: int, log_probability: float | None) -> dict[str, Any]:
        data = self.tokenizer.token_bytes(token)
        word = data.decode(errors="replace") or self.tokenizer.name(token)
        return {"token": word, "logprob": log_probability, "bytes": [*data]}


def usage(prompt_tokens: int, tokens: int) -> dict[str, int]:
    return {"prompt_tokens": prompt_tokens, "completion_tokens": tokens, "total_tokens": prompt_tokens + tokens}


def event(value: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(value)}\n\n".encode()
