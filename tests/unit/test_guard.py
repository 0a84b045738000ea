"""Who may speak to the server: decided by headers alone, before anything is parsed."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from germline.errors import PlanError
from germline.serve.guard import Rules, refusal
from germline.serve.stops import StopFilter

TOKEN = "t" * 43
RULES = Rules(token=TOKEN, hosts=frozenset({"127.0.0.1:8420", "localhost:8420"}), public=frozenset({"/"}))
GOOD = {"host": "127.0.0.1:8420", "authorization": f"Bearer {TOKEN}", "content-type": "application/json"}


def asked(method: str = "POST", path: str = "/v1/completions", **changed: str | None) -> int:
    """The status of the refusal; 0 for none."""
    told = {**GOOD, **{name.replace("_", "-"): value for name, value in changed.items()}}
    headers = [(name.encode(), value.encode()) for name, value in told.items() if value is not None]
    found = refusal(RULES, method, path, headers)
    return found.status if found else 0


def test_whoever_brings_all_of_it_may_pass() -> None:
    assert asked() == 0
    assert asked(origin="http://localhost:8420", host="localhost:8420", sec_fetch_site="same-origin") == 0
    assert asked("GET", content_type=None) == 0
    assert asked("GET", "/", authorization=None, content_type=None, sec_fetch_site="none") == 0


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"host": None}, 421),
        ({"host": "evil.example:8420"}, 421),
        ({"host": "127.0.0.1"}, 421),
        ({"host": "127.0.0.1:8421"}, 421),
        ({"host": "localhost:8420.evil.example"}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "https://127.0.0.1:8420"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"authorization": None}, 401),
        ({"authorization": "Bearer"}, 401),
        ({"authorization": f"Bearer {TOKEN}x"}, 401),
        ({"authorization": f"Basic {TOKEN}"}, 401),
        ({"content_type": None}, 415),
        ({"content_type": "text/plain"}, 415),
        ({"content_type": "application/x-www-form-urlencoded"}, 415),
        ({"content_type": "application/json; charset=utf-16"}, 415),
        ({"content_encoding": "gzip"}, 415),
        ({"content_length": "2000000"}, 413),
        ({"content_length": "-1"}, 400),
        ({"content_length": "1" * 30}, 400),
    ],
)
def test_each_lock_holds_alone(changed: dict[str, str | None], status: int) -> None:
    assert asked(**changed) == status


def test_the_public_page_is_read_only_and_not_for_other_sites() -> None:
    assert asked("POST", "/", authorization=None) == 401
    assert asked("GET", "/", authorization=None, host="evil.example") == 421
    assert asked("GET", "/", authorization=None, sec_fetch_site="cross-site") == 403
    assert asked("GET", "//", authorization=None) == 401


def test_a_link_to_the_page_may_be_followed_from_anywhere_and_to_nothing_else() -> None:
    link: dict[str, str | None] = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}
    document = {**link, "sec_fetch_dest": "document"}
    assert asked("GET", "/", authorization=None, **document) == 0
    assert asked("GET", "/", authorization=None, **{**document, "host": "evil.example"}) == 421
    assert asked("GET", "/", authorization=None, **link, sec_fetch_dest="iframe") == 403
    assert asked("POST", "/", authorization=None, **document) == 403
    assert asked("GET", "/v1/models", **document) == 403


def test_a_header_that_comes_twice_is_no_header() -> None:
    headers = [(name.encode(), value.encode()) for name, value in GOOD.items()]
    for name, value in headers:
        found = refusal(RULES, "POST", "/", [*headers, (name.upper(), value)])
        assert found and found.status == 400


@given(
    st.lists(st.text("ab\n", max_size=3), max_size=30), st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=3)
)
def test_what_is_shown_is_the_text_up_to_the_first_stop(pieces: list[str], stops: list[str]) -> None:
    stops_filter = StopFilter(lambda place: pieces[place], stops)
    shown = ""
    for place in range(len(pieces)):
        shown += stops_filter.add(place)
        if stops_filter.stopped:
            break
    shown += stops_filter.rest()
    text = "".join(pieces)
    found = [text.find(stop) for stop in stops if stop in text]
    if not found:
        assert shown == text and not stops_filter.stopped
        return
    # A stop that is complete earlier ends the answer, though another began before it.
    assert stops_filter.stopped and text.startswith(shown) and not any(stop in shown for stop in stops)
    assert any(text[len(shown) :].startswith(stop) for stop in stops)


def test_only_a_proxy_s_page_may_be_of_https() -> None:
    hosts = frozenset({"127.0.0.1:8420", "keeper.example"})
    rules = Rules(token=TOKEN, hosts=hosts, proxied=frozenset({"keeper.example"}))
    own = {"host": "keeper.example", "origin": "https://keeper.example"}
    for changed, status in ((own, 0), ({**own, "origin": "https://127.0.0.1:8420"}, 403)):
        headers = [(name.encode(), value.encode()) for name, value in {**GOOD, **changed}.items()]
        found = refusal(rules, "POST", "/v1/completions", headers)
        assert (found.status if found else 0) == status


def test_of_port_80_clients_name_none() -> None:
    server = pytest.importorskip("germline.serve.server")
    assert server.names(80, ["keeper.example"]) == {
        "127.0.0.1:80", "localhost:80", "127.0.0.1", "localhost", "keeper.example"
    }  # fmt: skip
    assert server.names(8420, []) == {"127.0.0.1:8420", "localhost:8420"}


def test_a_port_that_cannot_be_had_is_told_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    server = pytest.importorskip("germline.serve.server")
    taken = server.listening(0)
    with pytest.raises(PlanError, match="cannot be used") as failure:
        server.listening(taken.getsockname()[1])
    assert "another program has it" in failure.value.hint
    taken.close()

    def forbidden(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch, pytest.raises(PlanError, match="Permission denied") as failure:
        patch.setattr(server.socket.socket, "bind", forbidden)
        server.listening(80)
    assert "below 1024" in failure.value.hint
