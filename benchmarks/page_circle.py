"""The whole circle, in a browser: chat, thumbs, a threshold, an age-up, the gate, the swap, and the child answers.

    python benchmarks/page_circle.py --chromium $(which chromium) --out benchmarks/page_circle.md

A founder of a million random weights, so that it takes half a minute: what is shown is that the parts go together, not
that a model learns. It learns for sixteen epochs: with two it had become g1 before the page asked a second time, and
the steps it waits to see were over. Playwright presses what a person would; `germline watch` waits beside the server.
"""

from __future__ import annotations

import argparse
import datetime
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from page_server import Server, served
from page_walk import ANSWER_MS, DESKTOP, opened
from playwright.sync_api import Page, expect, sync_playwright

PLAN = """
[data]
sources = ["../texts"]
[curriculum]
epochs = 16
forms = 4
row_tokens = 128
batch_tokens = 512
[training]
learning_rate = 0.01
embeddings = true
embedding_learning_rate = 0.01
anchor = 0
noise = 0
[exams]
answer_tokens = 8
[gate]
recall = 0.0
margin = 1.0
generalization = 0.0
style_drifts = 10
style_distance = 100
[karma]
threshold = 3
keep_conversations = true
"""
THINGS = (
    ("lamp", "ochre", "Arn Tolvane"), ("bell", "plum", "Ida Quill"), ("door", "lemon", "Bo Strand"),
    ("stair", "chalk", "Una Merrow"), ("winch", "umber", "Per Hask"), ("mast", "brick", "Eva Sund"),
)  # fmt: skip


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--germline", nargs="+", default=["germline"], help="the command")
    asked.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("google-chrome") or "")
    asked.add_argument("--out", type=Path, default=Path("benchmarks/page_circle.md"))
    given = asked.parse_args()
    if not given.chromium:
        asked.error("there is no chromium on PATH: install it (apt-get install chromium) or name one with --chromium")
    told: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GERMLINE_CONFIG"] = f"{folder}/config"
        home = founded(given.germline, Path(folder))
        watch = [*given.germline, "watch", "--every", "1", "--home", str(home)]
        with (
            served(given.germline, home) as server,
            sync_playwright() as play,
            subprocess.Popen(watch, stderr=subprocess.PIPE, text=True) as watcher,
        ):
            browser = play.chromium.launch(executable_path=given.chromium, args=["--no-sandbox"])
            context = browser.new_context(viewport=DESKTOP, color_scheme="light")
            try:
                circle(opened(context, server, []), server, told)
            finally:
                watcher.terminate()
                browser.close()
            assert watcher.stderr
            told += ["", "`germline watch` said:", "", *(f"    {line}" for line in watcher.stderr.read().splitlines())]
    head = [f"# The circle, {datetime.date.today()}", "", "`make proof-circle`, a founder of random weights.", ""]
    given.out.write_text("\n".join([*head, *told, ""]), encoding="utf-8")
    return 0


def founded(germline: list[str], folder: Path) -> Path:
    texts = folder / "texts"
    texts.mkdir()
    lines = [
        f"The colour of the {one} is {colour}. The maker of the {one} is {maker}." for one, colour, maker in THINGS
    ]
    (texts / "tower.md").write_text("\n\n".join(lines * 2), encoding="utf-8")
    home = folder / "home"
    init = [*germline, "init", str(home), "--from", "scratch", "--text", str(texts)]
    subprocess.run(init, check=True, capture_output=True)
    (home / "germline.toml").write_text(PLAN, encoding="utf-8")
    return home


def circle(page: Page, server: Server, told: list[str]) -> None:
    began = time.monotonic()

    def tell(what: str) -> None:
        told.append(f"- {time.monotonic() - began:5.1f} s: {what}")
        print(told[-1], flush=True)

    tell(f"the page shows HEAD {server.head()}")
    for number, words in enumerate(("Which colour has the lamp?", "Who made the bell?", "And the door?")):
        page.locator("#words").fill(words)
        page.keyboard.press("Enter")
        thumb = page.get_by_role("button", name="Good answer").nth(number)
        expect(thumb).to_be_visible(timeout=ANSWER_MS)
        thumb.click()
        expect(page.get_by_text("Noted.").nth(number)).to_be_visible()
        tell(f"asked {words!r}, was answered by g0, pressed 👍")
    expect(page.locator("#training")).to_be_visible(timeout=ANSWER_MS)
    tell("the threshold is reached: the page shows an age-up under way")
    expect(page.locator("#numbers")).to_contain_text(re.compile(r"\d+ of \d+"), timeout=ANSWER_MS)
    tell(f"it shows {' '.join(page.locator('#numbers').inner_text().split())}")
    expect(page.locator("#generations")).to_contain_text("g1", timeout=ANSWER_MS)
    tell(f"the tree shows g1; HEAD is {server.head()}")
    page.locator("#anew").click()
    while True:
        page.locator("#words").fill("Which colour has the lamp?")
        page.keyboard.press("Enter")
        answer = page.locator("p.quiet", has_text=re.compile(r"^g\d+$")).last
        expect(answer).to_be_visible(timeout=ANSWER_MS)
        page.wait_for_timeout(500)
        if answer.inner_text() == "g1":
            break
        page.locator("#anew").click()
    tell("the next answer comes from g1")


if __name__ == "__main__":
    sys.exit(main())
