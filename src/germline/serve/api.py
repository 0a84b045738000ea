"""The routes: questions in OpenAI's words, answered by whichever generation is asked for.

Every answer names its generation, in its body and in headers, and comes from that one alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.requests import Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from germline import __version__
from germline.errors import DataError, DoesNotFit, GermlineError, Locked, NotHeld, PlanError, StoreDamaged
from germline.karma.book import Conflict, Unknown
from germline.lineage import Generation, Lineage
from germline.records import plain
from germline.rollback import CannotMove
from germline.serve import page, under_way
from germline.serve.answers import Kind
from germline.serve.engine import Busy, Gone
from germline.serve.fragment_choice import FragmentChoice
from germline.serve.guard import error_body
from germline.serve.notes import BOOK, Notes
from germline.serve.prompts import Prompt, PromptError, Prompts, TooLong
from germline.serve.requests import DEFAULT_ANSWER, GENERATION, Chat, Completion, Feedback, Generate
from germline.serve.swap import Loaded, Serving

STATUS: tuple[tuple[type[GermlineError], int, str], ...] = (
    (Unknown, 404, "unknown_answer"), (Conflict, 409, "conflict"),
    (Busy, 429, "busy"), (Gone, 503, "gone"), (DoesNotFit, 503, "does_not_fit"), (StoreDamaged, 503, "store_damaged"),
    (CannotMove, 409, "conflict"), (Locked, 409, "locked"), (TooLong, 400, "context_length_exceeded"),
    (PromptError, 400, "prompt"), (DataError, 400, "prompt"),
    (PlanError, 404, "model_not_found"), (NotHeld, 404, "model_not_found"),
)  # fmt: skip
"""What an error is over HTTP. Any other is the server's own: 500."""
UNRATED = (
    "answers are not rated here: set karma.threshold or karma.keep_conversations in the plan, and start "
    "`germline serve` again"
)


def application(serving: Serving, prompts: Prompts, notes: Notes | None = None) -> FastAPI:
    """All routes. Nothing here asks who it is that asks: that is the guard's business, before this.

    With `notes`, answers can be rated.
    """
    errors: dict[int | str, dict[str, Any]] = {
        kind: {"description": "An error in OpenAI's form"} for kind in ("4XX", "5XX")
    }
    app = FastAPI(title="germline", version=__version__, docs_url=None, redoc_url=None, responses=errors)
    _errors(app)
    page.add(app, serving.home)

    _looks(app, serving, notes)
    streamed: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {}}}}

    @app.post("/v1/completions", responses=streamed)
    async def completions(asked: Completion, request: Request) -> Response:
        """Go on with a text."""

        def prompt(loaded: Loaded) -> Prompt:
            given = asked.prompt
            ids = loaded.speaker.tokenizer.encode(given) if isinstance(given, str) else _known(loaded, given)
            return Prompt(ids)

        remember = notes.of(None) if notes else _forget
        return await _answered(serving, asked, "completion", prompt, asked.logprobs, request, remember)

    @app.post("/v1/chat/completions", responses=streamed)
    async def chat(asked: Chat, request: Request) -> Response:
        """Answer a conversation."""
        top = (asked.top_logprobs or 0) if asked.logprobs else None

        choice = FragmentChoice(asked.fragment)

        def prompt(loaded: Loaded) -> Prompt:
            longest = asked.max_completion_tokens or asked.max_tokens or DEFAULT_ANSWER
            return choice.prompt(loaded, prompts, asked.messages, loaded.speaker.decoder.config.room - longest)

        remember = notes.of([{"role": one.role, "content": one.text} for one in asked.messages]) if notes else _forget
        longest = asked.max_completion_tokens
        return await _answered(serving, asked, "chat", prompt, top, request, remember, longest, choice)

    @app.post("/v1/feedback", response_model=dict[str, Any])
    async def feedback(told: Feedback) -> dict[str, Any] | JSONResponse:
        """Rate an answer. Once this returns, it is not forgotten."""
        if notes is None:
            return JSONResponse(error_body(UNRATED, "karma_off", 404), status_code=404)
        return await asyncio.get_running_loop().run_in_executor(BOOK, notes.rate, told)

    return app


