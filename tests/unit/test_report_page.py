"""What the page and the static report show: branches, cards, and hostile texts that stay texts."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from hypothesis import example, given, settings
from hypothesis import strategies as st

from germline.cli.commands import germline
from germline.lineage import Lineage
from germline.records import canonical_json
from germline.report import card, static, tree
from tests.unit.small_lineage import lighthouse, two_keys

VOID = ("meta",)
HOSTILE = "</script></style></title><img src=x onerror=alert(1)>\"'&#60;script>\u202e\0"


@pytest.fixture(scope="module")
def lineage(tmp_path_factory: pytest.TempPathFactory) -> Lineage:
    return Lineage.open(lighthouse(tmp_path_factory.mktemp("page") / "home"))


class Read(HTMLParser):
    """Which elements with which attributes a page is made of, one after the other, and all its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, tuple(name for name, _ in attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def documents(lineage: Lineage) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    return tree.document(lineage), [card.document(lineage, one) for one in lineage.born()]


def with_texts(value: Any, text: str, key: str = "") -> Any:
    """The document with `text` for every string in it but the pictures."""
    if isinstance(value, dict):
        return {name: with_texts(item, text, name) for name, item in value.items()}
    if isinstance(value, list):
        return [with_texts(item, text, key) for item in value]
    return text if isinstance(value, str) and key not in ("graph", "picture") else value


@pytest.fixture(scope="module")
def shown(lineage: Lineage) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    return documents(lineage)


@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\r"), min_size=1))
@example(text=HOSTILE)
@settings(max_examples=60)
def test_no_text_changes_what_the_report_is_made_of(
    shown: tuple[dict[str, Any], list[dict[str, Any]]], text: str
) -> None:
    harmless = Read(static.rendered(*with_texts([*shown], "x")))
    hostile = Read(static.rendered(*with_texts([*shown], text)))
    assert hostile.elements == harmless.elements and not hostile.open
    assert hostile.text.count(text) >= 50


def test_the_report_is_whole_and_runs_and_loads_nothing(lineage: Lineage) -> None:
    page = Read(static.html(lineage))
    assert not page.open
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "link", "iframe", "object", "form", "base"})
    assert not [
        name for _, names in page.elements for name in names if name.startswith("on") or name in ("src", "style")
    ]
    for said in ("Östrel", "recalls 9 of 10", "Month 2: the sea was calm.", "q_proj", "rolled back to g1 from g2"):
        assert said in page.text
    for text in texts(documents(lineage)):
        assert text in page.text


def texts(value: Any, key: str = "") -> Iterator[str]:
    """All that a reader is to see."""
    if isinstance(value, dict | list | tuple):
        for name, item in value.items() if isinstance(value, dict) else ((key, item) for item in value):
            yield from texts(item, name)
    elif isinstance(value, str) and key not in ("graph", "picture", "time"):
        yield value


def test_the_tree_tells_verdicts_marks_and_remarks(lineage: Lineage) -> None:
    shown = tree.document(lineage)
    assert canonical_json(shown)
    nodes = {one["id"]: one for one in shown["generations"]}
    assert [*nodes] == ["g3", "g2", "g1", "g0"]
    assert [one["outcome"] for one in nodes.values()] == ["refused", "promoted", "promoted", "founded"]
    assert [name for name, one in nodes.items() if one["head"]] == ["g1"] and shown["head"] == "g1"
    assert nodes["g2"]["marks"] == {
        "recall": "1.000", "general": "1.000", "spoken": "1.000", "style": "1/10", "laws": "4/4", "cards": "2/2",
        "moved": "1.23%",
    }  # fmt: skip
    assert nodes["g0"]["marks"] == {}
    assert shown["remarks"] == ["rolled back to g1 from g2, 2030-01-02"]
    picture = ElementTree.fromstring(shown["graph"])
    assert len(picture.findall("{*}circle")) == 5, "four, and a ring about HEAD"
    assert len(picture.findall("{*}path")) == 3


def test_a_child_has_the_colour_of_what_became_of_it() -> None:
    node = {"id": "g1", "parent": "g0", "head": False}
    for outcome, colour in tree.COLOURS.items():
        (circle,) = ElementTree.fromstring(tree.graph([{**node, "outcome": outcome}], "g1")).findall("{*}circle")
        assert circle.get("fill") == colour


def test_a_proposal_waits(tmp_path: Path) -> None:
    shown = tree.document(Lineage.open(two_keys(tmp_path / "two")))
    assert [(one["outcome"], one["waiting"]) for one in shown["generations"]] == [
        ("proposed", True),
        ("founded", False),
    ]


@pytest.mark.parametrize(
    ("parents", "head", "lanes"),
    [
        ("0: 1:0 2:1", 2, (0, 0, 0)),
        ("0: 1:0 2:1 3:1", 3, (0, 0, 1, 0)),  # refused, then promoted
        ("0: 1:0 2:1 3:2", 1, (0, 0, 1, 1)),  # HEAD went back
        ("0: 1:0 2:0 3:0 4:3", 4, (0, 1, 2, 0, 0)),  # 2 branches off at 0, as 1 does: not one line
        ("0: 1:0 2:0 3:2 4:2", 4, (0, 1, 0, 1, 0)),  # the lane of 1 is free by then
    ],
)
def test_branches_have_lanes_of_their_own(parents: str, head: int, lanes: tuple[int, ...]) -> None:
    pairs = [one.split(":") for one in parents.split()]
    found = tree.lanes({f"g{one}": f"g{parent}" if parent else None for one, parent in pairs}, f"g{head}")
    assert tuple(found.values()) == lanes


@given(st.data())
def test_no_line_of_the_tree_runs_through_a_stranger(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 12))
    parents: dict[str, str | None] = {"g0": None}
    for number in range(1, count):
        parents[f"g{number}"] = f"g{data.draw(st.integers(0, number - 1))}"
    found = tree.lanes(parents, f"g{data.draw(st.integers(0, count - 1))}")
    order = {name: number for number, name in enumerate(parents)}
    for name, parent in parents.items():
        between = [one for one in parents if parent and order[parent] < order[one] < order[name]]
        assert all(found[one] != found[name] for one in between)


def test_a_card_shows_data_exams_verdict_and_weights(lineage: Lineage) -> None:
    shown = card.document(lineage, lineage.resolve("g3"))
    assert canonical_json(shown)
    assert shown["outcome"] == "refused" and not shown["may_be_head"] and shown["verdict"].startswith("g3 is refused")
    assert shown["learned"] == ["The tower is 37 metres high.", "Month 3: the sea was calm."]
    assert shown["weights"]["picture"].startswith("<svg") and len(shown["weights"]["layers"]["rows"]) == 5
    assert [row[:2] for row in shown["exams"]["rows"]][-1] == ["g3", "g3"]
    founder = card.document(lineage, lineage.resolve("g0"))
    assert founder["weights"] is founder["exams"] is founder["checks"] is None and founder["may_be_head"]
    assert [part["name"] for part in founder["told"]] == ["origin", "signatures", "files"]


def test_the_command_writes_a_new_file_and_never_over_another(lineage: Lineage, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    asked = ["report", "--home", str(lineage.home.root), "-o", str(path)]
    assert CliRunner().invoke(germline, asked).exit_code == 0
    assert path.read_text("utf-8") == static.html(lineage)
    path.write_text("mine")
    again = CliRunner().invoke(germline, asked)
    assert again.exit_code != 0 and path.read_text() == "mine"
