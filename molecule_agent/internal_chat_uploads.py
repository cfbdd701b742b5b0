"""The endpoint that stores the files of a chat in the workspace, as they arrive; for the plane only."""

import asyncio
import errno
import logging
from http import HTTPStatus
from pathlib import Path

from molecule_agent.asgi import Receive, Scope, Send, get_header, send_json
from molecule_agent.upload_form import UploadForm, UploadRefused
from molecule_agent.upload_store import UploadStore

log = logging.getLogger(__name__)

PATH = "/internal/chat/uploads/ingest"

METHOD = "POST"

MAX_UPLOAD_BYTES = 50 * 1024 * 1024
"""Bytes of an upload with all its files, as the plane allows them."""


class UploadEndpoint:
    """An ASGI application for POST requests to `PATH`; its caller has checked the inbound secret."""

    def __init__(self, root: Path) -> None:
        """`root` is the directory that contains configs/ and workspace/."""
        self._root = root

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
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


def _describe_storage_error(error: OSError) -> tuple[HTTPStatus, dict[str, str]]:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return HTTPStatus.INSUFFICIENT_STORAGE, {"error": "workspace storage is full"}
    return HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "upload could not be stored"}
