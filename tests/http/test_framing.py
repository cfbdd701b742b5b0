"""Bodies, trailers and responses have the size and the end that both sides agree on."""

import asyncio
import socket
import struct

import pytest

from molecule_http.limits import KEEP_ALIVE_SECONDS, ConnectionLimits
from tests.http.conftest import run_server
from tests.http.raw_client import PROBE, open_connection

CHUNKED = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"


async def ask(url, request):
    """Return the response to a request, and whether the connection ends after it."""
    async with open_connection(url) as connection:
        await connection.send(request)
        return await connection.read_response()


@pytest.mark.covers("EDGE-01")
async def test_a_body_after_an_ignored_offer_reaches_the_application_whole(application, url):
    body = bytes(range(256)) * 1000
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    request = b"POST / HTTP/1.1\r\nHost: h\r\n%sContent-Length: %d\r\n\r\n%s" % (offer, len(body), body)

    assert (await ask(url, request)).body == body
    names = {name for name, _ in application.scopes[0]["headers"]}
    assert names == {b"host", b"content-length"}


@pytest.mark.covers("EDGE-01")
@pytest.mark.parametrize("size", [1, 7, 60])
async def test_a_request_in_small_pieces_is_the_same_request(application, url, size):
    request = (
        b"POST /a?b=c HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\nGET /next HTTP/1.1\r\nHost: h\r\n\r\n"
    )
    async with open_connection(url) as connection:
        connection.socket.setsockopt(6, 1, 1)  # TCP_NODELAY
        for start in range(0, len(request), size):
            await connection.send(request[start : start + size])
            await asyncio.sleep(0)
        assert (await connection.read_response()).body == b"abcde"
        assert (await connection.read_response()).status == 200
    assert [scope["path"] for scope in application.scopes] == ["/a", "/next"]
    assert application.scopes[0]["query_string"] == b"b=c"


@pytest.mark.covers("EDGE-01")
async def test_a_connection_with_unread_requests_ends_without_a_reset(application, url):
    request = b"GET /wait HTTP/1.1\r\nHost: h\r\n\r\n"
    waiting = ConnectionLimits().waiting_requests
    async with open_connection(url) as connection, open_connection(url) as other:
        await connection.send(request * (waiting + 1))
        await application.has_begun.wait()
        await connection.send(request * 100)  # the server has stopped reading
        await other.send(PROBE)
        assert await other.read_response()
        application.may_end.set()
        for _ in range(waiting + 1):
            assert (await connection.read_response()).status == 200
        assert await connection.read_to_end() == b""


@pytest.mark.covers("EDGE-01")
async def test_a_body_is_no_part_of_a_head_that_came_in_two_reads(url):
    body = b"x" * 200_000
    async with open_connection(url) as connection, open_connection(url) as other:
        await connection.send(b"POST / HTTP/1.1\r\nHo")
        await other.send(PROBE)
        assert await other.read_response()  # the first piece has been read
        await connection.send(b"st: h\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        assert (await connection.read_response()).body == body


@pytest.mark.covers("EDGE-02")
async def test_trailers_are_no_header_fields(application, url):
    await ask(url, CHUNKED + b"3\r\nabc\r\n0\r\nAuthorization: Bearer x\r\nHost: other\r\n\r\n")

    assert application.bodies == [b"abc"]
    assert [name for name, _ in application.scopes[0]["headers"]] == [b"host", b"transfer-encoding"]


@pytest.mark.covers("EDGE-02")
@pytest.mark.parametrize(
    ("part", "status"),
    [(b"a: b\r\n", 431), (b"x", 431)],
    ids=["many trailers", "a long trailer"],
)
async def test_endless_trailers_end_the_connection(url, part, status):
    async with open_connection(url) as connection:
        await connection.send(CHUNKED + b"0\r\n" + (b"X: " if part == b"x" else b""))
        for _ in range(200):
            await connection.send(part * 10_000)
        response = await connection.read_response()
        assert response is None or response.status in {status, 400}
        assert await connection.is_closed()


@pytest.mark.covers("EDGE-02")
@pytest.mark.parametrize("chunk", [b"1;" + b"e" * 4000 + b"\r\na\r\n"], ids=["extensions"])
async def test_endless_chunk_extensions_end_the_connection(url, chunk):
    async with open_connection(url) as connection:
        await connection.send(CHUNKED)
        for _ in range(100):
            await connection.send(chunk)
        response = await connection.read_response()
        assert response is None or response.status == 400
        assert await connection.is_closed()


@pytest.mark.covers("EDGE-02")
async def test_small_chunks_are_no_excess_of_framing(application, url):
    async with open_connection(url) as connection:
        await connection.send(CHUNKED)
        for _ in range(100):
            await connection.send(b"1\r\na\r\n" * 1000)
        await connection.send(b"0\r\n\r\n")
        assert len((await connection.read_response()).body) == 100_000


@pytest.mark.covers("EDGE-02")
async def test_endless_empty_lines_end_the_connection(url):
    async with open_connection(url) as connection:
        for _ in range(100):
            await connection.send(b"\r\n" * 1000)
        assert (await connection.read_response()).status == 431


@pytest.mark.covers("EDGE-02")
async def test_requests_over_the_waiting_limit_are_left_to_the_client(application):
    async with run_server(application, ConnectionLimits(waiting_requests=2)) as url, open_connection(url) as connection:
        await connection.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % number for number in range(10)))
        responses = [await connection.read_response() for _ in range(3)]
        assert [response.headers["connection"] for response in responses] == ["keep-alive", "keep-alive", "close"]
        assert await connection.is_closed()
    assert [scope["path"] for scope in application.scopes] == ["/0", "/1", "/2"]


