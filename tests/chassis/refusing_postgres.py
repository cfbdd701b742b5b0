"""A PostgreSQL server that refuses or ignores every connection, as a real one does while it starts, stops or hangs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

SSL_REQUEST_CODE = 80877103


@asynccontextmanager
async def run_refusing_postgres(sqlstate: str | None) -> AsyncIterator[str]:
    """Answer every start-up message with an error of this state, or never with `None`; yields the URL."""
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            await _read_startup_message(reader, writer)
            if sqlstate is None:
                await asyncio.Event().wait()
            else:
                writer.write(_build_error(sqlstate))
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        yield f"postgresql://user:word@{host}:{port}/plane"
    finally:
        server.close()
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _read_startup_message(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        length = int.from_bytes(await reader.readexactly(4), "big")
        body = await reader.readexactly(length - 4)
        if int.from_bytes(body[:4], "big") != SSL_REQUEST_CODE:
            return
        writer.write(b"N")


def _build_error(sqlstate: str) -> bytes:
    fields = b"".join(
        kind + text.encode() + b"\0"
        for kind, text in ((b"S", "FATAL"), (b"V", "FATAL"), (b"C", sqlstate), (b"M", "secret text of the server"))
    )
    return b"E" + (len(fields) + 5).to_bytes(4, "big") + fields + b"\0"
