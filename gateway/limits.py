"""How much a client may send, and how often."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

BODY_CAP = 1024 * 1024
"""Bytes of a body, where a route names no cap of its own."""

CARD_CAP = 256 * 1024
"""Bytes of an agent card, in its compact form."""

WINDOW = 60.0
"""Seconds that a client's requests are counted for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What is left of a window for one client, this request counted."""

    limit: int
    remaining: int
    reset: int
    exceeded: bool


class Rate:
    """Counts the requests of each client address in windows of one minute.

    All addresses share the window, so that forgetting is dropping one dictionary: what it holds
    is bounded by the requests of a minute.
    """

    def __init__(self, limit: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._monotonic = monotonic
        self._ends = 0.0
        self._counts: dict[str, int] = {}

    def take(self, address: str) -> Allowance:
        """Count one request of `address`."""
        now = self._monotonic()
        if now >= self._ends:
            self._ends = now + WINDOW
            self._counts = {}
        count = self._counts.get(address, 0) + 1
        self._counts[address] = count
        return Allowance(
            limit=self._limit,
            remaining=max(0, self._limit - count),
            reset=math.ceil(self._ends - now),
            exceeded=count > self._limit,
        )
