"""What happens, as it happens: one workspace as an event stream, everything that a caller may hear of as a socket."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import credentials, errors
from gateway.authentication import Authenticator, parse_claimed_workspace
from gateway.errors import MalformedRequest
from gateway.event_feed import EventFeed, SubscribedAudiences, live_event_from_stored
from gateway.event_reader import WORKSPACE_REMOVED_EVENT, EventReader, run_until_end
from gateway.json_format import json_response
from gateway.live_event import KEEPALIVE_FRAME, LiveEvent
from gateway.metrics import RequestMetrics
from gateway.middleware import ROUTE_KEY
from gateway.query_params import parse_natural_number
from gateway.route import READ, SOCKET, Call, Route
from gateway.subscriptions import EndReason, SubscriptionEnded
from protos.registry.v1 import events_pb2 as pb
from protos.registry.v1 import events_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel
from services.chassis.errors import ServiceError, Unavailable
from services.chassis.identity import Identity

WEBSOCKET_PATH = "/ws"
"""Where the socket is."""

MAX_UNREAD_STREAM_EVENTS = 64
"""Frames that wait for the client of a stream."""

MAX_UNREAD_WEBSOCKET_EVENTS = 256
"""Frames that wait for the client of a socket."""

CLOSE_TIMEOUT_SECONDS = 5.0
"""Seconds that a client may take to hear that it is sent away."""

STREAM_HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache"),
    (b"connection", b"keep-alive"),
    (b"x-accel-buffering", b"no"),
]

CLOSE_CODES = {
    EndReason.OVER: 1000,
    EndReason.REFUSED: 1008,
    EndReason.LEAVING: 1012,
    EndReason.SLOW: 1013,
    EndReason.UNSURE: 1013,
}
"""How a socket is closed."""


class EventReaders:
    """Finds out what a caller may hear of, and what it has missed."""

    def __init__(self, registry: ServiceChannel, live: EventFeed) -> None:
        self._registry = registry
        self._stub = rpc.EventServiceStub(registry.channel)
        self._live = live

    async def open(
        self, caller: Identity | None, *, workspace_id: str = "", after: int | None, capacity: int
    ) -> EventReader:
        """What the caller is let hear: of one workspace, or of all that it may hear of."""
        try:
            await self._live.reached()
        except SubscriptionEnded:
            raise Unavailable from None
        request = pb.ResolveSubscriptionRequest(workspace_id=workspace_id, after_event_id=after)
        view: pb.ResolveSubscriptionResponse = await self._registry.call(
            self._stub.ResolveSubscription, request, on_behalf_of=caller
        )
        return EventReader(
            self._live,
            SubscribedAudiences(subscribed_to=tuple(view.subscribed_to), subscribed_as=view.subscribed_as),
            partial(self._replay, caller, workspace_id),
            after=view.head_event_id if after is None else after,
            over=view.ended,
            capacity=capacity,
        )

    async def _replay(
        self, caller: Identity | None, workspace_id: str, after: int, through: int
    ) -> AsyncIterator[LiveEvent]:
        more = True
        while more:
            request = pb.ReplayEventsRequest(workspace_id=workspace_id, after_event_id=after, through_event_id=through)
            page: pb.ReplayEventsResponse = await self._registry.call(
                self._stub.ReplayEvents, request, on_behalf_of=caller
            )
            for event in page.events:
                yield live_event_from_stored(event)
                after = event.event_id
            more = page.more


class EventStreamRoutes:
    """The events of one workspace."""

    def __init__(self, callers: Authenticator, openings: EventReaders) -> None:
        self._callers = callers
        self._openings = openings

    def list_routes(self) -> list[Route]:
        """What is there."""
        return [
            Route(
                method="GET",
                path="/workspaces/{id}/events/stream",
                handler=self.follow,
                summary="Events of a workspace as they happen: server-sent events",
                guard=READ,
                query={"last_event_id": "The last event handled: what came after it comes first"},
                headers={"Last-Event-ID": "The same"},
                media_type="text/event-stream",
                refusal_statuses=frozenset({404, 410}),
            ),
        ]

    async def follow(self, call: Call) -> Response:
        """The stream asked for."""
        hearing = await self._openings.open(
            call.identity,
            workspace_id=call.workspace_id,
            after=_parse_last_event_id(call.headers, call.query.getlist("last_event_id")),
            capacity=MAX_UNREAD_STREAM_EVENTS,
        )
        shown = credentials.read_credential("GET", call.headers.raw)
        staying = partial(
            self._callers.stay,
            shown.bearer,
            READ.gate,
            scope=READ.scope,
            workspace_id=call.workspace_id,
            session=shown.session,
        )
        return EventStreamResponse(hearing, staying)


class EventStreamResponse(Response):
    """An answer that goes on for as long as something may happen."""

    def __init__(self, hearing: EventReader, staying: Callable[[], Awaitable[Any]]) -> None:
        self.status_code = 200
        self.background = None
        self.raw_headers = list(STREAM_HEADERS)
        self._hearing = hearing
        self._staying = staying

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as ASGI has it
        """Tell what happens until the client leaves, or may not stay."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send(_render_chunk(KEEPALIVE_FRAME))

        async def say(news: LiveEvent | None) -> bool:
            await send(_render_chunk(KEEPALIVE_FRAME if news is None else news.chunk))
            return news is None or news.type != WORKSPACE_REMOVED_EVENT

        ending = await run_until_end(
            partial(self._hearing.tell, say),
            staying=self._staying,
            leaving=partial(_wait_for_message, "http.disconnect", receive),
        )
        if ending is not EndReason.LEFT:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                    await send({"type": "http.response.body", "body": b"", "more_body": False})


