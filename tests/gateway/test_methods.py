"""HEAD, OPTIONS and the methods that a path does not have, on every path of the plane."""

import asyncio
import re

import httpx
import pytest

from tests.gateway.conftest import run_gateway_under_test
from tests.gateway.echoing_proxy import EchoingProxy
from tests.gateway.fake_services import ADMIN, FakeAuth

W = "b798b45d-16e4-4f00-a409-234e988928c7"

STREAM = f"/workspaces/{W}/events/stream"

INBOX = f"/workspaces/{W}/inbox"
"""Its GET leases messages, which its HEAD must not."""


@pytest.fixture
async def plane():
    async with run_gateway_under_test(proxy=EchoingProxy().servicer()) as plane:
        plane.event_feed.place_workspace(W)
        yield plane


VOLATILE = {
    "x-request-id",
    "date",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "server-timing",
    "x-molecule-overhead-ms",
}


async def paths_of(plane):
    """Every path of the document, with the methods of all routes that match it."""
    document = (await plane.http.get("/openapi.json")).json()
    patterns = {
        re.compile(re.sub(r"\{\w+\}", "[^/]+", path)): {method.upper() for method in operations}
        for path, operations in document["paths"].items()
    }
    paths = [re.sub(r"\{\w+\}", W, path) for path in document["paths"]]
    return {path: set().union(*(patterns[one] for one in patterns if one.fullmatch(path))) for path in paths}


def with_answers_of_the_gateway(methods):
    return methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())


def stable(headers):
    return {name: value for name, value in headers.items() if name not in VOLATILE}


@pytest.mark.covers("EDGE-30")
async def test_every_get_route_answers_head_like_get_without_the_body(plane):
    for path, methods in (await paths_of(plane)).items():
        if "GET" in methods and path not in {STREAM, INBOX}:
            shown, head = await plane.http.get(path), await plane.http.head(path)

            assert (head.status_code, head.content) == (shown.status_code, b""), path
            if path not in {"/metrics", "/ready"}:  # their texts hold measurements
                assert stable(head.headers) == stable(shown.headers), path


@pytest.mark.covers("EDGE-30")
async def test_head_needs_the_credential_of_get():
    async with run_gateway_under_test(auth=FakeAuth(known={"a": ADMIN})) as plane:
        for path, methods in (await paths_of(plane)).items():
            if "GET" in methods and path != STREAM:
                shown = [(await plane.http.request(method, path)).status_code for method in ("GET", "HEAD")]
                assert shown[0] == shown[1], path
        assert (await plane.http.head("/workspaces")).status_code == 401
        assert (await plane.http.head("/workspaces", headers={"Authorization": "Bearer a"})).status_code == 200


@pytest.mark.covers("EDGE-30")
async def test_the_head_of_a_stream_ends_at_once_and_leaves_no_subscription(plane):
    async with asyncio.timeout(5):
        answer = await plane.http.head(STREAM)
        again = await plane.http.head("/health")

    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "text/event-stream", b"")
    assert again.status_code == 200


@pytest.mark.covers("EDGE-30")
async def test_a_connection_stays_usable_after_head(plane):
    url = httpx.URL(plane.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    for path in ("/health", "/nowhere", STREAM, "/openapi.json"):
        writer.write(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert head.startswith(b"HTTP/1.1 404" if path == "/nowhere" else b"HTTP/1.1 200"), path
    writer.close()


@pytest.mark.covers("EDGE-31")
async def test_every_path_answers_options_with_its_methods(plane):
    for path, methods in (await paths_of(plane)).items():
        answer = await plane.http.options(path)

        allowed = with_answers_of_the_gateway(methods)
        assert (answer.status_code, answer.content) == (204, b""), path
        assert answer.headers["allow"] == ", ".join(sorted(allowed)), path
    assert plane.auth.received == plane.registry.received == []


@pytest.mark.covers("EDGE-31")
@pytest.mark.parametrize("method", ["PUT", "PROPFIND", "TRACE", "DELETE", "GET", "HEAD", "POST", "PATCH"])
async def test_every_method_that_a_path_does_not_have_is_refused_with_those_it_has(plane, method):
    for path, methods in (await paths_of(plane)).items():
        allowed = with_answers_of_the_gateway(methods)
        if method not in allowed:
            answer = await plane.http.request(method, path)

            assert (answer.status_code, answer.headers["allow"]) == (405, ", ".join(sorted(allowed))), path
            if "/a2a/rest/" in path:
                assert method == "HEAD" or answer.json()["error"]["message"] == "method not allowed"
            else:
                assert answer.content == (b"" if method == "HEAD" else b'{"error":"method not allowed"}')


@pytest.mark.covers("EDGE-31")
async def test_options_of_an_unknown_path_and_of_the_whole_server(plane):
    assert (await plane.http.options("/nowhere")).status_code == 404
