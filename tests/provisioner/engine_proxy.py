"""A proxy in front of the Docker Engine's socket, with the faults that an engine or its connection can have."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path

ENGINE_SOCKET = "/var/run/docker.sock"


class Fault(StrEnum):
    """What happens to a request."""

    LOST_REQUEST = "lost request"
    """The connection ends before the engine receives the request."""
    LOST_ANSWER = "lost answer"
    """The engine does what it was asked, and the connection ends before its answer arrives."""


class EngineProxy:
    """Forwards to the engine. `break_at` loses one request, `stall` answers nothing, `go_away` ends and refuses all."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.host = f"unix://{socket}"
        self._break: tuple[re.Pattern[bytes], Fault] | None = None
        self._flows = asyncio.Event()
        self._flows.set()
        self._is_away = False
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def has_broken(self) -> bool:
        """Whether the fault of `break_at` has happened."""
        return self._break is None

    def break_at(self, request: str, fault: Fault) -> None:
        """Lose the next request whose first line matches the pattern."""
        self._break = re.compile(request.encode()), fault

    def stall(self) -> None:
        """Accept connections and requests, and answer nothing, until `resume`."""
        self._flows.clear()

    def resume(self) -> None:
        self._flows.set()

    def go_away(self) -> None:
        """End every connection and refuse new ones, until `come_back`, as an engine does that is restarted."""
        self._is_away = True
        for writer in list(self._writers):
            writer.close()

    def come_back(self) -> None:
        self._is_away = False

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_away:
            writer.close()
            return
        engine_reader, engine_writer = await asyncio.open_unix_connection(ENGINE_SOCKET)
        self._writers |= {writer, engine_writer}
        answers = asyncio.ensure_future(self._pump(engine_reader, writer))
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self._flows.wait()
                fault = self._find_fault(data)
                if fault is Fault.LOST_REQUEST:
                    break
                if fault is Fault.LOST_ANSWER:
                    answers.cancel()
                engine_writer.write(data)
                await engine_writer.drain()
                if fault is Fault.LOST_ANSWER:
                    await engine_reader.read(1)
                    break
        for each in (writer, engine_writer):
            each.close()
            self._writers.discard(each)
        answers.cancel()
        await asyncio.gather(answers, return_exceptions=True)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        writer.close()

    def _find_fault(self, data: bytes) -> Fault | None:
        if self._break is None or not self._break[0].search(data.split(b"\r\n", 1)[0]):
            return None
        fault = self._break[1]
        self._break = None
        return fault


@asynccontextmanager
async def engine_proxy(directory: Path) -> AsyncIterator[EngineProxy]:
    """Run a proxy on a socket in the directory."""
    proxy = EngineProxy(directory / "docker.sock")
    server = await asyncio.start_unix_server(proxy.accept, proxy.socket)
    try:
        yield proxy
    finally:
        server.close()
        proxy.go_away()
        proxy.resume()
