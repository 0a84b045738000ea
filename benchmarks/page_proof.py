"""The page in a real browser: walked by keyboard, looked at, and attacked from other origins. `make proof-page`.

Takes a lineage with at least three promoted generations (`make demo` makes one), of which a copy is served, and needs
Chromium, playwright and schemathesis. Every line of the report is something that was tried; any that comes out
otherwise than it should ends the proof with exit code 1.
"""

from __future__ import annotations

import argparse
import datetime
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
EVIL = "evil.example"
ANSWER_MS = 120_000


@dataclass
class Proof:
    """What was tried, and how it came out."""

    lines: list[tuple[str, str, str, bool]] = field(default_factory=list)

    def tell(self, part: str, tried: str, outcome: str, good: bool) -> None:
        self.lines.append((part, tried, outcome, good))
        print(f"{'ok  ' if good else 'LOST'} {part}: {tried}: {outcome}", flush=True)


@dataclass(frozen=True)
class Server:
    germline: list[str]
    home: Path
    url: str
    token: str

    @property
    def port(self) -> int:
        return int(self.url.rstrip("/").rsplit(":", 1)[1])

    def head(self) -> str:
        told = subprocess.run([*self.germline, "--home", str(self.home), "log", "--json"], capture_output=True, check=True)
        return str(json.loads(told.stdout)["head"])

    def entries(self) -> int:
        return len(list((self.home / "ledger").iterdir()))


