"""Chats as Telegram Desktop and DiscordChatExporter write them: JSON, a list of messages with times and names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from germline.corpus.chat_log import Entry
from germline.corpus.shapes import called

_TIME = re.compile(r"(?P<date>\d{4}-\d\d-\d\d)T(?P<hour>\d\d):(?P<minute>\d\d)")
_SHOWN = frozenset([
    "photo", "file", "media_type", "poll", "location_information", "contact_information", "game_title",
    "forwarded_from", "via_bot",
])  # fmt: skip
"""What a message of Telegram's has where it is more than words, or somebody else's."""
_WRITTEN = ("Default", "Reply")
"""The types of Discord's messages that somebody wrote; others tell who came and went."""


def chats(record: object) -> list[list[object]]:
    """The messages of each chat in a decoded JSON record, if it is such an export: of a chat, or of all that an account
    of Telegram's has. Empty where it is something else."""
    match record:
        case {"messages": list(messages)}:
            found = [messages]
        case dict():
            found = [*_listed(record.get("chats")), *_listed(record.get("left_chats"))]
        case _:
            return []
    return found if any(map(_entry, (message for messages in found for message in messages))) else []


def _listed(part: object) -> list[list[object]]:
    match part:
        case {"list": list(found)}:
            talks = [chat.get("messages") for chat in found if isinstance(chat, dict)]
            return [messages for messages in talks if isinstance(messages, list)]
        case _:
            return []


def entries(messages: Sequence[object], before: int) -> Iterator[tuple[int, Entry]]:
    """Each message of a chat with its number, of which there were so many `before`. One that cannot be read is
    somebody's: nothing is learned of what answers it."""
    last = Entry(names=("",), words="", date="", minute=0, read=False)
    for number, message in enumerate(messages, before + 1):
        entry = _entry(message) or last._replace(names=("",), words="", read=False)
        yield number, entry
        last = entry


def _entry(message: object) -> Entry | None:
    names: tuple[object, ...] = ()
    match message:
        case {"type": "message", "date": str(time), "from_id": str() | int() as number, "text": text, **rest}:
            names, words, read = (rest.get("from"), str(number)), _joined(text), _SHOWN.isdisjoint(rest)
        case {"type": "service", "date": str(time)}:
            words, read = "", True
        case {"role": _}:
            return None
        case {"timestamp": str(time), "content": str(words), "author": {"id": str(number), "name": str(name)}, **rest}:
            read = not rest.get("attachments") and not rest.get("stickers")
            names = (name, number) if rest.get("type", "Default") in _WRITTEN else ()  # two may share a nickname
        case _:
            return None
    if not (stamp := _TIME.match(time)):
        return None
    return Entry(
        names=tuple(called(name) for name in names if isinstance(name, str)),
        words=words,
        date=stamp["date"],
        minute=60 * int(stamp["hour"]) + int(stamp["minute"]),
        read=read and bool(words.strip()),
    )


def _joined(text: object) -> str:
    """Telegram's text: a string, or parts that are one, links and bold ones with their kind."""
    parts = text if isinstance(text, list) else [text]
    words = (part.get("text") if isinstance(part, Mapping) else part for part in parts)
    return "".join(word for word in words if isinstance(word, str))
