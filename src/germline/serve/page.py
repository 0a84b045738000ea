"""The page and what it shows: the lineage, its cards, an age-up in flight; and the one thing it may change, HEAD."""

from __future__ import annotations

import asyncio
import time
from importlib import resources
from typing import Any

from fastapi import FastAPI
from fastapi.responses import Response
from pydantic import Field

from germline import foreign
from germline.errors import GermlineError
from germline.lineage import Lineage
from germline.report import card, history, static, tree
from germline.rollback import move
from germline.serve.requests import GENERATION, Request
from germline.store.home import Home

PUBLIC = frozenset({"/", "/page.js", "/page.css"})
"""What holds nothing of the owner's, and a browser must get before it can know a token."""
PROGRESS = "progress.json"
"""In the home, while an age-up is in flight: its latest step."""
_PROGRESS_BYTES = 1 << 16


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
        return await asyncio.to_thread(lambda: tree.document(Lineage.open(home), history.policy(home)))

    @app.get("/v1/generations/{name}")
    async def generation(name: GENERATION) -> dict[str, Any]:
        """One generation: its data, exams, verdict and weights."""
        return await asyncio.to_thread(_card, home, name)

    @app.get("/v1/progress")
    async def progress() -> dict[str, Any]:
        """The latest step of an age-up in flight, and how long ago it was; null where there is none."""
        return await asyncio.to_thread(in_flight, home)

    @app.post("/v1/rollback")
    async def rollback(asked: Rollback) -> dict[str, Any]:
        """Make an earlier generation HEAD again, or a later one; 409 where HEAD is no longer what was seen."""
        before, after = await asyncio.to_thread(move, home, asked.to, seen=asked.source)
        return {"from": before.name, "head": after.name, "generation": after.digest}


def in_flight(home: Home) -> dict[str, Any]:
    """What `/v1/progress` answers. The file is replaced whole, so that it is read whole or not there."""
    path = home.root / PROGRESS
    try:
        told = foreign.parse_json(foreign.read(path, _PROGRESS_BYTES))
        if not isinstance(told, dict):
            raise ValueError("not an object")
        ago = max(0.0, time.time() - path.stat().st_mtime)
    except FileNotFoundError:
        return {"in_flight": None}
    except (OSError, ValueError) as error:
        raise GermlineError(f"{path}: this tells of no step: {error}", hint="remove it") from error
    return {"in_flight": told, "seconds_ago": round(ago, 1)}


def _card(home: Home, name: str) -> dict[str, Any]:
    lineage = Lineage.open(home)
    return card.document(lineage, lineage.resolve(name))


def _file(name: str) -> bytes:
    return resources.files("germline.serve").joinpath("browser", name).read_bytes()
