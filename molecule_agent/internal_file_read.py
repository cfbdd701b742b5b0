"""The endpoint that sends a file of the workspace, as it is read; for the plane only."""

import asyncio
import logging
import mimetypes
import os
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs

from molecule_agent.asgi import Receive, Scope, Send, send_json
from molecule_agent.file_paths import InvalidPath, build_disposition, split_path
from molecule_agent.workspace_files import open_file

log = logging.getLogger(__name__)

PATH = "/internal/file/read"

METHOD = "GET"

PIECE_BYTES = 256 * 1024
"""Bytes of a file that are read at once."""

DEFAULT_TYPE = "application/octet-stream"

MAX_QUERY_FIELDS = 10


class FileEndpoint:
    """An ASGI application for GET requests to `PATH`; its caller has checked the inbound secret."""

    def __init__(self, root: Path) -> None:
        """`root` is the directory that contains configs/ and workspace/."""
        self._root = root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send a file."""
        try:
            query = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=MAX_QUERY_FIELDS)
            parts = split_path(query.get("path", [""])[0])
        except InvalidPath as error:
            await send_json(send, HTTPStatus.BAD_REQUEST, {"error": str(error)})
            return
        except ValueError:
            await send_json(send, HTTPStatus.BAD_REQUEST, {"error": "invalid path"})
            return
        try:
            descriptor, size = await asyncio.to_thread(open_file, self._root, parts)
        except FileNotFoundError:
            await send_json(send, HTTPStatus.NOT_FOUND, {"error": "file not found"})
            return
        leaving = asyncio.ensure_future(_wait_for_disconnect(receive))
        try:
            headers = _describe_file(parts[-1], size)
            await send({"type": "http.response.start", "status": HTTPStatus.OK.value, "headers": headers})
            await _send_file(descriptor, size, send, leaving)
        finally:
            leaving.cancel()
            os.close(descriptor)


async def _send_file(descriptor: int, size: int, send: Send, leaving: "asyncio.Future[None]") -> None:
    """Send `size` bytes. A file that has become shorter leaves the response incomplete; so does a client that left."""
    left = size
    while left and not leaving.done():
        piece = await asyncio.to_thread(os.read, descriptor, min(PIECE_BYTES, left))
        if not piece:
            log.warning("a file became shorter while it was sent")
            return
        left -= len(piece)
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    if not left:
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _describe_file(name: str, size: int) -> list[tuple[bytes, bytes]]:
    kind = mimetypes.guess_type(name)[0] or DEFAULT_TYPE
    return [
        (b"content-type", kind.encode()),
        (b"content-length", b"%d" % size),
        (b"content-disposition", build_disposition(name).encode()),
    ]
