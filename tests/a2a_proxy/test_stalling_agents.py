"""Agents whose servers stall at each stage of a connection, in virtual time."""

import asyncio
import select
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager

import pytest

from services.a2a_proxy.agent_client import AgentClient
from services.a2a_proxy.direct_requests import MAX_DIRECT_BYTES
from services.a2a_proxy.model import Answer, DispatchFailure, Fault, SendState, Stream
from tests.a2a_proxy.test_agent_client import DEVELOPMENT, REQUEST, STREAM_REQUEST, always_heard, build_dispatch, send
from tests.skipping_loop import skips_waits_of_sockets

IDLE_SECONDS = 300
TLS_HANDSHAKE = b"\x16"
"""The type of the first TLS record of a client."""

sizes = pytest.mark.parametrize("body", [REQUEST, REQUEST + b" " * MAX_DIRECT_BYTES], ids=["small", "large"])
"""The two ways in which a request is sent."""


@contextmanager
def listen(*, backlog: int = 8) -> Iterator[socket.socket]:
    """A listening socket; the kernel opens as many connections as the backlog holds, and nothing reads them."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(backlog)
        yield listening


@contextmanager
def listen_with_full_backlog() -> Iterator[socket.socket]:
    """A listening socket with which no connection can be established."""
    with listen(backlog=0) as listening, ExitStack() as stack:
        for _ in range(16):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listening.getsockname())
            if not select.select([], [client], [], 0.05)[1]:
                yield listening
                return
        pytest.fail("the backlog takes every connection")


def build_url(listening: socket.socket, scheme: str = "http") -> str:
    return f"{scheme}://127.0.0.1:{listening.getsockname()[1]}/"


def read_first_bytes(listening: socket.socket) -> bytes:
    """Return the beginning of what the first client sent."""
    listening.setblocking(False)
    connection, _ = listening.accept()
    with connection:
        return connection.recv(4096)


async def send_and_measure(address: str, **options) -> tuple[Answer | Stream | DispatchFailure, float]:
    """Return the result of a dispatch, and the seconds of the loop that it took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    result = await send(address, idle=IDLE_SECONDS, **options)
    return result, loop.time() - began


@pytest.mark.covers("A2A-18")
@sizes
@skips_waits_of_sockets
async def test_a_server_that_takes_no_connection_is_given_up_after_ten_seconds(body):
    with listen_with_full_backlog() as listening:
        found = await send_and_measure(build_url(listening), body=body)

    assert found == (DispatchFailure(Fault.CONNECT_FAILED, SendState.NOT_SENT), pytest.approx(10, abs=0.1))


@pytest.mark.covers("A2A-18")
@sizes
@skips_waits_of_sockets
async def test_a_server_that_never_continues_with_tls_is_given_up_after_ten_seconds(body):
    with listen() as listening:
        found = await send_and_measure(build_url(listening, "https"), body=body)
        sent = read_first_bytes(listening)

    assert found == (DispatchFailure(Fault.CONNECT_FAILED, SendState.NOT_SENT), pytest.approx(10, abs=0.1))
    assert sent.startswith(TLS_HANDSHAKE)


@pytest.mark.covers("A2A-18")
@sizes
@skips_waits_of_sockets
async def test_a_server_that_sends_no_head_is_given_up_after_the_idle_timeout(body):
    with listen() as listening:
        failure, seconds = await send_and_measure(build_url(listening), body=body)
        sent = read_first_bytes(listening)

    assert (failure.fault, failure.send_state) == (Fault.IDLE_TIMEOUT, SendState.UNKNOWN)
    assert seconds == pytest.approx(IDLE_SECONDS, abs=0.1)
    assert sent.startswith(b"POST / HTTP/1.1\r\n")


@asynccontextmanager
async def serve_drips(content_type: str, *, seconds: int, each: int) -> AsyncIterator[str]:
    """Serve an agent whose body lasts this long, with a byte after each interval; yields its URL."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            await reader.readuntil(b"\r\n\r\n")
            length = seconds // each
            writer.write(
                f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n".encode()
            )
            for _ in range(length):
                await asyncio.sleep(each)
                writer.write(b".")
            await writer.drain()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield build_url(server.sockets[0])


@pytest.mark.covers("A2A-18")
@skips_waits_of_sockets
async def test_a_body_that_lasts_ten_minutes_is_not_cut():
    async with serve_drips("application/json", seconds=660, each=110) as url:
        answer, seconds = await send_and_measure(url)

    assert isinstance(answer, Answer)
    assert answer.body == b"." * 6
    assert seconds >= 660


@pytest.mark.covers("A2A-18")
@skips_waits_of_sockets
async def test_a_stream_that_lasts_ten_minutes_is_not_cut():
    async with (
        serve_drips("text/event-stream", seconds=660, each=110) as url,
        AgentClient(rules=DEVELOPMENT) as agents,
    ):
        stream = await agents.send(build_dispatch(url, body=STREAM_REQUEST, idle=IDLE_SECONDS), always_heard)

        assert isinstance(stream, Stream)
        assert b"".join([chunk async for chunk in stream.chunks]) == b"." * 6
        assert asyncio.get_running_loop().time() >= 660
