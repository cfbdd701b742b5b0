"""A gRPC proxy between a gateway and auth whose revocation feed a test can cut."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc

FEED = "/molecule.auth.v1.AuthService/WatchRevocations"


class AuthProxy(grpc.GenericRpcHandler):
    """Forwards calls unchanged. Once `cut` is set, it withholds further revocations."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self.cut = False
        self.withheld = False
        self.address = ""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """Return the handler that forwards one call."""
        metadata = tuple((key, value) for key, value in details.invocation_metadata if not key.startswith("grpc-"))
        if details.method == FEED:
            return grpc.unary_stream_rpc_method_handler(self._feed(metadata))

        async def forward(request: bytes, context: Any) -> bytes:
            call = self._channel.unary_unary(details.method)(request, metadata=metadata, timeout=5)
            try:
                return await call
            except grpc.aio.AioRpcError as error:
                context.set_trailing_metadata(error.trailing_metadata())
                return await context.abort(error.code(), error.details() or "")

        return grpc.unary_unary_rpc_method_handler(forward)

    def _feed(self, metadata: tuple[Any, ...]) -> Any:
        async def stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
            call = self._channel.unary_stream(FEED)(request, metadata=metadata)
            try:
                async for event in call:
                    if self.cut:
                        self.withheld = True
                        await asyncio.Event().wait()
                    yield event
            finally:
                call.cancel()

        return stream


@asynccontextmanager
async def open_proxy(target: str) -> AsyncIterator[AuthProxy]:
    """Run a proxy to the service at `target` for the length of the block."""
    async with grpc.aio.insecure_channel(target) as channel:
        proxy = AuthProxy(channel)
        with tempfile.TemporaryDirectory(prefix="front-") as folder:
            proxy.address = f"unix:{Path(folder) / 's.sock'}"
            server = grpc.aio.server()
            server.add_generic_rpc_handlers((proxy,))
            server.add_insecure_port(proxy.address)
            await server.start()
            try:
                yield proxy
            finally:
                await server.stop(0)
