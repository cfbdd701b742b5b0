"""The gateway's end of chat files: uploads and downloads over real gRPC."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import grpc
from grpc_status import rpc_status

from protos.a2a_proxy.v1 import chat_files_pb2 as pb
from protos.a2a_proxy.v1 import chat_files_pb2_grpc as rpc
from services.chassis import clients
from services.chassis.clients import ServiceChannel, error_from_status
from services.chassis.errors import ServiceError
from services.chassis.identity import Identity, Kind
from tests.a2a_proxy.running_proxy import RunningProxy

TARGET = str(uuid4())
ADMIN = Identity(kind=Kind.ADMIN)
FORM = "multipart/form-data; boundary=b"


@dataclass
class Downloaded:
    """What arrived of a file, and the error that ended it early."""

    head: pb.DownloadHead | None = None
    body: bytes = b""
    sizes: list[int] = field(default_factory=list)
    error: ServiceError | None = None


class FileClient:
    """Calls a proxy as the gateway does."""

    def __init__(self, channel: ServiceChannel) -> None:
        self._channel = channel
        self.stub = rpc.ChatFileServiceStub(channel.channel)

    def metadata(self, caller: Identity = ADMIN):
        return self._channel.build_metadata(caller)

    async def upload(
        self,
        pieces: Iterable[bytes] = (b"the body",),
        *,
        target: str = TARGET,
        length: int | None = None,
        caller: Identity = ADMIN,
        ends: bool = True,
        content_type: str = FORM,
    ) -> pb.UploadAnswer:
        """Upload a body and return the answer; raises the error of the proxy."""
        opening = pb.UploadOpen(workspace_id=target, content_type=content_type, request_id="r-1", content_length=length)
        call = self.stub.UploadFiles(metadata=self.metadata(caller))
        try:
            await call.write(pb.UploadFilesRequest(open=opening))
            assert (await call.read()).HasField("proceed")
            for piece in pieces:
                await call.write(pb.UploadFilesRequest(chunk=piece))
            if ends:
                await call.write(pb.UploadFilesRequest(end=pb.UploadEnd()))
            await call.done_writing()
            return (await call.read()).answer
        except grpc.aio.AioRpcError as error:
            raise _translate(error) from None

    async def download(self, path: str = "/workspace/a.txt", *, target: str = TARGET, caller: Identity = ADMIN):
        """Return what arrives of a file."""
        found = Downloaded()
        request = pb.DownloadFileRequest(workspace_id=target, path=path, request_id="r-2")
        try:
            async for message in self.stub.DownloadFile(request, metadata=self.metadata(caller)):
                if message.HasField("head"):
                    found.head = message.head
                else:
                    found.body += message.chunk
                    found.sizes.append(len(message.chunk))
        except grpc.aio.AioRpcError as error:
            found.error = _translate(error)
        return found


@asynccontextmanager
async def open_file_client(proxy: RunningProxy) -> AsyncIterator[FileClient]:
    async with clients.open_channel(proxy.address, caller_service="gateway") as channel:
        yield FileClient(channel)


def _translate(error: grpc.aio.AioRpcError) -> ServiceError:
    status = rpc_status.from_call(error)
    assert status is not None, error
    return error_from_status(status)
