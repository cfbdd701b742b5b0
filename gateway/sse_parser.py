"""Parses a stream of server-sent events as it arrives, within a limit of the bytes that are kept. Pure."""

from dataclasses import dataclass

MAX_EVENT_BYTES = 10 * 1024 * 1024
"""Size of the largest event, as of the largest answer."""


class EventTooLargeError(ValueError):
    """An event exceeds the limit."""


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment, which keeps a connection open; without its colon."""

    text: bytes


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """An event with data; the lines of its data are joined."""

    data: bytes
    id: bytes | None = None


class SseParser:
    """The state of one stream between its chunks."""

    def __init__(self, max_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._line: list[bytes] = []
        self._data: list[bytes] = []
        self._id: bytes | None = None
        self._is_first_line = True
        self._may_skip_newline = False
        self.kept_bytes = 0
        """Bytes of the event that is not complete."""

    def feed(self, chunk: bytes) -> list[Comment | ServerEvent]:
        """Return what a chunk completes; raises `EventTooLargeError`. Lines end with CR, LF or both."""
        if self._may_skip_newline and chunk.startswith(b"\n"):
            chunk = chunk[1:]
            self._may_skip_newline = False
        if not chunk:
            return []
        self._may_skip_newline = chunk.endswith(b"\r")
        *complete, rest = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        found = []
        for piece in complete:
            self._keep(piece)
            line = b"".join(self._line)
            self._line = []
            item = self._take_line(line)
            if item is not None:
                found.append(item)
        self._keep(rest)
        return found

    def finish(self) -> list[ServerEvent]:
        """Return the last event of a stream that ended without an empty line."""
        line = b"".join(self._line)
        self._line = []
        if line:
            self._take_line(line)
        event = self._take_event()
        return [] if event is None else [event]

    def _keep(self, piece: bytes) -> None:
        if piece:
            self._line.append(piece)
            self.kept_bytes += len(piece)
            if self.kept_bytes > self._max_bytes:
                raise EventTooLargeError

    def _take_line(self, line: bytes) -> Comment | ServerEvent | None:
        if self._is_first_line:
            self._is_first_line = False
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if not line:
            return self._take_event()
        name, _, value = line.partition(b":")
        if not name:
            self.kept_bytes -= len(line)
            return Comment(value)
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"id" and b"\0" not in value:
            self._id = value
        return None

    def _take_event(self) -> ServerEvent | None:
        event = ServerEvent(b"\n".join(self._data), self._id) if self._data else None
        self._data, self._id, self.kept_bytes = [], None, 0
        return event


_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
