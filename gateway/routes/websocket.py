"""All events that a caller may receive, over a WebSocket."""

import asyncio
from contextlib import suppress
from functools import partial
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import credentials, errors
from gateway.authentication import Authenticator
from gateway.event_reader import EventReader, run_until_end
from gateway.guards import WEBSOCKET
from gateway.live_event import LiveEvent
from gateway.metrics import RequestMetrics
from gateway.middleware import ROUTE_KEY
from gateway.routes.event_readers import (
    CLOSE_TIMEOUT_SECONDS,
    EventReaders,
    parse_last_event_id,
    wait_for_message,
)
from gateway.routing import answer_other_method
from gateway.subscriptions import EndReason
from services.chassis.errors import ServiceError

WEBSOCKET_PATH = "/ws"

MAX_UNREAD_WEBSOCKET_EVENTS = 256
"""Events that the gateway keeps for a client that reads slowly."""

CLOSE_CODES = {
    EndReason.FINISHED: 1000,
    EndReason.UNAUTHORISED: 1008,
    EndReason.GATEWAY_LEAVING: 1012,
    EndReason.TOO_SLOW: 1013,
    EndReason.UNAVAILABLE: 1013,
}


class WebSocketApp:
    """An ASGI application that serves the WebSocket and passes every other request to `fallback`."""

    def __init__(
        self, authenticator: Authenticator, readers: EventReaders, metrics: RequestMetrics, *, fallback: ASGIApp
    ) -> None:
        self._authenticator = authenticator
        self._readers = readers
        self._metrics = metrics
        self._fallback = fallback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or serve one WebSocket."""
        if scope["type"] not in {"http", "websocket"} or (scope["type"] == "http" and scope["path"] != WEBSOCKET_PATH):
            await self._fallback(scope, receive, send)
            return
        if scope["path"] == WEBSOCKET_PATH:
            scope[ROUTE_KEY] = WEBSOCKET_PATH
        method = scope.get("method", "GET")
        if method not in {"GET", "HEAD"}:
            await answer_other_method(method, {"GET"})(scope, receive, send)
            return
        try:
            reader = await self._open_reader(scope)
        except ServiceError as error:
            await errors.render_error(error)(scope, receive, send)
            return
        await self._serve(reader, scope, receive, send)

    async def _open_reader(self, scope: Scope) -> EventReader:
        """Authenticate the caller and open its events; raises the error to answer with."""
        if scope["path"] != WEBSOCKET_PATH:
            raise errors.UnknownPath
        headers = scope["headers"]
        credential = credentials.read_credential("GET", headers)
        caller = await self._authenticator.identify(credential, WEBSOCKET.build_check(headers))
        by_name = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(headers)}
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True).get("last_event_id", [])
        reader = await self._readers.open(
            caller, after=parse_last_event_id(by_name, query), capacity=MAX_UNREAD_WEBSOCKET_EVENTS
        )
        if scope["type"] == "http":
            raise errors.UpgradeRequired
        return reader

    async def _serve(self, reader: EventReader, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until they end, the client leaves or its authorization ends; ignore what the client sends."""
        await receive()
        await send({"type": "websocket.accept"})

        async def send_event(event: LiveEvent | None) -> bool:
            if event is not None:
                await send({"type": "websocket.send", "text": event.websocket_frame})
            return True

        headers = scope["headers"]
        credential = credentials.read_credential("GET", headers)
        authorization = partial(self._authenticator.watch_authorization, credential, WEBSOCKET.build_check(headers))
        with self._metrics.websockets.track_inprogress():
            reason = await run_until_end(
                partial(reader.deliver_to, send_event),
                authorization=authorization,
                departure=partial(wait_for_message, "websocket.disconnect", receive),
            )
            if reason is not EndReason.CLIENT_LEFT:
                with suppress(TimeoutError):
                    async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                        await send({"type": "websocket.close", "code": CLOSE_CODES[reason]})
