"""Runs servicers behind a real gRPC server on a Unix socket, and opens channels to them."""

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from services.chassis import clients
from services.chassis.clients import ServiceChannel
from services.chassis.service import Components, Loop, Service, Servicer, run_service
from services.chassis.settings import ChassisSettings


@asynccontextmanager
async def serve(servicers: Sequence[Servicer], loops: Sequence[Loop] = ()) -> AsyncIterator[str]:
    """Serve the servicers for the length of the block; yields the address."""

    @asynccontextmanager
    async def assemble(_: ChassisSettings) -> AsyncIterator[Components]:
        yield Components(servicers=servicers, loops=loops)

    with tempfile.TemporaryDirectory(prefix="rpc-") as folder:
        values = ChassisSettings(listen=f"unix:{Path(folder) / 's.sock'}")
        async with run_service(Service(name="test", settings=ChassisSettings, assemble=assemble), values) as address:
            yield address


@asynccontextmanager
async def open_channel_to(
    servicers: Sequence[Servicer], *, caller_service: str = "gateway"
) -> AsyncIterator[ServiceChannel]:
    """Serve the servicers for the length of the block; yields a channel that calls as `caller_service`."""
    async with serve(servicers) as address, clients.open_channel(address, caller_service=caller_service) as line:
        yield line