def _looks(app: FastAPI, serving: Serving, notes: Notes | None) -> None:
    """The routes that tell how things stand."""

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        """Every generation that can be named. First HEAD, by this name, which follows it, and then by its own."""
        return await asyncio.to_thread(_models, serving)

    @app.get("/v1/models/{name}")
    async def model(name: GENERATION) -> dict[str, Any]:
        """One of them."""
        return await asyncio.to_thread(_model, serving, name)

    @app.get("/v1/status")
    async def status() -> dict[str, Any]:
        """Who answers, how much is under way, why HEAD does not answer if it does not, and why answers cannot be
        rated if the book cannot be written."""
        head = serving.head
        return {"head": head.name, "generation": head.generation.digest, "under_way": head.engine.load,
                "swaps": serving.swaps, "problem": serving.problem,
                "book_problem": notes.problem if notes else ""}  # fmt: skip

    @app.get("/v1/fragments")
    async def fragments() -> dict[str, Any]:
        """The persona's facets, as HEAD has them, and what the last swap did to them."""
        named = serving.head.fragments.named.values()
        return {"generation": serving.head.name, "moved": [{**plain(one), "lost": one.lost} for one in serving.moved],
                "fragments": [{"name": one.name, "description": one.description} for one in named]}  # fmt: skip


def _forget(name: str, generation: str, text: str, ended: str) -> None:
    """Nobody rates answers here."""


async def _answered(
    serving: Serving,
    asked: Generate,
    kind: Kind,
    prompt: Callable[[Loaded], Prompt],
    top: int | None,
    request: Request,
    remember: Callable[[str, str, str, str], None],
    longest: int | None = None,
    choice: FragmentChoice | None = None,
) -> Response:
    gone = request.is_disconnected
    try:
        begun = await under_way.begin(serving, asked, kind, prompt, top, remember, longest or asked.max_tokens, gone)
    except under_way.ClientLeft:
        return under_way.to_nobody()
    headers = {"X-Germline-Generation": begun.loaded.name, "X-Germline-Digest": begun.loaded.generation.digest}
    if choice and choice.name:
        headers["X-Germline-Fragment"] = choice.name
    with_usage = bool(asked.stream_options and asked.stream_options.include_usage)
    begun.form = replace(begun.form, more=choice.told() if choice else {}, with_usage=with_usage)
    if asked.stream:
        return StreamingResponse(under_way.events(begun), media_type="text/event-stream", headers=headers)
    return await under_way.whole(begun, gone, headers)


def _known(loaded: Loaded, ids: list[int]) -> list[int]:
    if max(ids) >= loaded.speaker.decoder.config.vocabulary:
        raise PromptError(f"there is no token {max(ids)}")
    return ids


def _models(serving: Serving) -> dict[str, Any]:
    lineage = Lineage.open(serving.home)
    born = [generation for generation in lineage.born() if lineage.outcome(generation) in ("founded", "promoted")]
    born.sort(key=lambda generation: generation.digest != lineage.head.digest)
    told = [_told(serving, lineage, generation) for generation in born]
    return {"object": "list", "data": [{**told[0], "id": "HEAD"}, *told]}


def _model(serving: Serving, name: str) -> dict[str, Any]:
    lineage = Lineage.open(serving.home)
    return _told(serving, lineage, lineage.resolve(name))


def _told(serving: Serving, lineage: Lineage, generation: Generation) -> dict[str, Any]:
    return {
        "id": generation.name, "object": "model", "created": _seconds(generation.birth.time),
        "owned_by": serving.home.name, "digest": generation.digest,
        "head": generation.digest == lineage.head.digest,
    }  # fmt: skip


def _seconds(time: str) -> int:
    return int(datetime.fromisoformat(time).timestamp())


def _errors(app: FastAPI) -> None:
    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        # Of what may be one kind or another, the kind that it is and that it is too short for, say.
        problems = sorted(error.errors(), key=lambda problem: problem["type"].endswith("_type"))
        path = [str(part) for part in problems[0]["loc"][1:]]
        where = ".".join(part for part in path if part.isidentifier() or part.isdigit())  # and no name of a type
        body = error_body(
            ": ".join(filter(None, [where, problems[0]["msg"].removeprefix("Value error, ")])),
            "invalid",
            400,
            param=path[0] if path else None,
        )
        return JSONResponse(body, status_code=400)

    @app.exception_handler(GermlineError)
    async def failed(request: Request, error: GermlineError) -> JSONResponse:
        status, code = next(
            ((status, code) for kind, status, code in STATUS if isinstance(error, kind)), (500, "failed")
        )
        told = f"{error.message}; {error.hint}" if error.hint else error.message
        headers = {"retry-after": "1"} if status == 429 else {}
        return JSONResponse(error_body(told, code, status), status_code=status, headers=headers)

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> JSONResponse:
        """Logged, too, with where it comes from."""
        return JSONResponse(error_body(f"{type(error).__name__}: {error}", "failed", 500), status_code=500)

    @app.exception_handler(404)
    @app.exception_handler(405)
    async def unknown(request: Request, error: Any) -> JSONResponse:
        body = error_body(error.detail, "unknown", error.status_code)
        return JSONResponse(body, status_code=error.status_code, headers=error.headers)
