"""HEAD moves while answers are under way: nobody is cut off, and nobody hears two voices."""

from __future__ import annotations

import json
import queue
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from germline.errors import DoesNotFit, GermlineError
from germline.fragments import represent
from germline.lineage import Lineage
from germline.records import Event
from germline.rollback import move
from germline.serve import swap
from germline.serve.engine import Answer, Busy, Ended, Engine, Piece, Said
from germline.serve.server import told_aside
from germline.serve.swap import Loaded, Serving
from germline.speaker import Speaker
from germline.store import objects
from germline.store.home import Home
from tests.serve.conftest import ON, Running
from tests.serve.lineages import grow
from tests.serve.test_api import PROMPTS, spoken

Start = Callable[..., Running]


def test_no_answer_mixes_two_generations_and_none_fails(home: Home, started: Start) -> None:
    running = started(rows=4)
    expected = {(name, prompt): spoken(home, name, prompt, 30) for name in ("g1", "g2", "g3") for prompt in PROMPTS}
    assert len({text for (_, prompt), text in expected.items() if prompt == PROMPTS[0]}) == 3
    over, heard, wrong = threading.Event(), set[str](), list[str]()

    def ask(prompt: str) -> None:
        with running.client() as client:
            while not over.is_set():
                body = {"prompt": prompt, "temperature": 0, "max_tokens": 30}
                answer = client.post("/v1/completions", json=body)
                if answer.status_code != 200:
                    wrong.append(answer.text)
                    continue
                name = answer.headers["x-germline-generation"]
                heard.add(name)
                if answer.json()["choices"][0]["text"] != expected[name, prompt]:
                    wrong.append(f"{name} does not say this: {answer.text}")

    with ThreadPoolExecutor(8) as pool:
        asking = [pool.submit(ask, prompt) for prompt in PROMPTS * 2]
        for name in ("g1", "g2", "g3", "g2", "g1", "g3"):
            move(home, name)
            running.serving.follow()
            assert running.serving.head.name == name
            threading.Event().wait(0.15)
        over.set()
        for done in asking:
            done.result()
    assert not wrong
    assert heard == {"g1", "g2", "g3"}
    assert running.serving.swaps == 6


def test_an_answer_that_was_begun_is_ended_by_whom_it_was_begun(home: Home, started: Start) -> None:
    running = started()
    before = spoken(home, "g3", PROMPTS[0], 200)
    with running.client() as client:
        body = {"prompt": PROMPTS[0], "temperature": 0, "max_tokens": 200, "stream": True}
        with client.stream("POST", "/v1/completions", json=body) as answer:
            pieces = answer.iter_text()
            text = next(pieces)
            move(home, "g1")
            running.serving.follow()
            after = client.post("/v1/completions", json={"prompt": "a", "max_tokens": 1})
            assert after.headers["x-germline-generation"] == "g1"
            text += "".join(pieces)
        assert answer.headers["x-germline-generation"] == "g3"
    said = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    assert {event["model"] for event in said} == {"g3"}
    assert "".join(event["choices"][0]["text"] for event in said) == before


def test_what_was_not_begun_is_answered_by_the_successor(home: Home, started: Start) -> None:
    """Unless it asked for g3 by name: then it waits for g3."""
    running = started(rows=1)
    expected = {(name, prompt): spoken(home, name, prompt, 8) for name in ("g1", "g3") for prompt in PROMPTS[:2]}
    go_on, told = threading.Event(), list[Piece]()

    def slowly(piece: Piece) -> None:
        told.append(piece)
        go_on.wait(60)  # in the engine's thread, whose only place this answer has

    def ask(prompt: str, **more: object) -> tuple[str, str]:
        with running.client() as client:
            body = {"prompt": prompt, "temperature": 0, "max_tokens": 8, **more}
            answer = client.post("/v1/completions", json=body)
            return answer.headers["x-germline-generation"], answer.json()["choices"][0]["text"]

    before, _ = running.serving.submit("HEAD", lambda loaded: Answer([1], slowly, limit=8, of_anyone=True))
    with ThreadPoolExecutor(2) as pool:
        whoever, by_name = pool.submit(ask, PROMPTS[0]), pool.submit(ask, PROMPTS[1], model="g3")
        while before.engine.load < 3:
            threading.Event().wait(0.001)
        move(home, "g1")
        running.serving.follow()
        assert whoever.result(60) == ("g1", expected["g1", PROMPTS[0]])
        go_on.set()
        assert by_name.result(60) == ("g3", expected["g3", PROMPTS[1]])
    assert before.engine.join(60) and told[-1] != Ended("passed on")