@contextmanager
def served(germline: list[str], home: Path) -> Iterator[Server]:
    command = [*germline, "serve", "--home", str(home), "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            told = json.loads(process.stdout.readline())
            yield Server(germline, home, told["url"], Path(told["token_file"]).read_text().strip())
        finally:
            process.terminate()


# --- the walk -----------------------------------------------------------------------------------------


def walk(browser: Browser, server: Server, proof: Proof, shots: Path) -> None:
    complaints: list[str] = []
    context = browser.new_context(viewport=DESKTOP, color_scheme="light")
    page = opened(context, server, complaints)
    proof.tell("walk", "the token in the address bar", page.url, server.token not in page.url)
    head = server.head()
    page.screenshot(path=shots / "page_light.png")
    by_keyboard(page, server, proof, head)
    chat(page, proof, shots)
    rollback(page, server, proof, head)
    training(page, server, proof, shots)
    for name, scheme, size in (("dark", "dark", DESKTOP), ("phone", "light", PHONE), ("phone_dark", "dark", PHONE)):
        other = browser.new_context(viewport=size, color_scheme=scheme, device_scale_factor=1)
        looked = opened(other, server, complaints)
        looked.screenshot(path=shots / f"page_{name}.png")
        wide = looked.evaluate("document.documentElement.scrollWidth")
        proof.tell("walk", f"{name}, {size['width']} pixels wide", f"takes {wide}", wide <= size["width"])
        if name == "phone":
            looked.screenshot(path=shots / "page_phone_whole.png", full_page=True)
        other.close()
    proof.tell("walk", "what the browser's console complained of", "; ".join(complaints) or "nothing", not complaints)
    context.close()


def opened(context: BrowserContext, server: Server, complaints: list[str]) -> Page:
    page = context.new_page()
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{server.url}#{server.token}")
    expect(page.locator("#card h2")).to_be_visible()
    expect(page.locator("#graph")).to_be_visible()
    return page


def press_until(page: Page, key: str, holds: str, most: int = 200) -> bool:
    """Press `key` until the element that has the focus makes `holds` true."""
    for _ in range(most):
        page.keyboard.press(key)
        if page.evaluate(f"(() => {{ const e = document.activeElement; return {holds}; }})()"):
            return True
    return False


def by_keyboard(page: Page, server: Server, proof: Proof, head: str) -> None:
    page.evaluate("document.activeElement.blur()")
    found = press_until(page, "Tab", "e.matches('#generations a') && e.hash !== '#" + head + "'")
    name = page.evaluate("document.activeElement.hash.slice(1)")
    ring = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    proof.tell("keyboard", "Tab reaches a generation, and shows where it is", f"{name}, outline {ring}",
               found and ring == "solid")  # fmt: skip
    page.keyboard.press("Enter")
    expect(page.locator("#card h2")).to_contain_text(name)
    focused = page.evaluate("document.activeElement.id")
    proof.tell("keyboard", "Enter opens its card, which takes the focus", focused, focused == "card")
    for wanted in ("e.matches('summary')", "e.id === 'one'", "e.id === 'temperature'", "e.id === 'words'"):
        proof.tell("keyboard", f"Tab goes on to {wanted}", "reached", press_until(page, "Tab", wanted))
    unnamed = page.evaluate("""[...document.querySelectorAll('button,select,textarea,input,img')].filter(e =>
        e.offsetParent && !e.labels?.length && !e.ariaLabel && !e.textContent.trim() && !e.hasAttribute('alt')).length""")
    proof.tell("keyboard", "controls without a name", str(unnamed), unnamed == 0)


def chat(page: Page, proof: Proof, shots: Path) -> None:
    page.locator("#one").select_option("HEAD")
    page.locator("#other").select_option("g0")
    page.locator("#temperature").fill("0")
    ask(page, "How are you today?")
    expect(page.locator("#said")).to_have_text("Answered.", timeout=ANSWER_MS)
    heard = [side.inner_text() for side in page.locator(".side").all()]
    proof.tell("chat", "HEAD and g0, side by side, by keyboard", " | ".join(" / ".join(h.splitlines()) for h in heard)[:160],
               len(heard) == 2 and heard[0] != heard[1])  # fmt: skip
    page.locator("#chat").screenshot(path=shots / "page_chat.png")
    ask(page, "Tell me a long story.")
    page.wait_for_function("document.querySelector('.side .said[aria-busy=true]')?.textContent.length > 5", timeout=ANSWER_MS)
    page.locator("#stop").press("Enter")
    expect(page.locator("#said")).to_have_text("Stopped.", timeout=ANSWER_MS)
    proof.tell("chat", "Stop, by keyboard, amid an answer", "stopped", page.locator("#send").is_enabled())


def ask(page: Page, words: str) -> None:
    page.locator("#words").focus()
    page.keyboard.type(words)
    page.keyboard.press("Enter")


def rollback(page: Page, server: Server, proof: Proof, head: str) -> None:
    page.locator("#generations a[href='#g1']").press("Enter")
    page.locator("#rollback").press("Enter")
    words = page.locator("#sure-words").inner_text()
    proof.tell("rollback", "the question names both", words, head in words and "g1" in words)
    page.keyboard.press("Escape")
    proof.tell("rollback", "Escape leaves HEAD", server.head(), server.head() == head)
    page.locator("#rollback").press("Enter")
    press_until(page, "Tab", "e.id === 'sure-yes'")
    page.keyboard.press("Enter")
    expect(page.locator("#card .badge.head")).to_be_visible()
    proof.tell("rollback", "Tab, Enter moves it", server.head(), server.head() == "g1")
    subprocess.run([*server.germline, "--home", str(server.home), "rollback", head], capture_output=True, check=True)
    answer = stale(server)
    proof.tell("rollback", "HEAD moved elsewhere meanwhile: POST /v1/rollback", answer, answer.startswith("409"))
    page.reload()
    expect(page.locator("#card h2")).to_be_visible()


def stale(server: Server) -> str:
    """What the server answers to one who takes g1 for HEAD."""
    body = json.dumps({"to": "g0", "from": "g1"}).encode()
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{server.url}v1/rollback", body, headers)) as answer:
            return f"{answer.status}"
    except urllib.error.HTTPError as error:
        return f"{error.code} {json.load(error)['error']['message']}"


def training(page: Page, server: Server, proof: Proof, shots: Path) -> None:
    """The panel reads a file in the home that an age-up replaces at each step; here the proof does."""
    path = server.home / "progress.json"
    for step in range(1, 13):
        told = {"step": step, "steps": 40, "loss": 4 / (1 + step / 6), "tokens_per_second": 255.0, "eta_seconds": 600 - step,
                "memory_bytes": 3 << 30}  # fmt: skip
        staged = path.with_suffix(".tmp")
        staged.write_text(json.dumps(told))
        staged.rename(path)
        page.wait_for_function(f"document.querySelector('#numbers')?.textContent.includes('{step} of 40')", timeout=10_000)
    points = page.evaluate("document.querySelector('#curve').getAttribute('points').split(' ').length")
    proof.tell("training", "12 steps, polled each second", f"{points} points drawn", points == 12)
    page.locator("#training").screenshot(path=shots / "page_training.png")
    path.unlink()
    expect(page.locator("#training")).to_be_hidden(timeout=10_000)


# --- the attacks --------------------------------------------------------------------------------------

ROLLBACK = """JSON.stringify({to: 'g0', from: HEAD})"""
FROM_ELSEWHERE: dict[str, str] = {
    "fetch, no-cors, text/plain": f"fetch(URL + 'v1/rollback', {{method: 'POST', mode: 'no-cors', body: {ROLLBACK}}}).then(a => a.type)",
    "fetch, text/plain": f"fetch(URL + 'v1/rollback', {{method: 'POST', body: {ROLLBACK}}}).then(a => 'read ' + a.status)",
    "fetch, application/json": f"fetch(URL + 'v1/rollback', {{method: 'POST', body: {ROLLBACK}, headers: {{'Content-Type': 'application/json'}}}}).then(a => 'read ' + a.status)",
    "fetch, the right token": f"fetch(URL + 'v1/rollback', {{method: 'POST', body: {ROLLBACK}, headers: {{'Content-Type': 'application/json', Authorization: 'Bearer ' + TOKEN}}}}).then(a => 'read ' + a.status)",
    "fetch, credentials included": "fetch(URL + 'v1/models', {credentials: 'include'}).then(a => 'read ' + a.status)",
    "reading /v1/models": "fetch(URL + 'v1/models').then(a => 'read ' + a.status)",
    "reading /v1/models, the right token": "fetch(URL + 'v1/models', {headers: {Authorization: 'Bearer ' + TOKEN}}).then(a => 'read ' + a.status)",
    "reading the page": "fetch(URL).then(a => 'read ' + a.status)",
    "sendBeacon": f"navigator.sendBeacon(URL + 'v1/rollback', {ROLLBACK}) ? 'sent unread' : 'not sent'",
    "<img>": "new Promise(done => { const e = new Image(); e.onload = () => done('read'); e.onerror = () => done('error'); e.src = URL + 'v1/models'; })",
    "<script>": "new Promise(done => { const e = document.createElement('script'); e.onload = () => done('read'); e.onerror = () => done('error'); e.src = URL + 'page.js'; document.body.append(e); })",
    "<link rel=stylesheet>": "new Promise(done => { const e = document.createElement('link'); e.rel = 'stylesheet'; e.onload = () => done('read'); e.onerror = () => done('error'); e.href = URL + 'page.css'; document.body.append(e); })",
    "<iframe>": "new Promise(done => { const e = document.createElement('iframe'); e.src = URL; e.onload = () => { try { done('read ' + e.contentDocument.body.innerText); } catch (error) { done(error.name); } }; document.body.append(e); setTimeout(() => done('never loaded'), 3000); })",
    "WebSocket": "new Promise(done => { const e = new WebSocket(URL.replace('http', 'ws')); e.onopen = () => done('read'); e.onerror = () => done('error'); })",
    "window.open, reading its storage": "new Promise(done => { const e = window.open(URL); setTimeout(() => { try { done('read ' + e.sessionStorage.length); } catch (error) { done(error.name); } }, 1500); })",
}  # fmt: skip
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain")


def attacks(browser: Browser, server: Server, proof: Proof) -> None:
    before = server.entries()
    with elsewhere() as port:
        for origin in (f"http://127.0.0.1:{port}", f"http://{EVIL}:{port}"):
            for name, script in FROM_ELSEWHERE.items():
                outcome = tried(browser, f"{origin}/", server, script)
                proof.tell(f"a page of {origin.replace(str(port), 'PORT')}", name, outcome, not outcome.startswith("read"))
            for encoding in FORMS:
                status = posted(browser, f"{origin}/", server, encoding)
                proof.tell(f"a page of {origin.replace(str(port), 'PORT')}", f"<form> {encoding}", f"{status}", status == 403)
    rebinding(browser, server, proof)
    proof.tell("after all of it", "entries in the ledger", f"{server.entries()}, {before} before", server.entries() == before)


@contextmanager
def elsewhere() -> Iterator[int]:
    """Another site: an empty page on another port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><link rel=icon href=data:,><body>elsewhere")

        def log_message(self, *_: Any) -> None:
            pass

    site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=site.serve_forever, daemon=True).start()
    yield site.server_address[1]
    site.shutdown()


def tried(browser: Browser, where: str, server: Server, script: str) -> str:
    context = browser.new_context()
    page = context.new_page()
    page.goto(where)
    try:
        known = {"URL": server.url, "TOKEN": server.token, "HEAD": server.head()}
        return str(page.evaluate(f"({{URL, TOKEN, HEAD}}) => Promise.resolve({script}).catch(error => error.name)", known))
    finally:
        context.close()


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


def rebinding(browser: Browser, server: Server, proof: Proof) -> None:
    """evil.example gave itself the server's address: its page, from that very port, asks its own origin."""
    there = f"http://{EVIL}:{server.port}/"
    context = browser.new_context()
    page = context.new_page()
    answer = page.goto(there)
    proof.tell("DNS rebinding", f"opening http://{EVIL}:PORT/", f"{answer and answer.status}", bool(answer and answer.status == 421))
    page.route(there, lambda route: route.fulfill(body="<!doctype html><link rel=icon href=data:,>", content_type="text/html"))
    page.goto(there)
    for name, script in {
        "its page reads /v1/models": "fetch('/v1/models').then(a => a.status)",
        "the same with the right token": "fetch('/v1/models', {headers: {Authorization: 'Bearer ' + TOKEN}}).then(a => a.status)",
        "its page moves HEAD, with the right token": f"fetch('/v1/rollback', {{method: 'POST', body: {ROLLBACK}, headers: {{'Content-Type': 'application/json', Authorization: 'Bearer ' + TOKEN}}}}).then(a => a.status)",
        "its page reads /page.js": "fetch('/page.js').then(a => a.status)",
    }.items():  # fmt: skip
        known = {"TOKEN": server.token, "HEAD": server.head()}
        status = page.evaluate(f"({{TOKEN, HEAD}}) => {script}", known)
        proof.tell("DNS rebinding", name, str(status), status == 421)
    context.close()
    context = browser.new_context()
    page = context.new_page()
    page.goto(server.url)
    status = page.evaluate("TOKEN => fetch('/v1/models', {headers: {Authorization: 'Bearer ' + TOKEN}}).then(a => a.status)", server.token)
    proof.tell("control", "our own page reads /v1/models with the token", str(status), status == 200)
    status = page.evaluate("() => fetch('/v1/models').then(a => a.status)")
    proof.tell("control", "our own page, without it", str(status), status == 401)
    context.close()


# --- the interface ------------------------------------------------------------------------------------


def schema(germline: list[str], work: Path, proof: Proof, examples: int) -> None:
    """schemathesis makes up requests from the OpenAPI document. A random founder answers: it is the routes that count."""
    texts = work / "texts"
    texts.mkdir()
    (texts / "tower.md").write_text("The lamp of the tower is lit at dusk. The keeper walks the stairs. " * 60)
    home = work / "scratch"
    init = [*germline, "init", str(home), "--from", "scratch", "--text", str(texts)]
    subprocess.run(init, check=True, capture_output=True)
    with served(germline, home) as server:
        command = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{server.url}openapi.json",
                   "--header", f"Authorization: Bearer {server.token}", "--checks", "not_a_server_error",
                   "--max-examples", str(examples), "--seed", "1", "--request-timeout", "120", "--no-color"]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, cwd=work)
    (work / "schemathesis.txt").write_text(done.stdout + done.stderr)
    found = re.findall(r"(\d+ generated[^\n]*)", done.stdout)
    if done.returncode:
        print(done.stdout[-6000:], done.stderr[-2000:])
    proof.tell("schemathesis", "every route of /openapi.json, no 5xx", found[-1].strip() if found else "ended", done.returncode == 0)


