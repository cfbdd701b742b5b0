"""What every request passes before its route: host, origin, rate limit, reserved callers, metrics, headers."""

import time

import structlog
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway import errors
from gateway.cors import CorsPolicy, RawHeaders
from gateway.credentials import hash_credential
from gateway.fetch_metadata import is_from_another_origin, opens_page
from gateway.hosts import HostPolicy
from gateway.limits import BYTES_PER_TOKEN, Allowance, RateLimiter, price_of_body
from gateway.message_timing import is_message_path, render_timing
from gateway.metrics import UNMATCHED_PATH, RequestMetrics
from gateway.proxy_headers import ProxyHeaders
from gateway.request_context import RequestContext, read_request_context
from gateway.rest_errors import render_error_at
from services.chassis import telemetry
from services.chassis.errors import InternalError

log = structlog.get_logger()

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

SAME_ORIGIN = b"same-origin"
"""The value of Sec-Fetch-Site in requests of the plane's own pages."""

ROUTE_KEY = "molecule.route"
REQUEST_ID_KEY = "molecule.request_id"

OTHER_PAGE_KEY = "molecule.other_page"
"""In the scope of requests of pages that are not the plane's own: routes may refuse those of listed origins too."""


class RequestMiddleware:
    """The outermost ASGI application."""

    def __init__(
        self,
        inner: ASGIApp,
        *,
        hosts: HostPolicy,
        cors: CorsPolicy,
        rates: RateLimiter | None,
        proxy_headers: ProxyHeaders,
        metrics: RequestMetrics,
    ) -> None:
        self._inner = inner
        self._hosts = hosts
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
        context = read_request_context(scope)
        context.began = began
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
        if context.is_chunked and self._rates is not None:
            receive = self._charge_chunks(scope, receive, context)
        try:
            early = self._answer_early(scope, context)
            if early is not None:
                _add_timing(scope, context)
            await (early or self._inner)(scope, receive, send)
        except Exception:
            if context.status:
                raise
            _add_timing(scope, context)
            log.exception("request failed", request_id=scope[REQUEST_ID_KEY])
            await render_error_at(scope, InternalError())(scope, receive, send)

    def _answer_early(self, scope: Scope, context: RequestContext) -> Response | None:
        """Return the response to a request that reaches no route; the checks are in the order of the contract."""
        return self._check_page(scope, context) or self._check_caller(scope, context)

    def _check_page(self, scope: Scope, context: RequestContext) -> Response | None:
        """Refuse foreign hosts and pages of other origins; answer preflights."""
        if not self._is_host_allowed(scope, context):
            return errors.render_error(errors.UnknownHost())
        if context.origin is not None:
            own_url = self._proxy_headers.request_url(scope)
            if not self._cors.allows(context.origin, own_url):
                return errors.render_error(errors.ForeignOrigin())
            scope[OTHER_PAGE_KEY] = not self._cors.is_own(context.origin, own_url)
            context.extra_headers += self._cors.answer_headers(context.origin)
            if context.is_preflight and scope.get("method") == "OPTIONS":
                return Response(status_code=204, headers=self._cors.preflight_headers())
        elif context.fetch_site and not self._may_fetch(scope, context):
            return errors.render_error(errors.ForeignOrigin())
        return None

    def _check_caller(self, scope: Scope, context: RequestContext) -> Response | None:
        """Refuse clients that send too much, and callers that claim to be the plane."""
        allowance = self._take_allowance(scope, context, price_of_body(context.body_bytes))
        context.extra_headers += _render_rate_limit_headers(allowance)
        if allowance is not None and allowance.is_exceeded:
            return render_error_at(scope, errors.RateLimitExceeded.for_seconds(allowance.retry))
        if context.has_reserved_caller:
            return render_error_at(scope, errors.ReservedCaller())
        return None

    def _is_host_allowed(self, scope: Scope, context: RequestContext) -> bool:
        """Whether the request names a host of the plane; without a Host header only HTTP/1.0 does, which has none."""
        if context.forwarded_hosts and self._proxy_headers.trusts_peer(scope):
            return all(map(self._hosts.allows, context.forwarded_hosts))
        if context.host is None:
            return scope.get("http_version") == "1.0"
        return self._hosts.allows(context.host)

    def _may_fetch(self, scope: Scope, context: RequestContext) -> bool:
        """Whether a browser may send a request without an Origin: from the plane's own pages, or to open a page."""
        scope[OTHER_PAGE_KEY] = context.fetch_site != SAME_ORIGIN
        if not is_from_another_origin(context.fetch_site):
            return True
        method = scope.get("method", "GET")
        return opens_page(method, scope["path"], mode=context.fetch_mode, destination=context.fetch_destination)

    def _take_allowance(self, scope: Scope, context: RequestContext, price: int) -> Allowance | None:
        if self._rates is None or scope["path"] in PATHS_WITHOUT_RATE_LIMIT:
            return None
        credential = context.bearer or context.session
        digest = hash_credential(credential) if credential else b""
        return self._rates.take(self._proxy_headers.client_address(scope), digest, price)

    def _charge_chunks(self, scope: Scope, receive: Receive, context: RequestContext) -> Receive:
        """Return a `receive` that counts a body of unknown size while it arrives; raises `RateLimitExceeded`."""
        unpaid = 0

        async def receive_and_charge() -> Message:
            nonlocal unpaid
            message = await receive()
            unpaid += len(message.get("body", b""))
            if unpaid >= BYTES_PER_TOKEN:
                _refuse_excess(self._take_allowance(scope, context, unpaid // BYTES_PER_TOKEN))
                unpaid %= BYTES_PER_TOKEN
            return message

        return receive_and_charge


def _refuse_excess(allowance: Allowance | None) -> None:
    if allowance is not None and allowance.is_exceeded:
        raise errors.RateLimitExceeded.for_seconds(allowance.retry)


def _add_response_headers(message: Message, context: RequestContext) -> None:
    headers: RawHeaders = list(message.get("headers", ()))
    for name, _ in headers:
        if name == CONTENT_SECURITY_POLICY[0]:
            break
    else:
        headers.append(CONTENT_SECURITY_POLICY)
    message["headers"] = [*headers, (b"x-request-id", context.request_id), *SECURITY_HEADERS, *context.extra_headers]


def _add_timing(scope: Scope, context: RequestContext) -> None:
    """Say how long the plane took for an answer that the message path did not give itself."""
    if is_message_path(scope):
        context.extra_headers += render_timing(context.began)


def _render_rate_limit_headers(allowance: Allowance | None) -> RawHeaders:
    if allowance is None:
        return [(b"x-ratelimit-limit", b"unlimited")]
    return [
        (b"x-ratelimit-limit", str(allowance.limit).encode()),
        (b"x-ratelimit-remaining", str(allowance.remaining).encode()),
        (b"x-ratelimit-reset", str(allowance.reset).encode()),
    ]
