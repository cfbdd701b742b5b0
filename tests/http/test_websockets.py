"""No deadline of requests ends a WebSocket, and its place among the connections is free once it has ended."""

import asyncio
import contextlib

import pytest
from websockets.asyncio.client import connect

from molecule_http import websocket
from molecule_http.limits import ConnectionLimits
from molecule_http.websocket import CountedWebSocket
from tests.http.conftest import QUICK, run_server
from tests.http.raw_client import PROBE, open_connection
from tests.waiting import eventually

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


async def echo(scope, receive, send):
    """Accept a WebSocket and send back what it receives; answer requests with 200."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


@pytest.mark.covers("EDGE-05")
async def test_no_deadline_ends_a_websocket():
    async with (
        run_server(echo, QUICK, websocket=CountedWebSocket) as url,
        connect(url.replace("http", "ws") + "/ws") as socket,
        open_connection(url) as silent,
    ):
        assert await silent.is_closed()
        await socket.send("still there")
        assert await socket.recv() == "still there"


@pytest.mark.covers("EDGE-06")
async def test_an_open_websocket_holds_its_place_and_a_closed_one_frees_it():
    limits = ConnectionLimits(connections_per_address=1)
    async with run_server(echo, limits, websocket=CountedWebSocket) as url:

        async def probe():
            async with open_connection(url) as connection:
                await connection.send(PROBE)
                response = await connection.read_response()
                return response is not None and response.status == 200

        async with connect(url.replace("http", "ws") + "/ws"):
            assert not await probe()
        await eventually(probe)


@pytest.mark.covers("EDGE-01")
@pytest.mark.parametrize("length", [b"0", b"00", b" 0 "])
async def test_a_websocket_may_announce_that_it_has_no_body(length):
    async with run_server(echo, websocket=CountedWebSocket) as url, open_connection(url) as connection:
        await connection.send(HANDSHAKE + b"Content-Length: " + length + b"\r\n\r\n")
        assert (await connection.read_response()).status == 101


@pytest.mark.covers("EDGE-01")
@pytest.mark.parametrize(
    "fields",
    [
        b"X: " + b"y" * 9000 + b"\r\n",
        b"x: y\r\n" * 120,
        b"Sec-WebSocket-Key: B\r\n",
        b"Sec-WebSocket-Extensions: ;\r\n",
    ],
    ids=["a long field", "many fields", "two keys", "a malformed extension"],
)
async def test_no_handshake_makes_the_server_fail(fields, caplog):
    async with run_server(echo, websocket=CountedWebSocket) as url, open_connection(url) as connection:
        await connection.send(HANDSHAKE + fields + b"\r\n")
        async with asyncio.timeout(10):
            response = await connection.read_response()
        assert response is not None
    assert [record for record in caplog.records if record.exc_info and record.name == "asyncio"] == []


@pytest.mark.covers("EDGE-05")
async def test_a_websocket_that_is_not_read_ends_once_its_application_has_ended(monkeypatch):
    monkeypatch.setattr(websocket, "CLOSE_SECONDS", 0.3)
    has_ended = asyncio.Event()

    async def flood(scope, receive, send):
        if scope["type"] == "http":
            await echo(scope, receive, send)
            return
        await receive()
        await send({"type": "websocket.accept"})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                while True:
                    await send({"type": "websocket.send", "text": "x" * 100_000})
        has_ended.set()

    limits = ConnectionLimits(connections_per_address=1)
    async with (
        run_server(flood, limits, websocket=CountedWebSocket) as url,
        open_connection(url) as connection,
    ):
        await connection.send(HANDSHAKE + b"\r\n")
        await has_ended.wait()

        async def probe():
            async with open_connection(url) as other:
                await other.send(PROBE)
                response = await other.read_response()
                return response is not None and response.status == 200

        await eventually(probe)
