"""What a client may ask, in OpenAI's words, every number bounded.

What would change an answer and is not heeded (tools, several answers at once, penalties) is refused, not ignored: an
answer to another question is worse than none. Published spec: https://platform.openai.com/docs/api-reference.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from germline.karma.book import LONGEST as LONGEST_CORRECTION
from germline.model.generate import Sampling

LONGEST_ANSWER, DEFAULT_ANSWER = 8192, 256
"""Tokens."""
TEMPERATURE, TOP_P = 0.7, 0.95
"""Where a request names none."""
LONGEST_TEXT = 400_000
"""Characters of a prompt or message; the model's context is far shorter."""
GENERATION = Annotated[str, Field(min_length=1, max_length=80, examples=["HEAD", "g0"])]
"""HEAD, g7, HEAD~1 or the beginning of a hash."""
NEUTRAL: dict[str, tuple[object, ...]] = {
    "tools": ([],), "tool_calls": ([],), "functions": ([],), "logit_bias": ({},), "store": (False,),
    "response_format": ({"type": "text"},), "suffix": ("",), "tool_choice": ("none", "auto"), "annotations": ([],),
    "parallel_tool_calls": (True, False), "modalities": (["text"],), "include_obfuscation": (False,),
}  # fmt: skip
"""What OpenAI's requests and messages may hold that asks for nothing, by name."""
IDLE = frozenset({"metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "service_tier"})
"""What changes no answer, whatever it says: whose a request is, what it costs at OpenAI, what is cached there."""
Text = Annotated[str, Field(max_length=LONGEST_TEXT)]
Stop = Annotated[str, Field(min_length=1, max_length=64)]
Id = Annotated[int, Field(ge=0, lt=2**31)]


class Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _without_what_changes_nothing(cls, given: Any) -> Any:
        """Clients send along what they were not asked for: null, which stands for what is left out, and what NEUTRAL
        holds, such as an empty list of tools."""
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in given.items() if value is not None and not _is_neutral(name, value)}


def _is_neutral(name: str, value: object) -> bool:
    return name in IDLE or any(value == one and type(value) is type(one) for one in NEUTRAL.get(name, ()))


class StreamOptions(Request):
    include_usage: bool = False
    """Tell the tokens of prompt and answer in a last piece without text."""


class Generate(Request):
    """What both kinds of question share."""

    model: GENERATION = "HEAD"
    """HEAD, g7, or the beginning of a generation's hash."""
    max_tokens: int | None = Field(default=None, ge=1, le=LONGEST_ANSWER)
    """Longest answer; 256 tokens if left out, or what the context leaves."""
    temperature: float | None = Field(default=None, ge=0.0, le=2.0)
    """Higher is more varied; 0 is always the likeliest word; 0.7 if left out."""
    top_p: float | None = Field(default=None, ge=0.0, le=1.0)
    """Choose among the likeliest words that together are this likely, 0 being the likeliest; 0.95 if left out."""
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    """The same seed, prompt and generation give the same words, as far as the arithmetic of a batch allows."""
    stop: Stop | Annotated[list[Stop], Field(max_length=8)] | None = None
    """The answer ends before any of these."""
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    """Only where it is streamed."""
    n: Literal[1] | None = 1
    presence_penalty: Annotated[float, Field(ge=0, le=0)] | None = 0.0
    frequency_penalty: Annotated[float, Field(ge=0, le=0)] | None = 0.0
    user: str | None = Field(default=None, max_length=256)
    """Whoever asks, as OpenAI's clients tell it; nothing here goes by it."""

    @property
    def stops(self) -> list[str]:
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    def sampling(self, chance: int) -> Sampling | None:
        """None for greedy. `chance` is the seed where none was asked for."""
        if self.temperature == 0:
            return None
        seed = chance if self.seed is None else self.seed
        temperature = TEMPERATURE if self.temperature is None else self.temperature
        return Sampling(temperature=temperature, top_p=TOP_P if self.top_p is None else self.top_p, seed=seed)

    @model_validator(mode="after")
    def _options_of_a_stream(self) -> Self:
        if self.stream_options and not self.stream:
            raise ValueError("stream_options are for answers that are streamed: stream must be true")
        return self


class Completion(Generate):
    prompt: Text | Annotated[list[Id], Field(min_length=1, max_length=1 << 20)]
    """Text as it stands, or ids; nothing is added but what opens every text of a model (Gemma)."""
    logprobs: int | None = Field(default=None, ge=0, le=20)
    """How many of the likeliest words to tell for each place."""
    echo: Literal[False] | None = False
    best_of: Literal[1] | None = 1

    @field_validator("prompt", mode="before")
    @classmethod
    def _of_one(cls, given: Any) -> Any:
        """A list of one prompt, as some clients always send."""
        if not (isinstance(given, list) and given and isinstance(given[0], str | list)):
            return given
        if len(given) > 1:
            raise ValueError("one prompt a request")
        return given[0]


class TextPart(Request):
    type: Literal["text"]
    text: Text


class Message(Request):
    role: Literal["system", "user", "assistant"]
    """`developer` is OpenAI's newer name for `system`."""
    name: str | None = Field(default=None, max_length=256)
    """Who of several says so; nothing here goes by it."""
    content: Text | Annotated[list[TextPart], Field(min_length=1, max_length=64)]

    @field_validator("role", mode="before")
    @classmethod
    def _as_it_was_called(cls, given: Any) -> Any:
        return "system" if given == "developer" else given

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class Chat(Generate):
    messages: list[Message] = Field(min_length=1, max_length=512)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=LONGEST_ANSWER)
    """The newer name of `max_tokens`."""
    fragment: str | None = Field(default=None, max_length=40)
    """A facet of the persona, by its name; `auto` takes the one that the last message is likest to."""
    logprobs: bool | None = False
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    """Only with `logprobs`."""

    @model_validator(mode="after")
    def _words_beside(self) -> Self:
        if self.top_logprobs and not self.logprobs:
            raise ValueError("top_logprobs are told with logprobs alone: logprobs must be true")
        return self


class Feedback(Request):
    """What somebody thinks of an answer."""

    id: str = Field(min_length=1, max_length=80)
    """As it came with the answer."""
    score: float = Field(ge=-1.0, le=1.0)
    correction: str = Field(default="", max_length=LONGEST_CORRECTION)
    """How it should have been answered."""
    source: str = Field(default="client", min_length=1, max_length=80)
    """Who says so, as the client tells it: quotas go by it, and of several ratings of one answer by one source the last
    counts."""
    key: str = Field(default="", max_length=80)
    """Sent again with one key, it counts once."""
