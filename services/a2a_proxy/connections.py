"""HTTP/1.1 connections to agents: judged as they are made, used again while they are young, one message at a time.

A library for all of HTTP costs more than everything else on the path of a message together; what agents need of it is
a POST with a known length, and llhttp reads the answers.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from socket import SOCK_STREAM
from typing import cast
from urllib.parse import urlsplit

import httptools

from services.chassis import addresses
from services.chassis.addresses import Rules

HEAD_LIMIT = 64 * 1024
"""Bytes of the largest head of an answer."""

AHEAD = 256 * 1024
"""Bytes of an answer that are taken from an agent before anybody has asked for them."""

CONNECT_WITHIN = 10.0
"""Seconds that a connection may take to be made, TLS included."""

KEPT_OPEN = 3.0
"""Seconds that an unused connection is kept: less than common servers do, so that none is used as it closes."""

INTERIM = 200
"""Below are answers that only announce one."""

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class ForbiddenError(Exception):
    """The address may not be dialled."""


class UnreachedError(Exception):
    """There is no connection, and not a byte of the message has left."""


class TornError(Exception):
    """The connection broke, or what came over it is not HTTP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where an address leads, and how a request to it begins."""

    host: str
    port: int
    secure: bool
    opening: bytes


class Pool:
    """The connections to agents that are judged by the same rules; no rules where the addresses are trusted."""

    def __init__(
        self,
        rules: Rules | None,
        *,
        within: float = CONNECT_WITHIN,
        kept_open: float = KEPT_OPEN,
        resolve: Resolve | None = None,
    ) -> None:
        self._rules = rules
        self._within = within
        self._kept_open = kept_open
        self._resolve = resolve or _resolve
        self._idle: dict[Destination, list[tuple[float, Connection]]] = {}
        self._sweeping: asyncio.TimerHandle | None = None

    async def post(self, address: str, headers: Mapping[str, str], body: bytes) -> "Connection":
        """The connection on which the head of the answer has come.

        Raises `ForbiddenError`, `UnreachedError` or `TornError`. The caller gives the connection back to `release`.
        """
        destination = destination_of(address)
        if destination is None:
            raise ForbiddenError
        connection = self._young(destination) or await self._dial(destination)
        try:
            connection.send(destination.opening + _head(headers, len(body)) + body)
            await connection.answer()
        except BaseException:
            connection.close()
            raise
        return connection

    def release(self, connection: "Connection") -> None:
        """Keep a connection whose answer was read to its end, close any other."""
        if not connection.reusable or connection.destination is None:
            connection.close()
            return
        loop = asyncio.get_running_loop()
        self._idle.setdefault(connection.destination, []).append((loop.time(), connection))
        if self._sweeping is None:
            self._sweeping = loop.call_later(self._kept_open, self._sweep)

    def close(self) -> None:
        """Close what is not in use."""
        for connections in self._idle.values():
            for _, connection in connections:
                connection.close()
        self._idle.clear()
        if self._sweeping is not None:
            self._sweeping.cancel()

    def _young(self, destination: Destination) -> "Connection | None":
        idle = self._idle.get(destination)
        while idle:
            since, connection = idle.pop()
            if connection.reusable and asyncio.get_running_loop().time() - since < self._kept_open:
                return connection
            connection.close()
        return None

    def _sweep(self) -> None:
        """Close what has not been used for long; the dictionary holds the oldest of each destination first."""
        loop = asyncio.get_running_loop()
        for destination, connections in list(self._idle.items()):
            while connections and (
                not connections[0][1].reusable or loop.time() - connections[0][0] >= self._kept_open
            ):
                connections.pop(0)[1].close()
            if not connections:
                del self._idle[destination]
        self._sweeping = loop.call_later(self._kept_open, self._sweep) if self._idle else None

    async def _dial(self, destination: Destination) -> "Connection":
        """A new connection to the first of the host's addresses that answers, after all of them were judged."""
        try:
            async with asyncio.timeout(self._within):
                found = await self._resolve(destination.host, destination.port)
                if self._rules is not None and addresses.judge(found, self._rules) is not None:
                    raise ForbiddenError
                for address in found:
                    with suppress(OSError):
                        return await _connected(destination, address)
        except (OSError, UnicodeError):  # TimeoutError is an OSError; no host is called what idna refuses
            pass
        raise UnreachedError


