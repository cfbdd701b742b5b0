"""A fake agent that takes uploads and serves files, over real HTTP."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

STORED = b'{"files":[{"uri":"workspace:/workspace/.molecule/chat-uploads/1-a.txt","name":"a.txt","size":3}]}'


@dataclass
class FileAgent:
    """Digests uploads and serves one file; records the requests."""

    secret: str = ""
    """The bearer that it requires, if it requires one."""
    status: int = 200
    answer: bytes = STORED
    answer_headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    file: bytes = b"the file"
    file_headers: dict[str, str] = field(default_factory=dict)
    breaks_off: bool = False
    """Closes the connection after half of the file."""
    stalls: bool = False
    """Sends half of the file and then nothing."""
    url: str = ""
    requests: list[web.Request] = field(default_factory=list)
    received_bytes: int = 0
    digest: str = ""
    is_upload_broken: asyncio.Event = field(default_factory=asyncio.Event)
    is_download_over: asyncio.Event = field(default_factory=asyncio.Event)

    async def ingest(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        if self._refuses(request):
            return web.json_response({"error": "unauthorized"}, status=401)
        digest = hashlib.sha256()
        try:
            async for piece in request.content.iter_any():
                digest.update(piece)
                self.received_bytes += len(piece)
        except (ConnectionError, asyncio.CancelledError):
            self.is_upload_broken.set()
            raise
        self.digest = digest.hexdigest()
        return web.Response(status=self.status, body=self.answer, headers=self.answer_headers)

    async def read(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        if self._refuses(request):
            return web.json_response({"error": "unauthorized"}, status=401)
        if self.status != 200:
            return web.Response(status=self.status, body=self.answer, headers=self.answer_headers)
        response = web.StreamResponse(headers={"Content-Length": str(len(self.file)), **self.file_headers})
        try:
            await response.prepare(request)
            half = len(self.file) // 2
            await response.write(self.file[:half])
            if self.breaks_off:
                assert request.transport is not None
                request.transport.close()
                return response
            if self.stalls:
                await asyncio.Event().wait()
            await response.write(self.file[half:])
            await response.write_eof()
        finally:
            self.is_download_over.set()
        return response

    def _refuses(self, request: web.Request) -> bool:
        return bool(self.secret) and request.headers.get("Authorization") != f"Bearer {self.secret}"


@asynccontextmanager
async def serve_file_agent(**options) -> AsyncIterator[FileAgent]:
    """Serve an agent on a free port of this machine for the length of the block."""
    agent = FileAgent(**options)
    application = web.Application()
    application.router.add_post("/internal/chat/uploads/ingest", agent.ingest)
    application.router.add_get("/internal/file/read", agent.read)
    runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    agent.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    try:
        yield agent
    finally:
        await runner.cleanup()
