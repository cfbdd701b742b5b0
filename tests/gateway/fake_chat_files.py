"""A fake chat file service: takes uploads, and sends the file that a test sets."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from protos.a2a_proxy.v1 import chat_files_pb2 as pb
from protos.a2a_proxy.v1 import chat_files_pb2_grpc as rpc
from services.chassis import identity
from services.chassis.errors import ServiceError
from services.chassis.identity import Identity
from services.chassis.service import Servicer


@dataclass
class FakeChatFiles(rpc.ChatFileServiceServicer):
    """Answers uploads and downloads, and records them."""

    refusal: ServiceError | None = None
    """Raised before an upload may proceed, and before a head."""
    answer: pb.UploadAnswer = field(
        default_factory=lambda: pb.UploadAnswer(status=200, content_type="application/json", body=b'{"files":[]}')
    )
    head: pb.DownloadHead = field(
        default_factory=lambda: pb.DownloadHead(content_type="text/plain", content_disposition="attachment")
    )
    chunks: list[bytes] = field(default_factory=lambda: [b"the ", b"file"])
    failure: ServiceError | None = None
    """Raised after the chunks."""
    is_endless: bool = False
    openings: list[pb.UploadOpen] = field(default_factory=list)
    requests: list[pb.DownloadFileRequest] = field(default_factory=list)
    callers: list[Identity] = field(default_factory=list)
    digest: str = ""
    largest_chunk: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0
    has_ended: bool = False
    """An upload had an end."""
    is_over: asyncio.Event = field(default_factory=asyncio.Event)
    """An upload or a download is over, however it ended."""

    async def UploadFiles(self, request_iterator, context) -> AsyncIterator[pb.UploadFilesResponse]:
        self.openings.append((await anext(request_iterator)).open)
        self.callers.append(identity.current())
        if self.refusal is not None:
            raise self.refusal
        digest = hashlib.sha256()
        try:
            yield pb.UploadFilesResponse(proceed=pb.UploadProceed())
            async for request in request_iterator:
                self.has_ended = request.HasField("end")
                digest.update(request.chunk)
                self.received_bytes += len(request.chunk)
                self.largest_chunk = max(self.largest_chunk, len(request.chunk))
            self.digest = digest.hexdigest()
            if self.failure is not None:
                raise self.failure
            yield pb.UploadFilesResponse(answer=self.answer)
        finally:
            self.is_over.set()

    async def DownloadFile(self, request, context) -> AsyncIterator[pb.DownloadFileResponse]:
        self.requests.append(request)
        if self.refusal is not None:
            raise self.refusal
        try:
            yield pb.DownloadFileResponse(head=self.head)
            for chunk in self.chunks:
                yield pb.DownloadFileResponse(chunk=chunk)
            while self.is_endless:
                yield pb.DownloadFileResponse(chunk=b"x" * 65536)
                self.sent_bytes += 65536
            if self.failure is not None:
                raise self.failure
        finally:
            self.is_over.set()

    def servicer(self) -> Servicer:
        return Servicer(
            contract=pb.DESCRIPTOR.services_by_name["ChatFileService"],
            add=rpc.add_ChatFileServiceServicer_to_server,
            servicer=self,
        )
