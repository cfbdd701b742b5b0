"""Remembers which messages the adapter has received, with the task of each."""

import asyncio
from dataclasses import dataclass, field

MessageKey = tuple[str, bytes]
"""The id of a message and the digest of its content: different content under the same id is a different message."""


@dataclass(slots=True, eq=False)
class DeliveredMessage:
    """A message that was delivered. If `task_id` is empty when `started` is set, the delivery failed."""

    task_id: str = ""
    started: asyncio.Event = field(default_factory=asyncio.Event)
    finished: asyncio.Event = field(default_factory=asyncio.Event)


class MessageIndex:
    """
    The delivered messages whose tasks are still stored.

    The index lives as long as the process. It has no limit of its own: the task store removes a message together
    with its task.
    """

    def __init__(self) -> None:
        self._messages: dict[MessageKey, DeliveredMessage] = {}
        self._keys: dict[str, MessageKey] = {}

    def find(self, key: MessageKey) -> DeliveredMessage | None:
        return self._messages.get(key)

    def add(self, key: MessageKey) -> DeliveredMessage:
        """Record that the message is being delivered."""
        message = self._messages[key] = DeliveredMessage()
        return message

    def assign_task(self, key: MessageKey, task_id: str) -> None:
        """Record the task that the message becomes."""
        self._messages[key].task_id = task_id
        self._keys[task_id] = key

    def mark_started(self, task_id: str) -> None:
        """Record that the task is stored, so that it can be fetched."""
        if message := self._find_by_task(task_id):
            message.started.set()

    def mark_finished(self, task_id: str) -> None:
        """Record that the task produces no further events by itself."""
        if message := self._find_by_task(task_id):
            message.started.set()
            message.finished.set()

    def forget_task(self, task_id: str) -> None:
        if key := self._keys.pop(task_id, None):
            self._messages.pop(key, None)

    def forget_unstarted(self, key: MessageKey) -> None:
        """Forget the message unless its task has started; callers that wait for it are released and may retry."""
        message = self._messages.get(key)
        if message is None or message.started.is_set():
            return
        del self._messages[key]
        self._keys.pop(message.task_id, None)
        message.task_id = ""
        message.started.set()
        message.finished.set()

    def _find_by_task(self, task_id: str) -> DeliveredMessage | None:
        key = self._keys.get(task_id)
        return self._messages.get(key) if key else None
