"""Clients that only hold connections open keep no other client out."""

import asyncio
import contextlib
import os
import re
import resource
import sys
from contextlib import AsyncExitStack

import pytest

from molecule_http.limits import ConnectionLimits
from tests.http.conftest import run_server
from tests.http.raw_client import PROBE, open_connection

SILENT_CONNECTIONS = 300


async def probe(url):
    """Return the status of a request on a connection of its own."""
    async with open_connection(url) as connection:
        await connection.send(PROBE)
        response = await connection.read_response()
        return response and response.status


@pytest.mark.covers("EDGE-06")
async def test_a_new_connection_takes_the_place_of_one_that_waits(application):
    async with (
        run_server(application, ConnectionLimits(connections_per_address=3)) as url,
        AsyncExitStack() as stack,
    ):
        silent = [await stack.enter_async_context(open_connection(url)) for _ in range(3)]
        assert await probe(url) == 200
        assert await silent[0].is_closed()


@pytest.mark.covers("EDGE-06")
async def test_connections_over_the_limit_are_refused_while_all_are_in_use(application):
    async with (
        run_server(application, ConnectionLimits(connections_per_address=1)) as url,
        open_connection(url) as connection,
    ):
        await connection.send(b"GET /wait HTTP/1.1\r\nHost: h\r\n\r\n")
        await application.has_begun.wait()
        assert await probe(url) in {503, None}
        application.may_end.set()
        assert (await connection.read_response()).status == 200


@pytest.mark.covers("EDGE-06")
async def test_a_trusted_proxy_may_have_any_number_of_connections(application):
    limits = ConnectionLimits(connections_per_address=1)
    async with (
        run_server(application, limits, is_exempt=lambda address: address == "127.0.0.1") as url,
        open_connection(url) as connection,
    ):
        await connection.send(b"GET /wait HTTP/1.1\r\nHost: h\r\n\r\n")
        await application.has_begun.wait()
        assert await probe(url) == 200
        application.may_end.set()


@pytest.mark.covers("EDGE-06")
async def test_a_connection_that_ends_makes_room(application):
    async with run_server(application, ConnectionLimits(connections_per_address=1)) as url:
        for _ in range(5):
            assert await probe(url) == 200


def few_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))


def low_soft_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))


@contextlib.asynccontextmanager
async def run_gateway_process(limit_descriptors):
    """Run a gateway as a process without its services; yields its URL and a function that returns its output."""
    names = ("REGISTRY_TARGETS", "AUTH_TARGETS", "A2A_PROXY_TARGETS", "PROVISIONER_TARGETS")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway"),
        env={
            **dict.fromkeys(names, "unix:/nowhere"),
            "MOLECULE_ENV": "development",
            "ALLOWED_HOSTS": "h",
            "PORT": "0",
            "PATH": os.defpath,
        },
        preexec_fn=limit_descriptors,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(30):
            found = None
            while found is None:
                found = re.search(r"http://[\d.:]+", (await process.stdout.readline()).decode())
        yield process, found[0]
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.mark.covers("EDGE-06")
async def test_silent_connections_do_not_block_a_gateway_with_few_descriptors():
    async with run_gateway_process(few_descriptors) as (process, url), AsyncExitStack() as stack:
        for _ in range(SILENT_CONNECTIONS):
            await stack.enter_async_context(open_connection(url))
        assert await probe(url) == 200
        process.terminate()
        async with asyncio.timeout(30):
            output = (await process.stdout.read()).decode()
    assert output.count("http limit hit") == 1
    assert "connections of one address" in output


@pytest.mark.covers("EDGE-07")
async def test_a_gateway_raises_its_soft_limit_of_descriptors():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with run_gateway_process(low_soft_limit) as (process, _):
        soft, _ = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    assert soft == min(hard, 65536)
