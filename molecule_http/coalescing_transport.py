"""A transport that sends what is written in one turn of the event loop as one packet."""

import asyncio
from typing import Any

MAX_COALESCED_BYTES = 64 * 1024
"""Bytes that are held until the end of a turn of the event loop."""


class CoalescingTransport:
    """A transport that sends what is written in one turn of the event loop as one packet: a head with its body.

    Everything but writing and closing is delegated to the wrapped transport.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._held: list[bytes] = []
        self._held_bytes = 0

    def write(self, data: bytes) -> None:
        """Send data by the end of this turn; large data at once, because joining it would copy it.

        Data for a connection that has ended is dropped.
        """
        if self._transport.is_closing():
            return
        if len(data) > MAX_COALESCED_BYTES:
            self._flush()
            self._transport.write(data)
            return
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > MAX_COALESCED_BYTES:
            self._flush()

    def write_eof(self) -> None:
        """Send the held data and end the direction to the client."""
        self._flush()
        self._transport.write_eof()

    def close(self) -> None:
        """Send the held data and close the connection."""
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the attributes of any transport
        return getattr(self._transport, name)

    def _flush(self) -> None:
        if self._held:
            held = b"".join(self._held)
            self._held.clear()
            self._held_bytes = 0
            if not self._transport.is_closing():  # uvloop raises for a connection that has ended
                self._transport.write(held)
