"""The page in a real browser: walked by keyboard, looked at, and attacked from other origins. `make proof-page`.

Takes a lineage with at least three promoted generations (`make demo` makes one), of which a copy is served, and needs
Chromium, playwright, schemathesis and Pillow. Every line of the report is something that was tried; any that comes out
otherwise than it should ends the proof with exit code 1.
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
from collections.abc import Callable
from pathlib import Path

from page_attacks import EVIL, attacks
from page_server import Proof, served
from page_walk import walk
from PIL import Image
from playwright.sync_api import sync_playwright

NO_HELP = "--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests"
"""Chromium keeps pages of the open network from loopback by itself; other browsers may not. The server must."""

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance"


def schema(germline: list[str], work: Path, proof: Proof, examples: int) -> None:
    """schemathesis makes up requests from the OpenAPI document. A founder of random weights answers."""
    texts = work / "texts"
    texts.mkdir()
    (texts / "tower.md").write_text("The lamp of the tower is lit at dusk. The keeper walks the stairs. " * 60)
    home = work / "scratch"
    init = [*germline, "init", str(home), "--from", "scratch", "--text", str(texts)]
    subprocess.run(init, check=True, capture_output=True)
    with served(germline, home) as server:
        command = [str(Path(sys.executable).with_name("schemathesis")), "run", f"{server.url}openapi.json",
                   "--header", f"Authorization: Bearer {server.token}", "--checks", CHECKS,
                   "--max-examples", str(examples), "--seed", "1", "--request-timeout", "120",
                   "--no-color"]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, cwd=work)
    found = re.findall(r"(\d+ generated[^\n]*)", done.stdout)
    if done.returncode:
        print(done.stdout[-6000:], done.stderr[-2000:])
    proof.tell(
        "schemathesis",
        "every route of /openapi.json: no 5xx, nothing undocumented",
        found[-1].strip() if found else "ended",
        done.returncode == 0,
    )


def report(proof: Proof, version: str) -> str:
    told = ["# The page in a real browser", "",
            f"{datetime.date.today()}, Chromium {version}, headless. `make proof-page` writes this file. "
            "Pages of other origins were given the right token where that is said, and fail all the same. Chromium's "
            "own guard of loopback was off, so that it is the server that refuses; in brackets, what it answered.",
            "",
            "| where | tried | outcome | |", "| --- | --- | --- | --- |"]  # fmt: skip
    for part, name, outcome, good in proof.lines:
        cell = outcome.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
        told.append(f"| {part} | {name.replace('<', '&lt;')} | {cell} | {'✓' if good else '✗ LOST'} |")
    lost = sum(not good for *_, good in proof.lines)
    return "\n".join([*told, "", f"{len(proof.lines)} tried, {lost} lost.", ""])


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--home", type=Path, required=True)
    asked.add_argument("--config", type=Path, required=True, help="GERMLINE_CONFIG: where the lineage's keys are")
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
        os.environ["GERMLINE_CONFIG"] = str(work / "config")
        shutil.copytree(given.config / "germline", work / "config" / "germline")
        if {"walk", "attacks"} & set(parts):
            shutil.copytree(given.home, work / "home", ignore=shutil.ignore_patterns("runs"))
            with served(given.germline, work / "home") as server, sync_playwright() as play:
                rules = [f"--host-resolver-rules=MAP {EVIL} 127.0.0.1", "--no-sandbox", "--disable-lcd-text", NO_HELP]
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
    for path in given.shots.glob("page_*.png"):
        with Image.open(path) as shot:
            few = shot.convert("RGB").quantize(128)  # colours; a third of the bytes
        few.save(path, optimize=True)
    given.out.write_text(report(proof, version), encoding="utf-8")
    return int(any(not good for *_, good in proof.lines))


if __name__ == "__main__":
    raise SystemExit(main())
