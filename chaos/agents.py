"""The agents of a chaos run as real HTTP servers: `python -m chaos.agents DIRECTORY '{"echo": PORT, ...}'`.

Each agent writes the id of a message to the file `arrivals` of the directory before it does anything else, so that the
file is true however the processes die. While a file `calm` exists, every agent behaves like the echo.
"""

import asyncio
import json
import random
import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop

from chaos.journal import Journal
from chaos.model import AgentKind

ARRIVALS = "arrivals"

CALM = "calm"

MESSAGE_ID = re.compile(rb'"messageId": ?"([^"]+)"')

SLOW_SECONDS = (0.1, 1.5)
"""The least and the longest time of the slow agent."""

BUSY_SHARE = 0.8
"""Share of the requests that the busy agent refuses."""

SMALL_LARGE_BYTES = 9 * 1024 * 1024
"""An answer that the plane accepts."""

LARGE_LARGE_BYTES = 10 * 1024 * 1024 + 1024
"""An answer that is too large for the plane."""

NEVER_SECONDS = 3600.0

GARBAGE = b"\x00\xff garbage that is no HTTP\r\n\r\n" * 4

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

Behaviour = Callable[[asyncio.StreamWriter, str], Awaitable[None]]


class Agents:
    """The agents of all kinds, each with its own port."""

    def __init__(self, directory: Path) -> None:
        self._journal = Journal(directory / ARRIVALS)
        self._calm = directory / CALM
        self._behaviours: dict[AgentKind, Behaviour] = {
            AgentKind.ECHO: _answer,
            AgentKind.SLOW: _answer_late,
            AgentKind.BUSY: _answer,
            AgentKind.SILENT: _answer_never,
            AgentKind.CLOSING: _close,
            AgentKind.DYING: _answer_half_and_close,
            AgentKind.HALF: _answer_half,
            AgentKind.TWICE: _answer_twice,
            AgentKind.GARBAGE: _answer_garbage,
            AgentKind.LARGE: _answer_large,
            AgentKind.ENDLESS: _answer_without_end,
        }

    async def serve(self, ports: dict[str, int]) -> None:
        """Serve until cancelled."""
        async with asyncio.TaskGroup() as group:
            for kind, port in ports.items():
                server = await asyncio.start_server(self._build_handler(AgentKind(kind)), "127.0.0.1", port)
                group.create_task(server.serve_forever())

    def _build_handler(self, kind: AgentKind) -> Callable[..., Awaitable[None]]:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while not writer.is_closing():
                    await self._handle_request(kind, writer, await _read_body(reader))
            except (ConnectionError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()

        return handle

    async def _handle_request(self, kind: AgentKind, writer: asyncio.StreamWriter, body: bytes) -> None:
        found = MESSAGE_ID.search(body)
        message_id = found.group(1).decode() if found else ""
        is_calm = self._calm.exists()
        if kind is AgentKind.BUSY and not is_calm and random.random() < BUSY_SHARE:
            await _refuse_as_busy(writer)
            return
        self._journal.append({"message_id": message_id, "kind": kind})
        await (_answer if is_calm else self._behaviours[kind])(writer, message_id)


async def _read_body(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    return await reader.readexactly(length)


async def _answer(writer: asyncio.StreamWriter, message_id: str) -> None:
    await _write(writer, _build_response(_build_result(message_id)))


async def _answer_late(writer: asyncio.StreamWriter, message_id: str) -> None:
    await asyncio.sleep(random.uniform(*SLOW_SECONDS))
    await _answer(writer, message_id)


async def _answer_never(_: asyncio.StreamWriter, __: str) -> None:
    await asyncio.sleep(NEVER_SECONDS)


async def _close(writer: asyncio.StreamWriter, _: str) -> None:
    writer.transport.abort()


async def _answer_half_and_close(writer: asyncio.StreamWriter, message_id: str) -> None:
    response = _build_response(_build_result(message_id))
    await _write(writer, response[: len(response) - 20])
    writer.close()


async def _answer_half(writer: asyncio.StreamWriter, message_id: str) -> None:
    response = _build_response(_build_result(message_id))
    await _write(writer, response[: len(response) - 20])
    await asyncio.sleep(NEVER_SECONDS)


async def _answer_twice(writer: asyncio.StreamWriter, message_id: str) -> None:
    await _write(writer, _build_response(_build_result(message_id)) * 2)


async def _answer_garbage(writer: asyncio.StreamWriter, _: str) -> None:
    await _write(writer, GARBAGE)
    writer.close()


async def _answer_large(writer: asyncio.StreamWriter, message_id: str) -> None:
    size = random.choice((SMALL_LARGE_BYTES, LARGE_LARGE_BYTES))
    await _write(writer, _build_response(_build_result(message_id, padding=size)))


async def _answer_without_end(writer: asyncio.StreamWriter, message_id: str) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n"
    await _write(writer, head + _build_result(message_id))
    await asyncio.sleep(NEVER_SECONDS)


async def _refuse_as_busy(writer: asyncio.StreamWriter) -> None:
    """Say that the agent is busy, in one of the ways that the plane knows (docs/spec/delivery.md, 1)."""
    refusals = (
        _build_response(b'{"error":"busy"}', status="429 Too Many Requests", extra="retry-after: 1\r\n"),
        _build_response(b'{"error":"busy"}', status="503 Service Unavailable", extra="retry-after: 1\r\n"),
        _build_response(b'{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"busy","data":{"busy":true}}}'),
    )
    await _write(writer, random.choice(refusals))


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


def _build_result(message_id: str, padding: int = 0) -> bytes:
    """Build the answer, which names the message near its beginning."""
    parts: list[dict[str, Any]] = [{"kind": "text", "text": message_id}, {"kind": "text", "text": "x" * padding}]
    result = {"kind": "message", "messageId": f"answer-{message_id}", "role": "agent", "parts": parts}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}).encode()


def _build_response(body: bytes, *, status: str = "200 OK", extra: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n{extra}\r\n"
    return head.encode() + body


def main() -> None:
    """Serve the agents until the process is killed."""
    directory, ports = sys.argv[1:]
    uvloop.run(Agents(Path(directory)).serve(json.loads(ports)))


if __name__ == "__main__":
    main()
