"""The servicer of chat files: translates between protobuf and the service."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from protos.a2a_proxy.v1 import chat_files_pb2 as pb
from protos.a2a_proxy.v1 import chat_files_pb2_grpc as rpc
from services.a2a_proxy.chat_files import wire
from services.a2a_proxy.chat_files.service import ChatFiles
from services.chassis import identity
from services.chassis.rpc import Context


class ChatFileServicer(rpc.ChatFileServiceServicer):
    """One method for each RPC on chat files."""

    def __init__(self, files: ChatFiles) -> None:
        self._files = files

    async def UploadFiles(
        self, request_iterator: AsyncIterator[pb.UploadFilesRequest], context: Context
    ) -> AsyncIterator[pb.UploadFilesResponse]:
        """Send an upload to its agent and return the answer."""
        upload = await wire.read_opening(request_iterator)
        caller = wire.caller_from_identity(identity.current())
        async with self._files.open_upload(upload, caller) as opened:
            yield wire.PROCEED
            yield wire.answer_to_proto(await opened.send(wire.read_body(request_iterator)))

    async def DownloadFile(
        self, request: pb.DownloadFileRequest, context: Context
    ) -> AsyncIterator[pb.DownloadFileResponse]:
        """Stream a file from its agent."""
        async with aclosing(self._files.download(wire.request_from_proto(request))) as parts:
            async for part in parts:
                for message in wire.download_to_proto(part):
                    yield message
