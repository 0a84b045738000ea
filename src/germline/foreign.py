"""Files that somebody else wrote: read whole only where they are small, and as JSON only where it has one meaning."""

from __future__ import annotations

import errno
import json
import math
import stat
from collections import Counter
from pathlib import Path
from typing import Any


def read(path: Path, most: int = 2**20) -> bytes:
    """All of a regular file of at most `most` bytes. Any other is an OSError, as if it could not be opened:
    a pipe would wait for its writer, and a device never end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"larger than {most:,} bytes", str(path))
    return data


def parse_json(data: bytes) -> Any:
    """The value of a UTF-8 JSON text. ValueError also for what one reader takes for this and another for that:
    a key that comes twice, a number that is not finite, a text nested deeper than can be read."""
    try:
        return _DECODER.decode(data.decode("utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        [(name, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the key {name!r:.80} comes twice")
    return found


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text:.80} is not a finite number")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_float=_finite, parse_constant=_finite)
