"""WhatsApp's exports: conversations, and never a document full of times and names."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from germline.corpus import chat_log, whatsapp
from germline.corpus.read import read
from germline.records import Refusal, Row

ANDROID = """31.12.23, 22:15 - Messages and calls are end-to-end encrypted. Tap to learn more.
31.12.23, 22:15 - Ben: When does the ferry go?
31.12.23, 22:16 - Anna: At six.
From the old pier.
31.12.23, 22:16 - Ben: Thanks <This message was edited>
31.12.23, 22:17 - Ben: <Media omitted>
31.12.23, 22:18 - Anna: Is that your boat?
1.1.24, 09:00 - Ben: And today?
1.1.24, 09:05 - Anna: At ten: it is a holiday.
1.1.24, 13:00 - Ben: Still there?
1.1.24, 13:01 - Anna: This message was deleted
1.1.24, 13:02 - Carl: Ask the office.
1.1.24, 13:03 - Anna: Closed.
"""
IOS = (
    "\u200e[12/31/23, 10:15:03\u202fPM] Ben: \u200eMessages and calls are end-to-end encrypted.\n"
    "[12/31/23, 11:59:58\u202fPM] ~\u202fAnna: Happy new year!\n"
    "[1/1/24, 12:00:03\u202fAM] Ben: And to you.\n"
    "[1/1/24, 12:30:03\u202fAM] ~\u202fAnna: Look\n"
    "\u200e[1/1/24, 12:31:03\u202fAM] ~\u202fAnna: \u200eimage omitted\n"
)


def rows(tmp_path: Path, name: str, text: str, persona: tuple[str, ...] = ("Anna",)) -> list[Row | Refusal]:
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    return list(read([name], tmp_path, voice="assistant", persona=persona))


def said(found: list[Row | Refusal]) -> list[list[str]]:
    return [
        [f"{turn.speaker}: {turn.text}" for turn in row.turns] if isinstance(row, Row) else [row.reason]
        for row in found
    ]


def test_who_says_what_and_when_it_begins_anew(tmp_path: Path) -> None:
    found = rows(tmp_path, "WhatsApp Chat with Ben.txt", ANDROID)
    assert said(found) == [
        ["other: When does the ferry go?", "persona: At six.\nFrom the old pier."],
        ["other: And today?", "persona: At ten: it is a holiday."],
        ["other: Ask the office.", "persona: Closed."],
    ]
    assert [row.position for row in found] == [2, 8, 10]
    turned = rows(tmp_path, "WhatsApp Chat with Ben.txt", ANDROID, ("ben ", "Carl"))
    assert said(turned)[0][:2] == ["persona: When does the ferry go?", "other: At six.\nFrom the old pier."]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_ios_writes_marks_and_a_clock_of_twelve_hours(tmp_path: Path, end: str) -> None:
    found = rows(tmp_path, "_chat.txt", IOS.replace("\n", end))
    assert said(found) == [["persona: Happy new year!"], ["other: And to you.", "persona: Look"]]


def test_nobody_knows_whose_words_are_learned(tmp_path: Path) -> None:
    for name in ("_chat.txt", "WhatsApp Chat mit Ben.txt"):
        assert said(rows(tmp_path, name, ANDROID, ())) == [["nobody is the persona"]]
    assert said(rows(tmp_path, "_chat.txt", ANDROID, ("Zoe",))) == [["nobody is the persona"]] * 3


def test_under_another_name_it_is_known_by_its_speakers(tmp_path: Path) -> None:
    assert len(rows(tmp_path, "ben.txt", ANDROID)) == 3
    assert all(isinstance(row, Row) and row.kind == "text" for row in rows(tmp_path, "ben.txt", ANDROID, ("Zoe",)))


def test_a_ships_log_is_a_document(tmp_path: Path) -> None:
    log = "1901-03-02, 22:15 - Lamp lit: all well.\n1901-03-03, 06:40 - Lamp out: fog.\n"
    (row,) = rows(tmp_path, "log.txt", log)
    assert isinstance(row, Row) and row.kind == "text"
    (row,) = rows(tmp_path, "whatsapp tips.txt", "Anna: use WhatsApp.\n" + ANDROID)
    assert isinstance(row, Row) and row.kind == "text", "its first line is no stamped one"


def test_nothing_is_held_that_has_no_end(tmp_path: Path) -> None:
    """One speaker who says a megabyte, and one line of as much."""
    endless = "31.12.23, 22:15 - Anna: begin\n" + "and on and on\n" * 80_000
    parts = talks(endless)
    assert len(parts) > 10 and max(map(len, parts)) < 3 * chat_log.LONGEST
    line = "31.12.23, 22:15 - Anna: " + "x" * 1_000_000 + "\n31.12.23, 22:16 - Ben: Oh.\n"
    parts = talks(line)
    assert max(map(len, parts)) < 3 * chat_log.LONGEST
    assert sum(part.count("x") for part in parts) == 1_000_000


def talks(text: str) -> list[str]:
    found = chat_log.conversations(whatsapp.entries(io.StringIO(text)), {"anna"}, "assistant")
    return [str(record) for _, record in found]


def test_names_of_people_in_json(tmp_path: Path) -> None:
    talk = '{"messages": [{"role": "Claude", "content": "Six?"}, {"role": "Anna ", "content": "Six."}]}'
    assert said(rows(tmp_path, "a.json", talk)) == [["other: Six?", "persona: Six."]]
    assert said(rows(tmp_path, "a.json", talk, ("Zoe",))) == [["unknown role"]]
    usual = '{"messages": [{"role": "user", "content": "Six?"}, {"role": "assistant", "content": "Six."}]}'
    assert said(rows(tmp_path, "b.json", usual)) == [["other: Six?", "persona: Six."]], "where no such name speaks"
    shown = (
        '{"messages": [{"role": "Ben", "content": [{"type": "image_url"}]}, {"role": "Anna", "content": "Nice."},'
        ' {"role": "Ben", "content": "And?"}, {"role": "Anna", "content": "Six."}]}'
    )
    assert said(rows(tmp_path, "c.json", shown)) == [["other: And?", "persona: Six."]]
