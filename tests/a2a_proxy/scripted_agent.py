"""An agent that answers with the bytes of a script, whether they are HTTP or not."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

CONTENT_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


@dataclass
class ScriptedAgent:
    """Sends the pieces of `script()` for each request until they end or the connection does."""

    script: Callable[[], Iterable[bytes]]
    url: str = ""
    port: int = 0
    heads: list[bytes] = field(default_factory=list)
    """The head of each request."""
    sent_bytes: int = 0
    connections: int = 0
    """The connections that were opened."""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.heads.append(head)
                length = CONTENT_LENGTH.search(head)
                await reader.readexactly(int(length[1]) if length else 0)
                for piece in self.script():
                    writer.write(piece)
                    self.sent_bytes += len(piece)
                    await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serve_script(*pieces: bytes, script: Callable[[], Iterable[bytes]] | None = None):
    """Serve an agent that answers each request with these pieces, or with those of a script that may be endless."""
    agent = ScriptedAgent(script or (lambda: pieces))
    async with serve_scripted_agent(agent):
        yield agent


@asynccontextmanager
async def serve_scripted_agent(agent: ScriptedAgent) -> AsyncIterator[ScriptedAgent]:
    """Serve the agent on a free port of this machine for the length of the block."""
    connections: set[asyncio.Task] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        task.add_done_callback(connections.discard)
        await agent.answer(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    agent.port = server.sockets[0].getsockname()[1]
    agent.url = f"http://127.0.0.1:{agent.port}/"
    try:
        yield agent
    finally:
        server.close()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
