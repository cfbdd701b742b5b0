"""What every caller of the requirements can do: ask for an operation of A2A in one binding and generation."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.e2e.a2a_requirements.reply import JsonObject, Reply

OPERATIONS = (
    *("send", "stream", "get", "list", "cancel", "subscribe"),
    *("push set", "push get", "push list", "push delete", "card"),
)

EVENT_STREAM = "text/event-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where one agent is reached: the addresses of its bindings and of its card, and what a caller sends along."""

    rpc: str
    rest: str
    grpc: str
    tenant: str = ""
    card: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


class Caller:
    """Asks one agent. Requests are written as JSON of 1.0; a caller translates them to its own form."""

    name: str
    generation: str
    binding: str
    version: str
    """The value of `A2A-Version`; empty for 0.3, whose clients send none."""

    def __init__(self, http: httpx.AsyncClient, address: Address) -> None:
        self.http = http
        self.address = address

    def build_headers(self, headers: Mapping[str, str] | None) -> dict[str, str]:
        """Return the headers of a request; an empty value leaves its header out."""
        version = {"A2A-Version": self.version} if self.version else {}
        return {**self.address.headers, **version, **(headers or {})}

    async def close(self) -> None:
        """Give up what the caller holds."""

    async def call(self, operation: str, params: JsonObject, headers: Mapping[str, str] | None = None) -> Reply:
        """Return the answer to an operation that is no stream."""
        raise NotImplementedError

    def events(
        self, operation: str, params: JsonObject, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[Reply]:
        """Yield the events of a stream, or the one answer that came instead of it."""
        raise NotImplementedError


def parse_data(line: str) -> str | None:
    """Return the data of a line of an event stream, `None` for any other line."""
    return line[5:].strip() if line.startswith("data:") else None


def describe(response: httpx.Response) -> dict[str, Any]:
    """Return the members of a reply that come from the head of a response."""
    media_type = response.headers.get("content-type", "").partition(";")[0]
    return {"status": response.status_code, "media_type": media_type, "headers": dict(response.headers)}
