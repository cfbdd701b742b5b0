"""Behind nginx, which keeps connections to the gateway, each client gets its own answers and no denied route."""

import pytest

from tests.gateway.conftest import run_gateway_under_test
from tests.http.nginx import DENIED_PATH, run_nginx
from tests.http.raw_client import open_connection

pytestmark = [pytest.mark.nginx, pytest.mark.covers("EDGE-01")]

HIDDEN = b"GET %s HTTP/1.1\r\nHost: h\r\nX-Request-Id: hidden\r\n\r\n" % DENIED_PATH.encode()
"""The request that an attacker hides in the body of another."""

CARRIERS = {
    "an unknown offer": b"Connection: upgrade\r\nUpgrade: foo\r\nContent-Length: %d\r\n" % len(HIDDEN),
    "an offer of HTTP/2": b"Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: %d\r\n" % len(HIDDEN),
    "a WebSocket": b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nContent-Length: %d\r\n" % len(HIDDEN),
    "an expectation": b"Expect: 100-continue\r\nContent-Length: %d\r\n" % len(HIDDEN),
    "a body that nobody reads": b"Content-Length: %d\r\n" % len(HIDDEN),
    "an empty chunk": b"Transfer-Encoding: chunked\r\n",
}

METHODS = (b"GET", b"POST", b"OPTIONS", b"HEAD")


@pytest.fixture
async def proxy(tmp_path):
    async with (
        run_gateway_under_test(allowed_hosts="h,gateway.test") as plane,
        run_nginx(plane.url, tmp_path, buffers_requests=False) as url,
    ):
        yield plane, url


@pytest.mark.parametrize("carrier", CARRIERS)
async def test_a_request_in_the_body_of_another_is_never_answered(proxy, carrier):
    plane, url = proxy
    body = b"0\r\n\r\n" + HIDDEN if carrier == "an empty chunk" else HIDDEN
    for method in METHODS:
        for path in (b"/health", b"/ws", b"/workspaces"):
            async with open_connection(url) as attacker:
                head = b"%s %s HTTP/1.1\r\nHost: h\r\n%s\r\n" % (method, path, CARRIERS[carrier])
                await attacker.send(head)
                await expect_own_answers(url, "meanwhile")
                await attacker.send(body)
                await attacker.read_response(has_body=method != b"HEAD")
            await expect_own_answers(url, method.decode())

    answered = (await plane.http.get("/metrics")).text
    assert f'path="{DENIED_PATH}"' not in answered


async def expect_own_answers(url: str, name: str):
    """Other clients, for whom nginx uses the same connections to the gateway, get the answers to their requests."""
    for number in range(3):
        own = f"{name}-{number}"
        async with open_connection(url) as client:
            await client.send(f"GET /health HTTP/1.1\r\nHost: h\r\nX-Request-Id: {own}\r\n\r\n".encode())
            response = await client.read_response()
            assert (response.status, response.headers["x-request-id"]) == (200, own)


async def test_a_denied_route_is_denied(proxy):
    _, url = proxy
    async with open_connection(url) as client:
        await client.send(HIDDEN)
        assert (await client.read_response()).status == 403