class Connection(asyncio.Protocol):
    """One connection, and the answer that is under way on it."""

    def __init__(self, destination: Destination | None = None) -> None:
        self.destination = destination
        self.status = 0
        self.headers: dict[str, str] = {}
        self._transport: asyncio.Transport
        self._waiter: asyncio.Future[None] | None = None
        self._waiting_bytes = 0
        self._lost = False
        self._reset()
        self._complete = True

    @property
    def reusable(self) -> bool:
        """Whether the answer is over and another message may follow."""
        return self._complete and not self._lost and not self._pieces

    @property
    def ready(self) -> bool:
        """Whether `more` would answer without waiting."""
        return bool(self._pieces) or self._complete or self._lost

    def send(self, request: bytes) -> None:
        """Begin the next exchange."""
        self._reset()
        self._transport.write(request)

    async def answer(self) -> None:
        """Return once status and headers have come; raises `TornError`."""
        while not self._begun:
            if self._lost:
                raise TornError
            await self._changed()

    async def more(self) -> bytes:
        """The next of the body, empty at its end; raises `TornError`."""
        while not self._pieces:
            if self._complete:
                return b""
            if self._lost:
                raise TornError
            await self._changed()
        piece = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        if self._waiting_bytes >= AHEAD and not self._lost:
            self._transport.resume_reading()
        self._waiting_bytes = 0
        return piece

    def close(self) -> None:
        """Close it, whatever is under way."""
        self._lost = True
        self._transport.abort()

    # What the event loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """More has come. An agent that speaks without being asked is not asked again."""
        if self._complete:
            self.close()
            return
        if not self._begun:
            self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.close()
        if not self._begun and self._head_size > HEAD_LIMIT:
            self.close()
        self._rouse()

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone; it ends an answer that has no other end."""
        if error is None and self._begun and not self._lost and not _measured(self.headers):
            self._complete = True
        self._lost = True
        self._rouse()

    # What llhttp reads.

    def on_message_begin(self) -> None:
        """An answer begins; a second one was not asked for, and must not be taken for that to the next message."""
        if self._complete:
            raise TornError

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; of one that comes twice the first counts."""
        self.headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        """The head is there; one that only announces another is forgotten."""
        status = self._parser.get_status_code()
        if status < INTERIM:
            self.headers.clear()
            return
        self.status = status
        self._begun = True

    def on_body(self, body: bytes) -> None:
        """More of the body."""
        self._pieces.append(body)
        before = self._waiting_bytes
        self._waiting_bytes += len(body)
        if before < AHEAD <= self._waiting_bytes:
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """The end of the answer."""
        if self._begun:
            self._complete = True
            self._lost = self._lost or not self._parser.should_keep_alive()

    def _reset(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._pieces: list[bytes] = []
        self._waiting_bytes = 0
        self._head_size = 0
        self._begun = False
        self._complete = False
        self.headers = {}

    async def _changed(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _rouse(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


@lru_cache(maxsize=4096)
def destination_of(address: str) -> Destination | None:
    """Where an address leads; `None` if it is none that messages can be posted to."""
    place = addresses.place(address)
    if place is None:
        return None
    parts = urlsplit(address)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    opening = f"POST {target} HTTP/1.1\r\nhost: {parts.netloc}\r\n".encode()
    return Destination(host=place.host, port=place.port, secure=parts.scheme == "https", opening=opening)


def _head(headers: Mapping[str, str], length: int) -> bytes:
    """The rest of the head of a request; raises `UnreachedError` for a header that would be more than one."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if lines.count("\n") != len(headers) or lines.count("\r") != len(headers):
        raise UnreachedError
    return f"{lines}content-length: {length}\r\n\r\n".encode("latin-1", "replace")


async def _connected(destination: Destination, address: str) -> Connection:
    _, connection = await asyncio.get_running_loop().create_connection(
        lambda: Connection(destination),
        address,
        destination.port,
        ssl=_tls() if destination.secure else None,
        server_hostname=destination.host if destination.secure else None,
    )
    return connection


async def _resolve(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _measured(headers: Mapping[str, str]) -> bool:
    """Whether an answer says itself where it ends."""
    return "content-length" in headers or "chunked" in headers.get("transfer-encoding", "").lower()
