"""The tree and every card as one HTML file: no script, no other file, no host.

Whatever stands in a lineage may be hostile. It becomes text in one place, `element`, and even if it did not, the
file's own policy lets nothing run or load.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from importlib import resources
from typing import Any

from germline.lineage import Lineage
from germline.report import card, tree


class Markup(str):
    """HTML as it stands. A plain str is text."""


def style() -> str:
    """How a lineage looks in a browser, on the page as in the file."""
    return resources.files("germline.report").joinpath("page.css").read_text("utf-8")


def html(lineage: Lineage) -> str:
    """The whole file. Generations that are not here (see `archive`) stand in the tree and have no card."""
    cards = [card.document(lineage, generation) for generation in reversed(lineage.born())]
    return rendered(tree.document(lineage), cards)


def rendered(shown: Mapping[str, Any], cards: Iterable[Mapping[str, Any]]) -> str:
    """The documents of `tree` and `card` as HTML. Of all that is in them only the pictures are markup."""
    css = style()
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    allowed = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'"
    head = element(
        "head", Markup('<meta charset="utf-8">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{escape(allowed)}">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        element("title", f"{shown['name']}: a lineage"), Markup(f"<style>{css}</style>"),
    )  # fmt: skip
    top = element("header", element("h1", shown["name"]), element("p", shown["maturity"], class_="quiet"))
    body = element("body", top, element("main", _tree(shown), *map(_card, cards)), class_="static")
    return f'<!doctype html>\n<html lang="en">\n{head}\n{body}\n</html>\n'


def element(tag: str, *inside: str, **attributes: str) -> Markup:
    """`<tag>` around what is `inside`: text is escaped, Markup is not. `class_` is the attribute `class`."""
    named = "".join(f' {name.rstrip("_")}="{escape(value)}"' for name, value in attributes.items())
    whole = "".join(part if isinstance(part, Markup) else escape(part) for part in inside)
    return Markup(f"<{tag}{named}>{whole}</{tag}>\n")


def _tree(shown: Mapping[str, Any]) -> Markup:
    graph = Markup(f'<div class="graph">{shown["graph"]}</div>')
    rows = element("ol", *map(_node, shown["generations"]))
    return element("section", element("h2", "Lineage"), element("div", graph, rows, class_="tree"),
                   element("ul", *(element("li", one) for one in shown["remarks"]), class_="quiet"))  # fmt: skip


def _node(node: Mapping[str, Any]) -> Markup:
    marks = (element("span", element("small", name), value) for name, value in node["marks"].items())
    told = (element("b", node["id"]), *_badges(node), element("span", *marks, class_="marks"),
            element("time", node["time"][:10]))  # fmt: skip
    return element("li", element("a", *told, href=f"#{node['id']}") if node["held"] else element("div", *told))


def _badges(one: Mapping[str, Any]) -> Iterator[Markup]:
    if one["head"]:
        yield element("span", "HEAD", class_="badge head")
    yield element("span", one["outcome"], class_=f"badge {one['outcome']}")
    if one["waiting"]:
        yield element("span", "waits for approval", class_="badge proposed")


def _card(one: Mapping[str, Any]) -> Markup:
    descent = f"child of {one['parent']}, " if one["parent"] else ""
    return element(
        "article", element("h2", one["id"], " ", *_badges(one)),
        element("p", f"{descent}{one['time']}, {one['digest']}", class_="quiet"),
        *([element("p", one["verdict"], class_="verdict")] if one["verdict"] else []),
        *(_weights(one["weights"]) if one["weights"] else []),
        *((element("h3", "Exams"), _table(one["exams"])) if one["exams"] else ()),
        *([_folded("every check of the gate", _table(one["checks"]))] if one["checks"] else []),
        *_quotes("What it learned", one["learned"]), *_quotes("Facts it was taught", one["facts"]),
        *(_folded(part["name"], element("pre", "\n".join(part["lines"]), tabindex="0")) for part in one["told"]),
        id=one["id"], class_="card",
    )  # fmt: skip


def _weights(change: Mapping[str, Any]) -> Sequence[Markup]:
    picture = Markup(f'<div class="picture" tabindex="0">{change["picture"]}</div>')
    layers = _folded("layer by layer", _table(change["layers"]))
    return element("h3", "How far its weights moved"), element("p", change["sentence"]), picture, layers


def _folded(title: str, *inside: Markup) -> Markup:
    return element("details", element("summary", title), *inside)


def _table(table: Mapping[str, Any]) -> Markup:
    header = element("tr", *(element("th", name, scope="col") for name in table["header"]))
    rows = (element("tr", *(element("td", cell) for cell in row)) for row in table["rows"])
    whole = element("table", element("caption", table["caption"]), element("thead", header), element("tbody", *rows))
    return element("div", whole, class_="wide", tabindex="0")


def _quotes(title: str, texts: Iterable[str]) -> Sequence[Markup]:
    told = [element("li", text) for text in texts]
    return (element("h3", title), element("ul", *told, class_="quotes")) if told else ()
