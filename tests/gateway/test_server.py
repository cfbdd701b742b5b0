import asyncio
import contextlib
import signal
import socket
import sys

import httpx
import pytest

from gateway.server import run_gateway
from gateway.settings import Settings
from services.chassis.settings import InvalidSettings, Mode
from tests.gateway.conftest import run_gateway_under_test
from tests.gateway.fake_services import ADMIN, FakeAuth, workspace
from tests.waiting import eventually

W = "11111111-1111-4111-8111-111111111111"

TARGETS = dict.fromkeys(
    ("registry_targets", "auth_targets", "a2a_proxy_targets", "provisioner_targets"), "unix:/nowhere"
)


@contextlib.asynccontextmanager
async def spoken_to(plane):
    """A bare connection to the gateway."""
    host, port = plane.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def said(plane, *lines: bytes) -> bytes:
    """All that comes back for the lines of a request."""
    async with spoken_to(plane) as (reader, writer):
        writer.write(b"\r\n".join(lines))
        async with asyncio.timeout(10):
            return await reader.read()


async def test_the_first_of_two_bearers_counts(plane):
    plane.auth.known = {"first": workspace(W), "second": ADMIN}

    answer = await said(
        plane,
        b"GET /workspaces/" + W.encode() + b" HTTP/1.1",
        b"Host: localhost",
        b"Authorization: Bearer first",
        b"Authorization: Bearer second",
        b"Connection: close",
        b"",
        b"",
    )

    assert answer.startswith(b"HTTP/1.1 200")
    assert plane.only_call.caller == workspace(W)


async def test_a_body_without_content_length_is_refused_once_it_exceeds_the_limit(plane):
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    async with spoken_to(plane) as (reader, writer):
        writer.write(b"POST /workspaces HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(17):
            writer.write(chunk)
        async with asyncio.timeout(10):
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readuntil(b"}")

    assert head.startswith(b"HTTP/1.1 413")
    assert body == b'{"error":"request body too large","max_bytes":1048576}'


async def test_a_body_with_a_too_large_content_length_is_refused_at_once(plane):
    async with spoken_to(plane) as (reader, writer):
        writer.write(b"POST /workspaces HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n")
        async with asyncio.timeout(10):
            assert (await reader.readline()).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize(
    "path",
    [
        b"/workspaces/%00",
        b"/workspaces/%ff%fe",
        b"/workspaces/..%2f..%2fetc",
        b"/workspaces/" + b"a" * 8000,
        b"/workspaces/%F0%9F%92%A5",
        b"/registry/%7B%7D/peers",
    ],
)
async def test_unusual_paths_are_answered(plane, path):
    answer = await said(plane, b"GET " + path + b" HTTP/1.1", b"Host: localhost", b"Connection: close", b"", b"")

    assert answer.split(b" ")[1] in {b"400", b"404"}
    assert plane.auth.received == []


@pytest.mark.parametrize(
    "lines",
    [
        (b"NONSENSE",),
        (b"GET /health HTTP/1.1", b"No colon here"),
        (b"POST /workspaces HTTP/1.1", b"Host: localhost", b"Content-Length: -5"),
    ],
    ids=["no request", "no header", "negative length"],
)
async def test_bytes_that_are_not_http_harm_no_other_client(plane, lines):
    with contextlib.suppress(ConnectionError):
        await said(plane, *lines, b"", b"")

    assert (await plane.http.get("/health")).status_code == 200


async def test_a_head_over_its_limit_closes_the_connection(plane):
    async with spoken_to(plane) as (reader, writer):
        writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: ")
        with contextlib.suppress(ConnectionError):
            for _ in range(64):
                writer.write(b"y" * 16 * 1024)
                await writer.drain()
        async with asyncio.timeout(10):
            with contextlib.suppress(ConnectionError):
                assert (await reader.read()).startswith(b"HTTP/1.1 431")

    assert (await plane.http.get("/health")).status_code == 200


async def test_each_head_of_a_connection_has_its_own_limit(plane):
    for _ in range(10):
        answer = await plane.http.get("/health", headers={"X-Large": "y" * 30_000})
        assert answer.status_code == 200


async def test_a_client_that_leaves_early_harms_no_other(plane):
    async with spoken_to(plane) as (_, writer):
        writer.write(b"POST /workspaces HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{")
        await writer.drain()
        await eventually(lambda: plane.auth.received)

    assert (await plane.http.get("/health")).status_code == 200
    assert plane.registry.received == []


async def test_an_active_request_is_answered_before_the_gateway_stops():
    async with (
        run_gateway_under_test() as first,
        httpx.AsyncClient(trust_env=False) as http,
        asyncio.TaskGroup() as group,
    ):
        first.auth.hold = asyncio.Event()
        async with run_gateway(first.settings) as url:
            asking = group.create_task(http.get(f"{url}/workspaces"))
            await first.auth.arrived.wait()
            group.create_task(run_once_closed(url, first.auth.hold.set))
        answer = await asking

    assert answer.status_code == 200


async def run_once_closed(url, then):
    """Run an action once the port is closed."""
    host, port = url.removeprefix("http://").split(":")

    async def refused():
        try:
            _, writer = await asyncio.open_connection(host, int(port))
        except (ConnectionRefusedError, ConnectionResetError):
            return True
        writer.close()
        return False

    await eventually(refused)
    then()


async def test_a_port_in_use_is_reported_in_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InvalidSettings, match=rf"cannot listen on 127\.0\.0\.1:{port}: Address already in use"):
            async with run_gateway(Settings(mode=Mode.DEVELOPMENT, port=port, **TARGETS)):
                pass


async def test_the_command_serves_until_a_signal():
    environment = {name.upper(): value for name, value in TARGETS.items()}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway"),
        env={**environment, "MOLECULE_ENV": "development", "PORT": "0"},
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        assert "serving" in (await process.stdout.readline()).decode()
        process.send_signal(signal.SIGTERM)
        out = await process.stdout.read()
        assert await process.wait() == 0
    assert b"stopped" in out


@pytest.mark.covers("EDGE-06")
@pytest.mark.parametrize(
    ("trusted", "answered"), [("127.0.0.0/8", True), ("10.0.0.0/8", False), ("::1", False)], ids=str
)
async def test_only_trusted_proxies_exceed_the_connections_of_an_address(trusted, answered):
    auth = FakeAuth(known={None: ADMIN}, hold=asyncio.Event())
    async with (
        run_gateway_under_test(auth=auth, max_connections_per_address=1, trusted_proxies=trusted) as plane,
        spoken_to(plane) as (reader, writer),
    ):
        writer.write(b"GET /workspaces HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        await auth.arrived.wait()
        with contextlib.suppress(ConnectionError):
            other = await said(plane, b"GET /health HTTP/1.1", b"Host: localhost", b"Connection: close", b"", b"")
            assert other.startswith(b"HTTP/1.1 200" if answered else b"HTTP/1.1 503")
        auth.hold.set()
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
