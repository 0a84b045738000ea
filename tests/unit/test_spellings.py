"""Which texts say the same in another spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from germline.spellings import spelled_alike


@pytest.mark.parametrize(
    "texts",
    [
        ("12:00", "noon", "12 p.m.", "Noon."),
        ("6 pm", "6 p.m.", "18:00", "6:00 P.M", "six p.m.", "18 Uhr"),
        ("06:00", "6:00", "6 a.m.", "six o’clock"),
        ("0:00", "midnight", "24:00", "12 a.m."),
        ("37 metres", "37 Metres."),
        ("three metres", "3 metres"),
        ("twenty-one metres", "21 metres"),
        ("1000 kg", "1,000 kg", "1 000 kg", "1.000 kg", "about 1000 kg"),
        ("2,5 kg", "2.5 kg", "2.5kg"),
        ("5 May", "May 5", "the 5th of May", "5th May"),
        ("May 5, 1962", "the 5th of May 1962", "1962-05-05"),
        ("Monday", "monday", "Mondays"),
        ("Ok.", "ok.", "OK", "ok!", "Ok 👍"),
        ("sea-green", "sea green"),
        ("12,00 €", "12 €", "€12", "€ 12.00"),
        ("3.0 m", "3 m"),
        ("6:30", "half past six", "06:30"),
        ("5:45", "quarter to six", "a quarter to 6"),
        ("5-7 bar", "5–7 bar", "5...7 bar", "5 to 7 bar", "5 - 7 bar"),
        ("3 x 4 m", "3×4 m"),
        ("37 metres", "37 meters", "37 m", "37 m.", "thirty-seven metres", "37-metre"),
        ("80 kilograms", "80 kg", "80kg"),
        ("24 volts", "24 V"),
        ("7 knots", "7 kn"),
        ("5 percent", "5 per cent", "5%", "5 %"),
        ("5.50 euros", "€5.50", "5,5 €"),
        ("20 degrees Celsius", "20 °C"),
        ("60 kilometres per hour", "60 km/h", "60 kph"),
        ("40 square metres", "40 m²", "40 m2"),
        ("two hours", "2 h"),
        ("10 to 20 metres", "10–20 m"),
        ("a rowing boat", "rowing boat"),
        ("2.0", "2.0.", "2", "2."),
        ("1.50 m", "1,5 metres"),
    ],
)
def test_spelled_alike(texts: tuple[str, ...]) -> None:
    assert len(set(map(spelled_alike, texts))) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("12:00", "0:00"), ("6:00", "18:00"), ("6 a.m.", "6 p.m."), ("2.5 kg", "25 kg"), ("-5 °C", "5 °C"),
        ("5-7", "57"), ("5...7", "57"), ("3 × 4 m", "34 m"), ("C#", "C"), ("1.05 m", "1.5 m"), ("10.0.0.1", "10.0.1"),
        ("5 May", "6 May"), ("5 May", "5 March"), ("740", "7:40"), ("5%", "5"), ("👍", "👎"), ("twenty", "two"),
        ("37 metres", "37 feet"), ("5 hours", "5 minutes"), ("3 grams", "3 kg"), ("5 m", "5 km"), ("10 m", "1 m"),
        ("1.10", "1.1"), ("1.0.2", "1.2"), ("a 4", "4"), ("5.05 m", "5.5 m"), ("20 in", "20 inner"), ("5 m", "5 m/s"),
    ],
)  # fmt: skip
def test_what_means_something_else_is_not_spelled_alike(one: str, other: str) -> None:
    assert spelled_alike(one) != spelled_alike(other)


@given(st.text() | st.from_regex(r"\d{4}-\d\d-\d\d|\d{1,2}[:.]\d\d ?[ap]m", fullmatch=True))
def test_nothing_raises_and_nothing_becomes_empty(text: str) -> None:
    assert spelled_alike(text) or not text
