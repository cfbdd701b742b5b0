"""The events of one workspace as server-sent events."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway import credentials
from gateway.authentication import Authenticator
from gateway.event_reader import WORKSPACE_REMOVED_EVENT, EventReader, run_until_end
from gateway.guards import READ
from gateway.live_event import KEEPALIVE_FRAME, LiveEvent
from gateway.route import Call, Route
from gateway.routes.event_readers import (
    CLOSE_TIMEOUT_SECONDS,
    EventReaders,
    parse_last_event_id,
    wait_for_message,
)
from gateway.subscriptions import EndReason

MAX_UNREAD_STREAM_EVENTS = 64
"""Events that the gateway keeps for a client that reads slowly."""

STREAM_HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache"),
    (b"connection", b"keep-alive"),
    (b"x-accel-buffering", b"no"),
]


class EventStreamRoutes:
    """The route of the event stream."""

    def __init__(self, authenticator: Authenticator, readers: EventReaders) -> None:
        self._authenticator = authenticator
        self._readers = readers

    def list_routes(self) -> list[Route]:
        """Return the routes of this class."""
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
        """Open the stream of a workspace."""
        reader = await self._readers.open(
            call.identity,
            workspace_id=call.workspace_id,
            after=parse_last_event_id(call.headers, call.query.getlist("last_event_id")),
            capacity=MAX_UNREAD_STREAM_EVENTS,
        )
        credential = credentials.read_credential("GET", call.headers.raw)
        authorization = partial(
            self._authenticator.watch_authorization,
            credential,
            READ.build_check(call.headers.raw, call.workspace_id),
        )
        return EventStreamResponse(reader, authorization)


class EventStreamResponse(Response):
    """A response that sends events until they end, the client leaves or its authorization ends."""

    def __init__(self, reader: EventReader, authorization: Callable[[], Awaitable[Any]]) -> None:
        self.status_code = 200
        self.background = None
        self.raw_headers = list(STREAM_HEADERS)
        self._reader = reader
        self._authorization = authorization

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as ASGI has it
        """Send the head and the events."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send(_render_chunk(KEEPALIVE_FRAME))

        async def send_event(event: LiveEvent | None) -> bool:
            await send(_render_chunk(KEEPALIVE_FRAME if event is None else event.sse_frame))
            return event is None or event.type != WORKSPACE_REMOVED_EVENT

        reason = await run_until_end(
            partial(self._reader.deliver_to, send_event),
            authorization=self._authorization,
            departure=partial(wait_for_message, "http.disconnect", receive),
        )
        if reason is not EndReason.CLIENT_LEFT:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _render_chunk(body: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": True}
