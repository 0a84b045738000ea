"""Does the server blink? Many streams at once, while HEAD moves again and again.

    python benchmarks/soak.py --swaps 1000 --clients 64 --out benchmarks/soak_DATE.md
    python benchmarks/soak.py --demo --swaps 20 --clients 8          SmolLM2-135M

A server process answers greedy streams of a lineage of four generations that say different things (SmolLM2's children
are taught to, a few steps each); this process asks,
compares every answer with what the generation that it names says alone, and moves HEAD by rollbacks in the ledger. An
answer is mixed if another generation's words are nearer to it than those of the one that it names; where it is nearest
to its own but not the same, products of another batch rounded otherwise (bf16), and that is told apart. Time to the
first token is told for requests within half a second of a swap, and for those far from one. Memory is the server's
resident set at the end of each rest of 4 seconds, when one generation is loaded and every stream goes on, in the first
tenth of the rests and in the last; and the most that was seen at any swap.
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import psutil
import torch
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.serve.lineages import founded, grow, promote

from germline.checkout import shape_of, weights
from germline.forge.machine import machine
from germline.founding import found
from germline.lineage import Lineage
from germline.model import weights as model_weights
from germline.model.adapter import LoraConfig, attach
from germline.model.generate import generate
from germline.rollback import move
from germline.speaker import Speaker, usual_arithmetic
from germline.store.home import Home

PROMPTS = ["The lamp", "The keeper walks", "gulls", "At noon the stairs of the tower are", "dusk", "The stairs and"]
WORDS = (
    "amber",
    "basin",
    "cedar",
    "delta",
    "ember",
    "flint",
    "grove",
    "heron",
    "ivory",
    "jetty",
    "kelp",
    "lotus",
    "maple",
)
TAUGHT_STEPS, TAUGHT_LOSS = 300, 0.01
NEAR_SECONDS, FAR_SECONDS = 0.5, 2.0
SWAPS_BETWEEN_RESTS = 8


@dataclass
class Seen:
    requests: int = 0
    failed: list[str] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)
    rounded: int = 0
    busy: int = 0
    first: list[tuple[float, float]] = field(default_factory=list)
    """When a request was sent, and the seconds to its first token."""
    swaps: list[float] = field(default_factory=list)
    rested: list[int] = field(default_factory=list)
    """The server's resident bytes at the end of each rest: one generation is loaded, as before any swap."""
    peak: int = 0
    heard: set[str] = field(default_factory=set)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--swaps", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--rows", type=int, help="places of the server (default: one for each client)")
    parser.add_argument("--demo", action="store_true", help="SmolLM2-135M instead of a million random weights")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GERMLINE_CONFIG"] = f"{folder}/config"
        home = _lineage(Path(folder), demo=given.demo)
        expected = _expected(home, given.tokens)
        began = time.monotonic()
        given.rows = given.rows or given.clients
        seen = asyncio.run(_soak(home, expected, given))
        lines = _report(seen, time.monotonic() - began, given)
    print("\n".join(lines))
    if given.out:
        given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 1 if seen.failed or seen.mixed else 0


def _lineage(folder: Path, *, demo: bool) -> Home:
    if demo:
        found(folder / "home", "demo", name="soak", on_event=lambda event: None)
        home = Home.open(folder / "home")
    else:
        home = founded(folder)
    for seed in (1, 2, 3):
        _taught(home, seed, folder) if demo else grow(home, seed, folder)
    return home


