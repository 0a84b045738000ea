"""The page's routes: what a browser gets before it has a token, what it gets with one, and HEAD moved by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib import resources
from itertools import product

import httpx
import pytest

from germline.in_flight import shown
from germline.lineage import Lineage
from germline.records import Event
from germline.report import static
from germline.store import lock
from germline.store.home import Home
from tests.serve.conftest import Running

Start = Callable[..., Running]


def test_the_page_holds_no_secret_no_inline_script_and_nobody_elses(started: Start) -> None:
    running = started()
    with httpx.Client(base_url=running.url, trust_env=False) as client:
        for path, kind in (("/", "text/html"), ("/page.js", "text/javascript"), ("/page.css", "text/css")):
            answer = client.get(path)
            assert answer.status_code == 200 and answer.headers["content-type"].startswith(kind)
            assert "script-src 'self'" in answer.headers["content-security-policy"]
            assert running.token not in answer.text
            assert not re.search(
                r"https?://|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", answer.text
            )
            assert not re.search(r"<script(?! src=\"/page\.js\")|<style|\son\w+=|\sstyle=", answer.text)
        for path in ("/v1/lineage", "/v1/generations/g1", "/v1/progress", "/openapi.json", "/browser/page.js"):
            assert client.get(path).status_code == 401
    assert {path.name for path in resources.files("germline.serve").joinpath("browser").iterdir()} == {
        "index.html", "page.js",
    }  # fmt: skip


def test_tree_and_cards_are_those_of_the_lineage(started: Start) -> None:
    with started().client() as client:
        shown = client.get("/v1/lineage").json()
        assert [one["id"] for one in shown["generations"]] == ["g3", "g2", "g1", "g0"] and shown["head"] == "g3"
        one = client.get("/v1/generations/g2").json()
        assert (one["id"], one["parent"], one["outcome"], one["may_be_head"]) == ("g2", "g1", "promoted", True)
        assert client.get("/v1/generations/HEAD~3").json()["id"] == "g0"
        assert client.get("/v1/generations/g99").status_code == 404
        assert client.get(f"/v1/generations/{'g' * 81}").status_code == 400


def test_head_moves_once_and_only_from_what_was_seen(home: Home, started: Start) -> None:
    running = started()
    with running.client() as client:

        def ask(to: str, source: str) -> tuple[int, str]:
            answer = client.post("/v1/rollback", json={"to": to, "from": source})
            return answer.status_code, answer.text

        status, told = ask("g1", "g3")
        assert status == 200 and json.loads(told)["head"] == "g1"
        running.serving.follow()
        assert running.serving.head.name == "g1"
        status, told = ask("g2", "g3")
        assert status == 409 and "HEAD is g1, not g3, by now" in told
        assert ask("g99", "g1")[0] == 404
        assert client.post("/v1/rollback", json={"to": "g2"}).status_code == 400
        assert client.post("/v1/rollback", content="to=g2&from=g1").status_code == 415
        with lock.hold(home):
            status, told = ask("g2", "g1")
        assert status == 409 and "another germline is working" in told
    assert Lineage.open(home).head.name == "g1"
    assert [entry.kind for entry in Lineage.open(home).entries].count("rolled_back") == 1


def test_an_age_up_in_flight_is_told_and_a_broken_file_is_not_believed(home: Home, started: Start) -> None:
    with started().client() as client:
        length = len(Lineage.open(home).entries)
        assert client.get("/v1/progress").json() == {"in_flight": None, "entries": length}
        with shown(home, lambda event: None) as tell:
            tell(Event(kind="step", text="step 3", data={"step": 3, "steps": 40, "loss": 1.5}))
            told = client.get("/v1/progress").json()
            assert told["in_flight"].pop("memory_bytes") > 0 and 0 <= told["seconds_ago"] < 600
            assert told["in_flight"] == {"step": 3, "steps": 40, "loss": 1.5, "text": "step 3"}
            path = home.runs / "progress.json"
            whole = path.read_text()
            other = [re.sub(r'("time"|"process"|"memory_bytes"):[0-9.]+', rf"\1:{value}", whole)
                     for value in ('"x"', "null", "1e999", "[]")]  # fmt: skip
            for broken in ('{"step": 3', '{"step": NaN}', "7", "[" * 99_999, whole.replace("process", "x"), *other):
                path.write_text(broken)
                assert client.get("/v1/progress").json() == {"in_flight": None, "entries": length}
        assert not path.exists()


@pytest.mark.parametrize("path", ["/v1/lineage", "/v1/generations/{name}", "/v1/progress", "/v1/rollback"])
def test_the_page_s_routes_are_in_the_document(started: Start, path: str) -> None:
    with started().client() as client:
        assert path in client.get("/openapi.json").json()["paths"]


def _light(colour: str) -> float:
    """Relative luminance: https://www.w3.org/TR/WCAG22/#dfn-relative-luminance."""
    whole = colour if len(colour) == 6 else "".join(digit * 2 for digit in colour)
    parts = [int(whole[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_the_edge_of_what_can_be_operated_is_seen_in_light_and_in_dark() -> None:
    css = static.style()
    themes = [dict(re.findall(r"--(\w+): #(\w+);", block)) for block in re.findall(r":root \{(.*?)\n *\}", css, re.S)]
    assert len(themes) == 2
    for theme in themes:
        for rim, beside in product(("rim", "accent"), ("page", "sheet", "wash")):
            darker, lighter = sorted(_light(theme[name]) for name in (rim, beside))
            assert (lighter + 0.05) / (darker + 0.05) >= 3, (rim, beside, theme)
    rules = re.findall(r"^(?:button|select, [^{]*) \{.*", css, re.M)
    assert len(rules) == 2 and all("border: 1px solid var(--rim)" in rule for rule in rules)
