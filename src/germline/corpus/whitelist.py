"""The owner's list of the files that may be learned, and reading a file so that its very bytes are checked."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Set
from io import FileIO
from pathlib import Path
from typing import Any

from germline.errors import DataError, PlanError

_LINE = re.compile(r"\\?([0-9a-fA-F]{64})(?: [ *].*)?|#.*|\s*")
_BLOCK = 1 << 20
_OPEN = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""A pipe or a link that took a file's place since it was found must neither hang nor be followed."""


def read_whitelist(path: Path) -> frozenset[str]:
    """The digests that a file in sha256sum's form lists, whatever names stand beside them.

    Blank lines and lines that begin with # are skipped. A list that cannot be read is a PlanError: it allows
    nothing.
    """
    make = "`sha256sum FILE...` prints such a list"
    try:
        with SourceFile(path.resolve()) as file:
            lines = file.readall().decode("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(f"data.whitelist: {path} cannot be read: {error}", hint=make) from None
    listed = set()
    for number, line in enumerate(lines, 1):
        if not (match := _LINE.fullmatch(line.rstrip("\r"))):
            raise PlanError(f"data.whitelist: {path} line {number} is no digest", hint=make)
        listed.add((match[1] or "").lower())
    return frozenset(listed - {""})


class SourceFile(FileIO):
    """A regular file that is hashed as it is read, from its beginning; seeking back there begins anew."""

    def __init__(self, path: Path) -> None:
        super().__init__(os.open(path, _OPEN), "rb")
        self._hash = hashlib.sha256()
        if not stat.S_ISREG(os.fstat(self.fileno()).st_mode):
            self.close()
            raise OSError(errno.EINVAL, "it is no regular file any more")

    def readinto(self, buffer: Any, /) -> int:
        count = super().readinto(buffer) or 0
        self._hash.update(memoryview(buffer)[:count])
        return count

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        if (offset, whence) != (0, os.SEEK_SET):
            raise OSError(errno.EINVAL, "it can only be read from its beginning")
        self._hash = hashlib.sha256()
        return super().seek(0)

    def require_listed(self, name: str, whitelist: Set[str] | None) -> None:
        """DataError unless all bytes of this file, those that were read and the rest, are what was allowed."""
        if whitelist is None:
            return
        rest = bytearray(_BLOCK)
        while self.readinto(rest):
            pass
        if (digest := self._hash.hexdigest()) not in whitelist:
            raise DataError(
                f"{name} is not on the whitelist: its SHA-256 is {digest}",
                hint="if it may be learned, add that digest to the file that data.whitelist names; else put back "
                "what was there, or remove it from the source",
            )
