"""Cards are told apart by their ids: two of one id would hide each other's marks."""

from __future__ import annotations

from pathlib import Path

import pytest

from germline import sources
from germline.errors import PlanError
from germline.settings import Exams

CARD = '[[card]]\n{id}prompt = "Out?"\nscorer = "regex"\npattern = "^No"\n'


def law(path: Path, text: str = "The light burns.", *, name: str = "", cards: str = CARD.format(id="")) -> Path:
    path.parent.mkdir(exist_ok=True)
    opening = f'id = "{name}"\n' if name else ""
    path.write_text(f"+++\n{opening}{cards}+++\n{text}\n", encoding="utf-8")
    return path


def challenges(path: Path, *ids: str) -> Path:
    path.write_text("".join(CARD.format(id=f'id = "{name}"\n') for name in ids), encoding="utf-8")
    return path


def settings(*laws: str, cards: str = "") -> Exams:
    return Exams(laws=laws, cards=cards)


def test_a_probe_is_a_line_and_a_mark_of_byte_order_is_none(tmp_path: Path) -> None:
    (tmp_path / "probes.txt").write_bytes("\ufeff# mine\r\nHow are\u2028you?\r\n\r\n Anything? \n".encode())
    assert sources.probes(Exams(probes="probes.txt"), tmp_path) == ("How are\u2028you?", "Anything?")


def test_two_laws_of_one_name_are_refused_until_one_has_another_id(tmp_path: Path) -> None:
    one, other = law(tmp_path / "a" / "safety.law"), law(tmp_path / "b" / "safety.law", "Doors are shut.")
    plan = settings("a/*.law", "b/*.law")
    with pytest.raises(PlanError, match="card safety/1") as failure:
        sources.law_book(plan, tmp_path)
    assert str(one) in failure.value.message and str(other) in failure.value.message
    assert "id" in failure.value.hint
    law(other, "Doors are shut.", name="doors")
    assert b"Doors are shut." in sources.law_book(plan, tmp_path)


def test_one_law_that_two_patterns_find_is_one_law(tmp_path: Path) -> None:
    law(tmp_path / "a" / "safety.law")
    law(tmp_path / "b" / "safety.law")
    once = sources.law_book(settings("a/*.law"), tmp_path)
    assert sources.law_book(settings("a/*.law", "*/safety.law"), tmp_path) == once


def test_two_cards_of_one_law_need_two_ids(tmp_path: Path) -> None:
    law(tmp_path / "a" / "safety.law", cards=2 * CARD.format(id='id = "out"\n'))
    with pytest.raises(PlanError, match="card out"):
        sources.law_book(settings("a/*.law"), tmp_path)


def test_a_challenge_card_has_no_id_of_another_or_of_a_law(tmp_path: Path) -> None:
    broken, file = law(tmp_path / "a" / "safety.law"), challenges(tmp_path / "cards.toml", "safety/1")
    plan = settings("a/*.law", cards="cards.toml")
    with pytest.raises(PlanError, match="card safety/1") as failure:
        sources.cards(plan, tmp_path)
    assert str(broken) in failure.value.message and str(file) in failure.value.message
    challenges(file, "stairs", "stairs")
    with pytest.raises(PlanError, match="card stairs"):
        sources.cards(plan, tmp_path)
    challenges(file, "stairs", "tower")
    assert [card.id for card in sources.cards(plan, tmp_path)] == ["stairs", "tower"]


def test_a_limit_of_words_that_no_reply_can_reach_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cards.toml"
    path.write_text("[[card]]\nprompt = 'p'\nscorer = 'max_words'\nlimit = 40\n")
    with pytest.raises(
        PlanError, match=r"cards\.toml: card card/1: a reply is cut after exams.answer_tokens = 40"
    ) as why:
        sources.cards(Exams(cards="cards.toml"), tmp_path)
    assert "120" in str(why.value.hint)
    assert sources.cards(Exams(cards="cards.toml", answer_tokens=120), tmp_path)
