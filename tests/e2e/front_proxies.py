"""What stands between a gateway and auth in a test: everything passes, until its feed is cut."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc

FEED = "/molecule.auth.v1.AuthService/WatchRevocations"


class Front(grpc.GenericRpcHandler):
    """Passes calls on byte by byte. Once cut, what it heard of revocations stays with it."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self.cut = False
        self.withheld = False
        self.address = ""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """How one call is passed on."""
        metadata = tuple((key, value) for key, value in details.invocation_metadata if not key.startswith("grpc-"))
        if details.method == FEED:
            return grpc.unary_stream_rpc_method_handler(self._feed(metadata))

        async def ask(request: bytes, context: Any) -> bytes:
            call = self._channel.unary_unary(details.method)(request, metadata=metadata, timeout=5)
            try:
                return await call
            except grpc.aio.AioRpcError as error:
                context.set_trailing_metadata(error.trailing_metadata())
                return await context.abort(error.code(), error.details() or "")

        return grpc.unary_unary_rpc_method_handler(ask)

    def _feed(self, metadata: tuple[Any, ...]) -> Any:
        async def tell(request: bytes, context: Any) -> AsyncIterator[bytes]:
            call = self._channel.unary_stream(FEED)(request, metadata=metadata)
            try:
                async for news in call:
                    if self.cut:
                        self.withheld = True
                        await asyncio.Event().wait()
                    yield news
            finally:
                call.cancel()

        return tell


@asynccontextmanager
async def before(target: str) -> AsyncIterator[Front]:
    """A front to the service at `target`, for the length of the block."""
    async with grpc.aio.insecure_channel(target) as channel:
        front = Front(channel)
        with tempfile.TemporaryDirectory(prefix="front-") as folder:
            front.address = f"unix:{Path(folder) / 's.sock'}"
            server = grpc.aio.server()
            server.add_generic_rpc_handlers((front,))
            server.add_insecure_port(front.address)
            await server.start()
            try:
                yield front
            finally:
                await server.stop(0)
