"""A minimal, fast agent: `python -m bench.agent` prints its port and answers until it is stopped."""

import asyncio

import uvloop

ANSWER = (
    b'{"jsonrpc":"2.0","id":1,"result":{"kind":"message","messageId":"reply","role":"agent",'
    b'"parts":[{"kind":"text","text":"hello"}]}}'
)

RESPONSE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(ANSWER) + ANSWER


class Echo(asyncio.Protocol):
    """Answers each request on a connection with the same response."""

    def __init__(self) -> None:
        self._received = b""
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._end()) is not None:
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
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve())
