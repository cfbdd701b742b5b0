"""Limits the memory of large bodies in progress: those who want more wait in their order, for a limited time."""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Self

from services.a2a_proxy.model import WorkspaceId

SMALL_BODY_BYTES = 16 * 1024
"""Size up to which a body needs no reservation."""

MAX_WAITING = 1024
"""Reservations that may wait; a further one is refused at once."""

MAX_WAITING_PER_TARGET = 256
"""Reservations of one target that may wait."""

MESSAGE_WAIT_SECONDS = 30.0
"""Seconds that a large message waits for room."""

ANSWER_WAIT_SECONDS = 60.0
"""Seconds that an agent with a large answer waits for room: the work for it is done, so the wait is long."""

TARGET_SHARE = 2
"""One target may occupy one of this many parts of a budget, so that none keeps the others waiting."""


@dataclass(slots=True, eq=False)
class Reservation:
    """Bytes of a budget that one body occupies, or waits for."""

    target: WorkspaceId
    size: int
    granted: "asyncio.Future[None]"


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyBudgets:
    """The budget of messages, and that of answers: a message that waits for its answer does not occupy both."""

    messages: "BodyBudget"
    answers: "BodyBudget"

    @classmethod
    def for_bytes(cls, max_bytes: int, *, max_message_bytes: int, max_answer_bytes: int) -> Self:
        """Return two budgets of `max_bytes`."""
        return cls(
            messages=BodyBudget(max_bytes, max_body_bytes=max_message_bytes, wait_seconds=MESSAGE_WAIT_SECONDS),
            answers=BodyBudget(max_bytes, max_body_bytes=max_answer_bytes, wait_seconds=ANSWER_WAIT_SECONDS),
        )


class BodyBudget:
    """A number of bytes for the large bodies of all targets.

    A reservation waits behind earlier ones, but not behind one that only waits for the share of its target.
    """

    def __init__(self, max_bytes: int, *, max_body_bytes: int, wait_seconds: float) -> None:
        """A target may always have one body of `max_body_bytes`."""
        self._max_bytes = max(max_bytes, max_body_bytes)
        self._max_bytes_per_target = max(max_bytes // TARGET_SHARE, max_body_bytes)
        self._wait_seconds = wait_seconds
        self._used_bytes = 0
        self._used_by: dict[WorkspaceId, int] = {}
        self._waiting: deque[Reservation] = deque()

    @property
    def used_bytes(self) -> int:
        """The bytes that are reserved."""
        return self._used_bytes

    @property
    def waiting(self) -> int:
        """The number of reservations that wait."""
        return len(self._waiting)

    async def reserve(self, target: WorkspaceId, size: int) -> Reservation:
        """Return a reservation once there is room; raises `TimeoutError` if there is none in time."""
        loop = asyncio.get_running_loop()
        reservation = Reservation(target, size, loop.create_future())
        if len(self._waiting) >= MAX_WAITING or self._count_waiting(target) >= MAX_WAITING_PER_TARGET:
            raise TimeoutError
        self._waiting.append(reservation)
        self._grant()
        try:
            async with asyncio.timeout(self._wait_seconds):
                await reservation.granted
        except BaseException:
            self._abandon(reservation)
            raise
        return reservation

    def release(self, reservation: Reservation) -> None:
        """Return the bytes of a granted reservation, and grant those that waited for them."""
        self._used_bytes -= reservation.size
        remaining = self._used_by[reservation.target] - reservation.size
        if remaining:
            self._used_by[reservation.target] = remaining
        else:
            del self._used_by[reservation.target]
        self._grant()

    def _count_waiting(self, target: WorkspaceId) -> int:
        return sum(reservation.target == target for reservation in self._waiting)

    def _grant(self) -> None:
        still_waiting: deque[Reservation] = deque()
        while self._waiting:
            reservation = self._waiting.popleft()
            if reservation.granted.cancelled():
                continue
            used_by_target = self._used_by.get(reservation.target, 0)
            if used_by_target + reservation.size > self._max_bytes_per_target:
                still_waiting.append(reservation)
            elif self._used_bytes + reservation.size > self._max_bytes:
                still_waiting.append(reservation)
                break
            else:
                self._used_bytes += reservation.size
                self._used_by[reservation.target] = used_by_target + reservation.size
                reservation.granted.set_result(None)
        self._waiting.extendleft(reversed(still_waiting))

    def _abandon(self, reservation: Reservation) -> None:
        """Give up a reservation: it may have been granted in the same moment."""
        if reservation.granted.done() and not reservation.granted.cancelled():
            self.release(reservation)
        else:
            reservation.granted.cancel()
            self._grant()
