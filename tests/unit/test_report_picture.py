"""The picture of a generation's step: well-formed, the same every time, and true to the numbers it draws."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest

from germline.errors import PlanError
from germline.lineage import Lineage
from germline.report import picture, weights
from tests.unit.small_lineage import CHANGES, lighthouse

RECTANGLE, TITLE = "{http://www.w3.org/2000/svg}rect", "{http://www.w3.org/2000/svg}title"
TENSORS: Mapping[str, Mapping[str, float | None]] = CHANGES["tensors"]


def cells(svg: str) -> dict[str, str]:
    """What each cell tells when pointed at -> its colour."""
    return {
        title.text or "": rectangle.attrib["fill"]
        for rectangle in ElementTree.fromstring(svg).iter(RECTANGLE)
        if (title := rectangle.find(TITLE)) is not None
    }


def test_each_matrix_of_a_layer_is_a_cell_and_the_farthest_is_the_darkest() -> None:
    drawn = cells(picture.svg("g2", "g1", TENSORS))
    assert len(drawn) == 4, "embeddings and norms have no layer"
    dark = {told: sum(int(colour[place : place + 2], 16) for place in (1, 3, 5)) for told, colour in drawn.items()}
    ordered = sorted(dark, key=lambda told: dark[told])
    assert [told.split(":")[0] for told in ordered] == [
        "layer 2 up_proj", "layer 0 up_proj", "layer 0 q_proj", "layer 10 up_proj",
    ]  # fmt: skip
    assert "4.000% from its parent, 8.000% from the founder, stable rank 3.0" in ordered[0]


def test_it_is_the_same_bytes_every_time_and_names_are_escaped() -> None:
    assert picture.svg("g2", "g1", TENSORS) == picture.svg("g2", "g1", dict(reversed(TENSORS.items())))
    assert "<g2>" not in picture.svg("<g2>", "g1", TENSORS)
    ElementTree.fromstring(picture.svg("<g2>", "g1", TENSORS))


def test_a_step_that_moved_nothing_is_white() -> None:
    still = {tensor: {**change, "parent": 0.0} for tensor, change in TENSORS.items()}
    assert set(cells(picture.svg("g2", "g1", still)).values()) == {"#ffffff"}


def test_a_founder_has_no_step_to_draw(tmp_path: Path) -> None:
    lineage = Lineage.open(lighthouse(tmp_path / "home"))
    with pytest.raises(PlanError, match="moved from nothing"):
        weights.drawn(lineage, lineage.resolve("g0"))
    assert "How far g2 moved from g1" in weights.drawn(lineage, lineage.resolve("g2"))
