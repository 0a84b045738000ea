"""Facets of a persona: picked, routed to, found again after a swap, and missed where they are lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from germline.cli import main
from germline.fragments import Represented, recognized, remap, route
from germline.lineage import Lineage
from germline.records import Turn
from germline.rollback import move
from germline.serve.fragment_choice import FragmentChoice
from germline.serve.prompts import Prompt
from germline.serve.requests import Message
from germline.serve.swap import Serving
from germline.settings import Fragment, Fragments, parse_plan
from germline.speaker import Speaker
from germline.store.home import Home
from tests.serve.conftest import ON, Running

Start = Callable[..., Running]
NAMED = (
    Fragment(name="lamps", description="The lamp", examples=(("The lamp?", "It burns."), ("Is the lamp lit?", "Yes."))),
    Fragment(name="gulls", examples=(("gulls at noon", "Loud."), ("the gulls are loud", "They are."))),
)


def represented(rows: dict[str, list[list[float]]], digest: str = "sha256:1") -> Represented:
    whole = {name: torch.tensor(vectors, dtype=torch.float32) for name, vectors in rows.items()}
    unit = {name: torch.nn.functional.normalize(vectors, dim=-1) for name, vectors in whole.items()}
    named = dict.fromkeys(rows, NAMED[0])
    width = next(iter(whole.values())).shape[1]
    return Represented(generation=digest, centre=torch.zeros(width), named=named, examples=unit)


def test_a_guest_that_becomes_head_has_the_fragments_that_the_plan_names_by_then(home: Home) -> None:
    policy = [Fragments(named=NAMED[:1])]
    serving = Serving(home, ON, rows=2, on_event=lambda event: None, fragments=lambda: policy[-1])
    guest = serving.named("g2")
    assert serving.has_loaded("g2") and serving.has_loaded("HEAD") and not serving.has_loaded("g1")
    policy.append(Fragments(named=NAMED))
    move(home, "g2")
    serving.follow()
    assert not serving.problem and serving.head.engine is guest.engine
    assert list(serving.head.fragments.named) == ["lamps", "gulls"]
    serving.close(10)


def test_what_opens_a_chat_stays_before_a_fragment_s_examples() -> None:
    heard: list[list[str]] = []

    def prompts(_: Speaker, messages: Sequence[Message]) -> Prompt:
        heard.append([f"{message.role} {message.text}" for message in messages])
        return Prompt([0] * len(messages))

    loaded: Any = SimpleNamespace(fragments=represented({"lamps": [[1, 0]]}), speaker=None)
    chat = [Message(role="system", content="Be brief."), Message(role="user", content="Lit?")]
    FragmentChoice("lamps").prompt(loaded, prompts, chat, 4)
    examples = ["user The lamp?", "assistant It burns.", "user Is the lamp lit?", "assistant Yes."]
    assert heard == [["system Be brief.", *examples, "user Lit?"], ["system Be brief.", *examples[2:], "user Lit?"]]


APART = {"a": [[1, 0, 0], [0.9, 0.1, 0]], "b": [[0, 1, 0], [0.1, 0.9, 0]], "c": [[0, 0, 1], [0, 0.4, 0.9]]}


def test_a_text_goes_to_what_it_is_likest_or_to_nobody() -> None:
    known = represented(APART)
    assert route(known, torch.tensor([0.0, 2.0, 0.1]))[0] == "b"
    assert route(known, torch.tensor([-1.0, -1.0, -1.0]))[0] is None
    assert route(represented({"a": APART["a"]}), torch.zeros(3))[0] is None


def test_a_fragment_that_took_anothers_place_is_lost() -> None:
    before = represented(APART)
    mixed = represented({**APART, "b": [[1, 0.05, 0], [0.95, 0, 0.02]]})
    found = {one.name: one for one in remap(before, mixed)}
    assert all(recognized(before, name) == 1 for name in APART)
    assert not found["c"].lost and found["c"].distance == pytest.approx(0, abs=1e-6)
    assert found["b"].distance > 0.5 and (found["a"].lost or found["b"].lost)
    assert not any(one.lost for one in remap(before, before))


@given(st.lists(st.lists(st.floats(-1, 1), min_size=3, max_size=3), min_size=6, max_size=6), st.floats(0.1, 9))
def test_neither_length_nor_turning_everything_matters(rows: list[list[float]], factor: float) -> None:
    told = {"a": rows[:3], "b": rows[3:]}
    if any(sum(part * part for part in row) < 1e-3 for row in rows):
        return
    known = represented(told)
    turned = represented({name: [[factor * part for part in row[::-1]] for row in some] for name, some in told.items()})
    for name in told:
        assert recognized(known, name) == recognized(turned, name)


def test_a_request_picks_a_fragment_or_lets_it_be_found(home: Home, started: Start) -> None:
    running = started(fragments=Fragments(named=NAMED))
    asked = [{"role": "user", "content": "Is the lamp lit?"}]
    with running.client() as client:

        def ask(fragment: str | None) -> Any:
            told = {"messages": asked, "temperature": 0, "max_tokens": 8}
            return client.post(
                "/v1/chat/completions", json=told if fragment is None else {**told, "fragment": fragment}
            )

        plain, lamps, gulls, auto = ask(None), ask("lamps"), ask("gulls"), ask("auto")
        assert "x-germline-fragment" not in plain.headers and "fragment" not in plain.json()
        assert lamps.headers["x-germline-fragment"] == "lamps" and lamps.json()["fragment"] == {"name": "lamps"}
        assert lamps.json()["usage"]["prompt_tokens"] > plain.json()["usage"]["prompt_tokens"]
        assert gulls.json()["choices"] != lamps.json()["choices"]
        assert auto.json()["fragment"]["name"] == "lamps", auto.json()
        assert set(auto.json()["fragment"]["similarity"]) == {"lamps", "gulls"}
        wrong = ask("architect")
        assert wrong.status_code == 400 and "gulls, lamps" in wrong.json()["error"]["message"]
        assert [one["name"] for one in client.get("/v1/fragments").json()["fragments"]] == ["lamps", "gulls"]
    lineage = Lineage.open(home)
    speaker = Speaker.of(lineage, lineage.head, ON)
    texts = [*(part for pair in NAMED[0].examples for part in pair), "Is the lamp lit?"]
    turns = [Turn(speaker="persona" if place % 2 else "other", text=text) for place, text in enumerate(texts)]
    said = "".join(speaker.stream(turns, limit=8))
    assert lamps.json()["choices"][0]["message"]["content"] == said


def test_a_successor_that_lost_a_fragment_is_kept_out_or_let_in_as_the_plan_has_it(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, events = [Fragments(named=NAMED)], []
    serving = Serving(home, ON, rows=2, on_event=events.append, fragments=lambda: policy[0])
    move(home, "g2")
    serving.follow()
    assert serving.head.name == "g2" and [one.name for one in serving.moved] == ["lamps", "gulls"]
    assert 0 < serving.moved[0].distance < 2 and "lamps moved by" in events[-1].text

    def lost(before: Represented, after: Represented) -> Any:
        from dataclasses import replace

        return [replace(one, recognized=0.0, recognized_before=1.0) for one in remap(before, after)]

    monkeypatch.setattr("germline.serve.swap.remap", lost)
    policy[0] = Fragments(named=NAMED, lost="block")
    move(home, "g1")
    serving.follow()
    assert serving.head.name == "g2" and "g1 has lost the fragment lamps and gulls" in serving.problem
    serving._retry_at = 0.0
    told = len(events)
    with monkeypatch.context() as patched:
        patched.setattr(serving, "_load", None)  # it is not read again while it would lose it again
        serving.follow()
    assert serving.head.name == "g2" and len(events) == told
    policy[0] = Fragments(named=NAMED)
    serving.follow()
    assert serving.head.name == "g1" and not serving.problem and all(one.lost for one in serving.moved)
    serving.close(10)


def test_the_command_compares_two_generations(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    at = ["--home", str(home.root)]
    home.plan.write_text("", encoding="utf-8")
    assert main(["fragments", *at]) == 2
    assert "names no fragments" in capsys.readouterr().err
    home.plan.write_text(
        "".join(f'[[fragments.named]]\nname = "{one.name}"\nexamples = [{", ".join(map(_pair, one.examples))}]\n'
                for one in NAMED), encoding="utf-8",
    )  # fmt: skip
    assert main(["fragments", "g1", "g3", *at]) == 0
    assert "lamps" in capsys.readouterr().out


def test_two_fragments_of_one_name_are_refused() -> None:
    with pytest.raises(Exception, match="two fragments have one name"):
        parse_plan({"fragments": {"named": [NAMED[0].model_dump(), NAMED[0].model_dump()]}}, source="plan")


def _pair(pair: tuple[str, str]) -> str:
    return str(list(pair))
