"""The page walked by keyboard, in light and dark, on a desk and on a phone."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from page_server import Proof, Server
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
ANSWER_MS = 120_000


def walk(browser: Browser, server: Server, proof: Proof, shots: Path) -> None:
    complaints: list[str] = []
    context = browser.new_context(viewport=DESKTOP, color_scheme="light")
    page = opened(context, server, complaints)
    proof.tell("walk", "the token in the address bar", page.url, server.token not in page.url)
    head = server.head()
    page.screenshot(path=shots / "page_light.png")
    borders(page, proof, "light")
    by_keyboard(page, server, proof, head)
    chat(page, proof, shots)
    rollback(page, server, proof, head)
    training(page, server, proof, shots)
    hostile(page, proof)
    mishaps(browser, server, proof)
    for name, scheme, size in (("dark", "dark", DESKTOP), ("phone", "light", PHONE), ("phone_dark", "dark", PHONE)):
        other = browser.new_context(viewport=size, color_scheme=scheme, device_scale_factor=1)
        looked = opened(other, server, complaints)
        if name == "phone_dark":
            looked.locator("#card").evaluate("card => card.scrollIntoView()")
        looked.screenshot(path=shots / f"page_{name}.png")
        borders(looked, proof, name)
        wide = looked.evaluate("document.documentElement.scrollWidth")
        proof.tell("walk", f"{name}, {size['width']} pixels wide", f"takes {wide}", wide <= size["width"])
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
        e.offsetParent && !e.labels?.length && !e.ariaLabel && !e.textContent.trim() && !e.hasAttribute('alt')
    ).length""")
    proof.tell("keyboard", "controls without a name", str(unnamed), unnamed == 0)


def chat(page: Page, proof: Proof, shots: Path) -> None:
    page.locator("#one").select_option("HEAD")
    page.locator("#other").select_option("g0")
    page.locator("#temperature").fill("0")
    ask(page, "How are you today?")
    expect(page.locator("#said")).to_have_text("Answered.", timeout=ANSWER_MS)
    heard = [side.inner_text() for side in page.locator(".side").all()]
    told = " | ".join(" / ".join(filter(None, side.splitlines())) for side in heard)
    proof.tell("chat", "HEAD and g0, side by side, by keyboard", told[:160], len(heard) == 2 and heard[0] != heard[1])
    thumbs(page, proof)
    page.locator("#chat").screenshot(path=shots / "page_chat.png")
    ask(page, "Tell me a long story.")
    expect(page.locator(".said[aria-busy=true]").last).to_contain_text(re.compile(".{5}"), timeout=ANSWER_MS)
    page.locator("#stop").press("Enter")
    expect(page.locator("#said")).to_have_text("Stopped.", timeout=ANSWER_MS)
    proof.tell("chat", "Stop, by keyboard, amid an answer", "stopped", page.locator("#send").is_enabled())
    # Whoever ended before the other was stopped may be rated; the last to speak was cut short, and is not on record.
    cut = page.locator(".side").last.locator(":scope > :last-child").get_attribute("class")
    proof.tell("chat", "an answer that was stopped ends without thumbs", cut or "", cut == "quiet")


def thumbs(page: Page, proof: Proof) -> None:
    """Where the server takes feedback, each answer has thumbs; where it does not, none has."""
    taken = page.evaluate("""fetch('/openapi.json', {headers: {Authorization: 'Bearer ' +
        sessionStorage.getItem('germline token')}}).then(a => a.json()).then(d => '/v1/feedback' in d.paths)""")
    found = page.locator(".thumbs")
    if taken:
        told: list[dict[str, Any]] = []
        page.on("request", lambda one: told.append(one.post_data_json) if one.url.endswith("/v1/feedback") else None)
        good, bad = found.first.locator("button").all()
        good.dblclick()
        expect(found.first.locator("[role=status]")).to_have_text("Noted.")
        for thumb in (bad, good):
            thumb.press("Enter")
            expect(thumb).to_have_attribute("aria-pressed", "true")
        pressed = found.first.locator("[aria-pressed=true]").count()
        scores = [score for _, score in dict.fromkeys((one["key"], one["score"]) for one in told)]
        proof.tell("chat", "a thumb clicked twice, then the other, then back: events", f"{scores}",
                   scores == [1, -1, 1] and pressed == 1)  # fmt: skip
    proof.tell("chat", f"the server {'takes' if taken else 'has no'} feedback: thumbs", f"{found.count()}",
               found.count() == (2 if taken else 0))  # fmt: skip


def ask(page: Page, words: str) -> None:
    page.locator("#words").focus()
    page.keyboard.type(words)
    page.keyboard.press("Enter")


