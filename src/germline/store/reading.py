"""Reading what was published: regular files only, and JSON only in the form it was written in."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from germline.errors import GermlineError
from germline.records import FORMAT, dumped
from germline.store.failures import damaged, explained


def require_regular(path: Path) -> os.stat_result:
    """The status of a published file; StoreDamaged if it is missing or anything but a regular file."""
    with explained(path):
        try:
            status = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            raise damaged(path, "is missing") from None
    if not stat.S_ISREG(status.st_mode):
        raise damaged(path, "is not a regular file")
    return status


def is_there(path: Path) -> bool:
    """Whether there is anything at `path`; GermlineError where that may not be looked at, which is not the same."""
    with explained(path):
        try:
            os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
    return True


def read(path: Path, most: int = 64 * 2**20) -> bytes:
    """All bytes of a published file, unverified; StoreDamaged as for `require_regular`, and beyond `most` bytes."""
    if (size := require_regular(path).st_size) > most:
        raise damaged(path, f"has {size:,} bytes, more than a file of its kind can have")
    with explained(path):
        return path.read_bytes()


def parse(path: Path, data: bytes) -> dict[str, Any]:
    """The JSON object in `data`, read from `path`; StoreDamaged unless it is one in canonical form.

    Insisting on the form leaves no byte that could change without notice.
    """
    try:
        value = json.loads(data)
        written = dumped(value)
    except json.JSONDecodeError as error:
        place = len(error.doc[: error.pos].encode("utf-8", "surrogatepass"))
        raise damaged(path, f"is not readable JSON from byte {place} on") from None
    except UnicodeDecodeError as error:
        raise damaged(path, f"is not readable JSON from byte {error.start} on") from None
    except (ValueError, RecursionError):
        raise damaged(path, "is not readable JSON") from None
    if not isinstance(value, dict) or written != data:
        pairs = enumerate(zip(written, data, strict=False))
        same = next((place for place, (one, other) in pairs if one != other), min(len(written), len(data)))
        raise damaged(path, f"is not in the form it was written in from byte {same} on")
    return value


def require_known_format(path: Path, found: object) -> None:
    """GermlineError if `path` is of a format newer than this germline, StoreDamaged if of none."""
    if type(found) is not int or found < 1:
        raise damaged(path, "has no format number")
    if found > FORMAT:
        raise GermlineError(
            f"{path} is of format {found}, and this germline reads up to format {FORMAT}",
            hint="a newer germline is needed",
        )
