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
    assert said(rows(tmp_path, "_chat (2).txt", ANDROID, ("Zoe",))) == [["nobody is the persona"]] * 3


def test_a_day_without_the_persona_is_no_mistake(tmp_path: Path) -> None:
    found = said(rows(tmp_path, "_chat.txt", "1.2.24, 22:15 - Carl: Anybody?\n1.2.24, 22:16 - Ben: No.\n" + ANDROID))
    assert len(found) == 4 and found[-1] == ["the persona is silent"]


def test_an_export_whose_stamps_are_unknown_is_no_document(tmp_path: Path) -> None:
    assert said(rows(tmp_path, "WhatsApp Chat with Ben.txt", "R4/3/27 Ben: Six?\n")) == [["unknown form of chat"]]


def test_under_another_name_it_is_known_by_its_speakers(tmp_path: Path) -> None:
    assert len(rows(tmp_path, "ben.txt", ANDROID)) == 3
    assert all(isinstance(row, Row) and row.kind == "text" for row in rows(tmp_path, "ben.txt", ANDROID, ("Zoe",)))


def test_a_ships_log_is_a_document(tmp_path: Path) -> None:
    log = "1901-03-02, 22:15 - Lamp lit: all well.\n1901-03-03, 06:40 - Lamp out: fog.\n"
    (row,) = rows(tmp_path, "log.txt", log)
    assert isinstance(row, Row) and row.kind == "text"
    (row,) = rows(tmp_path, "whatsapp tips.txt", "Anna: use WhatsApp.\n" + ANDROID)
    assert isinstance(row, Row) and row.kind == "text", "its first line is no stamped one"


STAMPS = [
    "26/09/2019 à 22:{} - ", "12.3.2022 klo 22.{} - ", "[12.03.2022 klo 22.{}.18] ", "2023/1/5 下午10:{} - ",
    "[2023/1/5 下午10:{}:01] ", "2023. 1. 5. 오후 10:{} - ", "12. 3. 2022 22:{} - ", "2023. 01. 05. 22:{} - ",
    "5.1.2023 г., 22:{} - ", "5/1/23, 10:{} μ.μ. - ", "5/1/23, 10:{} p. m. - ", "5/1/23, 10:{}\u202fPM - ",
    "5.01.2023 ÖS 10:{} - ", "[5/1/23, 10:{}:01 PM] ", "12-03-2022 22:{} - ", "1/1/2023، 22:{} - ",
]  # fmt: skip


@pytest.mark.parametrize("stamp", STAMPS)
def test_stamps_of_many_languages(tmp_path: Path, stamp: str) -> None:
    log = f"{stamp.format('15')}Ben: When?\n{stamp.format('16')}Anna: At six:\nsharp.\n"
    assert said(rows(tmp_path, "Chat de WhatsApp con Ben.txt", log)) == [["other: When?", "persona: At six:\nsharp."]]
    (_, entry), _ = whatsapp.entries(io.StringIO(log))
    assert entry.minute == 22 * 60 + 15


def chat(*lines: str) -> str:
    return "".join(f"1/2/24, 09:0{minute} - {line}\n" for minute, line in enumerate(lines))


ASKED = ("Ben: When does the ferry go?", "Anna: At six.")
PAIR = ["other: When does the ferry go?", "persona: At six."]


@pytest.mark.parametrize(
    "lines",
    [
        ("Ben: <Media omitted>", "Anna: Wow!", "Anna: Is that your boat?", "Anna: I want one too"),
        ("Ben: What does it look like?", "Anna: <Media omitted>", "Anna: That is the one from 1960"),
        ("Ben: Look", "Ben: Ben Müller (2).vcf (file attached)", "Anna: Him!"),
        ("Ben: Where?", "Anna: location: https://maps.google.com/?q=54.1,8.2"),
        ("Ben: Where?", "Anna: POLL:\nWhere?\nOPTION: Pier (1 vote)\nOPTION: Bar (0 votes)"),
        ("Ben: Where?", "Anna: Waiting for this message. This may take a while."),
        ("Ben: ?", "Anna: Eliminaste este mensaje.", "Anna: Hai eliminato questo messaggio"),
    ],
)
def test_what_was_shown_or_taken_back_is_no_answer_and_has_none(tmp_path: Path, lines: tuple[str, ...]) -> None:
    assert said(rows(tmp_path, "_chat.txt", chat(*ASKED, *lines))) == [PAIR]
    behind = chat(*ASKED, *lines, "Ben: And today?", "Anna: At ten.")
    assert said(rows(tmp_path, "_chat.txt", behind)) == [[*PAIR, "other: And today?", "persona: At ten."]]


