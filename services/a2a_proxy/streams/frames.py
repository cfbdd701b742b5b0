"""Cuts an event stream (Server-Sent Events of the HTML standard) into its events, byte for byte."""

import re

from molecule_a2a.event_streams import parse_event, render_event

END = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")
"""The end of an event: two ends of lines. A return at the end of what has arrived counts as one."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class FrameTooLarge(ValueError):
    """An event has more bytes than the reader takes."""


class FrameReader:
    """Finds the events in a stream whose pieces end anywhere. Joined, they are the stream; only its mark is dropped."""

    def __init__(self, *, max_frame_bytes: int) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._waiting = bytearray()
        self._searched = 0
        self._is_at_start = True

    def read(self, piece: bytes) -> list[bytes]:
        """Return the events that end in this piece; raises `FrameTooLarge`, and `take_rest` has the others then."""
        self._waiting += piece
        if self._is_at_start:
            if BYTE_ORDER_MARK.startswith(bytes(self._waiting[:3])) and len(self._waiting) < len(BYTE_ORDER_MARK):
                return []
            self._is_at_start = False
            if self._waiting.startswith(BYTE_ORDER_MARK):
                del self._waiting[: len(BYTE_ORDER_MARK)]
        frames, begin, start = [], 0, max(self._searched - 3, 0)
        while (found := END.search(self._waiting, start)) is not None:
            frames.append(bytes(self._waiting[begin : found.end()]))
            begin = start = found.end()
        if len(self._waiting) - begin > self._max_frame_bytes or any(len(it) > self._max_frame_bytes for it in frames):
            raise FrameTooLarge
        del self._waiting[:begin]
        self._searched = len(self._waiting)
        return frames

    def take_rest(self) -> bytes:
        """Return what belongs to no complete event, and forget it."""
        rest = bytes(self._waiting)
        self._waiting.clear()
        self._searched = 0
        return rest


def has_data(frame: bytes) -> bool:
    """Whether an event has data; only comments, or only other fields, reach no listener."""
    return _DATA.search(frame) is not None


def has_id(frame: bytes) -> bool:
    """Whether the agent has given the event an id."""
    return _ID.search(frame) is not None


def add_id(frame: bytes, event_id: bytes) -> bytes:
    """Return an event with an id before its lines; the bytes of the agent follow unchanged."""
    lines = frame.lstrip(b"\r\n")
    return frame[: len(frame) - len(lines)] + b"id: " + event_id + b"\n" + lines


def find_data(frame: bytes) -> bytes:
    """Return the data of an event."""
    event = parse_event(frame)
    return (None if event is None else event.data) or b""


def replace_data(frame: bytes, data: bytes) -> bytes:
    """Return an event with other data on one line, and its other lines."""
    event = parse_event(frame)
    return render_event(data, () if event is None else event.other_lines)


_DATA = re.compile(rb"(?:\A|[\r\n])data(?=[:\r\n])")
_ID = re.compile(rb"(?:\A|[\r\n])id(?=[:\r\n])")