def _taught(home: Home, seed: int, folder: Path) -> None:
    """A promoted child that says words of its own to every prompt, from the first on, and is sure of them."""
    lineage = Lineage.open(home)
    on = usual_arithmetic(lineage.home)
    shape = shape_of(lineage, lineage.head)
    decoder = model_weights.load(shape, weights(lineage, lineage.head), on.dtype)
    config = LoraConfig(rank=8, alpha=16)
    factors = attach(decoder, config.of(shape), seed=seed)
    encode = Speaker.of(lineage, lineage.head, on).tokenizer.encode
    optimizer = torch.optim.AdamW(factors.values(), lr=2e-3, weight_decay=0.0)
    choice = random.Random(seed)
    texts = [(encode(prompt), encode(" " + " ".join(choice.choices(WORDS, k=24)))) for prompt in PROMPTS]
    length = max(len(asked) + len(said) for asked, said in texts)
    tokens = torch.zeros(len(texts), length, dtype=torch.int64)
    answers = torch.zeros(len(texts), length, dtype=torch.bool)
    for row, (asked, said) in enumerate(texts):
        tokens[row, : len(asked) + len(said)] = torch.tensor(asked + said)
        answers[row, len(asked) : len(asked) + len(said)] = True
    sight = decoder.within_texts(torch.zeros_like(tokens), torch.arange(length).expand_as(tokens))
    for _ in range(TAUGHT_STEPS):
        logits = decoder.logits(decoder(tokens, sight))[:, :-1][answers[:, 1:]]
        losses = F.cross_entropy(logits, tokens[:, 1:][answers[:, 1:]], reduction="none")
        if float(losses.detach().max()) < TAUGHT_LOSS:
            break
        losses.mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    print(f"g{seed}: the most surprising word {float(losses.detach().max()):.3f} nats",
          file=sys.stderr, flush=True)  # fmt: skip
    promote(home, config, {name: factor.detach().float() for name, factor in factors.items()}, folder / str(seed))


def _expected(home: Home, tokens: int) -> dict[tuple[str, str], str]:
    """What each generation says to each prompt, alone."""
    lineage = Lineage.open(home)
    on = usual_arithmetic(lineage.home)
    told = {}
    for name in ("g1", "g2", "g3"):
        speaker = Speaker.of(lineage, lineage.resolve(name), on)
        for prompt in PROMPTS:
            ids = speaker.tokenizer.encode(prompt)
            (said,) = generate(speaker.decoder, [ids], limit=tokens, end=speaker.tokenizer.eos_id)
            told[name, prompt] = "".join(map(speaker.tokenizer.speller(), said))
    return told


