"""The caller's side of one call: what it has received, whether it has left, and the memory of its bodies."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from services.a2a_proxy.body_budget import BodyBudget, BodyBudgets, Reservation
from services.a2a_proxy.errors import CallerLeft, TooManyLargeMessages
from services.a2a_proxy.model import WorkspaceId

WINDOW_BYTES = 256 * 1024
"""Bytes of one answer stream that may be sent before the client has acknowledged them."""


class WaitingCall:
    """One call of a gateway, as long as it is open."""

    def __init__(self, target: WorkspaceId, budgets: BodyBudgets) -> None:
        self._target = target
        self._budgets = budgets
        self._reservations: dict[BodyBudget, Reservation] = {}
        self._unacknowledged = 0
        self._acknowledged = asyncio.Event()
        self._stream: asyncio.Task[None] | None = None
        self._body: asyncio.Future[bytes] | None = None
        self._listeners: list[Callable[[], None]] = []
        self.has_left = False
        self.is_sent = False
        self.is_answered = False

    @property
    def has_large_answer(self) -> bool:
        """Whether the answer occupies memory that others may wait for."""
        return self._budgets.answers in self._reservations

    async def reserve_message(self, size: int) -> None:
        """Wait until there is room for a message of `size` bytes; raises `TooManyLargeMessages` or `CallerLeft`."""
        try:
            await self._reserve(self._budgets.messages, size)
        except TimeoutError:
            raise TooManyLargeMessages from None
        if self.has_left:
            raise CallerLeft

    async def reserve_answer(self, size: int) -> None:
        """Wait until there is room for an answer of `size` bytes; raises `TimeoutError`.

        A part of it that was reserved before is returned first, so that nothing is held while waiting.
        """
        await self._reserve(self._budgets.answers, size)

    def add_listener(self, call: Callable[[], None]) -> None:
        """Have `call` called when the caller leaves."""
        self._listeners.append(call)

    def remove_listener(self, call: Callable[[], None]) -> None:
        """Have `call` called no more."""
        self._listeners.remove(call)

    async def receive_body(self) -> bytes:
        """Return the announced body once it has arrived; raises `CallerLeft`."""
        self._body = asyncio.get_running_loop().create_future()
        try:
            return await self._body
        finally:
            self._body = None

    def put_body(self, body: bytes) -> None:
        """Take the announced body; one that nobody waits for is dropped."""
        if self._body is not None and not self._body.done():
            self._body.set_result(body)

    def release_message(self) -> None:
        """Return the memory of the message, which is not needed any more."""
        self._release(self._budgets.messages)

    def release(self) -> None:
        """Return the memory of message and answer."""
        for budget in list(self._reservations):
            self._release(budget)

    async def wait_for_room(self, size: int) -> None:
        """Return once the window has room for `size` further bytes, and count them as sent."""
        while self._unacknowledged and self._unacknowledged + size > WINDOW_BYTES:
            self._acknowledged.clear()
            await self._acknowledged.wait()
        self._unacknowledged += size

    def acknowledge(self, size: int) -> None:
        """Count `size` bytes as received by the client."""
        self._unacknowledged = max(0, self._unacknowledged - size)
        self._acknowledged.set()

    def cancel(self) -> None:
        """Stop the answer stream. A dispatch without a stream continues, because the agent may have the message."""
        self.has_left = True
        for call in self._listeners:
            call()
        if self._stream is not None:
            self._stream.cancel()
        if self._body is not None and not self._body.done():
            self._body.set_exception(CallerLeft())

    @asynccontextmanager
    async def cancellable(self) -> AsyncGenerator[None, None]:
        """Let `cancel` end the block; a call that is cancelled already ends it at once."""
        self._stream = asyncio.current_task()
        if self.has_left and self._stream is not None:
            self._stream.cancel()
        try:
            yield
        finally:
            self._stream = None

    async def _reserve(self, budget: BodyBudget, size: int) -> None:
        self._release(budget)
        self._reservations[budget] = await budget.reserve(self._target, size)

    def _release(self, budget: BodyBudget) -> None:
        if (reservation := self._reservations.pop(budget, None)) is not None:
            budget.release(reservation)
