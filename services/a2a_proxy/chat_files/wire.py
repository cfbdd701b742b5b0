"""Converts chat files between protobuf and the model."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator

from protos.a2a_proxy.v1 import chat_files_pb2 as pb
from services.a2a_proxy.chat_files.rules import FileHead, FileRequest, Upload
from services.a2a_proxy.errors import UploadInterrupted
from services.a2a_proxy.model import Answer, WorkspaceId
from services.chassis.identity import Identity, Kind

MAX_CHUNK_BYTES = 64 * 1024
"""Bytes of a file in one message."""

PROCEED = pb.UploadFilesResponse(proceed=pb.UploadProceed())


def caller_from_identity(identity: Identity) -> WorkspaceId | None:
    """Return the workspace that calls; `None` for any other caller."""
    return WorkspaceId(identity.name) if identity.kind is Kind.WORKSPACE else None


async def read_opening(requests: AsyncIterator[pb.UploadFilesRequest]) -> Upload:
    """Return the upload that the first request opens; raises `UploadInterrupted` if there is none."""
    first = await anext(requests, None)
    if first is None or not first.HasField("open"):
        raise UploadInterrupted
    opening = first.open
    return Upload(
        workspace_id=WorkspaceId(opening.workspace_id),
        content_type=opening.content_type,
        content_length=opening.content_length if opening.HasField("content_length") else None,
        request_id=opening.request_id,
    )


async def read_body(requests: AsyncIterator[pb.UploadFilesRequest]) -> AsyncGenerator[bytes, None]:
    """Yield the pieces of the body as they arrive, none of them empty; raises `UploadInterrupted` without its end."""
    async for request in requests:
        if request.HasField("end"):
            return
        if request.chunk:
            yield request.chunk
    raise UploadInterrupted


def answer_to_proto(answer: Answer) -> pb.UploadFilesResponse:
    content_type = answer.headers.get("content-type", "")
    return pb.UploadFilesResponse(
        answer=pb.UploadAnswer(status=answer.status, content_type=content_type, body=answer.body)
    )


def request_from_proto(request: pb.DownloadFileRequest) -> FileRequest:
    return FileRequest(workspace_id=WorkspaceId(request.workspace_id), path=request.path, request_id=request.request_id)


def download_to_proto(part: FileHead | bytes) -> Iterator[pb.DownloadFileResponse]:
    """Return the messages for the head of a file, or for bytes that may be more than one message carries."""
    if isinstance(part, FileHead):
        head = pb.DownloadHead(
            content_type=part.content_type, content_disposition=part.disposition, content_length=part.content_length
        )
        yield pb.DownloadFileResponse(head=head)
        return
    for begin in range(0, len(part), MAX_CHUNK_BYTES):
        yield pb.DownloadFileResponse(chunk=part[begin : begin + MAX_CHUNK_BYTES])
