"""The shapes people keep conversations in, each turned into a `Row`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Literal, NamedTuple

from germline.records import Refusal, Row, Turn
from germline.spellings import plainly

Voice = Literal["assistant", "user"]
"""Whose words are learned."""

_SIDES: dict[str, Voice] = {
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "model", "bot", "chatbot", "ai"), "assistant"),
    **dict.fromkeys(("claude", "gemini", "copilot", "agent", "support"), "assistant"),
    **dict.fromkeys(("user", "human", "prompter", "customer", "client"), "user"),
}
_MACHINERY = frozenset(
    ["system", "developer", "tool", "function", "function_call", "tool_call", "tool_response", "observation"]
)
_TALKS = ("messages", "conversations", "conversation", "chat_messages")
"""What a list of messages is called."""
_ASKED = ("instruction", "prompt", "question", "input")
_ANSWERED = ("output", "completion", "response", "answer", "chosen")
"""What a question and its answer are called, where each is a field; the first that is there counts."""


_Speaker = Literal["persona", "other"]


class _Message(NamedTuple):
    role: str
    words: str
    read: bool = True
    """False: it was said, and is not to be read, as of weight 0, or cannot be, as a picture."""


@dataclass(slots=True)
class _Run:
    speaker: _Speaker
    texts: list[str]
    whole: bool
    """Whether all of it is read."""


class _UnfitError(Exception):
    """The reason of a refusal."""


_UNSEEN = dict.fromkeys([*range(0x200E, 0x2010), *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF])
"""Marks of which way to write, which apps set around names."""


def called(name: str) -> str:
    """A name as names are compared: whatever its case and spaces, and without what an app sets around it."""
    return plainly(name.translate(_UNSEEN)).lstrip("~ ")


def row_of(
    record: object, *, source: str, position: int, voice: Voice, persona: Set[str] = frozenset()
) -> Row | Refusal:
    """One decoded JSON record as a row: `{"text"}`, `{"messages"}`, ShareGPT's `{"conversations"}`, Alpaca's
    `{"instruction", "input", "output"}`, `{"prompt", "completion"}` and the like (`_ASKED`, `_ANSWERED`), or a
    conversation of a ChatGPT or Claude export.

    The sides are known by what they are called (`_SIDES`), of which `voice` is the persona; but where one of the names
    in `persona` (as they are `called`) speaks, these are, and everybody else is the other side.

    System, tool and function messages are dropped, and so are those of weight 0, which OpenAI's format keeps
    from being learned, with the question that such a one answers, and whatever is not text, with the answer to it and
    what the persona says on. Turns of one speaker in a row become one; words of the other side that the persona never
    answered are cut off at the end. Texts keep every character but outer white
    space. Any other record is a Refusal, and so is one whose label is false: it was not wanted. Nothing here raises.
    """
    try:
        match record:
            case dict() if isinstance(record.get("mapping"), dict) or _talk(record) is not None or _pair(record):
                pass  # whatever else it holds, such as the same rendered as "text"
            case {"text": str(), **rest} if _is_message(rest):
                raise _UnfitError("unknown shape")
            case {"text": str(text)}:
                return Row(kind="text", source=source, position=position, text=_valid(text.strip()))
        if isinstance(record, dict) and record.get("label") is False:  # TRL's form of what was not wanted
            raise _UnfitError("marked as not wanted")
        turns = _turns(_messages(record), voice, persona)
        return Row(kind="dialog", source=source, position=position, turns=turns)
    except _UnfitError as unfit:
        return Refusal(source=source, position=position, reason=str(unfit))


def _is_message(rest: Mapping[object, object]) -> bool:
    """Whether a text is somebody's words in a chat, such as a line of Slack's export, and no document."""
    return bool(rest.keys() & {"role", "from", "sender", "speaker"}) or rest.get("type") == "message"


def _messages(record: object) -> list[_Message]:
    match record:
        case {"mapping": dict(tree), "current_node": str(leaf)}:
            return [_message(message) for message in _branch(tree, leaf)]
        case dict() if (messages := _talk(record)) is not None:
            return [_message(message) for message in messages]
        case dict() if pair := _pair(record):
            asked, answered = pair
            task, answer = record[asked], record[answered]
            if asked == "instruction":
                given = _speech(record.get("input") or record.get("context"))
                task = "\n\n".join(filter(None, (_speech(task), given)))
            return _history(record.get("history") or []) + _side("user", task) + _side("assistant", answer)
        case _:
            raise _UnfitError("unknown shape")


def _talk(record: Mapping[str, object]) -> list[object] | None:
    """The messages of a record that holds a list of them."""
    return next((talk for key in _TALKS if isinstance(talk := record.get(key), list)), None)


def _pair(record: Mapping[str, object]) -> tuple[str, str] | None:
    """The fields of a record that hold a question and its answer."""
    asked = next((key for key in _ASKED if key in record), None)
    answered = next((key for key in _ANSWERED if key in record), None)
    return (asked, answered) if asked and answered else None


def _history(pairs: object) -> list[_Message]:
    """What was said before, as LLaMA-Factory keeps it beside Alpaca's fields: pairs of a question and its answer."""
    match pairs:
        case list() if all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
            said = [part for pair in pairs for part in pair]
            return [_Message(("user", "assistant")[place % 2], _speech(part)) for place, part in enumerate(said)]
        case _:
            raise _UnfitError("unknown shape")


