"""What every request passes before it reaches a route, and what every answer carries on its way out."""

import hashlib
import re
import time
import uuid
from dataclasses import dataclass, field

import structlog
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway import errors
from gateway.cors import Cors
from gateway.credentials import session_of
from gateway.forwarded import Forwarded
from gateway.limits import Allowance, Rates
from gateway.metrics import UNMATCHED, Metrics
from services.chassis import telemetry
from services.chassis.errors import InternalError

log = structlog.get_logger()

REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")

RESERVED_CALLERS = (b"system:", b"webhook:", b"test:", b"channel:")
"""Names that only the plane itself gives to callers."""

UNLIMITED = frozenset({"/health", "/ready"})
"""Paths that are never counted: whoever watches the plane must always get an answer."""

SECURITY: list[tuple[bytes, bytes]] = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"strict-transport-security", b"max-age=31536000; includeSubDomains"),
    (b"referrer-policy", b"strict-origin-when-cross-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
]

POLICY = (b"content-security-policy", b"default-src 'self'")
"""On every answer that does not bring its own."""

HEADS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})
"""The messages with which an answer begins."""

SWITCHED = 101
"""The status of an answer that makes a connection a socket."""

ROUTE_KEY = "molecule.route"
REQUEST_ID_KEY = "molecule.request_id"

Headers = list[tuple[bytes, bytes]]


@dataclass(slots=True, kw_only=True)
class Passage:
    """One request on its way."""

    request_id: bytes
    traceparent: str | None = None
    origin: str | None = None
    bearer: bytes = b""
    session: str = ""
    reserved: bool = False
    preflight: bool = False
    status: int = 0
    extra: Headers = field(default_factory=list)


class Edge:
    """The outermost application: request ids, CORS, rate, reserved names; security headers and metrics."""

    def __init__(
        self, inner: ASGIApp, *, cors: Cors, rates: Rates | None, forwarded: Forwarded, metrics: Metrics
    ) -> None:
        self._inner = inner
        self._cors = cors
        self._rates = rates
        self._forwarded = forwarded
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one request through. One for a socket ends here once it is answered: sockets stay for long."""
        if scope["type"] not in {"http", "websocket"}:
            await self._inner(scope, receive, send)
            return
        began = time.perf_counter()
        passage = _passage(scope)
        scope[REQUEST_ID_KEY] = passage.request_id.decode()
        method = scope.get("method", "GET")

        def count() -> None:
            self._metrics.count(method, scope.get(ROUTE_KEY, UNMATCHED), passage.status, time.perf_counter() - began)

        async def send_on(message: Message) -> None:
            if message["type"] in HEADS:
                passage.status = message.get("status", SWITCHED)
                _dress(message, passage)
                if scope["type"] == "websocket":
                    count()
            await send(message)

        try:
            with telemetry.trace_call(method, traceparent=passage.traceparent):
                await self._answered(scope, receive, send_on, passage)
        finally:
            if scope["type"] == "http":
                count()

    async def _answered(self, scope: Scope, receive: Receive, send: Send, passage: Passage) -> None:
        try:
            await (self._refusal(scope, passage) or self._inner)(scope, receive, send)
        except Exception:
            if passage.status:
                raise
            log.exception("request failed", request_id=scope[REQUEST_ID_KEY])
            await errors.answer_to(InternalError())(scope, receive, send)

    def _refusal(self, scope: Scope, passage: Passage) -> Response | None:
        """The answer to a request that gets no further, in the order of the contract."""
        if passage.origin is not None:
            if not self._cors.allows(passage.origin, self._forwarded.own_url(scope)):
                return errors.answer_to(errors.ForeignOrigin())
            passage.extra += self._cors.answer_headers(passage.origin)
            if passage.preflight and scope.get("method") == "OPTIONS":
                return Response(status_code=204, headers=self._cors.preflight_headers())
        allowance = self._allowance(scope, passage)
        passage.extra += _rate_headers(allowance)
        if allowance is not None and allowance.exceeded:
            return errors.answer_to(errors.TooOften.until(allowance.retry))
        if passage.reserved:
            return errors.answer_to(errors.ReservedCaller())
        return None

    def _allowance(self, scope: Scope, passage: Passage) -> Allowance | None:
        if self._rates is None or scope["path"] in UNLIMITED:
            return None
        shown = passage.bearer or passage.session.encode()
        return self._rates.take(self._forwarded.client(scope), hashlib.sha256(shown).digest() if shown else b"")


def _passage(scope: Scope) -> Passage:
    """Read in one turn what the edge needs of the headers; of one that comes twice the first counts."""
    passage = Passage(request_id=b"")
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            if not passage.request_id and REQUEST_ID.fullmatch(value):
                passage.request_id = value
        elif name == b"traceparent":
            passage.traceparent = passage.traceparent or value.decode("latin-1")
        elif name == b"origin":
            passage.origin = value.decode("latin-1") if passage.origin is None else passage.origin
        elif name == b"authorization":
            passage.bearer = passage.bearer or value
        elif name == b"cookie":
            passage.session = passage.session or session_of([(name, value)]) or ""
        elif name == b"x-workspace-id":
            passage.reserved = passage.reserved or value.strip().startswith(RESERVED_CALLERS)
        elif name == b"access-control-request-method":
            passage.preflight = True
    passage.request_id = passage.request_id or str(uuid.uuid4()).encode()
    return passage


def _dress(message: Message, passage: Passage) -> None:
    headers: Headers = list(message.get("headers", ()))
    if not any(name == POLICY[0] for name, _ in headers):
        headers.append(POLICY)
    message["headers"] = [*headers, (b"x-request-id", passage.request_id), *SECURITY, *passage.extra]


def _rate_headers(allowance: Allowance | None) -> Headers:
    if allowance is None:
        return [(b"x-ratelimit-limit", b"unlimited")]
    return [
        (b"x-ratelimit-limit", str(allowance.limit).encode()),
        (b"x-ratelimit-remaining", str(allowance.remaining).encode()),
        (b"x-ratelimit-reset", str(allowance.reset).encode()),
    ]
