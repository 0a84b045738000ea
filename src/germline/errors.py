"""Every failure a user can act on, as one tree. Anything else that escapes is a bug of ours.

GermlineError            exit  1
├── PlanError                  2   a plan, a setting or a command line that cannot be followed
├── DataError                  1   a corpus that cannot be read or holds nothing
│   └── NothingNew             1   sources that hold no row that is new
├── ModelError                 1   a model directory, GGUF or adapter that cannot be used
├── TrainingError              1   training that went wrong (a loss that is not finite)
├── NotHeld                    1   a generation that this archive leaves out
├── StoreDamaged               4   bytes in the lineage that are not what their hash says
├── DoesNotFit                 5   a run this machine has not the memory or the disk for
├── NoLineage                 10   there is no lineage here
├── Locked                    11   another process is working in this lineage
└── Interrupted              130   stopped by the user; the run can be resumed
    └── BudgetSpent            6   stopped by its budget; the run can be resumed with a higher one

Exit code 3 (the gate refused the child) is a result, not an error, and is set by the command itself.
"""

from __future__ import annotations

import difflib
import errno
import os
import shlex
from collections.abc import Iterable

_WINDOWS = os.name == "nt"


class GermlineError(Exception):
    """A failure with what happened, where, and the command or edit that mends it.

    `message` is one line without a full stop; `hint` is what to do about it, or empty.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class PlanError(GermlineError):
    exit_code = 2


class DataError(GermlineError):
    exit_code = 1


class NothingNew(DataError):
    """The sources hold no row that HEAD or an ancestor was not given."""


class ModelError(GermlineError):
    exit_code = 1


class TrainingError(GermlineError):
    exit_code = 1


class NotHeld(GermlineError):
    """A generation that is told of and was left out of this archive."""


class StoreDamaged(GermlineError):
    exit_code = 4


class DoesNotFit(GermlineError):
    exit_code = 5


class NoLineage(GermlineError):
    exit_code = 10


class Locked(GermlineError):
    exit_code = 11


class Interrupted(GermlineError):
    exit_code = 130


class BudgetSpent(Interrupted):
    exit_code = 6


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint: `did you mean 'recall'?` where one of `known` is close to `word`, else `known: ` and all of them."""
    choices = sorted(known)
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(choices)}"


def shell_word(word: str) -> str:
    """One word of a command that a hint suggests, as this system's shell takes it: cmd.exe knows no single quotes."""
    if not _WINDOWS:
        return shlex.quote(word)
    inner = word.replace('"', '\\"')
    return f'"{inner}"' if inner != word or set(word) & set(" \t&()<>|^") else word


def is_closed_pipe(error: OSError) -> bool:
    """Whether nobody reads any more what was written. On Windows that is EINVAL, of no file (cpython issue 79935)."""
    closed = _WINDOWS and error.errno == errno.EINVAL and error.filename is None
    return closed or isinstance(error, BrokenPipeError)
