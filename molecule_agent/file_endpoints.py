"""The endpoints of files: they store uploads and serve files of the workspace, both streamed, for the plane only."""

import asyncio
import errno
import logging
import mimetypes
import os
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs

from molecule_agent.asgi import Receive, Scope, Send, get_header, send_json
from molecule_agent.file_paths import InvalidPath, build_disposition, split_path
from molecule_agent.upload_form import UploadForm, UploadRefused
from molecule_agent.upload_store import UploadStore
from molecule_agent.workspace_files import open_file

log = logging.getLogger(__name__)

UPLOAD_PATH = "/internal/chat/uploads/ingest"
READ_PATH = "/internal/file/read"

METHODS = {UPLOAD_PATH: "POST", READ_PATH: "GET"}

MAX_UPLOAD_BYTES = 50 * 1024 * 1024
"""Bytes of an upload with all its files, as the plane allows them."""

PIECE_BYTES = 256 * 1024
"""Bytes of a file that are read at once."""

DEFAULT_TYPE = "application/octet-stream"

MAX_QUERY_FIELDS = 10


class FileEndpoints:
    """An ASGI application for the two paths of `METHODS`; its caller has checked the inbound secret."""

    def __init__(self, root: Path) -> None:
        """`root` is the directory that contains configs/ and workspace/."""
        self._root = root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        allowed = METHODS[scope["path"]]
        if scope["method"] != allowed:
            refusal = {"error": "method not allowed"}
            await send_json(send, HTTPStatus.METHOD_NOT_ALLOWED, refusal, (b"allow", allowed.encode()))
        elif scope["path"] == UPLOAD_PATH:
            await self._ingest(scope, receive, send)
        else:
            await self._read(scope, receive, send)

    async def _ingest(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Store an upload and answer with its files. A refused body is read to its end, so that its sender listens."""
        body = _Body(receive)
        try:
            with UploadStore(self._root) as store:
                await _parse_form(get_header(scope, b"content-type"), body, store)
                if body.is_broken:
                    return
                await asyncio.to_thread(store.commit)
                stored = [file.describe() for file in store.files]
        except UploadRefused as refusal:
            await body.discard()
            await send_json(send, refusal.status, refusal.content)
        except OSError as error:
            log.warning("upload not stored: %s", error)
            await body.discard()
            await send_json(send, *_describe_storage_error(error))
        else:
            await send_json(send, HTTPStatus.OK, {"files": stored})

    async def _read(self, scope: Scope, receive: Receive, send: Send) -> None:
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


class _Body:
    """The body of a request, as it arrives."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._has_ended = False
        self._size = 0
        self.is_broken = False
        """The client has left before the end."""

    async def read(self) -> bytes:
        """Return the next bytes, none at the end; raises `UploadRefused` beyond the limit."""
        while not self._has_ended:
            message = await self._receive()
            if message["type"] != "http.request":
                self._has_ended = self.is_broken = True
                break
            self._has_ended = not message.get("more_body", False)
            piece: bytes = message.get("body", b"")
            self._size += len(piece)
            if self._size > MAX_UPLOAD_BYTES:
                self._has_ended = True
                raise UploadRefused(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE, error="request body too large", max_bytes=MAX_UPLOAD_BYTES
                )
            if piece:
                return piece
        return b""

    async def discard(self) -> None:
        """Read the rest, up to the limit."""
        try:
            while await self.read():
                pass
        except UploadRefused:
            return


async def _parse_form(content_type: str, body: _Body, store: UploadStore) -> None:
    """Write the body into the store. Parsing and writing block, so a thread does both."""
    form = UploadForm(content_type, store)
    while piece := await body.read():
        await asyncio.to_thread(form.write, piece)
    if not body.is_broken:
        form.finish()


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


def _describe_storage_error(error: OSError) -> tuple[HTTPStatus, dict[str, str]]:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return HTTPStatus.INSUFFICIENT_STORAGE, {"error": "workspace storage is full"}
    return HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "upload could not be stored"}
