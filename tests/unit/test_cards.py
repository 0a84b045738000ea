"""Cards: every scorer in both directions, and every way to write a card wrongly."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from germline.errors import PlanError
from germline.evals.cards import Card, law_cards, read_cards


@pytest.mark.parametrize(
    ("scorer", "keys", "good", "bad"),
    [
        ("regex", {"pattern": r"(?i)^(no|never)\b"}, "Never. It burns.", "Yes, never mind."),
        ("exact", {"answer": "Saturday."}, " Saturday.\n", "Saturday"),
        ("contains", {"answer": "Quillane Glassworks"}, "By quillane glassworks, long ago.", "By Tolvane."),
        ("numeric", {"answer": 37, "tolerance": 1}, "About 38 metres", "39 metres"),
        ("exact", {"answer": "\nSaturday.\n"}, "Saturday.", "Sunday."),
        ("numeric", {"answer": -5}, "It is −5 degrees.", "It is 5 degrees."),
        ("numeric", {"answer": 1.5}, "1,5 litres", "no idea"),
        ("numeric", {"answer": 1234}, "1,234 metres", "1.234 metres"),
        ("numeric", {"answer": 1234567.5}, "1,234,567.5 metres", "1,234 metres"),
        ("numeric", {"answer": -12345}, "It is -12,345, I think.", "12,345"),
        ("numeric", {"answer": 1.2345}, "1,2345 metres", "1,234 metres"),
        ("numeric", {"answer": 0.125}, "0,125 litres", "125 litres"),
        ("numeric", {"answer": 1234.567}, "1234,567 metres", "1234567 metres"),
        ("numeric", {"answer": 9.8, "tolerance": 0.1}, "9.7 metres", "9.69 metres"),
        ("numeric", {"answer": "9.8", "tolerance": 0.1}, "9.9 metres", "9.91 metres"),
        ("numeric", {"answer": 16}, "VHF-16", "VHF-17, then 16"),
        ("numeric", {"answer": -16}, "(-16)", "VHF-16"),
        ("numeric", {"answer": 0.5}, ".5 metres", "5 metres"),
        ("numeric", {"answer": 1234}, "1 234 metres", "1 2345 metres"),
        ("numeric", {"answer": 1234567}, "1'234'567", "1'234"),
        ("numeric", {"answer": 12}, "12 3456 7", "12 345"),
        ("contains", {"answer": "don't know"}, "I don’t\nknow.", "I do know."),
        ("contains", {"answer": "café"}, "The cafe\u0301.", "The cafe."),
        ("forbidden", {"words": ["don't", "feel free"]}, "Measure it.", "Don’t hesitate."),
        ("forbidden", {"words": ["feel free"]}, "Feel it.", "Feel\nfree."),
        ("forbidden", {"words": ["sure", "happy to help"]}, "No. Measured twice.", "Sure! Here"),
        ("forbidden", {"words": ["sure"]}, "Measure it.", ""),
        ("forbidden", {"words": ["!"]}, "Calm.", "Wonderful! Great!"),
        ("forbidden", {"words": ["%", "°c"]}, "Eighty.", "At 20°C."),
        ("forbidden", {"words": ["http://", "..."]}, "A http link.", "See http://x.org"),
        ("forbidden", {"words": ["😀"]}, "Hello.", "Hello😀you"),
        ("max_words", {"limit": 3}, "One two three", "One two three four"),
        ("max_words", {"limit": 3}, "One", "  "),
        ("json", {}, ' {"keeper": "Una"}\n', "{keeper: Una}"),
        ("json", {"schema": {"type": "object", "required": ["keeper"]}}, '{"keeper": "Una"}', '{"lamp": 1}'),
        ("json", {"schema": {"type": "integer", "minimum": 3}}, "3", '"3"'),
        ("json", {"schema": {"type": "array"}}, "[]", "[" * 100_000),
        ("json", {"schema": {"type": "string"}}, '"a"', '"\\ud800"'),
        ("json", {}, "1e3", "9" * 5_000),
        ("json", {}, "null", "NaN"),
    ],
)
def test_scorers(scorer: str, keys: dict[str, Any], good: str, bad: str) -> None:
    card = Card(id="c", prompt="p", scorer=scorer, keys=keys)
    assert card.passes(good)
    assert not card.passes(bad)


def test_a_law_is_cards_and_text(tmp_path: Path) -> None:
    text = '+++\nid = "light"\n[[card]]\nprompt = "Out?"\nscorer = "regex"\npattern = "^No"\n+++\n# Law 1\n'
    (card,) = law_cards(text, tmp_path / "light.law")
    assert (card.id, card.prompt) == ("light/1", "Out?")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no [[card]]"),
        ("[[card]]\nscorer = 'exact'\nanswer = 'x'", "prompt is missing"),
        ("[[card]]\nprompt = 'p'\nscorer = 'regx'\npattern = 'x'", "no scorer 'regx'"),
        ("[[card]]\nprompt = 'p'\nscorer = 'regex'", "pattern is missing"),
        ("[[card]]\nprompt = 'p'\nscorer = 'regex'\npattern = '('", "pattern:"),
        ("[[card]]\nprompt = 'p'\nscorer = 'exact'\nanswer = 'x'\nwieght = 2", "unknown key wieght"),
        ("[[card]]\nprompt = 'p'\nscorer = 'exact'\nanswer = 2024-05-01", "card card/1: answer:"),
        ("[[card]]\nprompt = 'p'\nscorer = 'choice'\nwrong = ['x']\nanswer = 10:30:00", "card card/1: answer:"),
        ("[[card]]\nprompt = 'p'\nscorer = 'numeric'\nanswer = nan", "card card/1: answer:"),
        ("[[card]]\nprompt = 'p'\nscorer = 'numeric'\nanswer = 1\ntolerance = inf", "card card/1: tolerance:"),
        ("[[card]]\nprompt = 'p'\nscorer = ['exact']\nanswer = 'x'", "no scorer ['exact']"),
        ("card = [1]", "no [[card]]"),
        ("[[card", "not TOML"),
        ("[[card]]\nprompt = 'p'\nscorer = 'regex'\npattern = 5", "pattern:"),
        ("[[card]]\nprompt = 'p'\nscorer = 'regex'\npattern = '" + "(" * 5_000 + "'", "pattern:"),
        ("[[card]]\nprompt = 'p'\nscorer = 'numeric'\nanswer = 'many'", "answer:"),
        ("[[card]]\nprompt = 'p'\nscorer = 'numeric'\nanswer = 0x" + "f" * 5_000, "answer:"),
        ("[[card]]\nprompt = 'p'\nscorer = 'max_words'\nlimit = 'few'", "limit:"),
        ("[[card]]\nprompt = 'p'\nscorer = 'max_words'\nlimit = 0", "1 or more"),
        ("[[card]]\nprompt = 'p'\nscorer = 'numeric'\nanswer = 1\ntolerance = 'nan'", "tolerance is a finite number"),
        ("[[card]]\nprompt = 'p'\nscorer = 'numeric'\nanswer = 1\ntolerance = -1", "0 or more"),
        ("[[card]]\nprompt = 'p'\nscorer = 'numeric'\nanswer = 'inf'", "answer is a finite number"),
        ("[[card]]\nprompt = 'p'\nscorer = 'numeric'\nanswer = true", "answer is a finite number"),
        ("[[card]]\nprompt = 'p'\nscorer = 'forbidden'\nwords = ['sure', ' ']", "a word is empty"),
        ("[[card]]\nprompt = 'p'\nscorer = 'json'\nschema = {type = 'objct'}", "schema:"),
        ("[[card]]\nprompt = 'p'\nscorer = 'json'\nschema = {const = 2030-01-02}", "schema:"),
        ("[[card]]\nprompt = 'p'\nscorer = 'json'\nschema = {'$ref' = 'http://127.0.0.1:9/a'}", "schema:"),
        ("[[card]]\nprompt = 'p'\nscorer = 'forbidden'\nwords = 'sure'", "a list of words"),
        ("[[card]]\nprompt = 'p'\nscorer = 'forbidden'\nwords = []", "a list of words"),
        ("[[card]]\nprompt = 'p'\nscorer = 'choice'\nanswer = 'x'\nwrong = [1, 2]", "a list of words"),
        ("[[card]]\nprompt = 'p'\nscorer = 'choice'\nanswer = ''\nwrong = ['x']", "is empty"),
        ("[[card]]\nprompt = 'p'\nscorer = 'choice'\nanswer = 'x'\nwrong = ['y', '']", "is empty"),
        ("[[card]]\nprompt = 'p'\nscorer = 'choice'\nanswer = 'x'\nwrong = ['y', 'x']", "or the right one"),
        ("[[card]]\nprompt = 'p'\nscorer = 'contains'\nanswer = ' '", "is empty"),
        ("[[card]]\nprompt = 'p'\nscorer = 'regex'\npattern = 'x'\ntolerance = 1", "unknown key tolerance"),
        ("x = " + "[" * 5_000, "not TOML"),
        ("x = " + "9" * 5_000, "not TOML"),
        ("#" * (2**20 + 1), "larger than"),
    ],
)
def test_a_wrong_card_names_file_and_fault(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "cards.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PlanError) as failure:
        read_cards(path)
    assert said in failure.value.message
    assert str(path) in failure.value.message


def test_a_law_without_cards_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"\+\+\+"):
        law_cards("# Law 1\nNo cards here.\n", tmp_path / "x.law")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="makes a pipe")
def test_a_file_of_cards_that_is_no_file_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "zero.toml").symlink_to("/dev/zero")
    for name in ("pipe.toml", "zero.toml"):
        with pytest.raises(PlanError, match="not a regular file"):
            read_cards(tmp_path / name)
