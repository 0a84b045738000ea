"""What people taught by their feedback, as conversations that the data gate reads like any other source.

Only exchanges that the owner lets be kept can be harvested. The last word on an answer decides: a correction takes its
place; without one it must have been liked. Names follow from content, so that harvesting twice gives the same files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from germline.karma.book import KarmaEvent
from germline.records import canonical_json, digest_of
from germline.settings import Karma
from germline.store import disk

FOLDER = "karma"
"""In the home."""

Exchange = Sequence[Mapping[str, str]]


def lessons(events: Sequence[KarmaEvent], exchanges: Mapping[str, Exchange], policy: Karma) -> list[bytes]:
    """The conversations worth learning, the latest words of each, in the order in which they were rated."""
    last: dict[str, KarmaEvent] = {}
    for event in events:
        if event.message in exchanges:
            last.pop(str(event.message), None)
            last[str(event.message)] = event
    found = []
    for message, event in last.items():
        *before, answer = exchanges[message]
        if event.correction:
            answer = {**answer, "content": event.correction}
        elif event.points < policy.keep_score:
            continue
        found.append(canonical_json({"messages": [*before, answer]}))
    return found


def write(root: Path, found: Sequence[bytes], most: int) -> int:
    """Put at most `most` that are not there yet into the folder of the home at `root`; how many."""
    folder = root / FOLDER
    new = [(name, lesson) for lesson in found
           if not (name := folder / f"{digest_of(lesson)[7:39]}.json").exists()][:most]  # fmt: skip
    if new:
        disk.make_directory(folder)
    for name, lesson in new:
        disk.write_new(name, lesson)
    return len(new)
