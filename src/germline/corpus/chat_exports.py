"""Chats as Telegram Desktop and DiscordChatExporter write them: JSON, a list of messages with times and names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from germline.corpus.chat_log import Entry

_TIME = re.compile(r"(?P<date>\d{4}-\d\d-\d\d)T(?P<hour>\d\d):(?P<minute>\d\d)")
_SHOWN = frozenset(
    ["photo", "file", "media_type", "poll", "location_information", "contact_information", "forwarded_from"]
)
"""What a message of Telegram's has where it is more than words, or somebody else's."""
_WRITTEN = ("Default", "Reply")
"""The types of Discord's messages that somebody wrote; others tell who came and went."""


def messages(record: object) -> list[object] | None:
    """All messages of a decoded JSON record if it is such an export, one chat after the other: of a chat, or of
    all that an account of Telegram's has. None: it is something else."""
    match record:
        case {"messages": list(found)}:
            pass
        case {"chats": {"list": list(chats)}}:
            talks = [chat.get("messages") for chat in chats if isinstance(chat, dict)]
            found = [message for talk in talks if isinstance(talk, list) for message in talk]
        case _:
            return None
    return found if any(map(_entry, found)) else None


def entries(found: Sequence[object]) -> Iterator[tuple[int, Entry]]:
    """Each message with its number. One that cannot be read is somebody's: nothing is learned of what answers it."""
    last = Entry(names=("",), words="", date="", minute=0, read=False)
    for number, message in enumerate(found, 1):
        entry = _entry(message) or last._replace(names=("",), words="", read=False)
        yield number, entry
        last = entry


def _entry(message: object) -> Entry | None:
    names: tuple[object, ...] = ()
    match message:
        case {"type": "message", "date": str(time), "from_id": str() | int() as number, "text": text}:
            names, words, read = (message.get("from"), str(number)), _joined(text), message.keys().isdisjoint(_SHOWN)
        case {"type": "service", "date": str(time)}:
            words, read = "", True
        case {"timestamp": str(time), "content": str(words), "author": {"id": str(number), "name": str()} as author}:
            read = not message.get("attachments") and not message.get("stickers")
            if message.get("type", "Default") in _WRITTEN:
                names = (author["name"], author.get("nickname"), number)
        case _:
            return None
    if not (stamp := _TIME.match(time)):
        return None
    return Entry(
        names=tuple(name.strip().lower() for name in names if isinstance(name, str)),
        words=words,
        date=stamp["date"],
        minute=60 * int(stamp["hour"]) + int(stamp["minute"]),
        read=read and bool(words.strip()),
    )


def _joined(text: object) -> str:
    """Telegram's text: a string, or parts that are one, links and bold ones with their kind."""
    parts = text if isinstance(text, list) else [text]
    words = (part.get("text") if isinstance(part, dict) else part for part in parts)
    return "".join(word for word in words if isinstance(word, str))
