"""Sends requests with small bodies over the connections of an aiohttp session, without what the session adds.

A message needs no redirects, cookies, form data or traces, and for them aiohttp takes longer than for the rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDictProxy
from yarl import URL

from services.a2a_proxy.answer_protocol import INTERIM_STATUSES

MAX_DIRECT_BYTES = 32 * 1024
"""Bytes of the largest body that is sent directly: the transport takes it at once, so there is nothing to wait for."""

MAX_TARGETS = 4096
"""Addresses whose description is kept."""


class DirectResponse:
    """The head of an answer, and its body as a stream. The connection returns to its pool at the end of the body."""

    __slots__ = ("_connection", "content", "headers", "status")

    def __init__(
        self, status: int, headers: CIMultiDictProxy[str], content: aiohttp.StreamReader, connection: Connection
    ) -> None:
        self.status = status
        self.headers = headers
        self.content = content
        self._connection = connection

    @property
    def content_length(self) -> int | None:
        """The announced length of the body."""
        length = self.headers.get("content-length", "")
        return int(length) if length.isascii() and length.isdigit() else None

    def close(self) -> None:
        """End the connection, unless the answer was complete."""
        self._connection.close()


class DirectRequests:
    """Sends requests over the connections of one session."""

    def __init__(self, session: aiohttp.ClientSession, **answer_limits: Any) -> None:  # noqa: ANN401 - as aiohttp has them
        """`answer_limits` are the limits of aiohttp's parser for the answers."""
        if session.connector is None:
            raise ValueError("the session is closed")
        self._connector = session.connector
        self._timeout = session.timeout
        self._answer_limits = answer_limits
        self._describe_target = lru_cache(MAX_TARGETS)(_describe_target)

    async def post(self, url: URL, headers: Mapping[str, str], body: bytes) -> DirectResponse:
        """Send a request and return the answer once its head has arrived.

        Raises what a session raises: `aiohttp.ClientError`, `TimeoutError`, `OSError`, and `ValueError` for a header
        that cannot be sent.
        """
        target = self._describe_target(url)
        request = _render_request(target.first_lines, headers, body)
        connection = await self._connector.connect(target.request, traces=[], timeout=self._timeout)
        try:
            message, content = await _read_head(self._write(connection, request))
        except BaseException:
            connection.close()
            raise
        content.on_eof(partial(_release, connection))
        return DirectResponse(message.code, message.headers, content, connection)

    def _write(self, connection: Connection, request: bytes) -> ResponseHandler:
        """Write a request, and return the protocol that receives the answer."""
        protocol, transport = connection.protocol, connection.transport
        if protocol is None or transport is None or transport.is_closing():
            raise aiohttp.ClientConnectionResetError("connection lost")
        protocol.set_response_params(read_until_eof=True, auto_decompress=False, **self._answer_limits)
        transport.write(request)
        return protocol


@dataclass(frozen=True, slots=True)
class _Target:
    """What the requests to one address have in common."""

    first_lines: bytes
    """The request line and the Host header."""
    request: aiohttp.ClientRequest
    """Describes the connection to aiohttp; it is never sent."""


def _describe_target(url: URL) -> _Target:
    request = aiohttp.ClientRequest("POST", url)
    first_lines = f"POST {url.raw_path_qs} HTTP/1.1\r\nHost: {request.headers['host']}\r\n"
    return _Target(first_lines.encode(), request)


def _render_request(first_lines: bytes, headers: Mapping[str, str], body: bytes) -> bytes:
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if lines.count("\r") + lines.count("\n") != 2 * len(headers) or "\0" in lines:
        raise ValueError("a header that cannot be sent")
    return b"%bContent-Length: %d\r\n%b\r\n%b" % (first_lines, len(body), lines.encode(), body)


async def _read_head(protocol: ResponseHandler) -> Any:  # noqa: ANN401 - the types are private to aiohttp
    """Return the head of the final answer, and its body as a stream."""
    while True:
        try:
            message, content = await protocol.read()
        except HttpProcessingError as error:
            raise aiohttp.ClientPayloadError("malformed head") from error
        if message.code not in INTERIM_STATUSES:
            return message, content


def _release(connection: Connection) -> None:
    """Return a connection to its pool after an answer; end it if the agent has not read the whole request."""
    protocol, transport = connection.protocol, connection.transport
    if protocol is None or protocol.upgraded:
        return
    if transport is not None and transport.get_write_buffer_size():
        connection.close()
    else:
        connection.release()
