"""Nothing holds a connection open without a request, and nothing that is under way is ended."""

import asyncio
import logging

import pytest

from tests.http.conftest import LARGE_BODY, QUICK, run_server
from tests.http.raw_client import open_connection

HEAD = b"POST / HTTP/1.1\r\nHost: h\r\n"


@pytest.mark.covers("EDGE-05")
@pytest.mark.parametrize(
    "sent",
    [
        HEAD,
        b"GET / HT",
        HEAD + b"Content-Length: 100\r\n\r\nx",
        HEAD + b"Content-Length: 100\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n",
    ],
    ids=["half a head", "half a line", "a byte of a body", "no body", "half a chunk", "half a trailer"],
)
async def test_half_a_request_is_answered_408_and_the_connection_ends(quick_url, sent):
    async with open_connection(quick_url) as connection:
        await connection.send(sent)
        response = await connection.read_response()
        assert response.status == 408
        assert response.headers["connection"] == "close"
        assert await connection.is_closed()


@pytest.mark.covers("EDGE-05")
@pytest.mark.parametrize("sent", [b"", b"\r\n", b"\r\n\r\n"])
async def test_a_silent_connection_ends_without_an_answer(quick_url, sent):
    async with open_connection(quick_url) as connection:
        await connection.send(sent)
        assert await connection.is_closed()


@pytest.mark.covers("EDGE-05")
async def test_an_idle_connection_ends_after_a_response(quick_url):
    async with open_connection(quick_url) as connection:
        await connection.send(HEAD + b"\r\n")
        assert (await connection.read_response()).status == 200
        assert await connection.is_closed()


@pytest.mark.covers("EDGE-05")
async def test_the_application_of_half_a_request_learns_that_its_client_has_left(application, quick_url):
    async with open_connection(quick_url) as connection:
        await connection.send(HEAD + b"Content-Length: 100\r\n\r\nx")
        async with asyncio.timeout(10):
            await application.has_left.wait()


@pytest.mark.covers("EDGE-05")
@pytest.mark.parametrize("path", [b"/wait", b"/stream"])
async def test_no_deadline_ends_a_response_that_is_under_way(application, quick_url, path):
    async with open_connection(quick_url) as connection, open_connection(quick_url) as silent:
        await connection.send(b"GET " + path + b" HTTP/1.1\r\nHost: h\r\n\r\n")
        await application.has_begun.wait()
        assert await silent.is_closed()
        application.may_end.set()
        assert (await connection.read_response()).status == 200


@pytest.mark.covers("EDGE-05")
async def test_a_client_that_waits_for_an_earlier_response_is_not_late(application, quick_url):
    async with open_connection(quick_url) as connection, open_connection(quick_url) as silent:
        await connection.send(b"GET /wait HTTP/1.1\r\nHost: h\r\n\r\n" + b"GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HT")
        await application.has_begun.wait()
        assert await silent.is_closed()
        application.may_end.set()
        statuses = [(await connection.read_response()).status for _ in range(2)]
        await connection.send(b"TP/1.1\r\nHost: h\r\n\r\n")
        assert [*statuses, (await connection.read_response()).status] == [200, 200, 200]


@pytest.mark.covers("EDGE-05")
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_no_deadline_ends_a_response_that_is_read_slowly(quick_url, version):
    async with open_connection(quick_url) as connection:
        await connection.send(b"GET /large HTTP/" + version + b"\r\nHost: h\r\n\r\n")
        received = 0
        for _ in range(4):
            async with open_connection(quick_url) as silent:
                assert await silent.is_closed()  # a deadline has passed
            received += len(await connection.read(3_000_000))
        received += len(await connection.read(len(LARGE_BODY) - received))
        assert received == len(LARGE_BODY)


@pytest.mark.covers("EDGE-05")
async def test_a_response_that_is_not_read_ends(quick_url):
    async with open_connection(quick_url) as connection:
        await connection.send(b"GET /large HTTP/1.1\r\nHost: h\r\n\r\n")
        for _ in range(6):
            async with open_connection(quick_url) as silent:
                assert await silent.is_closed()
        assert len(await connection.read(len(LARGE_BODY))) < len(LARGE_BODY)


@pytest.mark.covers("EDGE-05")
async def test_a_stream_that_is_not_read_ends(application, quick_url):
    async with open_connection(quick_url) as connection:
        await connection.send(b"GET /flood HTTP/1.1\r\nHost: h\r\n\r\n")
        async with asyncio.timeout(10):
            await application.has_left.wait()


@pytest.mark.covers("EDGE-05")
async def test_no_deadline_ends_a_stream_that_is_read_slowly(application, quick_url):
    async with open_connection(quick_url) as connection:
        await connection.send(b"GET /flood HTTP/1.1\r\nHost: h\r\n\r\n")
        for _ in range(6):
            async with open_connection(quick_url) as silent:
                assert await silent.is_closed()  # a deadline has passed
            assert len(await connection.read(3_000_000)) == 3_000_000
        assert not application.has_left.is_set()


@pytest.mark.covers("EDGE-08")
async def test_many_connections_that_hit_one_limit_are_one_line_of_the_log(application, caplog):
    caplog.set_level(logging.WARNING, logger="molecule_http")
    async with run_server(application, QUICK) as url:
        for _ in range(3):
            async with open_connection(url) as connection:
                await connection.send(b"GET / HT")
                assert (await connection.read_response()).status == 408
    lines = [record.getMessage() for record in caplog.records if record.name == "molecule_http"]
    assert lines == ["http limit hit limit='time for a request' address=127.0.0.1 left_out=0"]
