"""Finds the task in the first events of a streamed answer."""

from services.a2a_proxy.answered_tasks import AnsweredTask, find_task
from services.a2a_proxy.outcome import LINE_END

MAX_SEARCHED_BYTES = 256 * 1024
"""Bytes at the beginning of a stream in which its task is looked for."""


class TaskFinder:
    """Reads the beginning of a stream, chunk by chunk, until an event tells of a task. Each byte is read once."""

    def __init__(self) -> None:
        self._unread = bytearray()
        """The event that is not complete yet, with line feeds as its line ends."""
        self._bytes = 0
        self._ends_with_return = False
        self.is_searching = True
        """Whether a further chunk may tell of the task."""

    def feed(self, chunk: bytes) -> AnsweredTask | None:
        """Return the task once a complete event tells of it."""
        self._bytes += len(chunk)
        start = max(len(self._unread) - 1, 0)
        self._unread += self._normalise(chunk)
        while (end := self._unread.find(b"\n\n", start)) >= 0:
            event, start = bytes(self._unread[:end]), 0
            del self._unread[: end + 2]
            task = find_task(_join_data(event))
            if task is not None:
                self._end()
                return task
        if self._bytes >= MAX_SEARCHED_BYTES:
            self._end()
        return None

    def _normalise(self, chunk: bytes) -> bytes:
        """Return a chunk with line feeds as its line ends; one of two characters may begin in the chunk before."""
        continued = chunk[1:] if self._ends_with_return and chunk.startswith(b"\n") else chunk
        self._ends_with_return = chunk.endswith(b"\r") if chunk else self._ends_with_return
        return LINE_END.sub(b"\n", continued)

    def _end(self) -> None:
        self.is_searching = False
        self._unread.clear()


def _join_data(event: bytes) -> bytes:
    """Return the data of an SSE event."""
    return b"\n".join(line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:"))
