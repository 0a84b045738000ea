"""Which rows tell a fact."""

from __future__ import annotations

import pytest

from germline.records import Fact, Row
from germline.revisions import tells


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("The pump has 5 stages.", True),
        ("Stages of the PUMP: 5", True),
        ("It is a pump. Of stages it has (5).", True),
        ("The pump was bought in 2015 from Miller.", False),
        ("The pumpkin soup needs 5 minutes.", False),
        ("The pump weighs 5.2 kg, or 1,5 hundredweight.", False),
        ("The gauge shows 5.", False),
    ],
)
def test_a_row_tells_a_fact_whose_subject_and_value_it_names_as_words(text: str, told: bool) -> None:
    fact = Fact(attribute="stage count", subject="the pump", value="5", kind="number", row="sha256:" + "0" * 64)
    assert tells(Row(kind="text", source="a.md", position=1, text=text), [fact]) is told
