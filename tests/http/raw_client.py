"""A client that sends bytes as they are and reads the responses that come back."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 15

PROBE = b"GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
"""The request that shows whether a connection is still open, and that responses belong to their requests."""


@dataclass(frozen=True, slots=True)
class RawResponse:
    """One response."""

    status: int
    headers: dict[str, str]
    body: bytes


class RawConnection:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @property
    def socket(self) -> socket.socket:
        """The socket of the connection."""
        return self._writer.get_extra_info("socket")

    async def send(self, data: bytes, *, ends_input: bool = False) -> None:
        """Send bytes; the server may have closed the connection meanwhile."""
        with suppress(ConnectionError, RuntimeError):  # uvloop raises the latter
            self._writer.write(data)
            await self._writer.drain()
            if ends_input:
                self._writer.write_eof()

    async def read_response(self, *, has_body: bool = True) -> RawResponse | None:
        """Return the next response; `None` at the end of the connection."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            try:
                return await self._read_response(has_body=has_body)
            except (asyncio.IncompleteReadError, ConnectionError):
                return None

    async def read(self, size: int) -> bytes:
        """Return `size` bytes; fewer at the end of the connection."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            try:
                return await self._reader.readexactly(size)
            except asyncio.IncompleteReadError as error:
                return error.partial
            except ConnectionError:
                return b""

    async def read_to_end(self) -> bytes:
        """Return what comes until the connection ends; raises `ConnectionError` if the server resets it."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await self._reader.read()

    async def is_closed(self) -> bool:
        """Wait for the end of the connection; `False` if bytes come instead."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            with suppress(ConnectionError):
                return await self._reader.read(1) == b""
            return True

    async def _read_response(self, *, has_body: bool) -> RawResponse:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(head[0].split(" ")[1])
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        if status < 200 or status in {204, 304} or not has_body:
            body = b""
        elif headers.get("transfer-encoding") == "chunked":
            body = await self._read_chunks()
        elif "content-length" in headers:
            body = await self._reader.readexactly(int(headers["content-length"]))
        else:
            body = await self._reader.read()
        return RawResponse(status, headers, body)

    async def _read_chunks(self) -> bytes:
        body = b""
        while size := int(await self._reader.readline(), 16):
            body += (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readexactly(2)
        return body


@asynccontextmanager
async def open_connection(url: str) -> AsyncIterator[RawConnection]:
    """Open a connection for the length of the block."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        yield RawConnection(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def exchange(url: str, request: bytes, *, ends_input: bool, responses: int) -> tuple[list[int], bool]:
    """Send a request; return the statuses of the responses, and whether the connection is open after them.

    `responses` is the expected number: a further request tells an open connection from a closed one.
    """
    has_body = not request.startswith(b"HEAD ")
    statuses: list[int] = []
    async with open_connection(url) as connection:
        await connection.send(request, ends_input=ends_input)
        while len(statuses) < responses:
            response = await connection.read_response(has_body=has_body)
            if response is None:
                return statuses, False
            statuses.append(response.status)
        if not ends_input:
            await connection.send(PROBE)
        response = await connection.read_response()
        if response is None:
            return statuses, False
        return (statuses, True) if response.status == 200 else ([*statuses, response.status], False)
