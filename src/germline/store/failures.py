"""What is said when the disk fails, and when it holds something else than was put there."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from germline.errors import DoesNotFit, GermlineError, StoreDamaged

_WINDOWS = os.name == "nt"


def damaged(path: Path, what: str) -> StoreDamaged:
    """The error for a file of the lineage that is not what it should be: `{path} {what}`."""
    hint = "germline verify lists everything that is damaged; restore the file from a backup"
    return StoreDamaged(f"{path} {what}", hint=hint)


@contextmanager
def explained(path: Path, needed: int = 0) -> Iterator[None]:
    """Turn an OSError of the block into a GermlineError about `path`, with the cure.

    FileExistsError passes as it is: it is an answer (the name is taken), not a failure. `needed` is the
    number of bytes to be written, where known.
    """
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        again = "and run the command again"
        message = f"{path}: {error.strerror or error}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            amount = f" ({needed:,} bytes needed)" if needed else ""
            raise DoesNotFit(message + amount, hint=f"nothing was lost: free space {again}") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            cure = f"check who may read and write {path.parent}"
            if _WINDOWS:  # which refuses what another program has open as it refuses a stranger
                cure = f"close what has it open, or {cure}"
        elif error.errno in (errno.EMFILE, errno.ENFILE):
            cure = "let processes open more files (ulimit -n)"
        else:
            cure = "check the path and the disk"
        raise GermlineError(message, hint=f"nothing was lost: {cure} {again}") from error
