"""Passes the requests for files to the endpoint that stores uploads and to the one that sends files."""

from http import HTTPStatus
from pathlib import Path

from molecule_agent import internal_chat_uploads, internal_file_read
from molecule_agent.asgi import Application, Receive, Scope, Send, send_json
from molecule_agent.internal_chat_uploads import UploadEndpoint
from molecule_agent.internal_file_read import FileEndpoint

METHODS = {
    internal_chat_uploads.PATH: internal_chat_uploads.METHOD,
    internal_file_read.PATH: internal_file_read.METHOD,
}


class FileEndpoints:
    """An ASGI application for the two paths of `METHODS`; its caller has checked the inbound secret."""

    def __init__(self, root: Path) -> None:
        """`root` is the directory that contains configs/ and workspace/."""
        self._endpoints: dict[str, Application] = {
            internal_chat_uploads.PATH: UploadEndpoint(root),
            internal_file_read.PATH: FileEndpoint(root),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        allowed = METHODS[scope["path"]]
        if scope["method"] != allowed:
            refusal = {"error": "method not allowed"}
            await send_json(send, HTTPStatus.METHOD_NOT_ALLOWED, refusal, (b"allow", allowed.encode()))
        else:
            await self._endpoints[scope["path"]](scope, receive, send)
