"""The page and what it shows: the lineage, its cards, an age-up in flight; and the one thing it may change, HEAD."""

from __future__ import annotations

import asyncio
import time
from importlib import resources
from typing import Any

from fastapi import FastAPI
from fastapi.responses import Response
from pydantic import Field

from germline import in_flight
from germline.lineage import Lineage
from germline.report import card, static, tree
from germline.rollback import move
from germline.serve.requests import GENERATION, Request
from germline.store import ledger
from germline.store.home import Home

PUBLIC = frozenset({"/", "/page.js", "/page.css"})
"""What holds nothing of the owner's, and a browser must get before it can know a token."""


class Rollback(Request):
    to: GENERATION
    """Which generation HEAD shall be."""
    source: GENERATION = Field(alias="from")
    """Which it is now, as far as the asker knows; if it is not, nothing is done."""


def add(app: FastAPI, home: Home) -> None:
    """The page's routes."""

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return Response(_file("index.html"), media_type="text/html")

    @app.get("/page.js", include_in_schema=False)
    async def script() -> Response:
        return Response(_file("page.js"), media_type="text/javascript")

    @app.get("/page.css", include_in_schema=False)
    async def style() -> Response:
        return Response(static.style(), media_type="text/css")

    @app.get("/v1/lineage")
    async def lineage() -> dict[str, Any]:
        """Every generation with its verdict and marks, the newest first."""
        return await asyncio.to_thread(lambda: tree.document(Lineage.open(home)))

    @app.get("/v1/generations/{name}")
    async def generation(name: GENERATION) -> dict[str, Any]:
        """One generation: its data, exams, verdict and weights."""
        return await asyncio.to_thread(_card, home, name)

    @app.get("/v1/progress")
    async def progress() -> dict[str, Any]:
        """The latest step of an age-up in flight, and how long ago it was; null where there is none. `entries` are
        the ledger's: where there are more, the tree is another."""
        return await asyncio.to_thread(_in_flight, home)

    @app.post("/v1/rollback")
    async def rollback(asked: Rollback) -> dict[str, Any]:
        """Make an earlier generation HEAD again, or a later one; 409 where HEAD is no longer what was seen."""
        before, after = await asyncio.to_thread(move, home, asked.to, seen=asked.source)
        return {"from": before.name, "head": after.name, "generation": after.digest}


def _in_flight(home: Home) -> dict[str, Any]:
    entries = ledger.length(home)
    found = in_flight.look(home)
    if found is None:
        return {"in_flight": None, "entries": entries}
    told = {**found["data"], "text": found["text"], "memory_bytes": found["memory_bytes"]}
    return {"in_flight": told, "entries": entries, "seconds_ago": round(max(0.0, time.time() - found["time"]), 1)}


def _card(home: Home, name: str) -> dict[str, Any]:
    lineage = Lineage.open(home)
    return card.document(lineage, lineage.resolve(name))


def _file(name: str) -> bytes:
    return resources.files("germline.serve").joinpath("browser", name).read_bytes()
