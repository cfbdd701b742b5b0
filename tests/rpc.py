"""Real gRPC for tests: servicers behind a real server on a Unix socket, and a line to them."""

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from services.chassis import clients
from services.chassis.clients import Line
from services.chassis.service import Loop, Parts, Service, Servicer, serving
from services.chassis.settings import ChassisSettings


@asynccontextmanager
async def listening(servicers: Sequence[Servicer], loops: Sequence[Loop] = ()) -> AsyncIterator[str]:
    """Serve for the length of the block; yields the address."""

    @asynccontextmanager
    async def wire(_: ChassisSettings) -> AsyncIterator[Parts]:
        yield Parts(servicers=servicers, loops=loops)

    with tempfile.TemporaryDirectory(prefix="rpc-") as folder:
        values = ChassisSettings(listen=f"unix:{Path(folder) / 's.sock'}")
        async with serving(Service(name="test", settings=ChassisSettings, wire=wire), values) as address:
            yield address


@asynccontextmanager
async def running(servicers: Sequence[Servicer], *, speaker: str = "gateway") -> AsyncIterator[Line]:
    """Serve for the length of the block; yields a line that speaks as `speaker`."""
    async with listening(servicers) as address, clients.dialled(address, speaker=speaker) as line:
        yield line
