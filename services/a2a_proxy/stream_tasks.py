"""Finds the task in the first events of a streamed answer."""

import sys

from molecule_a2a.event_streams import EventReader
from services.a2a_proxy.answered_tasks import AnsweredTask, find_task

MAX_SEARCHED_BYTES = 256 * 1024
"""Bytes at the beginning of a stream in which its task is looked for."""


class TaskFinder:
    """Reads the beginning of a stream, chunk by chunk, until an event tells of a task."""

    def __init__(self) -> None:
        self._reader = EventReader(max_event_bytes=sys.maxsize)  # the bytes in all are limited below
        self._bytes = 0
        self.is_searching = True
        """Whether a further chunk may tell of the task."""

    def feed(self, chunk: bytes) -> AnsweredTask | None:
        """Return the task once a complete event tells of it."""
        self._bytes += len(chunk)
        for event in self._reader.read(chunk):
            task = find_task(event.data or b"")
            if task is not None:
                self._end()
                return task
        if self._bytes >= MAX_SEARCHED_BYTES:
            self._end()
        return None

    def _end(self) -> None:
        self.is_searching = False
        self._reader = EventReader(max_event_bytes=0)
