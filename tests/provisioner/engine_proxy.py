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
    HELD_REQUEST = "held request"
    """The engine receives nothing, and the connection stays until the client ends it."""
    HELD_ANSWER = "held answer"
    """The engine does what it was asked, and the connection stays without its answer until the client ends it."""


LOSING_FAULTS = (Fault.LOST_REQUEST, Fault.LOST_ANSWER)
"""The faults after which the client goes on at once."""


class EngineProxy:
    """Forwards to the engine.

    `break_at` loses one request, `stall` answers nothing, `delay_requests` forwards late, `go_away` ends and refuses
    all.
    """

    def __init__(self, socket: Path, engine_socket: str = ENGINE_SOCKET) -> None:
        self.socket = socket
        self._engine_socket = engine_socket
        self._held = asyncio.Event()
        self.host = f"unix://{socket}"
        self._break: tuple[re.Pattern[bytes], Fault] | None = None
        self._flows = asyncio.Event()
        self._flows.set()
        self._delay = 0.0
        self._is_away = False
        self.requests: list[str] = []
        """The first line of each request that arrived."""
        self.delayed = 0
        """How many requests reached the engine late."""
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def has_broken(self) -> bool:
        """Whether the fault of `break_at` has happened."""
        return self._break is None

    def break_at(self, request: str, fault: Fault) -> None:
        """Let the fault happen to the next request whose first line matches the pattern."""
        self._held.clear()
        self._break = re.compile(request.encode()), fault

    async def wait_until_held(self) -> None:
        """Wait until the request of `break_at` is held."""
        await self._held.wait()

    def delay_requests(self, seconds: float) -> None:
        """Let the engine receive each request so many seconds later, also one whose client has gone meanwhile."""
        self._delay = seconds

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
        try:
            engine_reader, engine_writer = await asyncio.open_unix_connection(self._engine_socket)
        except OSError:
            writer.close()
            return
        self._writers |= {writer, engine_writer}
        answers = asyncio.ensure_future(self._pump(engine_reader, writer))
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self._let_pass(data)
                fault = self._find_fault(data)
                if fault is Fault.LOST_REQUEST:
                    break
                if fault is Fault.HELD_REQUEST:
                    await self._hold(reader)
                    break
                if fault is not None:
                    answers.cancel()
                    await asyncio.wait({answers})  # only one task may read the engine's answers
                engine_writer.write(data)
                await engine_writer.drain()
                if fault is not None:
                    await engine_reader.read(1)
                    if fault is Fault.HELD_ANSWER:
                        await self._hold(reader)
                    break
        for each in (writer, engine_writer):
            each.close()
            self._writers.discard(each)
        answers.cancel()
        await asyncio.gather(answers, return_exceptions=True)

    async def _hold(self, reader: asyncio.StreamReader) -> None:
        self._held.set()
        await reader.read()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        writer.close()

    async def _let_pass(self, data: bytes) -> None:
        """Note the request, and wait until the engine may receive it."""
        line = data.split(b"\r\n", 1)[0]
        if line.endswith(b" HTTP/1.1"):
            self.requests.append(line.decode().removesuffix(" HTTP/1.1"))
        await self._flows.wait()
        if self._delay:
            await asyncio.sleep(self._delay)
            self.delayed += 1

    def _find_fault(self, data: bytes) -> Fault | None:
        if self._break is None or not self._break[0].search(data.split(b"\r\n", 1)[0]):
            return None
        fault = self._break[1]
        self._break = None
        return fault


@asynccontextmanager
async def engine_proxy(directory: Path, engine_socket: str = ENGINE_SOCKET) -> AsyncIterator[EngineProxy]:
    """Run a proxy on a socket in the directory."""
    proxy = EngineProxy(directory / "docker.sock", engine_socket)
    server = await asyncio.start_unix_server(proxy.accept, proxy.socket)
    try:
        yield proxy
    finally:
        server.close()
        proxy.go_away()
        proxy.resume()
