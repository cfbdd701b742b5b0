"""Writes to the terminal, and lets the plane run on when the terminal is slow, full, closed or gone."""

import codecs
import io
import os
import sys
import threading
from collections import deque
from typing import Self

from services.chassis import startup

STDOUT, STDERR = 1, 2

MAX_WAITING_BYTES = 1024 * 1024
"""Bytes that may wait for a terminal that is stopped, by Ctrl-S or in a pager. Further text is left out."""

CLOSE_TIMEOUT_SECONDS = 1.0
"""Time for the terminal to take the last lines."""


class Terminal(io.TextIOBase):
    """A text stream whose `write` neither blocks nor raises: a thread passes the text on.

    Characters that the terminal cannot show are replaced. Text is dropped while the terminal cannot be written to: the
    log files have all lines.
    """

    def __init__(self, descriptor: int, *, encoding: str = "utf-8") -> None:
        super().__init__()
        self._descriptor = descriptor
        self._encoding = encoding
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._changed = threading.Condition()
        self._is_ending = False
        self._thread = threading.Thread(target=self._pass_on, name="terminal", daemon=True)
        self._thread.start()

    @classmethod
    def for_stdout(cls) -> Self:
        """Return a stream to the standard output of this process; descriptors that are closed lead nowhere."""
        startup.open_missing_descriptors()
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        return cls(STDOUT, encoding=codecs.lookup(encoding).name)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the terminal."""
        return self._encoding

    def can_show(self, text: str) -> bool:
        """Whether the encoding of the terminal has all characters of the text."""
        try:
            text.encode(self._encoding)
        except UnicodeEncodeError:
            return False
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        data = text.encode(self._encoding, errors="replace")
        with self._changed:
            if self._waiting_bytes + len(data) <= MAX_WAITING_BYTES:
                self._waiting.append(data)
                self._waiting_bytes += len(data)
                self._changed.notify_all()
        return len(text)

    def close(self) -> None:
        """Wait a short time until the terminal has taken the rest. The descriptor stays open."""
        with self._changed:
            self._is_ending = True
            self._changed.notify_all()
        self._thread.join(CLOSE_TIMEOUT_SECONDS)
        super().close()

    def _pass_on(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_ending)
                if not self._waiting:
                    return
                data = b"".join(self._waiting)
                self._waiting.clear()
            write_or_drop(self._descriptor, data)
            with self._changed:
                self._waiting_bytes -= len(data)


def write_or_drop(descriptor: int, data: bytes) -> None:
    """Write the data, or what of it the descriptor takes."""
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError:  # the reader is gone, or the disk is full: it may be writable again later
        return
