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
from gateway.cors import CorsPolicy
from gateway.credentials import parse_session
from gateway.limits import Allowance, RateLimiter
from gateway.metrics import UNMATCHED_PATH, RequestMetrics
from gateway.proxy_headers import ProxyHeaders
from services.chassis import telemetry
from services.chassis.errors import InternalError

log = structlog.get_logger()

REQUEST_ID_PATTERN = re.compile(rb"[A-Za-z0-9._-]{1,128}")

RESERVED_CALLER_PREFIXES = (b"system:", b"webhook:", b"test:", b"channel:")
"""Names that only the plane itself gives to callers."""

PATHS_WITHOUT_RATE_LIMIT = frozenset({"/health", "/ready"})
"""Paths that are never counted: whoever watches the plane must always get an answer."""

SECURITY_HEADERS: list[tuple[bytes, bytes]] = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"strict-transport-security", b"max-age=31536000; includeSubDomains"),
    (b"referrer-policy", b"strict-origin-when-cross-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
]

CONTENT_SECURITY_POLICY = (b"content-security-policy", b"default-src 'self'")
"""On every answer that does not bring its own."""

RESPONSE_START_TYPES = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})
"""The messages with which an answer begins."""

SWITCHING_PROTOCOLS = 101
"""The status of an answer that makes a connection a socket."""

ROUTE_KEY = "molecule.route"
REQUEST_ID_KEY = "molecule.request_id"

RawHeaders = list[tuple[bytes, bytes]]


@dataclass(slots=True, kw_only=True)
class RequestContext:
    """One request on its way."""

    request_id: bytes
    traceparent: str | None = None
    origin: str | None = None
    bearer: bytes = b""
    session: str = ""
    reserved: bool = False
    preflight: bool = False
    status: int = 0
    extra: RawHeaders = field(default_factory=list)


class RequestMiddleware:
    """The outermost application: request ids, CORS, rate, reserved names; security headers and metrics."""

    def __init__(
        self,
        inner: ASGIApp,
        *,
        cors: CorsPolicy,
        rates: RateLimiter | None,
        forwarded: ProxyHeaders,
        metrics: RequestMetrics,
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
        passage = _read_request_context(scope)
        scope[REQUEST_ID_KEY] = passage.request_id.decode()
        method = scope.get("method", "GET")

        def count() -> None:
            self._metrics.count(
                method, scope.get(ROUTE_KEY, UNMATCHED_PATH), passage.status, time.perf_counter() - began
            )

        async def send_on(message: Message) -> None:
            if message["type"] in RESPONSE_START_TYPES:
                passage.status = message.get("status", SWITCHING_PROTOCOLS)
                _add_response_headers(message, passage)
                if scope["type"] == "websocket":
                    count()
            await send(message)

        try:
            with telemetry.trace_call(method, traceparent=passage.traceparent):
                await self._answered(scope, receive, send_on, passage)
        finally:
            if scope["type"] == "http":
                count()

    async def _answered(self, scope: Scope, receive: Receive, send: Send, passage: RequestContext) -> None:
        try:
            await (self._refusal(scope, passage) or self._inner)(scope, receive, send)
        except Exception:
            if passage.status:
                raise
            log.exception("request failed", request_id=scope[REQUEST_ID_KEY])
            await errors.render_error(InternalError())(scope, receive, send)

    def _refusal(self, scope: Scope, passage: RequestContext) -> Response | None:
        """The answer to a request that gets no further, in the order of the contract."""
        if passage.origin is not None:
            if not self._cors.allows(passage.origin, self._forwarded.request_url(scope)):
                return errors.render_error(errors.ForeignOrigin())
            passage.extra += self._cors.answer_headers(passage.origin)
            if passage.preflight and scope.get("method") == "OPTIONS":
                return Response(status_code=204, headers=self._cors.preflight_headers())
        allowance = self._allowance(scope, passage)
        passage.extra += _render_rate_limit_headers(allowance)
        if allowance is not None and allowance.exceeded:
            return errors.render_error(errors.RateLimitExceeded.until(allowance.retry))
        if passage.reserved:
            return errors.render_error(errors.ReservedCaller())
        return None

    def _allowance(self, scope: Scope, passage: RequestContext) -> Allowance | None:
        if self._rates is None or scope["path"] in PATHS_WITHOUT_RATE_LIMIT:
            return None
        shown = passage.bearer or passage.session.encode()
        return self._rates.take(self._forwarded.client(scope), hashlib.sha256(shown).digest() if shown else b"")


def _read_request_context(scope: Scope) -> RequestContext:
    """Read in one turn what the edge needs of the headers; of one that comes twice the first counts."""
    passage = RequestContext(request_id=b"")
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            if not passage.request_id and REQUEST_ID_PATTERN.fullmatch(value):
                passage.request_id = value
        elif name == b"traceparent":
            passage.traceparent = passage.traceparent or value.decode("latin-1")
        elif name == b"origin":
            passage.origin = value.decode("latin-1") if passage.origin is None else passage.origin
        elif name == b"authorization":
            passage.bearer = passage.bearer or value
        elif name == b"cookie":
            passage.session = passage.session or parse_session([(name, value)]) or ""
        elif name == b"x-workspace-id":
            passage.reserved = passage.reserved or value.strip().startswith(RESERVED_CALLER_PREFIXES)
        elif name == b"access-control-request-method":
            passage.preflight = True
    passage.request_id = passage.request_id or str(uuid.uuid4()).encode()
    return passage


def _add_response_headers(message: Message, passage: RequestContext) -> None:
    headers: RawHeaders = list(message.get("headers", ()))
    if not any(name == CONTENT_SECURITY_POLICY[0] for name, _ in headers):
        headers.append(CONTENT_SECURITY_POLICY)
    message["headers"] = [*headers, (b"x-request-id", passage.request_id), *SECURITY_HEADERS, *passage.extra]


def _render_rate_limit_headers(allowance: Allowance | None) -> RawHeaders:
    if allowance is None:
        return [(b"x-ratelimit-limit", b"unlimited")]
    return [
        (b"x-ratelimit-limit", str(allowance.limit).encode()),
        (b"x-ratelimit-remaining", str(allowance.remaining).encode()),
        (b"x-ratelimit-reset", str(allowance.reset).encode()),
    ]
