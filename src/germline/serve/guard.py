"""Who may speak to the server at all: checked before any of it is parsed.

A server on loopback is reachable by every page that the owner's browser opens. So a page of another site must not be
able to ask (Origin, Sec-Fetch-Site, and a token that it cannot know), nor one that gave its own name this address (DNS
rebinding: the exact Host), nor a form (JSON alone). The token is asked for always, but by the page's own files, also on
loopback: other users and programs of the machine are there, too.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from germline import foreign

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

SENT = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
                                 b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
)  # fmt: skip
"""With every response."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    token: str
    hosts: frozenset[str]
    """Names and ports by which the server may be addressed, exactly as a Host header says them."""
    proxied: frozenset[str] = frozenset()
    """Those of them that are a proxy's, which may speak https."""
    public: frozenset[str] = frozenset()
    """Paths that hold nothing of the owner's, and that a browser has to get before it can know a token."""
    body_bytes: int = 1 << 20
    depth: int = 16
    body_seconds: float = 10.0
    drain_seconds: float = 0.5
    """How long what a refused request still sends is taken in."""
    at_once: int = 256

    @property
    def origins(self) -> frozenset[str]:
        """Of our own page; behind a proxy with a certificate it is one of https."""
        return frozenset([*(f"http://{host}" for host in self.hosts), *(f"https://{host}" for host in self.proxied)])


@dataclass(frozen=True, slots=True)
class Refusal:
    status: int
    code: str
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)


def refusal(rules: Rules, method: str, path: str, headers: list[tuple[bytes, bytes]]) -> Refusal | None:
    """Why this request is not heeded; None if it is, as far as its headers tell."""
    told: dict[str, list[str]] = {}
    for name, value in headers:
        told.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    if any(len(told.get(name, [])) > 1 for name in ("host", "origin", "authorization", "content-type")):
        return Refusal(400, "repeated_header", "a header is there twice")
    one = {name: values[0] for name, values in told.items()}
    if one.get("host", "").lower() not in rules.hosts:
        return Refusal(421, "wrong_host", "this server does not go by that name")
    if one.get("origin", "http://" + one["host"].lower()) not in rules.origins:
        return Refusal(403, "wrong_origin", "pages of other sites may not ask")
    public = path in rules.public and method in ("GET", "HEAD")
    opened = public and (one.get("sec-fetch-mode"), one.get("sec-fetch-dest")) == ("navigate", "document")
    if one.get("sec-fetch-site", "none") not in ("none", "same-origin") and not opened:  # but a link may be followed
        return Refusal(403, "wrong_origin", "pages of other sites may not ask")
    if public:
        return None
    scheme, _, token = one.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(token.strip().encode(), rules.token.encode()):
        problem = "Authorization: Bearer TOKEN is missing or wrong; `germline serve --token` prints the token"
        return Refusal(401, "invalid_api_key", problem, {"www-authenticate": "Bearer"})
    if method in ("GET", "HEAD"):
        return None
    if method != "POST":
        return Refusal(405, "wrong_method", f"nothing here takes {method}", {"allow": "GET, HEAD, POST"})
    kind, _, parameter = one.get("content-type", "").lower().partition(";")
    if kind.strip() != "application/json" or parameter.strip() not in ("", "charset=utf-8"):
        return Refusal(415, "wrong_type", "Content-Type must be application/json")
    if one.get("content-encoding", "identity").lower() != "identity":
        return Refusal(415, "wrong_encoding", "a body must not be compressed")
    length = one.get("content-length", "0")
    if not (length.isascii() and length.isdigit() and len(length) < 20):
        return Refusal(400, "wrong_length", "Content-Length is no number")
    return _too_long(rules) if int(length) > rules.body_bytes else None


class Guard:
    """An ASGI application before another: only what may pass reaches it, with its body whole and checked."""

    def __init__(self, app: App, rules: Rules) -> None:
        self._app, self._rules = app, rules
        self._at_once = {False: 0, True: 0}
        """Requests under way, and those for public paths: whoever has no token takes no place of one who has."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        refused = refusal(self._rules, scope["method"], scope["path"], scope["headers"])
        public = scope["path"] in self._rules.public
        if not refused and self._at_once[public] >= self._rules.at_once:
            refused = Refusal(429, "busy", "too many requests at once", {"retry-after": "1"})
        if refused:
            await _drain(scope, receive, self._rules)
            return await _answer(refused, send)
        self._at_once[public] += 1
        try:
            await self._pass(scope, receive, send)
        finally:
            self._at_once[public] -= 1
        return None

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        body: bytes | Refusal = b""
        if scope["method"] not in ("GET", "HEAD"):
            try:
                body = await asyncio.wait_for(_body(receive, self._rules), self._rules.body_seconds)
            except TimeoutError:
                body = Refusal(408, "too_slow", f"the body took over {self._rules.body_seconds:g} seconds")
        if isinstance(body, Refusal):
            return await _answer(body, send)
        given = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def replay() -> MutableMapping[str, Any]:
            return next(given, None) or await receive()

        async def guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *SENT]
            await send(message)

        # Of HEAD the server sends no body, whatever is made here.
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        return await self._app({**scope, "method": method}, replay, guarded)


async def _body(receive: Receive, rules: Rules) -> bytes | Refusal:
    whole = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return Refusal(400, "cut_short", "the body is not whole")
        whole += message.get("body", b"")
        more = message.get("more_body", False)
        if len(whole) > rules.body_bytes:
            return _too_long(rules)
    try:
        value = foreign.parse_json(bytes(whole))
    except ValueError as error:
        return Refusal(400, "invalid_json", f"the body is not JSON: {error}")
    if _deeper(value, rules.depth):
        return Refusal(400, "too_deep", f"the body is nested deeper than {rules.depth}")
    return bytes(whole)


async def _drain(scope: Scope, receive: Receive, rules: Rules) -> None:
    """Take in what a refused request is sending: closed with bytes unread, a connection is reset, and its client may
    never see why. One that waits to be told to send (Expect) is told the refusal."""
    if any(name.lower() == b"expect" for name, _ in scope["headers"]):
        return
    left = rules.body_bytes
    with suppress(TimeoutError):
        async with asyncio.timeout(rules.drain_seconds):
            while left > 0:
                message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body"):
                    return
                left -= len(message["body"])


def _deeper(value: Any, depth: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return bool(inner) and (depth == 0 or any(_deeper(item, depth - 1) for item in inner))


def _too_long(rules: Rules) -> Refusal:
    return Refusal(413, "too_long", f"a body may have {rules.body_bytes:,} bytes")


async def _answer(refused: Refusal, send: Send) -> None:
    body = json.dumps(error_body(refused.message, refused.code, refused.status)).encode()
    headers = [(name.encode(), value.encode()) for name, value in refused.headers.items()]
    kind = (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())
    # What was not read of a body must not be taken for the next request.
    closing = (b"connection", b"close")
    await send({"type": "http.response.start", "status": refused.status, "headers": [*kind, *headers, closing, *SENT]})
    await send({"type": "http.response.body", "body": body})


def error_body(message: str, code: str, status: int, param: str | None = None) -> dict[str, Any]:
    """An error in OpenAI's form. `param`: the field of the request that it is about."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