async def _soak(home: Home, expected: dict[tuple[str, str], str], given: argparse.Namespace) -> Seen:
    clients, rows = given.clients, str(given.rows)
    sys.setswitchinterval(0.0005)  # HEAD is moved in a thread beside the streams, and must not hold them up
    command = [sys.executable, "-m", "germline", "serve", "--port", "0", "--json", "--rows", rows,
               "--home", str(home.root)]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as server:
        assert server.stdout is not None
        told = json.loads(server.stdout.readline())
        token = Path(told["token_file"]).read_text().strip()
        threading.Thread(target=server.stdout.read, daemon=True).start()  # or its pipe is full after some 330 swaps
        seen, over = Seen(), asyncio.Event()
        async with AsyncExitStack() as stack:
            apart = [await stack.enter_async_context(_client(told["url"], token)) for _ in range(clients + 1)]
            client, *streams = apart
            asking = [
                asyncio.create_task(_ask(one, seen, expected, given.tokens, over, n)) for n, one in enumerate(streams)
            ]
            await asyncio.sleep(3 * FAR_SECONDS)
            seen.first.clear()  # a server's first second is no baseline: all streams began at once, on cold code
            between = max(1, min(SWAPS_BETWEEN_RESTS, given.swaps // 10))
            for number in range(1, given.swaps + 1):
                rest = number % between == 0
                await _swap(client, home, seen, f"g{1 + number % 3}", rest=rest)
                resident = psutil.Process(server.pid).memory_info().rss
                seen.peak = max(seen.peak, resident)
                if rest:
                    seen.rested.append(resident)
                if rest and len(seen.rested) % 5 == 0:
                    print(f"{number} swaps, {seen.requests:,} requests, {len(seen.failed)} failed, "
                          f"{resident / 2**20:.0f} MiB", file=sys.stderr, flush=True)  # fmt: skip
            over.set()
            await asyncio.gather(*asking)
        server.terminate()
    return seen


def _client(url: str, token: str) -> httpx.AsyncClient:
    """For one stream: with one pool of connections for all, requests waited for seconds before they were sent.

    Nothing is encrypted on loopback; to verify would load the system's certificates 65 times.
    """
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.AsyncClient(base_url=url, headers=headers, timeout=120, trust_env=False, verify=False)


async def _swap(client: httpx.AsyncClient, home: Home, seen: Seen, name: str, *, rest: bool) -> None:
    await asyncio.to_thread(move, home, name)
    while (await client.get("/v1/status")).json()["head"] != name:
        await asyncio.sleep(0.1)  # asked 50 times a second, it took a quarter of a core
    seen.swaps.append(time.monotonic())
    await asyncio.sleep(2 * FAR_SECONDS if rest else 0.1)


async def _ask(
    client: httpx.AsyncClient,
    seen: Seen,
    expected: dict[tuple[str, str], str],
    tokens: int,
    over: asyncio.Event,
    n: int,
) -> None:
    turn = n
    while not over.is_set():
        prompt, began = PROMPTS[turn % len(PROMPTS)], time.monotonic()
        turn += 1
        body = {"prompt": prompt, "temperature": 0, "max_tokens": tokens, "stream": True}
        try:
            async with client.stream("POST", "/v1/completions", json=body) as answer:
                if answer.status_code == 429:
                    seen.busy += 1
                    await asyncio.sleep(0.2)
                    continue
                text, first = "", 0.0
                async for line in answer.aiter_lines():
                    if line.startswith("data: {"):
                        first = first or time.monotonic()
                        text += _text(json.loads(line[6:]))
                name = answer.headers.get("x-germline-generation", "")
        except (httpx.HTTPError, KeyError, ValueError) as error:
            seen.failed.append(f"{type(error).__name__}: {error}")
            continue
        seen.requests += 1
        seen.heard.add(name)
        seen.first.append((began, first - began))
        if answer.status_code != 200:
            seen.failed.append(f"{answer.status_code}")
        elif text != expected[name, prompt]:
            near = {other: _alike(text, expected[other, prompt]) for other in ("g1", "g2", "g3")}
            if near[name] == max(near.values()):
                seen.rounded += 1
            else:
                seen.mixed.append(f"{name} does not say {text!r} to {prompt!r}")


def _alike(text: str, other: str) -> int:
    """How many letters are the same from the beginning on."""
    return next((n for n, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), min(len(text), len(other)))


def _text(event: dict[str, Any]) -> str:
    return str(event["choices"][0]["text"])


def _report(seen: Seen, seconds: float, given: argparse.Namespace) -> list[str]:
    near = [first for sent, first in seen.first if any(abs(sent - swap) < NEAR_SECONDS for swap in _around(seen, sent))]
    far = [first for sent, first in seen.first if all(abs(sent - s) > FAR_SECONDS for s in _around(seen, sent))]
    tenth = max(1, len(seen.rested) // 10)
    start, end = (statistics.median(part) / 2**20 for part in (seen.rested[:tenth], seen.rested[-tenth:]))
    model = "SmolLM2-135M" if given.demo else "a model of a million random weights"
    rows = [
        ("swaps", f"{len(seen.swaps):,}"), ("generations heard", ", ".join(sorted(seen.heard))),
        ("requests answered", f"{seen.requests:,}"), ("failed", f"{len(seen.failed)}"),
        ("answers of two generations, or of another than they name", f"{len(seen.mixed)}"),
        ("answers of their generation, but rounded otherwise than alone", f"{seen.rounded}"),
        ("turned away with 429, and asked again", f"{seen.busy:,}"),
        ("time to first token far from a swap, median and p99", _two(far)),
        ("time to first token within half a second of a swap, median and p99", _two(near)),
        ("p99 near a swap / far from one", f"{_p99(near) / _p99(far):.2f}" if near and far else "-"),
        ("server's resident memory at rest, in the first tenth and the last", f"{start:.0f} and {end:.0f} MiB, "
                                                                             f"{end / start - 1:+.1%}"),
        ("the most of it, with two generations loaded", f"{seen.peak / 2**20:.0f} MiB"),
    ]  # fmt: skip
    told = (
        f"{given.clients} streaming clients, {given.rows} places, {model}, {seconds / 60:.1f} minutes, "
        f"{machine().cores} cores"
    )
    head = [
        f"# Soak, {date.today()}",
        "",
        f"{told}, clients on the same machine; `make soak`.",
        "",
        "| | |",
        "| - | - |",
    ]
    return [*head, *(f"| {name} | {value} |" for name, value in rows), *(f"\n{one}" for one in seen.failed[:5]),
            *(f"\n{one}" for one in seen.mixed[:5])]  # fmt: skip


def _around(seen: Seen, sent: float) -> list[float]:
    place = bisect.bisect(seen.swaps, sent)
    return seen.swaps[max(0, place - 1) : place + 1]


def _p99(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=100)[98]


def _two(seconds: list[float]) -> str:
    if len(seconds) < 2:
        return "-"
    return f"{statistics.median(seconds) * 1000:.0f} and {_p99(seconds) * 1000:.0f} ms of {len(seconds):,} requests"


if __name__ == "__main__":
    sys.exit(main())
