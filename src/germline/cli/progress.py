"""What happens, as it happens: a live bar on a terminal, plain lines in a log, JSON lines for a program."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from germline.cli import output
from germline.records import Event, OnEvent
from germline.report.tables import size
from germline.store.inspection import OnFile

if TYPE_CHECKING:
    from rich.progress import Progress

_EVERY_SHARE = 0.05
_EVERY_SECONDS = 10.0


def report(*, as_json: bool, bar: bool = True) -> AbstractContextManager[OnEvent]:
    """A callback for stages, for the block. JSON goes to stdout, everything else to stderr; without a `bar` for what
    goes on until it is stopped, and has no end to draw."""
    if as_json:
        return _json()
    live = bar and sys.stderr.isatty() and not output.is_dumb() and not os.environ.get("GERMLINE_NO_PROGRESS")
    return _bar() if live else _plain()


@contextmanager
def _json() -> Iterator[OnEvent]:
    def tell(event: Event) -> None:
        output.say(output.json_line({"event": event.kind, "text": event.text, "data": event.data}))

    yield tell


@contextmanager
def _plain() -> Iterator[OnEvent]:
    due = _Due()

    def tell(event: Event) -> None:
        counted = _counted(event)
        if counted is None or due.now(*counted):
            output.note(event.text)

    yield tell


@contextmanager
def _bar() -> Iterator[OnEvent]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(stderr=True, highlight=False)
    parts = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[pace]}"))
    bar = Progress(*parts, console=console, transient=True, redirect_stdout=False)  # which data goes to
    with _shown(bar):
        task = bar.add_task("", total=None, pace="", visible=False)

        def draw(event: Event) -> None:
            data = event.data
            if event.kind == "step":
                done, total = data["step"], data["steps"]
                bar.update(task, visible=True, description="training", completed=done, total=total, pace=_pace(data))
            elif event.kind in ("exam", "progress"):
                pace = _left(data["eta_seconds"]) if "eta_seconds" in data else ""
                bar.update(
                    task, visible=True, description=data.get("what", "exams"), completed=data["done"],
                    total=data["total"], pace=pace,
                )  # fmt: skip
            else:
                bar.update(task, visible=False)
                if event.kind != "verdict":  # the command says it on stdout, with its checks
                    console.print(output.harmless(event.text), markup=False, soft_wrap=True)

        def tell(event: Event) -> None:
            with suppress(OSError):  # the terminal was closed, and the work goes on
                draw(event)

        yield tell


@contextmanager
def _shown(bar: Progress) -> Iterator[None]:
    """The bar on the terminal for the block, as long as there is one."""
    with suppress(OSError):
        bar.start()
    try:
        yield
    finally:
        with suppress(OSError):
            bar.stop()


class _Due:
    """Whether a step's line is due: the first, the last, every 5 percent, and every 10 seconds."""

    def __init__(self) -> None:
        self._share, self._told = 0.0, 0.0

    def now(self, step: int, steps: int) -> bool:
        late = time.monotonic() - self._told >= _EVERY_SECONDS
        due = late or step in (1, steps) or step / steps >= self._share
        if due:
            self._share = step / steps + _EVERY_SHARE
            self._told = time.monotonic()
        return due


def _counted(event: Event) -> tuple[int, int] | None:
    """How far an event is, for those that come too often to be told each."""
    known = {"step": ("step", "steps"), "progress": ("done", "total")}.get(event.kind)
    return (event.data[known[0]], event.data[known[1]]) if known else None


def _pace(data: Mapping[str, Any]) -> str:
    return f"loss {data['loss']:.3f}  {data['tokens_per_second']:,.0f} tok/s  {_left(data['eta_seconds'])}"


def _left(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02} left"


@contextmanager
def files(doing: str) -> Iterator[OnFile]:
    """For what goes through files: one counting line on a terminal's stderr, and nothing elsewhere."""
    if not sys.stderr.isatty() or os.environ.get("GERMLINE_NO_PROGRESS"):
        yield lambda path, count: None
        return
    from rich.console import Console

    count = read = 0
    with Console(stderr=True).status(doing) as status:

        def tell(path: Path, length: int) -> None:
            nonlocal count, read
            count, read = count + 1, read + length
            status.update(f"{doing}: {count} files, {size(read)}")

        yield tell
