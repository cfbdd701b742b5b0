"""Clients that only ask and wait: `python -m bench.load PORT PATH CONNECTIONS SECONDS` prints what they saw."""

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass

import uvloop

MESSAGE = (
    b'{"jsonrpc":"2.0","id":1,"method":"message/send","params":{"message":{"kind":"message","messageId":"%d",'
    b'"role":"user","parts":[{"kind":"text","text":"hello"}]}}}'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a run saw: requests a second, and how long the middle one and the slowest hundredth took."""

    rate: float
    p50_ms: float
    p99_ms: float
    requests: int


async def run(port: int, path: str, connections: int, seconds: float) -> Sample:
    """Ask over so many connections for so long."""
    took: list[float] = []
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(connections):
            group.create_task(_ask(port, path, number, began + seconds, took))
    return run_load(took, time.perf_counter() - began)


def run_load(took: list[float], spent: float) -> Sample:
    """What so many seconds of asking come to, from how long each answer took."""
    took.sort()
    return Sample(
        rate=len(took) / spent,
        p50_ms=took[len(took) // 2] * 1000,
        p99_ms=took[len(took) * 99 // 100] * 1000,
        requests=len(took),
    )


async def _ask(port: int, path: str, number: int, until: float, took: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = MESSAGE % number
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
    request = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
    while (began := time.perf_counter()) < until:
        writer.write(request)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        told = await reader.readexactly(length)
        if not answer.startswith(b"HTTP/1.1 200"):
            sys.exit(f"{answer.decode()}{told.decode()}")
        took.append(time.perf_counter() - began)
    writer.close()


if __name__ == "__main__":
    sample = uvloop.run(run(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
    print(json.dumps(asdict(sample)))
