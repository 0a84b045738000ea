"""Words and JSON on their way out. Commands write through here, so that every terminal can take them.

What is told may be a stranger's: the name of a lineage or of a file, a message with either in it. So every line goes
through `harmless`, and only what `paint` made keeps its colour.

The stream is always given to `click.echo`: left alone, click writes UTF-8 to a stdout that says it is ASCII.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import click

from germline.errors import PlanError
from germline.records import finite
from germline.report.tables import ASCII, UNICODE, Symbols, escaped
from germline.store import disk

_WINDOWS = os.name == "nt"
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_PAINTED = re.compile("(\x1b\\[3[0-7]m[a-z0-9_]+:?\x1b\\[0m)")
"""One word in a colour, as `paint` gives it: nobody can say more by it than by the word."""


def prepare_streams() -> None:
    """Let the standard streams replace what their encoding lacks, instead of failing on it, and one that was closed
    (`>&-`) be there and hold nothing."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - for as long as we run
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=_encoding(stream), errors="replace")


def _encoding(stream: io.TextIOWrapper) -> str:
    """As it is; but on Windows UTF-8 for a file or a pipe, which would have the locale's code page: a question of
    another letter is misread there, and a letter that it lacks is lost."""
    if not _WINDOWS or stream.isatty() or os.environ.get("PYTHONIOENCODING"):
        return stream.encoding
    return "utf-8-sig" if stream is sys.stdin else "utf-8"  # editors begin a file with a BOM


def say(text: str | Iterable[str]) -> None:
    """Data: lines on stdout."""
    for line in [text] if isinstance(text, str) else text:
        click.echo(_shown(line), file=sys.stdout)


def say_file(text: str) -> None:
    """What is to be kept as a file, on stdout: in UTF-8 where that is no terminal, as plans are read. On Windows it
    would be in the locale's code page, with a question mark for what that lacks."""
    if isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.isatty():
        sys.stdout.reconfigure(encoding="utf-8")
    say(text)


def stream(piece: str) -> None:
    """Part of a line on stdout, shown at once."""
    click.echo(piece, file=sys.stdout, nl=False)


def harmless(text: str) -> str:
    """`text` without what a terminal obeys instead of showing it: control characters other than tab and line feed."""
    return _CONTROLS.sub("", text)


def note(text: str) -> None:
    """Anything else: a line on stderr. Where nobody can be told (a terminal that was closed, a full disk) the work goes
    on all the same."""
    with suppress(OSError):
        click.echo(_shown(text), file=sys.stderr)


def say_json(value: object) -> None:
    """One document on stdout, indented: it is read by people too."""
    say(escaped(json.dumps(finite(value), ensure_ascii=not _takes("é✓"), indent=2)))


def json_line(value: object) -> str:
    """One line of JSON. ASCII, so that it survives any encoding."""
    return json.dumps(finite(value))


def write_file(path: Path, data: bytes) -> None:
    """A new file where the owner named one. PlanError if it is there: nothing is written over."""
    try:
        disk.write_new(path, data)
    except FileExistsError:
        raise PlanError(f"{path} exists already", hint="name another file, or remove that one") from None


def symbols() -> Symbols:
    """The signs that stdout can show."""
    return UNICODE if _takes("".join(UNICODE.signs)) else ASCII


def paint(text: str, colour: str) -> str:
    """A word in a colour, which never carries meaning alone; plain with NO_COLOR, in pipes and on a dumb terminal."""
    return text if os.environ.get("NO_COLOR") or is_dumb() else click.style(text, fg=colour)


def is_dumb() -> bool:
    """Whether the terminal only takes one line after the other (Emacs's shell, some of CI's)."""
    return os.environ.get("TERM") in ("dumb", "unknown")


def _shown(line: str) -> str:
    """A line without what a terminal obeys, but for the colour of painted words."""
    parts = [line] if os.environ.get("NO_COLOR") else _PAINTED.split(line)
    return "".join(part if place % 2 else harmless(part) for place, part in enumerate(parts))


def _takes(text: str) -> bool:
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
