"""The command line: one file per command, each thin. What a command shows is made in `report`.

`main` is the only place that turns failures into words and exit codes. Data goes to stdout, everything
else to stderr.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

import click

from germline.cli import output
from germline.cli.commands import germline
from germline.errors import DoesNotFit, GermlineError, is_closed_pipe

__all__ = ["main"]

_INTERRUPTED = 130
_UNTIL_INTERRUPTED = {"serve", "watch"}
"""What Ctrl-C ends as it should be ended: no error."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (default: this process's) and return its exit code. No GermlineError escapes."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    output.prepare_streams()
    as_json = "--json" in given
    try:
        with _interruptible(given):
            code = germline.main(given, prog_name="germline", standalone_mode=False)
        sys.stdout.flush()  # a closed pipe shows here, and not in the interpreter's last breath
    except GermlineError as error:
        return _fail(error.exit_code, error.message, error.hint, as_json)
    except click.exceptions.NoArgsIsHelpError as error:
        output.note(error.format_message())
        return error.exit_code
    except click.ClickException as error:
        return _fail(error.exit_code, _lowered(error.format_message()), _usage_hint(error), as_json)
    except (KeyboardInterrupt, click.Abort):
        return _interrupted(given)
    except OSError as error:  # a file that the owner named and the system does not give us
        if is_closed_pipe(error):
            _close_stdout()
            return 1
        if error.filename is None:
            hint = "where the output goes is full or gone, or the folder that this was started in is"
            return _fail(1, str(error.strerror or error), hint, as_json)
        too_many = error.errno in (errno.EMFILE, errno.ENFILE)
        hint = "let processes open more files (ulimit -n)" if too_many else "check the path and who may read it"
        return _fail(1, f"{error.filename}: {error.strerror}", hint, as_json)
    except (RuntimeError, MemoryError) as error:
        if "Symlink loop" in str(error):  # as Python before 3.13 says it
            return _fail(1, str(error), "a link leads to itself: check the path", as_json)
        if not _is_out_of_memory(error):
            raise
        hint = "nothing is lost: close other programs and run it again, or `germline evolve --restart` to plan anew"
        return _fail(DoesNotFit.exit_code, "memory ran out", hint, as_json)
    return code if isinstance(code, int) else 0


@contextmanager
def _interruptible(given: Sequence[str]) -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, but amid an import it ends the process, as a kill may at any instant.

    Raised in what torch and numpy do in C while they are loaded, it was swallowed 7 times of 137, ended in a traceback
    3 times, and twice in an abort.
    """
    main_thread = threading.current_thread() is threading.main_thread()
    if not main_thread or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        while frame:
            if frame.f_code.co_filename.startswith("<frozen importlib"):
                code = _interrupted(given)
                sys.stderr.flush()
                os._exit(code)
            frame = frame.f_back
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _is_out_of_memory(error: Exception) -> bool:
    """Also of a GPU, and as torch says it of a CPU. By name, since torch is not loaded for what needs none."""
    said = "can't allocate memory" in str(error)
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or said


def _interrupted(given: Sequence[str]) -> int:
    if not _UNTIL_INTERRUPTED.isdisjoint(given) and "--json" not in given:
        with suppress(OSError):
            output.note("stopped")
        return _INTERRUPTED
    again = "; the same command goes on where it stopped" if "evolve" in given else ""
    return _fail(_INTERRUPTED, "interrupted", f"nothing is lost{again}", "--json" in given)


def _fail(code: int, message: str, hint: str, as_json: bool) -> int:
    with suppress(OSError):  # whoever reads no words still reads the code
        if as_json:
            output.note(output.json_line({"event": "exit", "code": code, "message": message, "hint": hint}))
            return code
        output.note(f"{output.paint('error:', 'red')} {message}")
        if hint:
            output.note(f"\nhint: {hint}")
    return code


def _usage_hint(error: click.ClickException) -> str:
    if not isinstance(error, click.UsageError):
        return ""
    path = error.ctx.command_path if error.ctx else "germline"
    return f"`{path} --help` says what it takes"


def _lowered(message: str) -> str:
    """Click's sentence in our form: one line, no capital, no full stop."""
    line = " ".join(message.split()).rstrip(".")
    return line[:1].lower() + line[1:]


def _close_stdout() -> None:
    """Whoever read our output (`| head`) is gone. Point stdout nowhere, so that exiting stays quiet."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
