"""What every request passes before its route: request id, CORS, rate limit, reserved callers, metrics, headers."""

import hashlib
import re
import time
import uuid
from dataclasses import dataclass, field

import structlog
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway import errors
from gateway.cors import CorsPolicy, RawHeaders
from gateway.credentials import parse_session
from gateway.limits import Allowance, RateLimiter
from gateway.metrics import UNMATCHED_PATH, RequestMetrics
from gateway.proxy_headers import ProxyHeaders
from services.chassis import telemetry
from services.chassis.errors import InternalError

log = structlog.get_logger()

REQUEST_ID_PATTERN = re.compile(rb"[A-Za-z0-9._-]{1,128}")

RESERVED_CALLER_PREFIXES = (b"system:", b"webhook:", b"test:", b"channel:")
"""Prefixes of caller ids that only the plane itself uses."""

PATHS_WITHOUT_RATE_LIMIT = frozenset({"/health", "/ready"})
"""Paths that are never limited, so that monitoring always gets an answer."""

SECURITY_HEADERS: RawHeaders = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"strict-transport-security", b"max-age=31536000; includeSubDomains"),
    (b"referrer-policy", b"strict-origin-when-cross-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
]

CONTENT_SECURITY_POLICY = (b"content-security-policy", b"default-src 'self'")
"""Added to every response without a policy of its own."""

RESPONSE_START_TYPES = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})
"""The ASGI messages that begin a response."""

SWITCHING_PROTOCOLS = 101
"""Status of a response that accepts a WebSocket."""

ROUTE_KEY = "molecule.route"
REQUEST_ID_KEY = "molecule.request_id"


@dataclass(slots=True, kw_only=True)
class RequestContext:
    """What the middleware reads from the request headers, and adds to the response."""

    request_id: bytes
    traceparent: str | None = None
    origin: str | None = None
    bearer: bytes = b""
    session: str = ""
    has_reserved_caller: bool = False
    is_preflight: bool = False
    status: int = 0
    extra_headers: RawHeaders = field(default_factory=list)


class RequestMiddleware:
    """The outermost ASGI application."""

    def __init__(
        self,
        inner: ASGIApp,
        *,
        cors: CorsPolicy,
        rates: RateLimiter | None,
        proxy_headers: ProxyHeaders,
        metrics: RequestMetrics,
    ) -> None:
        self._inner = inner
        self._cors = cors
        self._rates = rates
        self._proxy_headers = proxy_headers
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one request through. A WebSocket is counted when it is accepted: it stays open for long."""
        if scope["type"] not in {"http", "websocket"}:
            await self._inner(scope, receive, send)
            return
        began = time.perf_counter()
        context = _read_request_context(scope)
        scope[REQUEST_ID_KEY] = context.request_id.decode()
        method = scope.get("method", "GET")

        def count() -> None:
            path = scope.get(ROUTE_KEY, UNMATCHED_PATH)
            self._metrics.count(method, path, context.status, time.perf_counter() - began)

        async def send_with_headers(message: Message) -> None:
            if message["type"] in RESPONSE_START_TYPES:
                context.status = message.get("status", SWITCHING_PROTOCOLS)
                _add_response_headers(message, context)
                if scope["type"] == "websocket":
                    count()
            await send(message)

        try:
            with telemetry.trace_call(method, traceparent=context.traceparent):
                await self._answer(scope, receive, send_with_headers, context)
        finally:
            if scope["type"] == "http":
                count()

    async def _answer(self, scope: Scope, receive: Receive, send: Send, context: RequestContext) -> None:
        try:
            await (self._answer_early(scope, context) or self._inner)(scope, receive, send)
        except Exception:
            if context.status:
                raise
            log.exception("request failed", request_id=scope[REQUEST_ID_KEY])
            await errors.render_error(InternalError())(scope, receive, send)

    def _answer_early(self, scope: Scope, context: RequestContext) -> Response | None:
        """Return the response to a request that reaches no route; the checks are in the order of the contract."""
        if context.origin is not None:
            if not self._cors.allows(context.origin, self._proxy_headers.request_url(scope)):
                return errors.render_error(errors.ForeignOrigin())
            context.extra_headers += self._cors.answer_headers(context.origin)
            if context.is_preflight and scope.get("method") == "OPTIONS":
                return Response(status_code=204, headers=self._cors.preflight_headers())
        allowance = self._take_allowance(scope, context)
        context.extra_headers += _render_rate_limit_headers(allowance)
        if allowance is not None and allowance.is_exceeded:
            return errors.render_error(errors.RateLimitExceeded.for_seconds(allowance.retry))
        if context.has_reserved_caller:
            return errors.render_error(errors.ReservedCaller())
        return None

    def _take_allowance(self, scope: Scope, context: RequestContext) -> Allowance | None:
        if self._rates is None or scope["path"] in PATHS_WITHOUT_RATE_LIMIT:
            return None
        credential = context.bearer or context.session.encode()
        digest = hashlib.sha256(credential).digest() if credential else b""
        return self._rates.take(self._proxy_headers.client_address(scope), digest)


def _read_request_context(scope: Scope) -> RequestContext:
    """Read the headers in one pass; the first of several with one name counts."""
    context = RequestContext(request_id=b"")
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            if not context.request_id and REQUEST_ID_PATTERN.fullmatch(value):
                context.request_id = value
        elif name == b"traceparent":
            context.traceparent = context.traceparent or value.decode("latin-1")
        elif name == b"origin":
            context.origin = value.decode("latin-1") if context.origin is None else context.origin
        elif name == b"authorization":
            context.bearer = context.bearer or value
        elif name == b"cookie":
            context.session = context.session or parse_session([(name, value)]) or ""
        elif name == b"x-workspace-id":
            is_reserved = value.strip().startswith(RESERVED_CALLER_PREFIXES)
            context.has_reserved_caller = context.has_reserved_caller or is_reserved
        elif name == b"access-control-request-method":
            context.is_preflight = True
    context.request_id = context.request_id or str(uuid.uuid4()).encode()
    return context


def _add_response_headers(message: Message, context: RequestContext) -> None:
    headers: RawHeaders = list(message.get("headers", ()))
    if not any(name == CONTENT_SECURITY_POLICY[0] for name, _ in headers):
        headers.append(CONTENT_SECURITY_POLICY)
    message["headers"] = [*headers, (b"x-request-id", context.request_id), *SECURITY_HEADERS, *context.extra_headers]


def _render_rate_limit_headers(allowance: Allowance | None) -> RawHeaders:
    if allowance is None:
        return [(b"x-ratelimit-limit", b"unlimited")]
    return [
        (b"x-ratelimit-limit", str(allowance.limit).encode()),
        (b"x-ratelimit-remaining", str(allowance.remaining).encode()),
        (b"x-ratelimit-reset", str(allowance.reset).encode()),
    ]
