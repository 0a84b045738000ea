"""Messages as a model reads them: raw, as training rendered them, or by a template that the owner pinned.

A template is the owner's file, read once; no client names or sends one. It runs in Jinja's sandbox, and what a message
says is put in afterwards, as plain text: `<|im_end|>` within it is ten letters and never an end.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, NamedTuple

from germline import foreign
from germline.errors import GermlineError, PlanError
from germline.records import Turn
from germline.serve.requests import Message
from germline.speaker import Speaker

if TYPE_CHECKING:
    from jinja2 import Environment, Template


class Prompt(NamedTuple):
    """What an answer continues, and where it ends."""

    ids: list[int]
    ends: frozenset[int] = frozenset()
    """Ids besides the end of a document that end the answer."""


Prompts = Callable[[Speaker, Sequence[Message]], Prompt]
"""PromptError for messages that have no such form."""


class PromptError(GermlineError):
    """Messages that cannot be put as this server puts them."""


class TooLong(PromptError):
    """A prompt that leaves no room for the answer. Clients that shorten and ask again know it by its code."""


def raw(speaker: Speaker, messages: Sequence[Message]) -> Prompt:
    """Each message of the user closed by a line break, each answer by the end of text, and nothing else."""
    if any(message.role == "system" for message in messages):
        problem = "this generation was taught raw conversations, without a system prompt"
        raise PromptError(problem, hint="leave the system message out, or serve with --template")
    if messages[-1].role != "user":
        raise PromptError("the last message must be the user's")
    turns = [Turn(speaker="other" if message.role == "user" else "persona", text=message.text) for message in messages]
    return Prompt(speaker.ids(turns))


def templated(path: Path, sha256: str = "") -> Prompts:
    """By the Jinja template in `path`, as Hugging Face writes them: `eos_token` and `bos_token` are the founder's, the
    second nothing where it has none. PlanError if it cannot be used, or is another than `sha256` says. What messages
    say is put in as it is: a template that would change it is refused when it is used, but for `trim`, which takes
    nothing away. An answer ends at whatever the founder's config says ends one, and at what the template puts behind
    the assistant's words."""
    from jinja2 import TemplateError

    try:
        data = foreign.read(path)
        found = hashlib.sha256(data).hexdigest()
        if sha256 and found != sha256.lower():
            raise PlanError(f"{path}: its SHA-256 is {found}", hint="pin the template that you mean")
        template = _environment().from_string(data.decode())
    except OSError as error:
        raise PlanError(f"{path}: {error.strerror}") from error
    except (TemplateError, UnicodeDecodeError) as error:
        raise PlanError(f"{path}: not a Jinja template: {error}") from error

    def prompts(speaker: Speaker, messages: Sequence[Message]) -> Prompt:
        nonce = token_hex(8)
        said = {f"{nonce}{place:06}": message.text for place, message in enumerate(messages)}
        named = [{"role": m.role, "content": name} for m, name in zip(messages, said, strict=True)]
        tokenizer, eos, bos = speaker.tokenizer, f"{nonce}999999", f"{nonce}999998"
        controls = {eos: [tokenizer.eos_id], bos: [] if speaker.bos_id is None else [speaker.bos_id]}
        try:
            text = template.render(messages=named, add_generation_prompt=True, bos_token=bos, eos_token=eos)
        except Exception as error:  # whatever a template does with messages it was not made for
            raise PromptError(f"the template does not take these messages: {error}") from error
        parts = re.split(f"({nonce}[0-9]{{6}})", text)
        left = "".join(part for part in parts if part not in said | controls).casefold()
        if not said.keys() <= set(parts) or any(nonce[place : place + 6] in left for place in range(len(nonce) - 5)):
            problem = "the template leaves a message out, or changes what messages say"
            raise PromptError(
                problem, hint="serve with one that puts contents in as they are, without `upper` and such"
            )
        known = controls | {name: tokenizer.encode(words) for name, words in said.items() if name in parts}
        ids = [known[part] if part in known else tokenizer.controls(part) for part in parts]
        return Prompt([index for part in ids for index in part], speaker.ends | _closing(template, speaker))

    return prompts


def _closing(template: Template, speaker: Speaker) -> frozenset[int]:
    """The first control id that a template puts behind the assistant's words: Phi-3's `<|end|>`, which is none of its
    config's ends. None where the template takes no such chat: an answer then ends as the config says."""
    asked, answered = token_hex(8), token_hex(8)
    chat = [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    try:
        text = template.render(messages=chat, add_generation_prompt=False, bos_token="", eos_token="")
    except Exception:
        return frozenset()
    behind = speaker.tokenizer.controls(text.rpartition(answered)[2])
    return frozenset([index for index in behind if index in speaker.tokenizer.control_ids][:1])


def _environment() -> Environment:
    """What Hugging Face's templates are written for: loops that break, `strftime_now`, `raise_exception`, and marks of
    what the assistant says (`generation`), which add nothing."""
    from jinja2 import ext, nodes
    from jinja2.parser import Parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(ext.Extension):
        tags = {"generation"}  # noqa: RUF012 - as Jinja wants it

        def parse(self, parser: Parser) -> list[nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def raise_exception(message: str) -> None:
        raise ValueError(message)

    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[ext.loopcontrols, Generation]
    )
    made.globals |= {
        "raise_exception": raise_exception,
        "strftime_now": lambda form: datetime.now().strftime(form),
    }
    return made
