"""A chat between people, of whatever app: where one conversation ends and the next begins, and whose words count."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from typing import NamedTuple

from germline.corpus.shapes import Voice

APART = 120
"""Minutes of silence after which what is said begins anew, as it does with another day."""
LONGEST = 2**16
"""Characters after which a conversation goes on in the next row, however it is talked on."""
_MESSAGE = 20
"""Characters that a message counts for beside its words: a thousand pictures are no conversation either."""


class Entry(NamedTuple):
    """Something that somebody says."""

    names: tuple[str, ...]
    """What the speaker is `called`; empty where it is the app that tells something."""
    words: str
    date: str
    minute: int
    """Of the day."""
    read: bool = True
    """False: a picture, a file, or words that are somebody else's or were taken back."""


def conversations(
    entries: Iterable[tuple[int, Entry]], persona: Set[str], voice: Voice
) -> Iterator[tuple[int, dict[str, object] | None]]:
    """Each conversation with the number of its first entry, as a record for `row_of`: who is named in `persona` says
    what `voice` says, and everybody else, however many they are, what the other side does. None: nobody of `persona`
    speaks in it.

    What the app tells is left out. What is not `read` is of weight 0, so that nothing is learned of what answers it.
    Memory is bounded by `LONGEST` and the longest entry.
    """
    other: Voice = "user" if voice == "assistant" else "assistant"
    talk: list[dict[str, object]] = []
    first, size, last = 1, 0, None
    for number, entry in entries:
        if talk and last and (_apart(last, entry) or size > LONGEST):
            yield first, _record(talk, voice)
            talk, size = [], 0
        first = first if talk else number
        last = entry
        if entry.names:
            side = voice if not persona.isdisjoint(entry.names) else other
            words = entry.words if entry.read else ""
            talk.append({"role": side, "content": words, "weight": int(entry.read)})
            size += len(words) + _MESSAGE
    if talk:
        yield first, _record(talk, voice)


def _record(talk: list[dict[str, object]], voice: Voice) -> dict[str, object] | None:
    return {"messages": talk} if any(message["role"] == voice for message in talk) else None


def _apart(last: Entry, entry: Entry) -> bool:
    return last.date != entry.date or entry.minute - last.minute > APART
