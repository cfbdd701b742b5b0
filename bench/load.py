"""Sends messages over many connections: `python -m bench.load PORT PATH CONNECTIONS SECONDS`; prints JSON."""

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
    """The result of a run: requests a second, and the latencies at the median and the 99th percentile."""

    rate: float
    p50_ms: float
    p99_ms: float
    requests: int


async def run(port: int, path: str, connections: int, seconds: float) -> Sample:
    """Send requests over `connections` connections for `seconds` seconds."""
    durations: list[float] = []
    started_at = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(connections):
            group.create_task(_send_requests(port, path, number, started_at + seconds, durations))
    return summarise(durations, time.perf_counter() - started_at)


def summarise(durations: list[float], elapsed_seconds: float) -> Sample:
    """Compute the result from the duration of each request and of the whole run, in seconds."""
    durations.sort()
    return Sample(
        rate=len(durations) / elapsed_seconds,
        p50_ms=durations[len(durations) // 2] * 1000,
        p99_ms=durations[len(durations) * 99 // 100] * 1000,
        requests=len(durations),
    )


async def _send_requests(port: int, path: str, number: int, until: float, durations: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = MESSAGE % number
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
    request = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
    while (started_at := time.perf_counter()) < until:
        writer.write(request)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
        if not answer.startswith(b"HTTP/1.1 200"):
            sys.exit(f"{answer.decode()}{body.decode()}")
        durations.append(time.perf_counter() - started_at)
    writer.close()


if __name__ == "__main__":
    sample = uvloop.run(run(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
    print(json.dumps(asdict(sample)))