def test_what_is_said_before_a_picture_stays(tmp_path: Path) -> None:
    assert said(rows(tmp_path, "_chat.txt", chat(*ASKED, "Anna: <Media omitted>", "Anna: This one"))) == [PAIR]


@pytest.mark.parametrize(
    "words", ["a.pdf • \u200e31 pages \u200edocument omitted", "here it is \u200e<attached: 47.jpg>"]
)
def test_ios_marks_what_it_says_amid_the_words(tmp_path: Path, words: str) -> None:
    at = "[1/2/24, 09:0{}:11] "
    log = at.format(0) + "Ben: \u200eMessages are encrypted.\n" + at.format(1) + ASKED[0] + "\n"
    log += at.format(2) + f"{ASKED[1]} \u200e<This message was edited>\n\u200e" + at.format(3) + f"Ben: {words}\n"
    assert said(rows(tmp_path, "_chat.txt", log + at.format(4) + "Anna: In Rome\n")) == [PAIR]


def test_edited_words_in_any_language_and_words_in_brackets(tmp_path: Path) -> None:
    log = chat("Ben: Six? <Se editó este mensaje.>", "Anna: Yes <3 <br> <Bu mesaj düzenlendi>")
    assert said(rows(tmp_path, "_chat.txt", log)) == [["other: Six?", "persona: Yes <3 <br>"]]


@pytest.mark.parametrize(
    ("name", "persona"),
    [("Anna :)", "anna :)"), ("~ Anna", "~ Anna"), ("~\u202fAnna", "Anna"), ("A\u00a0B", "A B"),
     ("\u202a+49 170 123\u202c", "+49 170 123"), ("\u2068Anna\u2069", "\u2068Anna\u2069")],
)  # fmt: skip
def test_a_name_may_be_copied_or_typed(tmp_path: Path, name: str, persona: str) -> None:
    found = rows(
        tmp_path, "_chat.txt", chat("Ben :): Six?", f"{name}: Yes.", "Ben :): Sure?", f"{name}: No."), (persona,)
    )
    assert said(found) == [["other: Six?", "persona: Yes.", "other: Sure?", "persona: No."]]


def test_what_the_app_tells_with_a_colon_is_nobodys(tmp_path: Path) -> None:
    events = ('Ben changed the group name from "Trip: Rome" to "Trip: Oslo"', "Ben changed the subject to “Trip: A”")
    log = chat("Ben: What do we eat?", *events, "Anna: Fish.")
    assert said(rows(tmp_path, "_chat.txt", log)) == [["other: What do we eat?", "persona: Fish."]]


def test_a_programme_in_a_message_is_no_chat(tmp_path: Path) -> None:
    plan = "Anna: This is it\n1/4/25 10:00 - Opening\n1/4/25 11:00 - Talk: Boats\nMore to come"
    (row,) = said(rows(tmp_path, "_chat.txt", chat("Ben: Well?", plan)))
    assert row[1].endswith("Talk: Boats\nMore to come")


def test_a_long_message_takes_no_square_of_its_length() -> None:
    """Seconds where it did: half a minute for the spaces alone."""
    for words in (" " * 60_000 + "x", "<" + "edited" * 10_000, "\u200e" * 60_000, "<" * 60_000, "Ab:\n" * 15_000):
        (entry,) = whatsapp.entries(io.StringIO(f"1/2/24, 09:00 - Anna: a{words}"))
        assert entry[1].names == ("anna",)


def test_nothing_is_held_that_has_no_end(tmp_path: Path) -> None:
    """One speaker who says a megabyte, and one line of as much."""
    endless = "31.12.23, 22:15 - Anna: begin\n" + "and on and on\n" * 80_000
    parts = talks(endless)
    assert len(parts) > 10 and max(map(len, parts)) < 3 * chat_log.LONGEST
    line = "31.12.23, 22:15 - Anna: " + "x" * 1_000_000 + "\n31.12.23, 22:16 - Ben: Oh.\n"
    parts = talks(line)
    assert max(map(len, parts)) < 3 * chat_log.LONGEST
    assert sum(part.count("x") for part in parts) == 1_000_000
    shown = "31.12.23, 22:15 - Anna: <Media omitted>\n" * 20_000
    assert len(talks(shown)) > 5


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