@pytest.mark.covers("EDGE-02")
async def test_a_refusal_waits_for_the_responses_before_it(application, url):
    async with open_connection(url) as connection:
        await connection.send(b"GET /wait HTTP/1.1\r\nHost: h\r\n\r\nNONSENSE\r\n\r\n")
        await application.has_begun.wait()
        application.may_end.set()
        assert (await connection.read_response()).body == b"waited"
        assert (await connection.read_response()).status == 400


@pytest.mark.covers("EDGE-03")
async def test_a_response_tells_how_long_the_connection_is_kept(url):
    response = await ask(url, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")

    assert response.headers["keep-alive"] == f"timeout={KEEP_ALIVE_SECONDS}"
    assert response.headers["connection"] == "keep-alive"
    assert KEEP_ALIVE_SECONDS >= 75
    assert ConnectionLimits().idle_seconds > KEEP_ALIVE_SECONDS


@pytest.mark.covers("EDGE-04")
@pytest.mark.parametrize(("path", "body"), [(b"/pieces", b"one two"), (b"/", b"")])
async def test_a_client_of_http_1_0_gets_no_chunks(url, path, body):
    response = await ask(url, b"GET " + path + b" HTTP/1.0\r\n\r\n")

    assert "transfer-encoding" not in response.headers
    assert "keep-alive" not in response.headers
    assert response.body == body


@pytest.mark.covers("EDGE-04")
async def test_a_client_of_http_1_1_gets_chunks(url):
    response = await ask(url, b"GET /pieces HTTP/1.1\r\nHost: h\r\n\r\n")

    assert response.headers["transfer-encoding"] == "chunked"
    assert response.body == b"one two"


@pytest.mark.covers("EDGE-04")
@pytest.mark.parametrize(("path", "body"), [(b"/wait", b"waited"), (b"/pieces", b"one two")])
async def test_a_client_that_ends_its_direction_gets_its_answer(application, url, path, body):
    async with open_connection(url) as connection:
        await connection.send(b"GET " + path + b" HTTP/1.1\r\nHost: h\r\n\r\n", ends_input=True)
        if path == b"/wait":
            await application.has_begun.wait()
        application.may_end.set()
        assert (await connection.read_response()).body == body
        assert await connection.is_closed()


@pytest.mark.covers("EDGE-04", "A2A-41")
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
async def test_a_client_that_has_ended_its_direction_and_waits_is_not_taken_for_one_that_has_left(
    application, quick_url, version
):
    async with open_connection(quick_url) as connection:
        await connection.send(b"GET /watch HTTP/" + version + b"\r\nHost: h\r\n\r\n", ends_input=True)
        if version == b"1.1":
            interim = [await connection.read_response() for _ in range(2)]
            assert [(response.status, response.body) for response in interim] == [(100, b""), (100, b"")]
        application.may_end.set()
        assert (await connection.read_response()).body == b"watched"
        assert not application.has_left.is_set()


@pytest.mark.covers("EDGE-04", "A2A-41")
@pytest.mark.parametrize("manner", ["closes", "resets"])
async def test_the_application_of_a_client_that_leaves_before_the_answer_learns_of_it(application, quick_url, manner):
    async with open_connection(quick_url) as connection:
        await connection.send(b"GET /watch HTTP/1.1\r\nHost: h\r\n\r\n")
        await application.has_begun.wait()
        if manner == "resets":
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    async with asyncio.timeout(5):
        await application.has_left.wait()


@pytest.mark.covers("EDGE-04")
async def test_a_client_that_leaves_a_stream_ends_it(application, url):
    async with open_connection(url) as connection:
        await connection.send(b"GET /stream HTTP/1.1\r\nHost: h\r\n\r\n")
        await application.has_begun.wait()
    async with asyncio.timeout(10):
        await application.has_left.wait()


@pytest.mark.covers("EDGE-01")
async def test_an_answer_before_a_large_body_arrives_whole(url):
    async with open_connection(url) as connection:
        await connection.send(b"POST /ignore HTTP/1.1\r\nHost: h\r\nContent-Length: 10000000\r\n\r\n")
        response = await connection.read_response()
        assert (response.status, response.body, response.headers["connection"]) == (200, b"ignored", "close")
        await connection.send(b"x" * 100_000)
        assert await connection.is_closed()


@pytest.mark.covers("EDGE-01")
async def test_a_small_body_that_nobody_wanted_does_not_end_the_connection(url):
    async with open_connection(url) as connection:
        await connection.send(b"POST /ignore HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n")
        assert (await connection.read_response()).headers["connection"] == "keep-alive"
        await connection.send(b"x" * 100 + b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await connection.read_response()).status == 200


@pytest.mark.covers("EDGE-01")
async def test_the_host_of_the_absolute_form_counts(application, url):
    await ask(url, b"GET http://right:81/ HTTP/1.1\r\nHost: wrong\r\n\r\n")

    assert application.scopes[0]["headers"] == [(b"host", b"right:81")]


@pytest.mark.covers("EDGE-01")
async def test_a_body_is_asked_for_when_the_application_reads_it(url):
    async with open_connection(url) as connection:
        await connection.send(b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert (await connection.read_response()).status == 100
        await connection.send(b"abc")
        assert (await connection.read_response()).body == b"abc"
