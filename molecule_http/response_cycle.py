"""One request and its response: framing for the version of the client, and what becomes of the connection."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import lru_cache

from uvicorn._types import ASGIReceiveEvent, ASGISendEvent, HTTPScope
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    HEADER_VALUE_RE,
    STATUS_LINE,
    RequestResponseCycle,
)

from molecule_http.limits import HIGH_WATER_BYTES, KEEP_ALIVE_SECONDS

Header = tuple[bytes, bytes]

KEPT_OPEN = b"connection: keep-alive\r\nkeep-alive: timeout=%d\r\n" % KEEP_ALIVE_SECONDS
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

CLOSED = b"connection: close\r\n"

STATUSES_WITHOUT_BODY = frozenset({204, 304})

FRAMING_NAMES = frozenset({b"connection", b"transfer-encoding", b"content-length"})
"""The headers that concern the connection or the length of the body."""

MAX_CACHED_FIELDS = 1024
"""Header fields that are kept as they are sent: most are the same in every response."""

MAX_CACHED_VALUE_BYTES = 64
"""Bytes of the longest value that is kept; secrets in cookies are longer."""

log = logging.getLogger("molecule_http")


class ResponseCycle(RequestResponseCycle):
    """One request and its response.

    uvicorn's class runs the application. This one writes the response: without chunks to a client of HTTP/1.0, with the
    time for which the connection is kept, and with `Connection: close` if the rest of the body is not worth reading.
    """

    def __init__(
        self,
        *,
        scope: HTTPScope,
        transport: asyncio.Transport,
        flow: FlowControl,
        default_headers: list[Header],
        expect_100_continue: bool,
        keep_alive: bool,
        content_length: int | None,
        on_receive: Callable[[], None],
        on_response: Callable[[], None],
    ) -> None:
        super().__init__(
            scope=scope,
            transport=transport,
            flow=flow,
            logger=log,
            access_logger=log,
            access_log=False,
            default_headers=default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=expect_100_continue,
            keep_alive=keep_alive,
            on_response=on_response,
        )
        self._on_receive = on_receive
        self._content_length = content_length
        self._is_http_10 = scope["http_version"] == "1.0"
        self._is_head = scope["method"] == "HEAD"
        self.ends_with_connection = False
        """Whether the end of the connection is the end of the body."""

    @property
    def is_stream(self) -> bool:
        """Whether a response of unknown length has begun."""
        return self.response_started and (bool(self.chunked_encoding) or self.ends_with_connection)

    def disconnect(self) -> None:
        """Tell the application that the client has left; nothing more is sent."""
        self.disconnected = True
        self.message_event.set()

    def send_interim(self) -> None:
        """Send an interim response if the response has not begun. A client of HTTP/1.0 would not understand it."""
        if not self.response_started and not self._is_http_10:
            self.transport.write(CONTINUE)

    async def receive(self) -> ASGIReceiveEvent:
        """Return the next part of the body, or that the client has left."""
        if self.waiting_for_100_continue and self.more_body and not self.transport.is_closing():
            self.transport.write(CONTINUE)
        self.waiting_for_100_continue = False
        if not self.disconnected and not self.response_complete:
            self._on_receive()
            if not self.message_event.is_set():
                await self.message_event.wait()
            self.message_event.clear()
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        body = bytes(self.body)
        self.body = bytearray()
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    async def send(self, message: ASGISendEvent) -> None:
        """Write the head or a part of the body."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if self.response_complete:
            raise RuntimeError(f"{message['type']} after the response")
        if not self.response_started:
            if message["type"] != "http.response.start":
                raise RuntimeError(f"{message['type']} before http.response.start")
            self._send_head(message["status"], message.get("headers", ()))
        elif message["type"] == "http.response.body":
            self._send_body(message.get("body", b""), is_last=not message.get("more_body", False))
        else:
            raise RuntimeError(f"{message['type']} within the response")

    def _send_head(self, status: int, headers: Iterable[Header]) -> None:
        self.response_started = True
        if self.more_body and not self._is_rest_worth_reading():
            self.keep_alive = False
        self.waiting_for_100_continue = False
        content = [STATUS_LINE[status]]
        for raw_name, value in (*self.default_headers, *headers):
            is_short = len(value) <= MAX_CACHED_VALUE_BYTES
            name, line = _render_field_cached(raw_name, value) if is_short else _render_field(raw_name, value)
            if name not in FRAMING_NAMES or self._note_framing(name, value):
                content.append(line)
        if self.chunked_encoding is None and not self._is_head and status not in STATUSES_WITHOUT_BODY:
            if self._is_http_10:
                self.chunked_encoding = False
                self.ends_with_connection = True
                self.keep_alive = False
            else:
                self.chunked_encoding = True
                content.append(b"transfer-encoding: chunked\r\n")
        content.append(KEPT_OPEN if self.keep_alive else CLOSED)
        content.append(b"\r\n")
        self.transport.write(b"".join(content))

    def _note_framing(self, name: bytes, value: bytes) -> bool:
        """Take what a header says of the connection or the body; returns whether it is sent to the client."""
        if name == b"connection":
            option = value.lower()
            self.keep_alive = self.keep_alive and option != b"close"
            return option not in {b"close", b"keep-alive"}
        if name == b"transfer-encoding":
            return False  # the server frames the body itself
        if self.chunked_encoding is None:
            self.expected_content_length = int(value)
            self.chunked_encoding = False
        return True

    def _send_body(self, body: bytes, *, is_last: bool) -> None:
        if self._is_head:
            self.expected_content_length = 0
        elif self.chunked_encoding:
            content = [b"%x\r\n" % len(body), body, b"\r\n"] if body else []
            if is_last:
                content.append(b"0\r\n\r\n")
            self.transport.write(b"".join(content))
        elif self.ends_with_connection:
            self.transport.write(body)
        else:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0:
                raise RuntimeError("the body is longer than its Content-Length")
            self.transport.write(body)
        if is_last:
            if self.expected_content_length != 0:
                raise RuntimeError("the body is shorter than its Content-Length")
            self.response_complete = True
            self.message_event.set()
            self.on_response()

    def _is_rest_worth_reading(self) -> bool:
        """Whether a body that the application does not want is read for the sake of the connection.

        A client that waits for `100 Continue` may leave its body out, so that nobody can tell what follows.
        """
        is_short = self._content_length is not None and self._content_length <= HIGH_WATER_BYTES
        return is_short and not self.waiting_for_100_continue


def _render_field(raw_name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """Return the name of a header field in lower case, and its line; raises `RuntimeError` for an invalid one."""
    if HEADER_RE.search(raw_name) or HEADER_VALUE_RE.search(value):
        raise RuntimeError("invalid response header")
    name = raw_name.lower()
    return name, b"%b: %b\r\n" % (name, value)


_render_field_cached = lru_cache(MAX_CACHED_FIELDS)(_render_field)
