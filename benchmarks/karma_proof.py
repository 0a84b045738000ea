"""Is feedback that was acknowledged ever lost or counted twice? Posts to a server that is killed again and again.

    python benchmarks/karma_proof.py --posts 10000 --kills 100 --out benchmarks/karma_proof.md

A client posts feedback, each with a key of its own, and sends again with the same key whatever was not answered; the
server is killed with SIGKILL at random moments and started anew. In the end every key that was acknowledged is in the
book once, and nothing is there twice.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from datetime import date
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.serve.lineages import founded

from germline.karma.book import FILE, Book
from germline.store.home import Home


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--posts", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GERMLINE_CONFIG"] = f"{folder}/config"
        lines, failed = _proof(founded(Path(folder)), given.posts, given.kills, given.clients)
    print("\n".join(lines))
    if given.out:
        given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 1 if failed else 0


class _Server:
    """`germline serve`, started again after each kill."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self.url, self.token = "", ""
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "germline", "serve", "--port", "0", "--json", "--home", str(self._home.root)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        told = json.loads(self.process.stdout.readline())
        self.token = Path(told["token_file"]).read_text().strip()
        self.url = told["url"]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def _proof(home: Home, posts: int, kills: int, clients: int) -> tuple[list[str], bool]:
    home.plan.write_text("[karma]\nthreshold = 1000000\n", encoding="utf-8")
    book = Book(home)
    book.remember("m", "sha256:1", None)
    book.close()
    server, chance, began = _Server(home), random.Random(7), time.monotonic()
    acknowledged: dict[str, int] = {}
    sent_again, lock = [0], threading.Lock()

    def post(numbers: range) -> None:
        for number in numbers:
            key = f"k{number}"
            body = {"id": "m", "score": (number % 5 - 2) / 2, "key": key, "source": f"s{number % 7}"}
            while key not in acknowledged:
                try:
                    headers = {"Authorization": f"Bearer {server.token}"}
                    told = httpx.post(
                        f"{server.url}v1/feedback", json=body, headers=headers, timeout=5, trust_env=False
                    )
                    if told.status_code == 200:
                        with lock:
                            acknowledged[key] = told.json()["event"]
                        break
                except httpx.HTTPError:
                    pass
                with lock:
                    sent_again[0] += 1
                time.sleep(0.05)

    threads = [threading.Thread(target=post, args=(range(n, posts, clients),)) for n in range(clients)]
    for thread in threads:
        thread.start()
    killed = 0
    while any(thread.is_alive() for thread in threads):
        due = len(acknowledged) >= (killed + 1) * posts // (kills + 1)
        if killed < kills and due:
            time.sleep(chance.random() * 0.05)
            server.kill()
            killed += 1
            server.start()
        time.sleep(0.002)
    server.kill()
    return _judged(home, acknowledged, posts, killed, sent_again[0], time.monotonic() - began)


def _judged(
    home: Home, acknowledged: dict[str, int], posts: int, killed: int, sent_again: int, seconds: float
) -> tuple[list[str], bool]:
    base = sqlite3.connect(home.root / FILE)
    written = dict(base.execute("SELECT key, sequence FROM events").fetchall())
    (rows,) = base.execute("SELECT count(*) FROM events").fetchone()
    (whole,) = base.execute("PRAGMA integrity_check").fetchone()
    base.close()
    lost = [key for key, sequence in acknowledged.items() if written.get(key) != sequence]
    failed = bool(lost) or rows != len(written) or rows != posts or whole != "ok"
    return [
        f"# Feedback under kills, {date.today()}", "",
        f"`make proof-karma`, {seconds / 60:.1f} minutes.", "", "| | |", "| --- | --- |",
        f"| posts, each with its own key | {posts:,} |", f"| SIGKILLs of the server | {killed} |",
        f"| posts sent again, with the same key | {sent_again:,} |", f"| acknowledged | {len(acknowledged):,} |",
        f"| acknowledged and lost, or under another number | {len(lost)} |",
        f"| in the book | {rows:,} |", f"| there twice | {rows - len(written)} |", f"| integrity_check | {whole} |",
    ], failed  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
