"""One listener and what it has yet to hear."""

import asyncio
from collections import deque
from datetime import timedelta
from enum import Enum, auto

from gateway.live_event import LiveEvent


class EndReason(Enum):
    """Why a listener hears no more."""

    LEFT = auto()
    """It has left by itself."""

    OVER = auto()
    """There is nothing more to hear."""

    SLOW = auto()
    """It did not keep up: the next stored event would have been lost. It comes back and goes on."""

    LEAVING = auto()
    """This gateway stops, or has lost the thread itself: it comes back, elsewhere, and goes on."""

    REFUSED = auto()
    """It may not listen any more."""

    UNSURE = auto()
    """Nobody can say whether it may listen."""


class SubscriptionEnded(Exception):
    """A listener hears no more."""

    def __init__(self, ending: EndReason) -> None:
        super().__init__(ending.name)
        self.ending = ending


class EventSubscription:
    """Takes news without ever waiting, so that nobody waits for a slow one; hands them on as they are wanted."""

    def __init__(self, capacity: int, after: int) -> None:
        """It has room for so many, and has heard of every stored event up to `after`."""
        self._capacity = capacity
        self._after = after
        self._unheard: deque[LiveEvent] = deque()
        self._ending: EndReason | None = None
        self._some = asyncio.Event()

    def hear(self, news: LiveEvent) -> None:
        """Take news. Where there is no room, what is not kept gives way to what is; if all is kept, it ends."""
        if self._ending is not None or (news.event_id is not None and news.event_id <= self._after):
            return
        if len(self._unheard) >= self._capacity and not self._makes_room(news):
            return
        self._unheard.append(news)
        self._after = self._after if news.event_id is None else news.event_id
        self._some.set()

    def end(self, ending: EndReason) -> None:
        """Hear no more."""
        self._ending = self._ending or ending
        self._unheard.clear()
        self._some.set()

    async def next(self, within: timedelta) -> LiveEvent | None:
        """The next news, or nothing by then; raises `SubscriptionEnded`."""
        if not self._some.is_set():
            try:
                async with asyncio.timeout(within.total_seconds()):
                    await self._some.wait()
            except TimeoutError:
                return None
        if self._ending is not None:
            raise SubscriptionEnded(self._ending)
        news = self._unheard.popleft()
        if not self._unheard:
            self._some.clear()
        return news

    def _makes_room(self, news: LiveEvent) -> bool:
        if news.event_id is None:
            return False
        for place, waiting in enumerate(self._unheard):
            if waiting.event_id is None:
                del self._unheard[place]
                return True
        self.end(EndReason.SLOW)
        return False
