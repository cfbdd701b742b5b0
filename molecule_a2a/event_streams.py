"""Reads and writes event streams (Server-Sent Events of the HTML standard), piece by piece."""

import re
from dataclasses import dataclass


class EventTooLarge(ValueError):
    """An event has more bytes than the reader takes."""


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """An event of a stream, or only comments."""

    data: bytes | None
    """The lines of the data, joined by line feeds; `None` without any."""
    other_lines: tuple[bytes, ...] = ()
    """All other lines as they are: id, event, retry and comments."""


class EventReader:
    """Finds the events in a stream whose pieces end anywhere. An event that never ends is not returned."""

    def __init__(self, *, max_event_bytes: int) -> None:
        self._max_event_bytes = max_event_bytes
        self._waiting = bytearray()
        self._searched = 0
        self._ends_with_return = False

    @property
    def waiting_bytes(self) -> int:
        """The bytes that are kept of the event that has not ended."""
        return len(self._waiting)

    def read(self, piece: bytes) -> list[StreamEvent]:
        """Return the events that end in this piece; raises `EventTooLarge`."""
        self._waiting += self._normalize(piece)
        events = []
        begin = 0
        while (end := self._waiting.find(b"\n\n", max(self._searched - 1, begin))) >= 0:
            event = parse_event(bytes(self._waiting[begin:end]))
            if event is not None:
                events.append(event)
            begin = self._searched = end + 2
        del self._waiting[:begin]
        self._searched = len(self._waiting)
        if self._searched > self._max_event_bytes:
            raise EventTooLarge
        return events

    def _normalize(self, piece: bytes) -> bytes:
        """Return a piece whose lines end with a line feed. One that ended with a return may go on with a line feed."""
        if self._ends_with_return and piece.startswith(b"\n"):
            piece = piece[1:]
            self._ends_with_return = False
        if piece:
            self._ends_with_return = piece.endswith(b"\r")
        return _normalize_lines(piece)


def parse_event(text: bytes) -> StreamEvent | None:
    """Return the event of a text with one event, whatever ends its lines; `None` for no lines."""
    lines = [line for line in _normalize_lines(text).split(b"\n") if line]
    if not lines:
        return None
    data = [line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")]
    others = tuple(line for line in lines if not line.startswith(b"data:") and line != b"data")
    return StreamEvent(b"\n".join(data) if data else None, others)


def render_event(data: bytes | None, other_lines: tuple[bytes, ...] = ()) -> bytes:
    """Return the text of an event; `data` is one JSON text, so it has no line of its own."""
    lines = [*other_lines] if data is None else [*other_lines, b"data: " + data]
    return b"\n".join(lines) + b"\n\n"


_LINE_END = re.compile(rb"\r\n?")


def _normalize_lines(text: bytes) -> bytes:
    return _LINE_END.sub(b"\n", text) if b"\r" in text else text
