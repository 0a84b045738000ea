"""The server itself: the port, the token, and the thread that follows the ledger."""

from __future__ import annotations

import asyncio
import queue
import secrets
import socket
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from germline.errors import PlanError, is_closed_pipe
from germline.records import Event, OnEvent
from germline.serve.guard import App, Guard, Rules
from germline.serve.swap import Serving
from germline.store import disk, keys
from germline.store.failures import explained
from germline.store.home import Home

ADDRESS = "127.0.0.1"
LOOK_SECONDS = 0.5
"""Between two looks at the ledger."""
SWITCH_SECONDS = 0.0005
"""After which a thread that runs Python must let another, ten times as often as usual. An engine lets go with every
operation, and while a successor is read it waited 5 ms to go on (LOG.md)."""
HEAD_SECONDS = 5.0
"""Between two looks at whether a connection has brought the head of a request."""
LAST_SECONDS = 10
"""How long answers that are under way may go on after Ctrl-C."""


def token_path(home: Home) -> Path:
    """Beside the owner's keys, and never in the lineage, which may be copied to others."""
    return keys.configuration() / "serve" / f"{home.charter.id}.token"


def token(home: Home) -> str:
    """What every request must bring; made the first time, readable by its owner alone."""
    path = token_path(home)
    with explained(path):
        if not path.exists():
            disk.make_directory(path.parent)
            with suppress(FileExistsError):  # another start was quicker
                disk.write_new(path, secrets.token_urlsafe(32).encode() + b"\n", mode=0o600)
        found = path.read_text(encoding="utf-8", errors="replace").strip()
    if len(found) < 32 or not found.isascii():
        raise PlanError(f"{path}: not a token", hint="remove that file; the next start makes another")
    return found


def listening(port: int) -> socket.socket:
    """The port, taken. PlanError where another program has it, or this user may not."""
    sock = socket.socket()
    try:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # Windows, where SO_REUSEADDR would let another program in
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((ADDRESS, port))
        sock.listen(256)
    except OSError as error:
        sock.close()
        problem = f"port {port} cannot be used: {error.strerror or error}"
        why = "another program has it"
        if isinstance(error, PermissionError) and port < 1024:
            why = "ports below 1024 are the administrator's"
        raise PlanError(problem, hint=f"{why}: germline serve --port N") from error
    return sock


def names(port: int, proxied: Iterable[str]) -> frozenset[str]:
    """The Host headers that are ours. Of port 80, which HTTP means where none is named, clients tell none."""
    own = {f"{name}:{port}" for name in (ADDRESS, "localhost")} | ({ADDRESS, "localhost"} if port == 80 else set())
    return frozenset({*own, *proxied})


@contextmanager
def told_aside(on_event: OnEvent) -> Iterator[OnEvent]:
    """`on_event`, called in order by a thread of its own: a terminal that was stopped or a pipe that nobody reads holds
    up what is told there, and no swap. What was not told a second after the end is not told."""
    waiting: queue.SimpleQueue[Event | None] = queue.SimpleQueue()

    def tell() -> None:
        try:
            while event := waiting.get():
                on_event(event)
        except OSError as error:
            if not is_closed_pipe(error):  # nobody reads any more, and answers go on
                raise

    thread = threading.Thread(target=tell, name="tell", daemon=True)
    thread.start()
    try:
        yield waiting.put
    finally:
        waiting.put(None)
        thread.join(1.0)


class Impatient(H11Protocol):
    """HTTP/1.1 for who has something to ask: a connection that has not brought the head of a request within two
    looks is closed. Silent ones, which need no token, would take every descriptor that the server may have."""

    _look: asyncio.TimerHandle
    _silent = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._look = self.loop.call_later(HEAD_SECONDS, self._look_at_it)

    def connection_lost(self, exc: Exception | None) -> None:
        self._look.cancel()
        super().connection_lost(exc)

    def _look_at_it(self) -> None:
        was_silent, kept_alive = self._silent, self.timeout_keep_alive_task is not None  # which has a limit of its own
        # Whoever goes on sending after its answer is at an end asks nothing either.
        answering = self.cycle is not None and not self.cycle.response_complete
        self._silent = not answering and not kept_alive
        if was_silent and self._silent:
            self.transport.close()
        else:
            self._look = self.loop.call_later(HEAD_SECONDS, self._look_at_it)


def configuration(app: App, rules: Rules) -> uvicorn.Config:
    return uvicorn.Config(
        Guard(app, rules), log_level="error", access_log=False, lifespan="off", server_header=False,
        timeout_graceful_shutdown=LAST_SECONDS, timeout_keep_alive=30, http=Impatient,
        h11_max_incomplete_event_size=64 << 10,
    )  # fmt: skip


def run(app: App, rules: Rules, serving: Serving, sock: socket.socket) -> None:
    """Serve until Ctrl-C or SIGTERM. Then nothing more is taken, and what is under way may end."""
    with closing(sock), _following(serving), _turns(SWITCH_SECONDS):
        uvicorn.Server(configuration(app, rules)).run(sockets=[sock])


@contextmanager
def _turns(seconds: float) -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@contextmanager
def _following(serving: Serving) -> Iterator[None]:
    ended = threading.Event()

    def follow() -> None:
        while not ended.wait(LOOK_SECONDS):
            serving.follow()

    thread = threading.Thread(target=follow, name="follow the ledger", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        serving.close(1.0)
