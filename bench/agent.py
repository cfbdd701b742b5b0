"""A minimal, fast agent: `python -m bench.agent [FILE]` prints its port and answers until it is stopped.

It appends the id of every message that it receives to the file, one a line.
"""

import asyncio
import os
import re
import sys

import uvloop

ANSWER = (
    b'{"jsonrpc":"2.0","id":1,"result":{"kind":"message","messageId":"reply","role":"agent",'
    b'"parts":[{"kind":"text","text":"hello"}]}}'
)

RESPONSE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(ANSWER) + ANSWER

MESSAGE_ID = re.compile(rb'"messageId": ?"([^"]+)"')


class Echo(asyncio.Protocol):
    """Answers each request on a connection with the same response."""

    def __init__(self, record: int | None) -> None:
        """`record` is the descriptor of the file for the message ids."""
        self._record = record
        self._received = b""
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._end()) is not None:
            if self._record is not None and (found := MESSAGE_ID.search(self._received[:end])):
                os.write(self._record, found.group(1) + b"\n")
            self._received = self._received[end:]
            self._transport.write(RESPONSE)

    def _end(self) -> int | None:
        """The position after the first request; `None` if it is incomplete."""
        head, blank, _ = self._received.partition(b"\r\n\r\n")
        if not blank:
            return None
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        end = len(head) + len(blank) + length
        return end if len(self._received) >= end else None


async def _serve() -> None:
    record = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600) if len(sys.argv) > 1 else None
    server = await asyncio.get_running_loop().create_server(lambda: Echo(record), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve())
