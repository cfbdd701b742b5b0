"""Which messages were handed to the adapter already, and what became of them."""

import asyncio
from dataclasses import dataclass, field

MessageKey = tuple[str, bytes]
"""The id of a message and the digest of its content: another content under the same id is another message."""


@dataclass(slots=True, eq=False)
class DeliveredMessage:
    """One message that was handed on. Without a task once `begun` is set, nothing came of it."""

    task_id: str = ""
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class MessageIndex:
    """
    The messages whose tasks are still known.

    Lives as long as the process. It has no bound of its own: whoever keeps the tasks forgets both together.
    """

    def __init__(self) -> None:
        self._messages: dict[MessageKey, DeliveredMessage] = {}
        self._keys: dict[str, MessageKey] = {}

    def find(self, key: MessageKey) -> DeliveredMessage | None:
        return self._messages.get(key)

    def add(self, key: MessageKey) -> DeliveredMessage:
        """Remember that the message is being handed on now."""
        handed = self._messages[key] = DeliveredMessage()
        return handed

    def assign(self, key: MessageKey, task_id: str) -> None:
        """The message will be worked on as this task."""
        self._messages[key].task_id = task_id
        self._keys[task_id] = key

    def begun(self, task_id: str) -> None:
        """The task can be asked for from now on."""
        if handed := self._of(task_id):
            handed.begun.set()

    def ended(self, task_id: str) -> None:
        """Nothing more will come of the task by itself."""
        if handed := self._of(task_id):
            handed.begun.set()
            handed.ended.set()

    def forget_task(self, task_id: str) -> None:
        if key := self._keys.pop(task_id, None):
            self._messages.pop(key, None)

    def give_up(self, key: MessageKey) -> None:
        """Forget the message unless its task has begun; whoever waits for it may try for himself."""
        handed = self._messages.get(key)
        if handed is None or handed.begun.is_set():
            return
        del self._messages[key]
        self._keys.pop(handed.task_id, None)
        handed.task_id = ""
        handed.begun.set()
        handed.ended.set()

    def _of(self, task_id: str) -> DeliveredMessage | None:
        key = self._keys.get(task_id)
        return self._messages.get(key) if key else None