def rollback(page: Page, server: Server, proof: Proof, head: str) -> None:
    page.locator("#generations a[href='#g1']").press("Enter")
    expect(page.locator("#rollback")).to_have_text("Make g1 HEAD …")
    page.locator("#rollback").press("Enter")
    words = page.locator("#sure-words").inner_text()
    proof.tell("rollback", "the question names both", words, f"from {head} to g1." in words)
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
    """The panel shows a file in runs/ that an age-up replaces at each step; here the proof does."""
    path = server.home / "runs" / "progress.json"
    path.parent.mkdir(exist_ok=True)
    for step in range(1, 13):
        data = {"step": step, "steps": 40, "loss": 4 / (1 + step / 6), "tokens_per_second": 255.0,
                "eta_seconds": 600 - step}  # fmt: skip
        told = {"kind": "step", "text": "", "data": data, "memory_bytes": 3 << 30, "process": os.getpid(),
                "time": time.time()}  # fmt: skip
        staged = path.with_suffix(".tmp")
        staged.write_text(json.dumps(told))
        staged.rename(path)
        expect(page.locator("#numbers")).to_contain_text(f"{step} of 40", timeout=10_000)
    points = page.evaluate("document.querySelector('#curve').getAttribute('points').split(' ').length")
    proof.tell("training", "12 steps, polled each second", f"{points} points drawn", points == 12)
    page.locator("#training").screenshot(path=shots / "page_training.png")
    head, move = server.head(), [*server.germline, "--home", str(server.home), "rollback"]
    expect(page.locator("#card h2")).to_contain_text("g1")
    page.locator("#card summary").first.press("Enter")
    subprocess.run([*move, "g1"], capture_output=True, check=True)
    path.unlink()
    expect(page.locator("#training")).to_be_hidden(timeout=10_000)
    expect(page.locator("#card .badge.head")).to_be_visible()
    unfolded = page.locator("#card details[open]").count()
    proof.tell("training", "at its end HEAD is g1: the open card says so, and stays unfolded", f"{unfolded} unfolded",
               unfolded == 1)  # fmt: skip
    subprocess.run([*move, head], capture_output=True, check=True)


def mishaps(browser: Browser, server: Server, proof: Proof) -> None:
    """An address that cannot be read, a server that is busy, and one that is away for a while."""
    context = browser.new_context(viewport=DESKTOP)
    page = context.new_page()
    page.goto(f"{server.url}#%")
    notice = page.locator("#notice")
    expect(notice).to_contain_text("cannot be read")
    proof.tell("mishaps", "the address ends in #%", notice.inner_text(), page.locator("#door").is_visible())
    page.goto(f"{server.url}#{server.token}")  # the same page: only what is after # changes
    expect(page.locator("#card h2")).to_be_visible()
    proof.tell("mishaps", "then the right address, in the same tab", page.url, server.token not in page.url)
    asking, progress = "**/v1/chat/completions", "**/v1/progress"
    page.route(asking, lambda route: route.fulfill(status=429, json={"error": {"message": "9 answers are under way"}}))
    ask(page, "Do not lose me.")
    expect(notice).to_have_text("9 answers are under way")
    expect(page.locator("#words")).to_have_value("Do not lose me.")
    expect(notice).to_be_in_viewport(ratio=1)
    left = page.locator(".side .said").count()
    proof.tell("mishaps", "429: the words are back in their box", f"{left} left in the chat", left == 0)
    page.unroute(asking)
    page.evaluate("""() => { window.told = 0; new MutationObserver(() => window.told++).observe(
        document.querySelector('#notice'), {childList: true, characterData: true, subtree: true}) }""")
    page.route(progress, lambda route: route.abort("connectionrefused"))
    expect(notice).to_contain_text("The server does not answer", timeout=10_000)
    page.wait_for_timeout(4000)
    times = page.evaluate("window.told")
    proof.tell("mishaps", f"four seconds without a server: {notice.inner_text()}", f"told {times} times", times == 1)
    page.unroute(progress)
    expect(notice).to_be_empty(timeout=10_000)
    proof.tell("mishaps", "it is back", "nothing is told", page.locator("#card").is_visible())
    context.close()


LEAST_CONTRAST = """() => {
    const light = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map((c) => c / 255)
        .map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const ratio = (one, other) => {
        const [a, b] = [light(one) + 0.05, light(other) + 0.05];
        return Math.max(a, b) / Math.min(a, b);
    };
    const behind = (e) => {
        const colour = getComputedStyle(e).backgroundColor;
        return colour === 'rgba(0, 0, 0, 0)' ? behind(e.parentElement) : colour;
    };
    const operated = [...document.querySelectorAll('button, select, textarea, input:not([type=range])')];
    return Math.min(...operated.flatMap((e) => {
        const {borderTopColor: rim, backgroundColor: inside} = getComputedStyle(e);
        return [behind(e.parentElement), ...(inside === rim ? [] : [inside])].map((next) => ratio(rim, next));
    }));
}"""


def borders(page: Page, proof: Proof, name: str) -> None:
    """WCAG 1.4.11: 3:1 between the border of what can be operated and what is on either side of it."""
    least = page.evaluate(LEAST_CONTRAST)
    proof.tell("walk", f"{name}: least contrast of a control's border", f"{least:.2f}:1", least >= 3)


HOSTILE = "</script></style><img src=x onerror='window.ran = 1'><script>window.ran = 1</script><b hidden>\u202e{{7*7}}"


def hostile(page: Page, proof: Proof) -> None:
    """Every text that the server tells is replaced by markup; numbers, names and pictures stay."""

    def poisoned(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: poisoned(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [poisoned(item, key) for item in value]
        return HOSTILE if isinstance(value, str) and key not in ("id", "head", "graph", "picture") else value

    def answer(route: Route) -> None:
        route.fulfill(json=poisoned(route.fetch().json()))

    for path in ("**/v1/lineage", "**/v1/generations/*"):
        page.route(path, answer)
    page.reload()
    expect(page.locator("#card pre").first).to_have_text(re.compile(re.escape("onerror='window.ran = 1'")))
    ran, made = page.evaluate(
        "[window.ran ?? 0, document.querySelectorAll('img[src=x], #card script, b[hidden]').length]"
    )
    proof.tell(
        "hostile texts", "markup in every text of tree and card", f"{ran} ran, {made} elements made", ran == made == 0
    )
    for path in ("**/v1/lineage", "**/v1/generations/*"):
        page.unroute(path)
