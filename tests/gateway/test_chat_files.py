"""Uploads and downloads over HTTP: bodies pass through the gateway as they are."""

import asyncio
import hashlib
from contextlib import asynccontextmanager

import httpx
import pytest

from gateway.limits import MAX_UPLOAD_BYTES
from protos.a2a_proxy.v1 import chat_files_pb2 as pb
from services.chassis.errors import NotFound, Unavailable
from tests.gateway.conftest import run_gateway_under_test
from tests.gateway.fake_chat_files import FakeChatFiles
from tests.gateway.fake_services import ANONYMOUS
from tests.waiting import eventually

W = "11111111-1111-4111-8111-111111111111"
UPLOADS = f"/workspaces/{W}/chat/uploads"
DOWNLOAD = f"/workspaces/{W}/chat/download"
TOO_LARGE = {"error": "request body too large", "max_bytes": MAX_UPLOAD_BYTES}


@pytest.fixture
def proxy() -> FakeChatFiles:
    return FakeChatFiles()


@pytest.fixture
async def plane(proxy):
    async with run_gateway_under_test(proxy=proxy.servicer()) as plane:
        yield plane


class UnknownWorkspace(NotFound):
    domain = "molecule.a2a_proxy.v1"
    reason = "WORKSPACE_NOT_FOUND"
    message = "workspace not found"


@asynccontextmanager
async def open_connection(plane, head: str):
    """A client that sends the head of a request and decides itself what follows."""
    host, port = plane.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=64 * 1024)
    writer.write(f"{head}\r\nHost: {host}\r\n\r\n".encode())
    try:
        yield reader, writer
    finally:
        writer.close()


# Uploads ─────────────────────────────────────────────────────────────────────


@pytest.mark.covers("ACT-09", "ACT-17")
@pytest.mark.parametrize("announces", [True, False])
async def test_an_upload_passes_byte_for_byte_and_so_does_the_answer(plane, proxy, announces):
    body = hashlib.sha256(b"seed").digest() * 30_000
    proxy.answer = pb.UploadAnswer(status=413, content_type="application/json", body=b'{ "error":"a.bin" }')

    async def pieces():
        yield body[:100_000]
        yield body[100_000:]

    answer = await plane.http.post(
        UPLOADS,
        content=body if announces else pieces(),
        headers={"Content-Type": "multipart/form-data; boundary=x", "X-Request-Id": "mine"},
    )

    assert (answer.status_code, answer.content) == (413, b'{ "error":"a.bin" }')
    assert answer.headers["content-type"] == "application/json"
    [opening] = proxy.openings
    length = opening.content_length if opening.HasField("content_length") else None
    assert (opening.workspace_id, opening.content_type, opening.request_id, length) == (
        W,
        "multipart/form-data; boundary=x",
        "mine",
        len(body) if announces else None,
    )
    assert proxy.digest == hashlib.sha256(body).hexdigest()
    assert proxy.has_ended
    assert proxy.largest_chunk <= 65536
    assert proxy.callers == [ANONYMOUS]


@pytest.mark.covers("ACT-17")
async def test_an_upload_that_announces_too_much_is_refused_before_it_is_read(plane, proxy):
    head = f"POST {UPLOADS} HTTP/1.1\r\nContent-Length: {MAX_UPLOAD_BYTES + 1}"
    async with open_connection(plane, head) as (reader, _):
        assert (await reader.readline()).startswith(b"HTTP/1.1 413")
    assert proxy.openings == []


@pytest.mark.covers("ACT-17")
async def test_an_upload_that_grows_too_large_is_broken_off(plane, proxy):
    async def pieces():
        for _ in range(51):
            yield b"x" * 2**20

    answer = await plane.http.post(UPLOADS, content=pieces(), timeout=30)

    assert (answer.status_code, answer.json()) == (413, TOO_LARGE)
    await eventually(proxy.is_over.is_set)
    assert not proxy.has_ended


@pytest.mark.covers("ACT-17")
async def test_an_upload_of_exactly_the_limit_passes(plane, proxy):
    async def pieces():
        for _ in range(50):
            yield b"x" * 2**20

    assert (await plane.http.post(UPLOADS, content=pieces(), timeout=30)).status_code == 200
    assert proxy.received_bytes == MAX_UPLOAD_BYTES


@pytest.mark.covers("ACT-10", "ACT-18")
async def test_an_upload_with_an_invalid_id_is_refused(plane, proxy):
    answer = await plane.http.post("/workspaces/nonsense/chat/uploads", content=b"x")

    assert (answer.status_code, answer.json()) == (400, {"error": "invalid workspace ID"})
    assert proxy.openings == []


