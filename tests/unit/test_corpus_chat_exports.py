"""Telegram's and Discord's chats: conversations, and nothing learned of what was shown or passed on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from germline.corpus.read import read
from germline.records import Refusal, Row


def telegram(who: str, words: Any, time: str, **more: Any) -> dict[str, Any]:
    who_is = {"from": who, "from_id": f"user{sum(map(ord, who))}"}
    return {"id": 1, "type": "message", "date": f"2024-01-{time}:09", "text": words} | who_is | more


def discord(who: str, words: str, time: str, **more: Any) -> dict[str, Any]:
    author = {"id": f"9{len(who)}", "name": who.lower() + "_77", "nickname": who, "isBot": False}
    return {"id": "1", "type": "Default", "timestamp": f"2024-01-{time}:09.371+00:00", "content": words,
            "author": author, "attachments": [], "stickers": []} | more  # fmt: skip


CHAT = [
    {"id": 0, "type": "service", "date": "2024-01-01T08:00:00", "actor": "Ben", "actor_id": "user7", "text": ""},
    telegram("Ben", "When does the ferry go?", "01T09:00"),
    telegram("Anna", ["At six, see ", {"type": "link", "text": "pier.example"}, "."], "01T09:01"),
    telegram("Ben", "", "01T09:02", photo="photos/1.jpg"),
    telegram("Anna", "Is that your boat?", "01T09:03"),
    telegram("Ben", "And today?", "01T12:00"),
    telegram("Anna", "Words of somebody else's", "01T12:01", forwarded_from="Carl"),
    telegram("Anna", "To be or not to be", "01T12:01", via_bot="@quotebot"),
    telegram("Carl", "At ten?", "01T12:02"),
    telegram("Anna", "At ten.", "01T12:03"),
    telegram("Ben", "Good night.", "02T00:01"),
]  # fmt: skip
SAID = [
    ["other: When does the ferry go?", "persona: At six, see pier.example."],
    ["other: At ten?", "persona: At ten."],
    ["the persona is silent"],
]


def rows(tmp_path: Path, record: object, persona: tuple[str, ...] = ("Anna",)) -> list[Row | Refusal]:
    (tmp_path / "result.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    return list(read(["result.json"], tmp_path, voice="assistant", persona=persona))


def said(found: list[Row | Refusal]) -> list[list[str]]:
    return [
        [f"{turn.speaker}: {turn.text}" for turn in row.turns] if isinstance(row, Row) else [row.reason]
        for row in found
    ]


@pytest.mark.parametrize("name", [" anna ", f"user{sum(map(ord, 'Anna'))}"])
def test_a_chat_of_telegram(tmp_path: Path, name: str) -> None:
    found = rows(tmp_path, {"name": "Ben", "type": "personal_chat", "id": 7, "messages": CHAT}, (name,))
    assert said(found) == SAID
    assert [row.position for row in found] == [2, 6, 11], "the message that each begins with"


def test_all_chats_of_an_account(tmp_path: Path) -> None:
    carl = [telegram("Carl", "I pay you 50", "01T08:00"), telegram("Anna", "No, never.", "01T08:01")]
    chats = {
        "about": "…",
        "list": [{"name": "Ben", "messages": CHAT}, {"name": None}, {"name": "Carl", "messages": carl}],
    }
    left = {"list": [{"name": "News", "messages": [telegram("News", "Rain.", "03T08:00")]}]}
    found = rows(tmp_path, {"about": "…", "chats": chats, "left_chats": left})
    carls = ["other: I pay you 50", "persona: No, never."]
    assert said(found) == [*SAID[:2], carls, ["the persona is silent"], ["the persona is silent"]]
    assert sorted(row.position for row in found) == [2, 6, 11, 12, 14], "each message has a number of its own"
    assert said(rows(tmp_path, {"left_chats": left})) == [["nobody is the persona"]]


def test_a_chat_of_discord(tmp_path: Path) -> None:
    messages = [
        discord("Ben", "joined the server.", "01T09:00", type="GuildMemberJoin"),
        discord("Ben", "When does the ferry go?", "01T09:00"),
        discord("Anna", "At six.", "01T09:01", type="Reply"),
        discord("Ben", "Look!", "01T09:02", attachments=[{"fileName": "boat.jpg"}]),
        discord("Anna", "Is that your boat?", "01T09:03"),
        discord("Troll", "Buy my coin", "01T09:04") | {"author": {"id": "1", "name": "troll", "nickname": "Anna_77"}},
    ]
    record = {"guild": {"name": "Pier"}, "channel": {"name": "talk"}, "messages": messages}
    wanted = [["other: When does the ferry go?", "persona: At six."]]
    for name in ("Anna_77", "94"):
        assert said(rows(tmp_path, record, (name,))) == wanted


def test_nobody_knows_whose_words_are_learned(tmp_path: Path) -> None:
    assert said(rows(tmp_path, {"messages": CHAT}, ())) == [["nobody is the persona"]]
    assert said(rows(tmp_path, {"messages": CHAT}, ("Anne",))) == [["nobody is the persona"]] * 3


def test_what_cannot_be_read_is_answered_by_nothing(tmp_path: Path) -> None:
    messages = [
        telegram("Ben", "Six?", "01T09:00"),
        {"type": "message", "future": 1},
        telegram("Anna", "No.", "01T09:01"),
        telegram("Ben", "Seven?", "01T09:02"),
        telegram("Anna", "Yes.", "01T09:03"),
    ]
    assert said(rows(tmp_path, {"messages": messages})) == [["other: Seven?", "persona: Yes."]]


def test_a_time_beside_a_role_makes_no_such_chat(tmp_path: Path) -> None:
    noted = {"content": "Six", "timestamp": "2024-01-01T09:00:00", "author": {"id": "1", "name": "x"}}
    talk = [{"role": role, **noted} for role in ("user", "assistant")]
    assert said(rows(tmp_path, {"messages": talk}, ())) == [["other: Six", "persona: Six"]]
