"""Sends messages with ids of their own that the plane accepts: `python -m bench.queue_load PLAN`; prints JSON."""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import uvloop

from bench.load import summarise

MESSAGE = (
    '{"jsonrpc":"2.0","id":1,"method":"message/send","params":{"message":{"kind":"message","messageId":"%s-%d",'
    '"role":"user","parts":[{"kind":"text","text":"hello"}]}}}'
)

ACCEPTED = b"HTTP/1.1 202"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLoadPlan:
    """The only argument of the process, as JSON."""

    port: int
    path: str
    name: str
    """Beginning of the message ids."""
    messages: int
    connections: int
    prefer: str = ""
    """The Prefer header."""
    rate: float = 0.0
    """Messages a second over all connections; with 0, each answer is followed by the next message."""


async def run(plan: QueueLoadPlan) -> list[float]:
    """Send the messages; return the seconds that each took to be accepted."""
    durations: list[float] = []
    numbers = iter(range(plan.messages))
    async with asyncio.TaskGroup() as group:
        for _ in range(plan.connections):
            group.create_task(_send_messages(plan, numbers, durations, time.perf_counter()))
    return durations


async def _send_messages(
    plan: QueueLoadPlan, numbers: Iterator[int], durations: list[float], started_at: float
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", plan.port)
    prefer = f"prefer: {plan.prefer}\r\n" if plan.prefer else ""
    head = f"POST {plan.path} HTTP/1.1\r\nhost: 127.0.0.1:{plan.port}\r\ncontent-type: application/json\r\n{prefer}"
    for number in numbers:
        if plan.rate:
            await asyncio.sleep(max(0.0, started_at + number / plan.rate - time.perf_counter()))
        message = MESSAGE % (plan.name, number)
        sent_at = time.perf_counter()
        writer.write(f"{head}content-length: {len(message)}\r\n\r\n{message}".encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(int(answer.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]))
        if not answer.startswith(ACCEPTED):
            sys.exit(f"{answer.decode()}{body.decode()}")
        durations.append(time.perf_counter() - sent_at)
    writer.close()


def main() -> None:
    """Send, and print the result."""
    started_at = time.perf_counter()
    durations = uvloop.run(run(QueueLoadPlan(**json.loads(sys.argv[1]))))
    print(json.dumps(asdict(summarise(durations, time.perf_counter() - started_at))))


if __name__ == "__main__":
    main()