class WebSocketApp:
    """The socket of events; everything else is for the application beside it."""

    def __init__(
        self, callers: Authenticator, openings: EventReaders, metrics: RequestMetrics, *, fallback: ASGIApp
    ) -> None:
        self._callers = callers
        self._openings = openings
        self._metrics = metrics
        self._fallback = fallback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or serve one socket."""
        if scope["type"] not in {"http", "websocket"} or (scope["type"] == "http" and scope["path"] != WEBSOCKET_PATH):
            await self._fallback(scope, receive, send)
            return
        if scope["path"] == WEBSOCKET_PATH:
            scope[ROUTE_KEY] = WEBSOCKET_PATH
        if scope.get("method", "GET") != "GET":
            await json_response({"error": "method not allowed"}, 405, headers={"Allow": "GET"})(scope, receive, send)
            return
        try:
            hearing = await self._opened(scope)
        except ServiceError as error:
            await errors.render_error(error)(scope, receive, send)
            return
        await self._serve(hearing, scope, receive, send)

    async def _opened(self, scope: Scope) -> EventReader:
        if scope["path"] != WEBSOCKET_PATH:
            raise errors.UnknownPath
        headers = scope["headers"]
        shown = credentials.read_credential("GET", headers)
        caller = await self._callers.identify(
            shown.bearer,
            SOCKET.gate,
            scope=SOCKET.scope,
            claimed=parse_claimed_workspace(headers),
            session=shown.session,
        )
        named = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(headers)}
        asked = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True).get("last_event_id", [])
        hearing = await self._openings.open(
            caller, after=_parse_last_event_id(named, asked), capacity=MAX_UNREAD_WEBSOCKET_EVENTS
        )
        if scope["type"] == "http":
            raise errors.UpgradeRequired
        return hearing

    async def _serve(self, hearing: EventReader, scope: Scope, receive: Receive, send: Send) -> None:
        """Tell what happens until the client leaves, or may not stay. What it says itself is ignored."""
        await receive()
        await send({"type": "websocket.accept"})

        async def say(news: LiveEvent | None) -> bool:
            if news is not None:
                await send({"type": "websocket.send", "text": news.text})
            return True

        headers = scope["headers"]
        shown = credentials.read_credential("GET", headers)
        staying = partial(
            self._callers.stay,
            shown.bearer,
            SOCKET.gate,
            scope=SOCKET.scope,
            claimed=parse_claimed_workspace(headers),
            session=shown.session,
        )
        with self._metrics.websockets.track_inprogress():
            ending = await run_until_end(
                partial(hearing.tell, say),
                staying=staying,
                leaving=partial(_wait_for_message, "websocket.disconnect", receive),
            )
            if ending is not EndReason.LEFT:
                with suppress(TimeoutError):
                    async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                        await send({"type": "websocket.close", "code": CLOSE_CODES[ending]})


async def _wait_for_message(kind: str, receive: Receive) -> None:
    while (await receive())["type"] != kind:
        pass


def _parse_last_event_id(headers: Mapping[str, str], asked: Iterable[str]) -> int | None:
    """The last event that the client has handled, by the header or else by the query; raises `MalformedRequest`."""
    said = headers.get("last-event-id", "").strip() or next(iter(asked), "")
    if not said:
        return None
    event_id = parse_natural_number(said)
    if event_id is None:
        raise MalformedRequest("last_event_id must be a non-negative integer")
    return event_id


def _render_chunk(body: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": True}
