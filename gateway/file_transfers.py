"""Carries chat files between the gateway and the A2A proxy, one stream for each; gRPC's flow control limits both."""

from asyncio import InvalidStateError
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import grpc
from grpc_status import rpc_status

from protos.a2a_proxy.v1 import chat_files_pb2 as pb
from protos.a2a_proxy.v1 import chat_files_pb2_grpc as rpc
from services.chassis.clients import ServiceChannel, error_from_status
from services.chassis.errors import ServiceError, Unavailable
from services.chassis.identity import Identity

MAX_CHUNK_BYTES = 64 * 1024
"""Bytes of a file in one message."""


class FileTransfers:
    """Opens uploads and downloads."""

    def __init__(self, a2a_proxy: ServiceChannel) -> None:
        self._a2a_proxy = a2a_proxy
        self._stub = rpc.ChatFileServiceStub(a2a_proxy.channel)

    async def upload(
        self, opening: pb.UploadOpen, body: AsyncIterator[bytes], caller: Identity | None
    ) -> pb.UploadAnswer:
        """Send an upload and return the agent's answer. The body is not read before there is an agent to take it.

        Raises the `ServiceError` of the proxy. An error that `body` raises ends the upload at the agent.
        """
        call = self._stub.UploadFiles(metadata=self._a2a_proxy.build_metadata(caller))
        try:
            await call.write(pb.UploadFilesRequest(open=opening))
            await _read(call)
            async for piece in body:
                for begin in range(0, len(piece), MAX_CHUNK_BYTES):
                    await call.write(pb.UploadFilesRequest(chunk=piece[begin : begin + MAX_CHUNK_BYTES]))
            await call.write(pb.UploadFilesRequest(end=pb.UploadEnd()))
            await call.done_writing()
            reply: pb.UploadFilesResponse = await _read(call)
        except grpc.aio.AioRpcError as error:
            raise _translate(error) from None
        except InvalidStateError:  # the proxy has ended the call, which it does not do while it runs
            raise Unavailable from None
        finally:
            call.cancel()
        return reply.answer

    async def open_download(self, request: pb.DownloadFileRequest, caller: Identity | None) -> "FileDownload":
        """Return a file once its head is known; raises the `ServiceError` of the proxy."""
        call = self._stub.DownloadFile(request, metadata=self._a2a_proxy.build_metadata(caller))
        try:
            first: pb.DownloadFileResponse = await _read(call)
        except grpc.aio.AioRpcError as error:
            raise _translate(error) from None
        return FileDownload(call, first.head)


class FileDownload:
    """A file that is being read."""

    def __init__(self, call: Any, head: pb.DownloadHead) -> None:  # noqa: ANN401 - a call of gRPC
        self.head = head
        self._call = call

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the bytes as they arrive; raises `ServiceError` if they end early."""
        try:
            while (message := await self._call.read()) is not grpc.aio.EOF:
                yield message.chunk
        except grpc.aio.AioRpcError as error:
            raise _translate(error) from None

    def close(self) -> None:
        """End the transfer, at the agent too."""
        self._call.cancel()


async def _read(call: Any) -> Any:  # noqa: ANN401 - the stubs type it
    """Return the next message; raises `Unavailable` if the call has ended without it."""
    message = await call.read()
    if message is grpc.aio.EOF:
        raise Unavailable
    return message


def _translate(error: grpc.aio.AioRpcError) -> ServiceError:
    """Return the error that the proxy raised; one of gRPC itself means that the proxy went away."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type, unused-ignore]
    return Unavailable() if status is None else error_from_status(status)
