"""An answer under way: asked of a generation, read piece by piece, and told to the client whole or as it comes."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from fastapi.responses import JSONResponse, Response

from germline.serve.answers import Form, Kind, Shown, event
from germline.serve.engine import Answer, Ended, Piece, Said
from germline.serve.guard import error_body
from germline.serve.notes import BOOK
from germline.serve.prompts import Prompt, PromptError, TooLong
from germline.serve.requests import DEFAULT_ANSWER, Generate
from germline.serve.stops import StopFilter
from germline.serve.swap import Loaded, Serving

GUESTS = ThreadPoolExecutor(1, "guests")
"""Where generations that were asked for by name are loaded, which takes seconds: HEAD's questions wait for no guest."""


LOOK_SECONDS = 0.5
"""Between two looks at whether a client that waits for its first word is there."""


class ClientLeft(Exception):
    """Whoever asked is there no more."""


@dataclass(slots=True)
class Begun:
    """An answer under way: who gives it, its first piece, and the queue of the others."""

    loaded: Loaded
    answer: Answer
    first: Piece
    pieces: asyncio.Queue[Piece]
    stops: StopFilter
    form: Form
    remember: Callable[[str, str, str, str], None]
    """Told id, generation and text of the whole answer, and how it ended, before the client hears its end."""
    tokens: int = 0
    """Of the answer, as far as it was read: what an engine says beyond a stop sequence counts for nobody."""

    async def end(self, text: str, reason: str) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(BOOK, self.remember, self.form.id, self.form.digest, text, reason)

    async def shown(self) -> AsyncIterator[Shown | Ended]:
        """Text as it may be shown, with its tokens; the last is how it ended. Left early, the place is free."""
        held: tuple[Said, ...] = ()
        try:
            piece = self.first
            while isinstance(piece, Said):
                text = self.stops.add(piece.token)
                held, self.tokens = (*held, piece), self.tokens + 1
                if self.stops.stopped:
                    self.answer.given_up = True
                    break
                if text:
                    yield Shown(text, held)
                    held, text = (), ""
                piece = await self.pieces.get()
            else:
                text = self.stops.rest()
            if text or (held and self.form.probabilities and not self.stops.stopped):
                yield Shown(text, held)
            yield piece if isinstance(piece, Ended) else Ended("stop")
        finally:
            self.answer.given_up = True


async def begin(
    serving: Serving,
    asked: Generate,
    kind: Kind,
    prompt: Callable[[Loaded], Prompt],
    top: int | None,
    remember: Callable[[str, str, str, str], None],
    longest: int | None,
    gone: Callable[[], Awaitable[bool]],
) -> Begun:
    """Ask for an answer of at most `longest` tokens, and wait for its first piece: until then it may be passed on to
    another generation. `prompt` makes it for whoever answers. ClientLeft where the client has `gone` by then."""
    loop, pieces = asyncio.get_running_loop(), asyncio.Queue[Piece]()

    def receive(piece: Piece) -> None:
        with suppress(RuntimeError):  # the server has ended, and nobody listens
            loop.call_soon_threadsafe(pieces.put_nowait, piece)

    def made(loaded: Loaded) -> Answer:
        ids, ends = prompt(loaded)
        limit = _limit(loaded, ids, longest)
        sampling = asked.sampling(secrets.randbits(31))
        return Answer(ids, receive, limit=limit, sampling=sampling, log_probabilities=top, ends=ends,
                      of_anyone=asked.model == "HEAD")  # fmt: skip

    first: Piece = Ended("passed on")
    while first == Ended("passed on"):  # by a generation that gave way while this one waited
        pool = None if serving.has_loaded(asked.model) else GUESTS
        loaded, answer = await loop.run_in_executor(pool, serving.submit, asked.model, made)
        first = await _first(answer, pieces, gone)
    name = f"{'chatcmpl' if kind == 'chat' else 'cmpl'}-{secrets.token_hex(12)}"
    tokenizer = loaded.speaker.tokenizer
    form = Form(kind=kind, id=name, generation=loaded.name, digest=loaded.generation.digest, tokenizer=tokenizer,
                probabilities=top is not None)  # fmt: skip
    return Begun(loaded, answer, first, pieces, StopFilter(tokenizer.speller(), asked.stops), form, remember)


async def _first(answer: Answer, pieces: asyncio.Queue[Piece], gone: Callable[[], Awaitable[bool]]) -> Piece:
    """Who answers is said with the first piece, and not before: until then it may be another. While it waits in the
    queue its client may leave, whose place is another's then."""
    try:
        while True:
            with suppress(TimeoutError):
                return await asyncio.wait_for(pieces.get(), LOOK_SECONDS)
            if await gone():
                raise ClientLeft
    except (asyncio.CancelledError, ClientLeft):
        answer.given_up = True
        raise


def _limit(loaded: Loaded, prompt: list[int], longest: int | None) -> int:
    context = loaded.speaker.decoder.config.room
    if not prompt:
        raise PromptError("the prompt is empty")
    if len(prompt) + (longest or 1) > context:
        asked = f" and the answer {longest}" if longest else ""
        told = f"it has {len(prompt)} tokens{asked}; the context of this model is {context}"
        raise TooLong(f"the prompt is too long: {told}")
    return longest or min(DEFAULT_ANSWER, context - len(prompt))


async def events(begun: Begun) -> AsyncIterator[bytes]:
    """Its pieces as server-sent events. One that fails says so in its last, and raises."""
    for told in begun.form.opening():
        yield told
    text = ""
    try:
        async for piece in begun.shown():
            if isinstance(piece, Shown):
                yield begun.form.piece(piece, len(text))
                text += piece.text
            elif piece.reason == "failed":
                yield event(error_body(piece.error, "failed", 500))
            else:
                await begun.end(text, piece.reason)
                for told in begun.form.closing(piece.reason, len(begun.answer.prompt), begun.tokens):
                    yield told
    except Exception as error:
        yield event(error_body(f"{type(error).__name__}: {error}", "failed", 500))
        raise


async def whole(begun: Begun, gone: Callable[[], Awaitable[bool]], headers: dict[str, str]) -> Response:
    """All of it at once. It is given up where the client has `gone`."""
    shown: list[Shown] = []
    async for piece in begun.shown():
        if isinstance(piece, Ended):
            if piece.reason == "failed":
                return JSONResponse(error_body(piece.error, "failed", 500), status_code=500, headers=headers)
            await begun.end("".join(part.text for part in shown), piece.reason)
            prompt, tokens = len(begun.answer.prompt), begun.tokens
            return JSONResponse(begun.form.whole(shown, piece.reason, prompt, tokens), headers=headers)
        shown.append(piece)
        if len(shown) % 16 == 0 and await gone():
            break
    return to_nobody()


def to_nobody() -> Response:
    """What is sent where the client has left."""
    return Response(status_code=499)