async def test_an_upload_is_refused_before_its_body_is_read(plane, proxy):
    proxy.refusal = UnknownWorkspace()
    head = f"POST {UPLOADS} HTTP/1.1\r\nContent-Length: 1000000\r\nExpect: 100-continue"
    async with open_connection(plane, head) as (reader, _):
        assert (await reader.readline()).startswith(b"HTTP/1.1 404")


async def test_a_failure_of_the_agent_within_an_upload_is_answered(plane, proxy):
    proxy.failure = UnknownWorkspace()

    answer = await plane.http.post(UPLOADS, content=b"x" * 2**20)

    assert (answer.status_code, answer.json()) == (404, {"error": "workspace not found"})


async def test_a_client_that_leaves_within_an_upload_breaks_it_off(plane, proxy):
    async with open_connection(plane, f"POST {UPLOADS} HTTP/1.1\r\nContent-Length: 1000000") as (_, writer):
        writer.write(b"x" * 1000)
        await eventually(lambda: proxy.received_bytes == 1000)

    await eventually(proxy.is_over.is_set)
    assert not proxy.has_ended


async def test_without_a_proxy_uploads_and_downloads_are_unavailable(plane, proxy):
    async with run_gateway_under_test(a2a_proxy_targets="unix:/nowhere") as lonely:
        for answer in (
            await lonely.http.post(UPLOADS, content=b"x"),
            await lonely.http.get(DOWNLOAD, params={"path": "/workspace/a"}),
        ):
            assert (answer.status_code, answer.json()["code"]) == (503, "platform_unavailable")
            assert answer.headers["retry-after"] == "5"


# Downloads ───────────────────────────────────────────────────────────────────


@pytest.mark.covers("ACT-11")
@pytest.mark.parametrize("length", [8, None])
async def test_a_download_has_the_bytes_and_the_headers_of_the_file(plane, proxy, length):
    proxy.head = pb.DownloadHead(
        content_type="text/csv", content_disposition='attachment; filename="a.csv"', content_length=length
    )

    answer = await plane.http.get(DOWNLOAD, params={"path": "/workspace/a b.csv"}, headers={"Range": "bytes=0-1"})

    assert (answer.status_code, answer.content) == (200, b"the file")
    assert answer.headers["content-type"] == "text/csv"
    assert answer.headers["content-disposition"] == 'attachment; filename="a.csv"'
    assert answer.headers.get("content-length") == (None if length is None else "8")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    [request] = proxy.requests
    assert (request.workspace_id, request.path) == (W, "/workspace/a b.csv")


async def test_head_has_the_headers_and_ends_the_transfer(plane, proxy):
    proxy.head.content_length = 10**12
    proxy.is_endless = True

    answer = await plane.http.head(DOWNLOAD, params={"path": "/workspace/a"})

    assert (answer.status_code, answer.headers["content-length"], answer.content) == (200, str(10**12), b"")
    await eventually(proxy.is_over.is_set)


@pytest.mark.parametrize("length", [100, None])
async def test_a_file_that_ends_early_does_not_look_whole(plane, proxy, length):
    proxy.head = pb.DownloadHead(content_type="text/plain", content_disposition="attachment", content_length=length)
    proxy.failure = Unavailable()

    with pytest.raises(httpx.RemoteProtocolError):
        await plane.http.get(DOWNLOAD, params={"path": "/workspace/a"})


async def test_a_client_that_leaves_ends_the_download(plane, proxy):
    proxy.is_endless = True
    async with plane.http.stream("GET", DOWNLOAD, params={"path": "/workspace/a"}) as answer:
        assert answer.status_code == 200

    await eventually(proxy.is_over.is_set)


async def test_a_client_that_does_not_read_stops_the_download_and_may_still_leave(plane, proxy):
    proxy.is_endless = True
    async with open_connection(plane, f"GET {DOWNLOAD}?path=/workspace/a HTTP/1.1") as (reader, _):
        await reader.readuntil(b"\r\n\r\n")
        seen = [-1]

        def has_stopped() -> bool:
            seen.append(proxy.sent_bytes)
            return len(seen) > 10 and len(set(seen[-10:])) == 1

        await eventually(has_stopped, within=10)
        assert 0 < proxy.sent_bytes < 32 * 2**20

    await eventually(proxy.is_over.is_set)


@pytest.mark.covers("ACT-11")
async def test_a_refused_download_is_answered_with_its_status(plane, proxy):
    proxy.refusal = UnknownWorkspace()

    answer = await plane.http.get(DOWNLOAD, params={"path": "/workspace/a"})

    assert (answer.status_code, answer.json()) == (404, {"error": "workspace not found"})
