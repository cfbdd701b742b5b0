"""A DNS server that answers the names that a test lists, and no others."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiohttp.resolver import AsyncResolver

TYPE_A = 1
ANSWER_FLAGS = 0x8180
TTL_SECONDS = 0


class NameServer(asyncio.DatagramProtocol):
    """Answers questions for IPv4 addresses of known names, denies their other types, and is silent otherwise."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names
        self.asked: list[str] = []
        self.port = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        name, end = _read_name(data)
        (kind,) = struct.unpack("!H", data[end : end + 2])
        self.asked.append(name)
        if name not in self._names:
            return
        question = data[12 : end + 4]
        count = 1 if kind == TYPE_A else 0
        answer = data[:2] + struct.pack("!HHHHH", ANSWER_FLAGS, 1, count, 0, 0) + question
        if count:
            answer += (
                b"\xc0\x0c" + struct.pack("!HHIH", TYPE_A, 1, TTL_SECONDS, 4) + socket.inet_aton(self._names[name])
            )
        self._transport.sendto(answer, addr)


def _read_name(data: bytes) -> tuple[str, int]:
    labels, place = [], 12
    while length := data[place]:
        labels.append(data[place + 1 : place + 1 + length].decode().lower())
        place += 1 + length
    return ".".join(labels), place + 1


@asynccontextmanager
async def run_name_server(names: Mapping[str, str]) -> AsyncIterator[NameServer]:
    """Run the server on a free port of this machine for the length of the block."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(lambda: NameServer(names), local_addr=("127.0.0.1", 0))
    try:
        yield server
    finally:
        transport.close()


def resolver_of(server: NameServer) -> AsyncResolver:
    """Return the resolver of the proxy, which asks this server."""
    return AsyncResolver(nameservers=["127.0.0.1"], udp_port=server.port)
