"""Measures the conversion between A2A 0.3 and 1.0: `python -m bench.conversion`. Needs no plane, and takes seconds."""

import sys
import timeit
from collections.abc import Callable
from typing import Any

from molecule_a2a.answers import convert_answer
from molecule_a2a.cards import build_hybrid_card
from molecule_a2a.model import Dialect
from molecule_a2a.requests import convert_request
from molecule_a2a.streams import convert_frame
from services.chassis import strict_json

ENTROPY = bytes(16)
REPEATS = 9
ROUNDS = 300
PARTS = 20
"""Parts of the message of 10 kB."""


def main() -> int:
    request = build_request()
    size = len(strict_json.dump(request))
    converted = convert_request(request, caller=Dialect.LEGACY, agent=Dialect.CURRENT, entropy=ENTROPY)
    legacy_task = build_task(request["params"]["message"])
    answer = {"jsonrpc": "2.0", "id": 1, "result": legacy_task}
    downgrade = converted.answer
    upgrade = convert_request(converted.request, caller=Dialect.CURRENT, agent=Dialect.LEGACY, entropy=ENTROPY).answer
    upgraded_answer = convert_answer(answer, upgrade)
    event = {"jsonrpc": "2.0", "id": 1, "result": {"kind": "status-update", "taskId": "T", "contextId": "C"}}
    body = strict_json.dump(request)
    print(
        f"microseconds for a message of {size / 1000:.1f} kB with {PARTS} parts; the best of {REPEATS} times {ROUNDS}"
    )
    report("request, 0.3 to 1.0", lambda: convert(request, Dialect.CURRENT))
    report("request, 1.0 to 0.3", lambda: convert(converted.request, Dialect.LEGACY))
    report("answer with the message, 0.3 to 1.0", lambda: convert_answer(answer, upgrade))
    report("answer with the message, 1.0 to 0.3", lambda: convert_answer(upgraded_answer, downgrade))
    report("small event, 0.3 to 1.0", lambda: convert_frame(event, upgrade, has_begun=True))
    report("card for both", lambda: build_hybrid_card(CARD))
    report("for comparison: parse and write the request", lambda: strict_json.dump(strict_json.parse(body)))
    return 0


def time_message() -> float:
    """Return the microseconds in which a message of 10 kB is converted, in the direction that takes longer."""
    request = build_request()
    current = convert_request(request, caller=Dialect.LEGACY, agent=Dialect.CURRENT, entropy=ENTROPY).request
    return max(
        measure(lambda: convert_request(request, caller=Dialect.LEGACY, agent=Dialect.CURRENT, entropy=ENTROPY)),
        measure(lambda: convert_request(current, caller=Dialect.CURRENT, agent=Dialect.LEGACY, entropy=ENTROPY)),
    )


def convert(request: dict[str, Any], agent: Dialect) -> object:
    return convert_request(request, caller=agent, agent=agent, entropy=ENTROPY)


def build_request() -> dict[str, Any]:
    """Return a request whose parts are texts, files and data."""
    parts = [
        {"kind": "text", "text": "x" * 450},
        {"kind": "text", "text": "x" * 450},
        {"kind": "file", "file": {"bytes": "QUJD" * 110, "name": "a.bin", "mimeType": "application/octet-stream"}},
        {"kind": "data", "data": {"values": list(range(60)), "name": "x" * 250}},
    ] * (PARTS // 4)
    message = {"kind": "message", "messageId": "m", "role": "user", "parts": parts}
    return {"jsonrpc": "2.0", "id": 1, "method": "message/send", "params": {"message": message}}


def build_task(message: dict[str, Any]) -> dict[str, Any]:
    status = {"state": "completed", "timestamp": "2026-01-01T00:00:00.123456+00:00"}
    return {"kind": "task", "id": "T", "contextId": "C", "status": status, "history": [message]}


def report(name: str, run: Callable[[], object]) -> None:
    print(f"{measure(run):8.1f}  {name}")


def measure(run: Callable[[], object]) -> float:
    """Return the microseconds of one run, the best of several times."""
    return min(timeit.repeat(run, number=ROUNDS, repeat=REPEATS)) / ROUNDS * 1e6


CARD = {
    "name": "n",
    "protocolVersion": "0.3.0",
    "url": "https://agent.example/",
    "capabilities": {"streaming": True},
    "securitySchemes": {"b": {"type": "http", "scheme": "bearer"}},
    "security": [{"b": []}],
    "skills": [{"id": f"s{number}", "name": "s", "description": "d", "tags": ["t"]} for number in range(5)],
}

if __name__ == "__main__":
    sys.exit(main())
