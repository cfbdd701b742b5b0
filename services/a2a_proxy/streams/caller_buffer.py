"""The bounded buffer between a recording and the caller that began the stream."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from datetime import timedelta

from services.a2a_proxy.model import StreamInterrupted

MAX_BUFFERED_BYTES = 256 * 1024
"""Bytes that wait for the caller until the agent is slowed down."""

MAX_DELAY = timedelta(seconds=1)
"""Time that a caller which takes nothing may hold back others that follow the same stream."""


class CallerBuffer:
    """What the caller of a stream has not taken yet. While it has no room, the agent has to wait."""

    def __init__(self, *, may_hold_back: Callable[[], bool], on_departure: Callable[[], None]) -> None:
        """`may_hold_back` says whether nobody else follows the stream; `on_departure` is called once, at the end."""
        self._may_hold_back = may_hold_back
        self._on_departure = on_departure
        self._pieces: deque[bytes] = deque()
        self._bytes = 0
        self._has_changed = asyncio.Event()
        self._has_room = asyncio.Event()
        self._is_over = False
        self._is_interrupted = False
        self.is_attached = True

    async def put(self, piece: bytes) -> None:
        """Hand over a piece once there is room; one that nobody waits for is dropped."""
        while self.is_attached and self._bytes and self._bytes + len(piece) > MAX_BUFFERED_BYTES:
            self._has_room.clear()
            try:
                async with asyncio.timeout(MAX_DELAY.total_seconds()):
                    await self._has_room.wait()
            except TimeoutError:
                if not self._may_hold_back():
                    self.close(interrupted=True)
                    self._leave()
        if self.is_attached and piece:
            self._pieces.append(piece)
            self._bytes += len(piece)
            self._has_changed.set()

    def close(self, *, interrupted: bool = False) -> None:
        """End the stream of the caller after what is buffered."""
        self._is_over = True
        self._is_interrupted = interrupted
        self._has_changed.set()

    async def read(self) -> AsyncGenerator[bytes, None]:
        """Yield what the caller receives; raises `StreamInterrupted`. The caller leaves when it stops reading."""
        try:
            while self._pieces or not self._is_over:
                if not self._pieces:
                    self._has_changed.clear()
                    await self._has_changed.wait()
                    continue
                waiting = b"".join(self._pieces)
                self._pieces.clear()
                self._bytes = 0
                self._has_room.set()
                yield waiting
            if self._is_interrupted:
                raise StreamInterrupted
        finally:
            self._leave()

    def _leave(self) -> None:
        if self.is_attached:
            self.is_attached = False
            self._has_room.set()
            self._on_departure()
