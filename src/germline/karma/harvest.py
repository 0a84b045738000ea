"""What people taught by their feedback, as conversations that the data gate reads like any other source.

Only exchanges that the owner lets be kept can be harvested. The last word on an answer decides: a correction takes its
place; without one it must have been liked. Names follow from content, so that harvesting twice gives the same files,
and what was harvested is known from what the owner put beside it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from pathlib import Path

from germline.errors import GermlineError
from germline.karma.book import KarmaEvent
from germline.records import canonical_json, digest_of
from germline.settings import Karma
from germline.store import disk

FOLDER = "karma"
"""In the home."""
CUT = "length"
"""How an answer `ended` that filled its limit."""
_NAME = re.compile(r"[0-9a-f]{32}\.json")

Exchange = Sequence[Mapping[str, str]]


def lessons(events: Sequence[KarmaEvent], exchanges: Mapping[str, Exchange], policy: Karma) -> list[bytes]:
    """The conversations worth learning, the latest words of each, in the order in which they were rated.

    Of what was said before such an answer only so much as ends in replies that are learned, too: a reply in its
    history that was disliked, corrected or never rated would be learned with it. What was cut short by its limit is
    no whole answer, and is learned only as it was corrected.
    """
    last: dict[str, KarmaEvent] = {}
    for event in events:
        if event.message in exchanges:
            last.pop(str(event.message), None)
            last[str(event.message)] = event
    worth: dict[str, str] = {}
    for message, event in last.items():
        answer = exchanges[message][-1]
        if event.correction:
            worth[message] = event.correction
        elif event.points >= policy.keep_score and answer.get("ended") != CUT:
            worth[message] = answer["content"]
    good = frozenset(worth.values())
    told = ((_since(exchanges[message][:-1], good), content) for message, content in worth.items())
    return [canonical_json({"messages": [*before, {"role": "assistant", "content": said}]}) for before, said in told]


def _since(before: Exchange, good: Set[str]) -> list[Mapping[str, str]]:
    """The end of what was said before, from after the last reply that is not `good`."""
    bad = [n for n, said in enumerate(before) if said["role"] == "assistant" and said["content"] not in good]
    return [*before[bad[-1] + 1 if bad else 0 :]]


def write(root: Path, found: Sequence[bytes], most: int) -> int:
    """Put at most `most` that are not there yet into the folder of the home at `root`; how many."""
    folder = root / FOLDER
    distinct = dict.fromkeys(found)  # two may have been answered alike
    new = [(name, lesson) for lesson in distinct if not (name := folder / _name(lesson)).exists()][:most]
    if new:
        disk.make_directory(folder)
    for name, lesson in new:
        with suppress(FileExistsError):  # names follow from content: another look took this one
            disk.write_new(name, lesson)
    return len(new)


def drop_others(root: Path, found: Sequence[bytes]) -> None:
    """Remove from the folder what was harvested once and is not in `found`: it was disliked since, or corrected.

    A file that was not harvested, or has been changed, is the owner's, and stays.
    """
    folder, kept = root / FOLDER, {_name(lesson) for lesson in found}
    try:
        harvested = [path for path in folder.iterdir() if _is_harvested(path)] if folder.is_dir() else []
    except OSError as error:
        raise GermlineError(f"{error.filename}: {error.strerror}", hint="check who may read it; try again") from error
    for path in harvested:
        if path.name not in kept:
            disk.remove(path)


def is_there(root: Path) -> bool:
    """Whether the folder holds anything that can be learned."""
    folder = root / FOLDER
    return folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir())


def _name(lesson: bytes) -> str:
    return f"{digest_of(lesson)[7:39]}.json"


def _is_harvested(path: Path) -> bool:
    """Whether its name follows from its content, as `write` gives it."""
    if not _NAME.fullmatch(path.name) or path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest().startswith(path.stem)
