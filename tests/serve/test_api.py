"""The server, asked as its clients ask: httpx, and the openai package itself."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from germline.cli import main, output
from germline.karma.book import Book
from germline.lineage import Lineage
from germline.model.generate import generate
from germline.records import Turn
from germline.serve import server, under_way
from germline.serve.engine import Answer, Busy
from germline.speaker import Speaker
from germline.store.home import Home
from tests.serve.conftest import ON, Running

Start = Callable[..., Running]
HELLO = [{"role": "user", "content": "a"}]
PROMPTS = ["The lamp", "The keeper walks", "gulls", "At noon the stairs of the tower are"]


def spoken(home: Home, name: str, prompt: str, limit: int) -> str:
    """What a generation says, asked alone and greedily."""
    lineage = Lineage.open(home)
    speaker = Speaker.of(lineage, lineage.resolve(name), ON)
    ids = speaker.tokenizer.encode(prompt)
    (said,) = generate(speaker.decoder, [ids], limit=limit, end=speaker.tokenizer.eos_id)
    return "".join(map(speaker.tokenizer.speller(), said))


def test_many_at_once_are_answered_as_if_alone(home: Home, started: Start) -> None:
    running = started(rows=3)
    expected = {prompt: spoken(home, "g3", prompt, 24) for prompt in PROMPTS}
    assert len(set(expected.values())) > 1

    def ask(prompt: str) -> tuple[str, str, dict[str, Any]]:
        with running.client() as client:
            body = {"prompt": prompt, "temperature": 0, "max_tokens": 24}
            answer = client.post("/v1/completions", json=body)
        return prompt, answer.headers["x-germline-generation"], answer.json()

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, PROMPTS * 3))
    for prompt, generation, told in answers:
        assert generation == told["model"] == "g3"
        assert told["choices"][0]["text"] == expected[prompt]


def test_the_openai_package_streams_chats_and_counts(home: Home, started: Start) -> None:
    running = started()
    client = openai.OpenAI(base_url=f"{running.url}/v1", api_key=running.token, max_retries=0)
    asked: Any = [{"role": "user", "content": "The lamp?"}]
    whole = client.chat.completions.create(
        model="HEAD", messages=asked, temperature=0, max_tokens=10, logprobs=True, top_logprobs=3
    )
    pieces = [*client.chat.completions.create(
        model="HEAD", messages=asked, temperature=0, max_tokens=10, stream=True, stream_options={"include_usage": True}
    )]  # fmt: skip
    said = whole.choices[0].message.content
    assert said and said == "".join(p.choices[0].delta.content or "" for p in pieces if p.choices)
    assert whole.usage and pieces[-1].usage == whole.usage
    assert all(piece.usage is None and "usage" in piece.model_fields_set for piece in pieces[:-1])
    assert whole.usage.completion_tokens == 10 and whole.choices[0].finish_reason == "length"
    lineage = Lineage.open(home)
    speaker = Speaker.of(lineage, lineage.head, ON)
    assert said == "".join(speaker.stream([Turn(speaker="other", text="The lamp?")], limit=10))
    told = whole.choices[0].logprobs
    assert told and told.content and len(told.content) == 10
    assert all(word.logprob == max(other.logprob for other in word.top_logprobs) <= 0 for word in told.content)
    assert {model.id for model in client.models.list()} == {"HEAD", "g0", "g1", "g2", "g3"}
    assert [model.id for model in client.models.list()][:2] == ["HEAD", "g3"]
    assert client.models.retrieve("HEAD").id == "g3" and client.models.retrieve("g1").id == "g1"
    with pytest.raises(openai.NotFoundError, match="no generation 'g99'"):
        client.models.retrieve("g99")
    unset = client.chat.completions.create(
        model="HEAD", messages=asked, temperature=None, top_p=None, n=None, stream=None, max_tokens=1
    )
    assert unset.choices[0].finish_reason == "length"
    client.close()


def test_a_stop_sequence_is_never_shown_not_even_in_part(started: Start) -> None:
    with started().client() as client:
        body: dict[str, Any] = {"prompt": "The lamp", "temperature": 0, "max_tokens": 24}
        free = client.post("/v1/completions", json=body).json()["choices"][0]["text"]
        stop = free[5:8]
        counted = {
            client.post("/v1/completions", json={**body, "stop": [stop]}).json()["usage"]["completion_tokens"]
            for _ in range(4)
        }
        assert len(counted) == 1 and counted.pop() < 24  # what the engine said beyond the stop is nobody's
        for stream in (False, True):
            answer = client.post("/v1/completions", json={**body, "stop": [stop, "never there"], "stream": stream})
            text = answer.text if stream else answer.json()["choices"][0]["text"]
            if stream:
                events = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
                text = "".join(event["choices"][0]["text"] for event in events)
                assert events[-1]["choices"][0]["finish_reason"] == "stop"
            assert text == free[: free.index(stop)]


def test_a_seed_repeats_and_another_does_not(started: Start) -> None:
    with started().client() as client:

        def said(seed: int) -> str:
            body = {"prompt": "The lamp", "temperature": 1.5, "top_p": 1.0, "max_tokens": 24, "seed": seed}
            text: str = client.post("/v1/completions", json=body).json()["choices"][0]["text"]
            return text

        assert said(1) == said(1) != said(2)


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("completions", {}, 400, "prompt: Field required"),
        ("completions", {"prompt": "a", "n": 2}, 400, "n:"),
        ("completions", {"prompt": "a", "tools": [{"type": "function"}]}, 400, "tools: Extra"),
        ("completions", {"prompt": ["a", "b"]}, 400, "prompt: one prompt a request"),
        ("completions", {"prompt": "a", "logit_bias": {"5": 1}}, 400, "logit_bias: Extra"),
        ("chat/completions", {"messages": HELLO, "response_format": {"type": "json_object"}}, 400, "response_format:"),
        ("completions", [], 400, "Input should be"),
        ("completions", {"prompt": "a", "temperature": -1}, 400, "temperature"),
        ("completions", {"prompt": "a", "max_tokens": 10**9}, 400, "max_tokens"),
        ("completions", {"prompt": "a", "model": "g99"}, 404, "no generation 'g99'"),
        ("completions", {"prompt": "a", "model": "../../etc/passwd"}, 404, "no generation"),
        ("completions", {"prompt": "a", "stream_options": {}}, 400, "stream must be true"),
        ("chat/completions", {"messages": HELLO, "top_logprobs": 2}, 400, "logprobs must be true"),
        ("completions", {"prompt": ""}, 400, "the prompt is empty"),
        ("completions", {"prompt": []}, 400, "prompt: List should have at least 1 item"),
        ("completions", {"prompt": "a", "stop": ["x", ""]}, 400, "stop.1: String should have at least 1 character"),
        ("completions", {"prompt": [1 << 30]}, 400, "no token"),
        ("completions", {"prompt": "a " * 9000}, 400, "the prompt is too long: "),
        ("completions", {"prompt": "\ud800"}, 400, "valid string"),
        ("chat/completions", {"messages": [{"role": "system", "content": "Be nice"}]}, 400, "system"),
        ("chat/completions", {"messages": [{"role": "assistant", "content": "I"}]}, 400, "last message"),
        ("chat/completions", {"messages": []}, 400, "messages"),
        ("chat/completions", {"messages": [{"role": "user", "content": "a"}], "chat_template": "x"}, 400, "Extra"),
    ],
)
def test_what_cannot_be_answered_is_told_why(started: Start, path: str, body: Any, status: int, words: str) -> None:
    with started().client() as client:
        data = json.dumps(body)  # ASCII, so that lone surrogates can be sent
        answer = client.post(f"/v1/{path}", content=data, headers={"Content-Type": "application/json"})
        assert answer.status_code == status, answer.text
        assert words in answer.json()["error"]["message"]
        if "too long" in words:
            assert answer.json()["error"]["code"] == "context_length_exceeded"
        elif ": " in words:
            assert answer.json()["error"]["param"] == words.partition(":")[0].partition(".")[0]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("completions", {"prompt": ["The lamp"], "suffix": None, "logit_bias": {}, "metadata": {}, "store": False}),
        ("completions", {"prompt": [[1, 2]], "tools": None, "top_p": 0, "metadata": {"a": "b"}}),
        ("chat/completions", {"messages": HELLO, "safety_identifier": "u", "prompt_cache_key": "k",
                              "service_tier": "flex"}),
        ("chat/completions", {"messages": [{"role": "user", "content": "a", "name": "Ole"}], "tools": [],
                              "response_format": {"type": "text"}, "tool_choice": None}),
        ("chat/completions", {"messages": [*HELLO, {"role": "assistant", "content": "b", "refusal": None,
                              "tool_calls": [], "annotations": []}, *HELLO]}),
    ],
)  # fmt: skip
def test_what_asks_for_nothing_is_no_reason_to_refuse(started: Start, path: str, body: Any) -> None:
    with started().client() as client:
        answer = client.post(f"/v1/{path}", json={**body, "max_tokens": 2})
        assert answer.status_code == 200, answer.text


def test_the_probabilities_of_a_completion_have_the_chosen_word_and_its_place(started: Start) -> None:
    body = {"prompt": "The lamp", "logprobs": 2, "temperature": 2.0, "top_p": 1.0, "max_tokens": 24, "seed": 4}
    with started().client() as client:
        whole = client.post("/v1/completions", json=body).json()["choices"][0]
        streamed = client.post("/v1/completions", json={**body, "stream": True}).text
    told, text = whole["logprobs"], whole["text"]
    assert len({len(told[key]) for key in ("tokens", "token_logprobs", "top_logprobs", "text_offset")}) == 1
    for word, value, likeliest, place in zip(*(told[key] for key in told), strict=True):
        assert likeliest[word] == value and 2 <= len(likeliest) <= 3
        assert word.startswith("bytes:") or text.startswith(word, place) or "\ufffd" in text
    assert any(len(likeliest) == 3 for likeliest in told["top_logprobs"])
    events = [json.loads(line[6:]) for line in streamed.splitlines() if line.startswith("data: {")]
    parts = [event["choices"][0]["logprobs"] for event in events if event["choices"][0]["logprobs"]]
    assert [place for part in parts for place in part["text_offset"]] == told["text_offset"]


def test_head_is_get_without_a_body_and_other_methods_are_told_what_is_taken(started: Start) -> None:
    with started().client() as client:
        for path in ("/", "/v1/models"):
            head = client.head(path)
            assert head.status_code == 200 and head.content == b"" and int(head.headers["content-length"]) > 0
        assert client.get("/v1/completions").headers["allow"] == "POST"
        for method in ("DELETE", "OPTIONS"):
            answer = client.request(method, "/v1/models/g1")
            assert answer.status_code == 405 and "POST" in answer.headers["allow"]


def test_who_leaves_the_queue_keeps_no_place_in_it(started: Start) -> None:
    running = started(rows=1)
    long = {"prompt": "The lamp", "temperature": 0, "max_tokens": 200}
    engine = running.serving.head.engine
    with running.client() as client, client.stream("POST", "/v1/completions", json={**long, "stream": True}) as first:
        pieces = first.iter_bytes()
        next(pieces)
        waiting = [Answer([1], lambda piece: None, limit=2) for _ in range(4)]
        for answer in waiting:
            engine.submit(answer)
        with pytest.raises(Busy):
            engine.submit(Answer([1], lambda piece: None, limit=2))
        waiting[0].given_up = True
        engine.submit(Answer([1], lambda piece: None, limit=2))


def test_a_client_that_leaves_before_its_first_word_is_given_up() -> None:
    async def gone() -> bool:
        return True

    async def ask() -> None:
        answer = Answer([1], lambda piece: None, limit=2)
        with pytest.raises(under_way.ClientLeft):
            await under_way._first(answer, asyncio.Queue(), gone)
        assert answer.given_up

    asyncio.run(ask())


def test_more_than_it_holds_is_turned_away_and_may_come_again(started: Start) -> None:
    running = started(rows=1)
    body = {"prompt": "The lamp", "temperature": 0, "max_tokens": 60}
    codes = []
    gate = threading.Barrier(12)

    def ask(_: int) -> None:
        with running.client() as client:
            gate.wait()
            answer = client.post("/v1/completions", json=body)
            codes.append(answer.status_code)
            assert answer.status_code == 200 or answer.headers["retry-after"] == "1"

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(ask, range(12)))
    assert set(codes) == {200, 429} and codes.count(200) >= 5
    with running.client() as client:
        assert client.post("/v1/completions", json=body).status_code == 200


def test_whoever_leaves_frees_the_place(started: Start) -> None:
    running = started(rows=1)
    body = {"prompt": "The lamp", "temperature": 0, "max_tokens": 300, "stream": True}
    with running.client() as client:
        for _ in range(3):
            with client.stream("POST", "/v1/completions", json=body) as answer:
                next(answer.iter_bytes())
        short = client.post("/v1/completions", json={"prompt": "a", "max_tokens": 1})
        assert short.status_code == 200
        for _ in range(200):
            if running.serving.head.engine.load == 0:
                break
            threading.Event().wait(0.02)
        assert running.serving.head.engine.load == 0


def test_where_answers_are_not_rated_it_is_said_what_would_let_them_be(started: Start) -> None:
    with started().client() as client:
        told = client.post("/v1/feedback", json={"id": "chatcmpl-1", "score": 1.0})
        assert told.status_code == 404 and told.json()["error"]["code"] == "karma_off"
        assert "karma.threshold" in told.json()["error"]["message"]
        assert client.post("/v1/feedback", json={"id": "chatcmpl-1", "score": 2.0}).status_code == 400


def test_an_answer_can_be_rated_once_for_each_key(home: Home, started: Start) -> None:
    running = started(keep=True)
    with running.client() as client:
        asked = [{"role": "user", "content": "The lamp?"}]
        whole = client.post("/v1/chat/completions", json={"messages": asked, "max_tokens": 4, "temperature": 0}).json()
        streamed = client.post(
            "/v1/chat/completions", json={"messages": asked, "max_tokens": 4, "temperature": 0, "stream": True}
        ).text
        names = [whole["id"], json.loads(streamed.split("data: ")[1])["id"]]
        for name in names:
            for _ in range(2):
                told = client.post("/v1/feedback", json={"id": name, "score": 1.0, "key": name})
                assert told.status_code == 200, told.text
        assert client.post("/v1/feedback", json={"id": "never", "score": 1.0}).status_code == 404
        assert client.post("/v1/feedback", json={"id": names[0], "score": -1.0, "key": names[0]}).status_code == 409
        assert client.post("/v1/feedback", json={"id": names[0], "score": 2.0}).status_code == 400
    book = Book(home)
    assert [event.message for event in book.events()] == names
    assert book.exchanges()[names[0]] == [
        *asked, {"role": "assistant", "content": whole["choices"][0]["message"]["content"], "ended": "length"}
    ]  # fmt: skip
    book.close()


def test_the_printed_token_is_the_one_that_requests_must_bring(
    home: Home, started: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    running, printed = started(), list[str]()
    for json_too in ([], ["--json"]):
        assert main(["serve", "--home", str(home.root), "--token", *json_too]) == 0
        printed.append(capsys.readouterr().out)
    assert [printed[0].strip(), json.loads(printed[1])["token"]] == [running.token] * 2
    with running.client() as client:
        assert client.get("/v1/models").status_code == 200
        assert client.get("/v1/models", headers={"Authorization": "Bearer another"}).status_code == 401


@pytest.mark.parametrize("said", [b"", b"GET /v1/models HTT"])
def test_who_connects_and_asks_nothing_is_not_waited_for(
    started: Start, said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And who was answered, and keeps the connection, is."""
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.1)
    running = started()
    host, port = running.url.removeprefix("http://").split(":")
    with running.client() as client, socket.create_connection((host, int(port)), timeout=30) as silent:
        assert client.get("/v1/models").status_code == 200
        silent.sendall(said)
        assert silent.recv(1) == b""
        kept = next(iter(client._transport._pool.connections))  # type: ignore[attr-defined]
        assert kept.is_idle() and client.get("/v1/models").status_code == 200
        assert next(iter(client._transport._pool.connections)) is kept  # type: ignore[attr-defined]


def test_who_goes_on_sending_after_its_answer_is_not_waited_for(
    started: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.1)
    running = started()
    host, port = running.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as sender:
        head = f"GET /page.js HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 9\r\n\r\n"
        sender.sendall(head.encode())
        assert sender.recv(1) == b"H"
        sender.sendall(b"x")
        while sender.recv(1 << 16):  # its answer, and then its end
            pass


def test_the_terminal_says_what_the_server_says(home: Home, started: Start, capsys: pytest.CaptureFixture[str]) -> None:
    """In fp32: weights made up at random have words as likely as each other, which bf16 rounds by the batch."""
    home.plan.write_text('[training]\ndtype = "fp32"\n', encoding="utf-8")
    body = {"messages": [{"role": "user", "content": "The lamp?"}], "temperature": 0, "max_tokens": 256}
    with started().client() as client:
        told = client.post("/v1/chat/completions", json=body).json()["choices"][0]["message"]["content"]
    capsys.readouterr()
    assert main(["chat", "--home", str(home.root), "--greedy", "--once", "The lamp?"]) == 0
    assert capsys.readouterr().out.splitlines() == output.harmless(f"{told}\n").splitlines()