# --- all of it ----------------------------------------------------------------------------------------


def report(proof: Proof, version: str) -> str:
    told = ["# The page in a real browser", "",
            f"{datetime.date.today()}, Chromium {version}, headless. `make proof-page` writes this file. "
            "A page of another origin was given the right token where that is said: it must fail all the same.", "",
            "| where | tried | outcome | |", "| --- | --- | --- | --- |"]  # fmt: skip
    for part, name, outcome, good in proof.lines:
        cell = outcome.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
        told.append(f"| {part} | {name.replace('<', '&lt;')} | {cell} | {'✓' if good else '✗ LOST'} |")
    lost = sum(not good for *_, good in proof.lines)
    return "\n".join([*told, "", f"{len(proof.lines)} tried, {lost} lost.", ""])


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--home", type=Path, required=True)
    asked.add_argument("--germline", nargs="+", default=["germline"], help="the command")
    asked.add_argument("--chromium", default=os.environ.get("CHROMIUM") or shutil.which("chromium") or "")
    asked.add_argument("--out", type=Path, default=Path("benchmarks/page_proof.md"))
    asked.add_argument("--shots", type=Path, default=Path("docs"))
    asked.add_argument("--examples", type=int, default=60, help="schemathesis, for each route")
    asked.add_argument("--only", choices=("walk", "attacks", "schema"), action="append")
    given = asked.parse_args()
    parts = given.only or ["walk", "attacks", "schema"]
    proof, version = Proof(), ""
    given.shots.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if {"walk", "attacks"} & set(parts):
            shutil.copytree(given.home, work / "home", ignore=shutil.ignore_patterns("runs"))
            with served(given.germline, work / "home") as server, sync_playwright() as play:
                rules = [f"--host-resolver-rules=MAP {EVIL} 127.0.0.1", "--no-sandbox"]
                browser = play.chromium.launch(executable_path=given.chromium, args=rules)
                version = browser.version
                steps: dict[str, Callable[[], None]] = {
                    "walk": lambda: walk(browser, server, proof, given.shots),
                    "attacks": lambda: attacks(browser, server, proof),
                }
                for part in (part for part in steps if part in parts):
                    steps[part]()
                browser.close()
        if "schema" in parts:
            schema(given.germline, work, proof, given.examples)
    given.out.write_text(report(proof, version), encoding="utf-8")
    return int(any(not good for *_, good in proof.lines))


if __name__ == "__main__":
    raise SystemExit(main())
