"""Logs that a limit was hit: one line for each kind of limit and minute, not one for each connection."""

import logging
from enum import StrEnum

log = logging.getLogger("molecule_http")

SECONDS_BETWEEN_LINES = 60.0


class LimitKind(StrEnum):
    """What a client ran into."""

    CONNECTIONS = "connections"
    CONNECTIONS_PER_ADDRESS = "connections of one address"
    TIME = "time for a request"
    SIZE = "size of a request head"


class LimitLog:
    """Writes the first of many equal lines of a minute; the next line says how many were left out."""

    def __init__(self) -> None:
        self._next_line: dict[LimitKind, float] = {}
        self._left_out: dict[LimitKind, int] = {}

    def record(self, kind: LimitKind, address: str, now: float) -> None:
        """Record that a client at `address` hit a limit."""
        if now < self._next_line.get(kind, now):
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return
        self._next_line[kind] = now + SECONDS_BETWEEN_LINES
        log.warning("http limit hit limit=%r address=%s left_out=%d", kind.value, address, self._left_out.pop(kind, 0))
