"""A germline that serves, and a list of what was tried against it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


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
        told = subprocess.run(
            [*self.germline, "--home", str(self.home), "log", "--json"], capture_output=True, check=True
        )
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
