"""Remembers which messages the adapter has received, with the task of each."""

import asyncio
from dataclasses import dataclass, field

from molecule_agent.delivery_journal import DeliveryJournal, MessageKey


@dataclass(slots=True, eq=False)
class DeliveredMessage:
    """A message that was delivered. If `task_id` is empty when `started` is set, the delivery failed."""

    task_id: str = ""
    started: asyncio.Event = field(default_factory=asyncio.Event)
    finished: asyncio.Event = field(default_factory=asyncio.Event)


class MessageIndex:
    """
    The delivered messages whose tasks are still stored.

    The journal has the same messages in a file. Neither has a limit of its own: the task store removes a message
    together with its task.
    """

    def __init__(self, journal: DeliveryJournal) -> None:
        self._journal = journal
        self._messages: dict[MessageKey, DeliveredMessage] = {}
        self._keys: dict[str, MessageKey] = {}

    def find(self, key: MessageKey) -> DeliveredMessage | None:
        return self._messages.get(key)

    def add(self, key: MessageKey) -> DeliveredMessage:
        """Record that the message is being delivered."""
        message = self._messages[key] = DeliveredMessage()
        return message

    def restore(self, key: MessageKey, task_id: str) -> None:
        """Take over a message that an earlier process has ended."""
        message = self.add(key)
        message.task_id = task_id
        self._keys[task_id] = key
        message.started.set()
        message.finished.set()

    def assign_task(self, key: MessageKey, *, task_id: str, context_id: str) -> None:
        """Record the task that the message becomes; its journal has it before the adapter."""
        self._journal.begin(key, task_id=task_id, context_id=context_id)
        self._messages[key].task_id = task_id
        self._keys[task_id] = key

    def mark_started(self, task_id: str) -> None:
        """Record that the task is stored, so that it can be fetched."""
        if message := self._find_by_task(task_id):
            message.started.set()

    def mark_finished(self, task_id: str, task: bytes) -> None:
        """Record that the task, as it is stored now, produces no further events by itself."""
        if message := self._find_by_task(task_id):
            if not message.finished.is_set():
                self._journal.end(self._keys[task_id], task)
            message.started.set()
            message.finished.set()

    def forget_task(self, task_id: str) -> None:
        self._journal.forget(task_id)
        if key := self._keys.pop(task_id, None):
            self._messages.pop(key, None)

    def forget_unstarted(self, key: MessageKey) -> None:
        """Forget the message unless its task has started; callers that wait for it are released and may retry."""
        message = self._messages.get(key)
        if message is None or message.started.is_set():
            return
        del self._messages[key]
        self._keys.pop(message.task_id, None)
        if message.task_id:
            self._journal.forget(message.task_id)
        message.task_id = ""
        message.started.set()
        message.finished.set()

    def _find_by_task(self, task_id: str) -> DeliveredMessage | None:
        key = self._keys.get(task_id)
        return self._messages.get(key) if key else None