def test_a_newcomer_that_is_damaged_leaves_the_old_one_in_its_place(
    home: Home, started: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = started()
    name = grow(home, 7, tmp_path)
    path = objects.place(home.cache, Lineage.open(home).head.manifest.weights.digest)
    held = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(held[:-1] + bytes([held[-1] ^ 1]))
    running.serving.follow()
    assert running.serving.head.name == "g3" and "these weights are not what their name says" in running.serving.problem
    with running.client() as client:
        told = client.get("/v1/status").json()
        assert told["head"] == "g3" and told["problem"]
        assert client.post("/v1/completions", json={"prompt": "a", "max_tokens": 1}).status_code == 200
    path.write_bytes(held)
    running.serving.follow()
    assert running.serving.head.name == "g3"  # not tried again at once
    monkeypatch.setattr(swap, "RETRY_SECONDS", 0.0)
    running.serving._retry_at = 0.0
    running.serving.follow()
    assert running.serving.head.name == name and not running.serving.problem


def test_short_of_memory_the_old_one_stays_and_says_so(home: Home) -> None:
    free, events = [1 << 40], []
    serving = Serving(home, ON, rows=2, on_event=events.append, free_bytes=lambda: free[0])
    free[0] = 1000
    move(home, "g1")
    serving.follow()
    assert serving.head.name == "g3" and "g1 takes" in serving.problem
    assert "g3 keeps answering" in events[-1].text
    move(home, "g3")
    serving.follow()
    assert not serving.problem and serving.swaps == 0
    serving.close(10)


def test_what_cannot_speak_fails_at_its_warm_up_and_tells_each_listener(home: Home) -> None:
    lineage = Lineage.open(home)
    speaker = Speaker.of(lineage, lineage.head, ON)
    speaker.decoder.model.norm.weight.fill_(float("nan"))
    engine = Engine(speaker.decoder, end=speaker.tokenizer.eos_id, rows=2)
    with pytest.raises(GermlineError, match="g3 cannot answer: what the model expects to follow is not a number"):
        swap.warm_up(Loaded(lineage.head, speaker, engine, represent(speaker, lineage.head.digest, ())))


def test_an_answer_ends_at_any_of_its_own_ends(home: Home) -> None:
    lineage = Lineage.open(home)
    engine = Engine(Speaker.of(lineage, lineage.head, ON).decoder, end=-1, rows=2)
    told: queue.Queue[Piece] = queue.Queue()
    engine.submit(Answer([1], told.put, limit=6))
    said = [told.get(timeout=20) for _ in range(7)]
    first, second = said[:2]
    assert isinstance(first, Said) and isinstance(second, Said) and said[-1] == Ended("length")
    engine.submit(Answer([1], told.put, limit=6, ends={first.token}))
    assert told.get(timeout=20) == Ended("stop")
    engine.drain()
    assert engine.join(20)


def test_a_pass_that_fails_costs_what_was_under_way_and_nothing_after_it(home: Home) -> None:
    lineage = Lineage.open(home)
    speaker = Speaker.of(lineage, lineage.head, ON)
    engine = Engine(speaker.decoder, end=-1, rows=2)
    told: queue.Queue[Piece] = queue.Queue()
    engine.submit(Answer([10**9], told.put, limit=4))  # no such token
    assert told.get(timeout=20) == Ended("failed", "IndexError: index out of range in self")
    engine.submit(Answer([1], told.put, limit=2))
    assert isinstance(told.get(timeout=20), Said)
    assert isinstance(told.get(timeout=20), Said) and told.get(timeout=20) == Ended("length")
    engine.drain()
    assert engine.join(20) and engine.load == 0


def test_a_text_that_memory_does_not_hold_is_not_begun(home: Home) -> None:
    lineage = Lineage.open(home)
    speaker = Speaker.of(lineage, lineage.head, ON)
    free = [1 << 40]
    engine = Engine(speaker.decoder, end=-1, rows=2, free_bytes=lambda: free[0])
    free[0] = 1000
    with pytest.raises(DoesNotFit, match="so long a text takes"):
        engine.submit(Answer([1] * 20, lambda piece: None, limit=4))


def test_of_guests_one_may_still_be_leaving(home: Home) -> None:
    go_on, serving = threading.Event(), Serving(home, ON, rows=2, on_event=lambda event: None)

    def slowly(piece: Piece) -> None:
        go_on.wait(30)

    serving.submit("g1", lambda loaded: Answer([1], slowly, limit=4))
    assert serving.named("g2").name == "g2"  # beside g1, which has not ended
    with pytest.raises(Busy, match="g1 has not ended its answers"):
        serving.named("g0")
    assert serving.named("HEAD").name == "g3"
    go_on.set()
    while True:
        with suppress(Busy):
            assert serving.named("g0").name == "g0"
            break
    serving.close(10)


def test_whatever_goes_wrong_the_ledger_is_followed_on(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[Event] = []
    serving = Serving(home, ON, rows=2, on_event=events.append)

    def short_of_files(home: Home) -> int:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr("germline.serve.swap.ledger.length", short_of_files)
        for _ in range(3):
            serving.follow()
    assert "Too many open files" in serving.problem
    assert [event.text.count("Too many open files") for event in events] == [1]  # told once, looked at three times
    move(home, "g1")
    serving.follow()
    assert serving.head.name == "g1" and not serving.problem
    serving.close(10)


def test_a_ledger_that_is_gone_does_not_end_the_server(home: Home, started: Start) -> None:
    running = started()
    shutil.rmtree(home.ledger)
    running.serving.follow()
    assert running.serving.problem
    with running.client() as client:
        assert client.post("/v1/completions", json={"prompt": "a", "max_tokens": 1}).status_code == 200


def test_a_reader_that_does_not_read_holds_up_nothing() -> None:
    told, read = [], threading.Event()

    def stuck(event: Event) -> None:
        read.wait(30)
        told.append(event.text)

    with told_aside(stuck) as on_event:
        for place in range(1000):
            on_event(Event(kind="note", text=str(place)))
        assert not told
        read.set()
    assert told[:3] == ["0", "1", "2"]


def test_a_reader_that_is_gone_holds_up_nothing(recwarn: pytest.WarningsRecorder) -> None:
    """A thread that dies of what it met would be told of as a warning."""
    told: list[str] = []

    def gone(event: Event) -> None:
        told.append(event.text)
        raise BrokenPipeError

    with told_aside(gone) as on_event:
        for place in range(3):
            on_event(Event(kind="note", text=str(place)))
    assert told == ["0"] and not recwarn.list


SLOW = """
import signal, sys, time
from germline.cli import main
from germline.speaker import Speaker

of = Speaker.of

def slowly(lineage, generation, on):
    if generation.name != sys.argv[2]:
        print("loading", flush=True)
        time.sleep(600)
    return of(lineage, generation, on)

signal.signal(signal.SIGINT, signal.default_int_handler)
Speaker.of = slowly
sys.exit(main(["serve", "--port", "0", "--home", sys.argv[1]]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT can be sent there")
def test_ctrl_c_waits_for_no_generation_that_is_loaded(home: Home) -> None:
    command = [sys.executable, "-c", SLOW, str(home.root), "g3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout and "g3 answers at" in server.stdout.readline()
        move(home, "g1")
        assert server.stdout.readline() == "loading\n"
        server.send_signal(signal.SIGINT)
        _, said = server.communicate(timeout=300)
        assert server.returncode == 130 and "Traceback" not in said, said
    command = [sys.executable, "-c", SLOW, str(home.root), "none"]  # nor for the first
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout and server.stdout.readline() == "loading\n"
        server.send_signal(signal.SIGINT)
        _, said = server.communicate(timeout=300)
        assert server.returncode == 130 and "Traceback" not in said, said