def _side(role: str, said: object) -> list[_Message]:
    """A prompt or a completion: a string, or messages that name their own roles."""
    if isinstance(said, list):
        return [_message(message) for message in said]
    return [_Message(role, _speech(said))]


def _branch(tree: Mapping[str, object], leaf: object) -> list[object]:
    """The messages from the root of a ChatGPT export's tree to `leaf`: the branch its owner last saw."""
    messages: list[object] = []
    seen = set()
    while leaf is not None:
        node = tree.get(leaf) if isinstance(leaf, str) and leaf not in seen else None
        if not isinstance(node, dict):
            raise _UnfitError("broken tree")
        seen.add(leaf)
        message = node.get("message")
        if isinstance(message, dict) and _was_seen(message):
            messages.append(message)
        leaf = node.get("parent")
    return messages[::-1]


def _was_seen(message: Mapping[str, object]) -> bool:
    """Whether it stood on the screen; the assistant's calls to its tools and hidden prompts did not."""
    metadata = message.get("metadata")
    hidden = isinstance(metadata, dict) and metadata.get("is_visually_hidden_from_conversation")
    return message.get("recipient") in (None, "all") and not hidden


def _message(message: object) -> _Message:
    match message:
        case {"role": str(role), **rest} | {"author": {"role": str(role)}, **rest}:
            if "content" not in rest and rest.keys() & {"text", "parts", "value"}:
                raise _UnfitError("unknown shape")
            content = rest.get("content")  # absent where an assistant only called a tool
        case {"from": str(role), "value": content, **rest} | {"sender": str(role), "text": content, **rest}:
            pass
        case _:
            raise _UnfitError("unknown shape")
    role = called(role)
    if role in _MACHINERY:
        return _Message(role, "")
    words = _speech(content)
    # What a person sends without words is a picture; an assistant may only have called a tool.
    shown = _SIDES.get(role, "user") == "user" and not words and not isinstance(content, str)
    return _Message(role, words, read=rest.get("weight") != 0 and not shown)


def _speech(content: object) -> str:
    match content:
        case None:
            return ""
        case str():
            return content
        case list():
            return "\n".join(filter(None, map(_part, content)))
        case {"content_type": "text" | "multimodal_text", "parts": list(parts)}:
            return "\n".join(filter(None, map(_part, parts)))
        case {"content_type": str()}:  # code, thoughts, a browser's page: not said to anybody
            return ""
        case _:
            raise _UnfitError("unknown shape")


def _part(part: object) -> str:
    """The words of one part of a message; images, sounds and files have none."""
    match part:
        case str():
            return part
        case {"type": str(kind)} if not kind.endswith("text"):
            return ""
        case {"text": str(text)}:
            return text
        case dict():
            return ""
        case _:
            raise _UnfitError("unknown shape")


def _turns(messages: Sequence[_Message], voice: Voice, persona: Set[str]) -> tuple[Turn, ...]:
    kept: list[_Run] = []
    for run in _runs(messages, voice, persona):
        if run.speaker == "persona":
            asked = kept[-1] if kept else None  # by the other side: the persona says all of its own in one run
            if not run.texts or (asked and not asked.whole):
                del kept[-1:]  # a question without its answer, or the other way round
                continue
        kept.append(run)
    if kept and kept[-1].speaker == "other":
        kept.pop()
    if not kept:
        raise _UnfitError("no persona turn")
    return tuple(Turn(speaker=run.speaker, text="\n".join(run.texts)) for run in kept)


def _runs(messages: Sequence[_Message], voice: Voice, persona: Set[str]) -> list[_Run]:
    """What one side says until the other speaks; of the persona no more than what comes before something unread."""
    runs: list[_Run] = []
    named = any(message.role in persona for message in messages)
    for role, words, read in messages:
        text = "" if role in _MACHINERY else _valid(words.strip())
        if role in _MACHINERY or (read and not text):
            continue
        speaker = _speaker(role, voice, persona if named else frozenset())
        if speaker is None:
            raise _UnfitError("unknown role")
        if not runs or runs[-1].speaker != speaker:
            runs.append(_Run(speaker, [], whole=True))
        run = runs[-1]
        run.whole = run.whole and read
        if read and (run.whole or speaker == "other"):
            run.texts.append(text)  # joined once: a million messages in a row must not take a million joins
    return runs


def _speaker(role: str, voice: Voice, persona: Set[str]) -> _Speaker | None:
    """None: nobody can say whose side that is."""
    if persona:
        return "persona" if role in persona else "other"
    side = _SIDES.get(role)
    return None if side is None else "persona" if side == voice else "other"


def _valid(text: str) -> str:
    """`text`, if it can be written as UTF-8 and tokenized: no NUL and no half of a surrogate pair."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise _UnfitError("not valid text") from None
    if "\0" in text:
        raise _UnfitError("not valid text")
    return text
