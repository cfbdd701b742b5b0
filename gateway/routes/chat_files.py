"""Routes of chat files: bodies are streamed between the client and the agent of a workspace, and never kept."""

import asyncio

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.file_transfers import FileDownload, FileTransfers
from gateway.guards import READ, WRITE
from gateway.limits import MAX_UPLOAD_BYTES
from gateway.middleware import REQUEST_ID_KEY
from gateway.request_body import announced_size, stream_body
from gateway.route import Call, Route
from gateway.routes.event_readers import wait_for_message
from gateway.schemas.chat_files import UPLOAD_FORM, UploadedFiles
from protos.a2a_proxy.v1 import chat_files_pb2 as pb
from services.chassis.clients import ServiceChannel
from services.chassis.errors import ServiceError


class ChatFileRoutes:
    """Routes to the A2A proxy, which reaches the agents."""

    def __init__(self, a2a_proxy: ServiceChannel) -> None:
        self._transfers = FileTransfers(a2a_proxy)

    def list_routes(self) -> list[Route]:
        """Return the routes of this class."""
        return [
            Route(
                method="POST",
                path="/workspaces/{id}/chat/uploads",
                handler=self.upload,
                summary="Store files in a workspace",
                guard=WRITE,
                form=UPLOAD_FORM,
                answer=UploadedFiles,
                refusal_statuses=frozenset({404, 410, 502}),
            ),
            Route(
                method="GET",
                path="/workspaces/{id}/chat/download",
                handler=self.download,
                summary="Read a file of a workspace",
                guard=READ,
                query={"path": "Absolute, below /configs, /workspace, /home or /plugins"},
                media_type="application/octet-stream",
                refusal_statuses=frozenset({404, 410, 502}),
            ),
        ]

    async def upload(self, call: Call) -> object:
        """Stream the form to the agent, at most 50 MiB, and return the agent's answer."""
        opening = pb.UploadOpen(
            workspace_id=call.workspace_id,
            content_type=_forwardable(call.headers.get("content-type", "")),
            content_length=announced_size(call.request, MAX_UPLOAD_BYTES),
            request_id=call.request.scope[REQUEST_ID_KEY],
        )
        answer = await self._transfers.upload(opening, stream_body(call.request, MAX_UPLOAD_BYTES), call.identity)
        headers = {"Content-Type": answer.content_type} if answer.content_type else None
        return Response(answer.body, answer.status, headers=headers)

    async def download(self, call: Call) -> object:
        """Stream the file from the agent, as an attachment of any size."""
        request = pb.DownloadFileRequest(
            workspace_id=call.workspace_id,
            path=call.query.get("path", ""),
            request_id=call.request.scope[REQUEST_ID_KEY],
        )
        download = await self._transfers.open_download(request, call.identity)
        if call.request.method == "HEAD":
            download.close()
        return FileResponse(download)


class FileResponse(Response):
    """A response that sends a file while it arrives, until it ends or the client leaves."""

    def __init__(self, download: FileDownload) -> None:
        head = download.head
        self.status_code = 200
        self.background = None
        self.raw_headers = [
            (b"content-type", head.content_type.encode("latin-1")),
            (b"content-disposition", head.content_disposition.encode("latin-1")),
            (b"cache-control", b"no-store"),
        ]
        if head.HasField("content_length"):
            self.raw_headers.append((b"content-length", b"%d" % head.content_length))
        self._download = download

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as ASGI has it
        """Send the head and the file. A client that leaves ends the transfer at the agent too."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        tasks = [
            asyncio.ensure_future(self._send_file(send)),
            asyncio.ensure_future(wait_for_message("http.disconnect", receive)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._download.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _send_file(self, send: Send) -> None:
        """Send the bytes. After an early end the response stays incomplete, so that the server cuts the connection."""
        try:
            async for chunk in self._download.chunks():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except ServiceError:
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _forwardable(value: str) -> str:
    """Return a header value that HTTP can carry; an empty one for any other."""
    return value if value.isascii() and value.isprintable() else ""
