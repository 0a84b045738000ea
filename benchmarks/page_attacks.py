"""What a page of another site tries, and one whose name was given the server's address."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from page_server import Proof, Server
from playwright.sync_api import Browser

EVIL = "evil.example"
EMPTY = "<!doctype html><link rel=icon href=data:,><body>elsewhere"
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain")


SCRIPTS = Path(__file__).with_name("page_attacks.js").read_text("utf-8")


def attacks(browser: Browser, server: Server, proof: Proof) -> None:
    before = server.entries()
    with elsewhere() as port:
        for origin in (f"http://127.0.0.1:{port}", f"http://{EVIL}:{port}"):
            part = f"a page of {origin.rpartition(':')[0]}:PORT"
            for name in names(browser, f"{origin}/"):
                outcome = tried(browser, f"{origin}/", server, name)
                proof.tell(part, name, outcome, not outcome.startswith("read"))
            for encoding in FORMS:
                status = posted(browser, f"{origin}/", server, encoding)
                proof.tell(part, f"<form> {encoding}", f"{status}", status == 403)
    rebinding(browser, server, proof)
    proof.tell(
        "after all of it", "entries in the ledger", f"{server.entries()}, {before} before", server.entries() == before
    )


@contextmanager
def elsewhere() -> Iterator[int]:
    """Another site: an empty page on another port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(EMPTY.encode())

        def log_message(self, *_: Any) -> None:
            pass

    site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=site.serve_forever, daemon=True).start()
    yield site.server_address[1]
    site.shutdown()


def names(browser: Browser, where: str) -> list[str]:
    context = browser.new_context()
    page = context.new_page()
    page.goto(where)
    found: list[str] = page.evaluate(f"Object.keys(({SCRIPTS})({{URL: ''}}))")
    context.close()
    return found


def tried(browser: Browser, where: str, server: Server, name: str) -> str:
    context = browser.new_context()
    page = context.new_page()
    page.goto(where)
    answers: list[str] = []  # also those that the page does not get to see
    network = context.new_cdp_session(page)
    network.on("Network.responseReceivedExtraInfo", lambda answer: answers.append(str(answer["statusCode"])))
    network.send("Network.enable")
    known = {"URL": server.url, "TOKEN": server.token, "HEAD": server.head(), "name": name}
    attempt = f"known => Promise.resolve(({SCRIPTS})(known)[known.name]()).catch(error => error.name)"
    outcome = str(page.evaluate(attempt, known))
    page.wait_for_timeout(100)
    context.close()
    return f"{outcome} ({', '.join(answers)})" if answers else outcome


def posted(browser: Browser, where: str, server: Server, encoding: str) -> int:
    context = browser.new_context()
    page = context.new_page()
    page.goto(where)
    with page.expect_response(lambda answer: "rollback" in answer.url) as answer:
        page.evaluate("""([url, encoding]) => { const form = document.createElement('form'); form.method = 'post';
            form.action = url; form.enctype = encoding; const field = document.createElement('input');
            field.name = '{"to": "g0", "from": "HEAD", "a": "'; field.value = '"}'; form.append(field);
            document.body.append(form); form.submit(); }""", [f"{server.url}v1/rollback", encoding])  # fmt: skip
    status = answer.value.status
    context.close()
    return status


ASK = """([path, token, body]) => fetch(path, {
    method: body ? 'POST' : 'GET', body,
    headers: {'Content-Type': 'application/json', ...(token && {Authorization: 'Bearer ' + token})},
}).then(answer => answer.status)"""


def rebinding(browser: Browser, server: Server, proof: Proof) -> None:
    """evil.example gave itself the server's address: its page, from that very port, asks its own origin."""
    there = f"http://{EVIL}:{server.port}/"
    context = browser.new_context()
    page = context.new_page()
    answer = page.goto(there)
    status = answer.status if answer else 0
    proof.tell("DNS rebinding", f"opening http://{EVIL}:PORT/", f"{status}", status == 421)
    page.route(there, lambda route: route.fulfill(body=EMPTY, content_type="text/html"))
    page.goto(there)
    move = json.dumps({"to": "g0", "from": server.head()})
    for name, asked in {
        "its page reads /page.js": ["/page.js", "", None],
        "its page reads /v1/models": ["/v1/models", "", None],
        "the same with the right token": ["/v1/models", server.token, None],
        "its page moves HEAD, with the right token": ["/v1/rollback", server.token, move],
    }.items():
        status = page.evaluate(ASK, asked)
        proof.tell("DNS rebinding", name, str(status), status == 421)
    context.close()
    control(browser, server, proof)


def control(browser: Browser, server: Server, proof: Proof) -> None:
    """The same requests from the page itself: what fails above does not fail for another reason."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(server.url)
    move = json.dumps({"to": server.head(), "from": server.head()})
    for name, asked, expected in (
        ("reads /v1/models with the token", ["/v1/models", server.token, None], 200),
        ("moves HEAD, with the token, to where it is", ["/v1/rollback", server.token, move], 200),
        ("reads /v1/models without it", ["/v1/models", "", None], 401),
    ):
        status = page.evaluate(ASK, asked)
        proof.tell("control: our own page", name, str(status), status == expected)
    context.close()
