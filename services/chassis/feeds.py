"""Follows a feed of another service, and opens it again after it broke.

A feed is a server stream with a sign of life every `FEED_SIGN_INTERVAL`. A reader that received nothing for
`FEED_SILENCE_LIMIT` opens the stream again and no longer trusts what it learnt from it.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from typing import Generic, Self, TypeVar

import structlog

from services.chassis.backoff import Backoff
from services.chassis.errors import ServiceError, Unavailable

FEED_SIGN_INTERVAL = timedelta(seconds=2)
"""Time between two signs of life that a server sends on an idle feed."""

FEED_SILENCE_LIMIT = timedelta(seconds=8)
"""Time without a message after which a reader treats a feed as broken: four missed signs of life."""

T = TypeVar("T")

log = structlog.get_logger()


class FeedReader(Generic[T]):
    """Reads one feed, connection after connection.

    The caller loops for as long as it wants to follow the feed:

        while True:
            async with reader.connection() as messages:
                async for message in messages:
                    ...
    """

    def __init__(
        self,
        name: str,
        open_stream: Callable[[], AsyncGenerator[T, None]],
        *,
        backoff: Backoff,
        silence_limit: timedelta | None = FEED_SILENCE_LIMIT,
        ends_outage: Callable[[T], bool] = lambda _: True,
        on_error: Callable[[Exception], None] = lambda _: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`open_stream` is called once for each connection, so it can ask for what follows the last message.

        `silence_limit` is `None` for a feed without signs of life. `ends_outage` says which messages prove that the
        feed works again; they reset the backoff. `on_error` is called with every error that breaks a connection.
        `monotonic` returns seconds.
        """
        self._name = name
        self._open_stream = open_stream
        self._backoff = backoff
        self._silence_limit = silence_limit
        self._ends_outage = ends_outage
        self._on_error = on_error
        self._monotonic = monotonic
        self._received_at = float("-inf")
        self._failures = 0

    def is_fresh(self, within: timedelta | None = None) -> bool:
        """Whether a message arrived within the given time; by default the silence limit, without which: no."""
        limit = self._silence_limit if within is None else within
        return limit is not None and self._monotonic() - self._received_at <= limit.total_seconds()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncIterator[T]]:
        """Open the stream once, and pause after it so that the caller can open it again at once.

        The end of the stream, silence, and any `ServiceError` or `TimeoutError` of the `async with` body end the
        connection without being raised. Only the first of consecutive failures is logged.
        """
        cancellations = _count_cancellations()
        try:
            async with aclosing(self._open_stream()) as stream:
                yield _Messages(stream, self._silence_limit, self._note_received)
        except (ServiceError, TimeoutError) as error:
            if _count_cancellations() > cancellations:  # the stream turned the cancellation into an error
                raise asyncio.CancelledError from error
            self._note_failure(error)
        await asyncio.sleep(self._backoff.delay(max(self._failures, 1)).total_seconds())

    def _note_received(self, message: T) -> None:
        self._received_at = self._monotonic()
        if self._failures and self._ends_outage(message):
            self._failures = 0

    def _note_failure(self, error: Exception) -> None:
        self._failures += 1
        if self._failures == 1:
            log.warning("feed broken", feed=self._name, error=repr(error))
        self._on_error(error)


class _Messages(Generic[T]):
    """Messages of one connection. A class, so that a caller may leave the loop without closing a generator."""

    def __init__(
        self, stream: AsyncGenerator[T, None], silence_limit: timedelta | None, note_received: Callable[[T], None]
    ) -> None:
        self._stream = stream
        self._timeout = None if silence_limit is None else silence_limit.total_seconds()
        self._note_received = note_received

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        async with asyncio.timeout(self._timeout):
            message = await anext(self._stream, None)
        if message is None:
            raise Unavailable("the stream ended")
        self._note_received(message)
        return message


def _count_cancellations() -> int:
    """Return how many requests to cancel the current task are not yet handled."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()
