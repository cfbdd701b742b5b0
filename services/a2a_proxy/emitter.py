"""How parts of the proxy record activity and broadcast events, without knowing who stores and who listens."""

from collections.abc import Iterable
from typing import Protocol

from services.a2a_proxy.model import Activity, Broadcast


class EventEmitter(Protocol):
    """Records activity rows and broadcasts events. Subscribing is no part of it: only `broadcasts` can do that."""

    async def wait_for_room(self, size: int) -> None:
        """Return once a row of `size` bytes can be recorded without exceeding the buffer."""
        ...

    async def record(self, activity: Activity) -> None:
        """Record a row, and broadcast it once it is committed; raises `Unavailable` if rows are not buffered."""
        ...

    def record_soon(self, activity: Activity) -> bool:
        """Buffer a row without waiting, and broadcast it once it is committed; false if there is no room for it."""
        ...

    def broadcast(self, broadcasts: Iterable[Broadcast]) -> None:
        """Send events to the present subscribers without recording anything."""
        ...
