"""One lineage of four generations, copied for each test, and a server that runs."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import torch
import uvicorn

from germline.forge.machine import Arithmetic
from germline.records import Event
from germline.serve import page, server
from germline.serve.api import application
from germline.serve.guard import Rules
from germline.serve.notes import Notes
from germline.serve.prompts import raw
from germline.serve.swap import Serving
from germline.settings import Fragments
from germline.store.home import Home
from tests.conftest import forget
from tests.serve.lineages import founded, grow

ON = Arithmetic(torch.float32, "cpu")


@pytest.fixture(scope="session")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serve")
    home = founded(folder)
    for seed in (1, 2, 3):
        grow(home, seed, folder)
    return folder / "home"


@pytest.fixture
def home(grown: Path, tmp_path: Path) -> Home:
    """HEAD is g3."""
    forget()
    return Home.open(Path(shutil.copytree(grown, tmp_path / "home")))


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@dataclass
class Running:
    serving: Serving
    url: str
    token: str
    events: list[Event]

    def client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False)


@pytest.fixture
def started(home: Home) -> Iterator[Callable[..., Running]]:
    """Starts a server on a free port; ended after the test."""
    ends: list[Callable[[], None]] = []

    def start(*, rows: int = 4, keep: bool | None = None, fragments: Fragments | None = None, **rules: int) -> Running:
        events: list[Event] = []
        facets = fragments or Fragments()
        serving = Serving(home, ON, rows=rows, on_event=events.append, fragments=lambda: facets)
        sock = server.listening(0)
        port, token = sock.getsockname()[1], server.token(home)
        held = Rules(token=token, hosts=server.names(port, ()), public=page.PUBLIC, **rules)
        notes = None if keep is None else Notes(home, keep=lambda: bool(keep))
        runner = _runner(serving, notes, held)
        thread = threading.Thread(target=runner.run, kwargs={"sockets": [sock]})
        thread.start()
        ends.append(lambda: _end(runner, thread, serving, sock))
        if notes:
            ends.append(notes.close)
        while not runner.started:
            time.sleep(0.005)
        return Running(serving, f"http://127.0.0.1:{port}", token, events)

    yield start
    for end in ends:
        end()


def _runner(serving: Serving, notes: Notes | None, rules: Rules) -> uvicorn.Server:
    return uvicorn.Server(server.configuration(application(serving, raw, notes), rules))


def _end(runner: uvicorn.Server, thread: threading.Thread, serving: Serving, sock: socket.socket) -> None:
    runner.should_exit = True
    thread.join()
    serving.close(10)
    sock.close()
