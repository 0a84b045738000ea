"""A fragment speaks: its examples come before a conversation, as if they had been said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from germline.fragments import route, vector
from germline.serve.apart import apart
from germline.serve.prompts import Prompt, PromptError, Prompts
from germline.serve.requests import Message
from germline.serve.swap import Loaded

AUTO = "auto"


@dataclass(slots=True)
class FragmentChoice:
    """What one request asks for, and which fragment it got."""

    asked: str | None
    name: str | None = None
    similarities: dict[str, float] = field(default_factory=dict)
    """Where it was routed."""

    def prompt(self, loaded: Loaded, prompts: Prompts, messages: Sequence[Message], room: int) -> Prompt:
        """The prompt, with as many of the examples before it as fit into `room` tokens, the first left out first.

        PromptError for a fragment that this generation has not.
        """
        known = loaded.fragments
        if self.asked == AUTO:
            said = next((one.text for one in reversed(messages) if one.role == "user"), "")
            if said.strip():  # nothing is like no fragment
                self.name, self.similarities = route(known, apart(lambda: vector(loaded.speaker, said)))
        elif self.asked is not None:
            if self.asked not in known.named:
                there = ", ".join(sorted(known.named)) or "none"
                raise PromptError(f"there is no fragment {self.asked!r}; there is: {there}")
            self.name = self.asked
        examples = known.named[self.name].examples if self.name else ()
        first_said = next((place for place, one in enumerate(messages) if one.role != "system"), len(messages))
        system, talk = messages[:first_said], messages[first_said:]  # what opens a chat stays before all that is said
        for first in range(len(examples) + 1):
            before = [
                one
                for asked, answered in examples[first:]
                for one in (Message(role="user", content=asked), Message(role="assistant", content=answered))
            ]
            prompt = prompts(loaded.speaker, [*system, *before, *talk])
            if len(prompt.ids) <= room:
                return prompt
        return prompt

    def told(self) -> dict[str, object]:
        """What an answer says of it; nothing where nothing was asked."""
        if self.asked is None:
            return {}
        return {"fragment": {"name": self.name, **({"similarity": self.similarities} if self.similarities else {})}}
