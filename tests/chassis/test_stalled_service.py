"""Calls to a service whose process takes nothing any more: SIGSTOP."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.chassis import clients
from services.chassis.errors import Unavailable

MANY = 130
"""More calls than gRPC carries on a connection at once; from there it leaves calls open beyond their deadline."""


@asynccontextmanager
async def stalled_service(folder: Path) -> AsyncIterator[clients.ServiceChannel]:
    """Yield a channel to a service that has answered once and is then stopped."""
    address = f"unix:{folder / 's.sock'}"
    command = (sys.executable, "-m", "tests.chassis.health_service", address)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    await process.stdout.readline()
    try:
        async with clients.open_channel(address, caller_service="gateway", service="auth") as channel:
            await check(channel, timedelta(seconds=10))
            os.kill(process.pid, signal.SIGSTOP)
            yield channel
    finally:
        process.kill()
        await process.wait()


async def check(channel: clients.ServiceChannel, timeout: timedelta) -> None:  # noqa: ASYNC109 - the deadline of the call
    stub = health_pb2_grpc.HealthStub(channel.channel)
    await channel.call(stub.Check, health_pb2.HealthCheckRequest(), timeout=timeout)


@pytest.mark.covers("BEY-05")
async def test_every_call_to_a_stalled_service_ends_at_its_deadline(tmp_path):
    async with stalled_service(tmp_path) as channel:
        for _ in range(2):
            async with asyncio.timeout(30):
                found = await asyncio.gather(
                    *(check(channel, timedelta(seconds=0.5)) for _ in range(MANY)), return_exceptions=True
                )
            assert {type(error) for error in found} == {Unavailable}
