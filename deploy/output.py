"""The output of the plane's processes: read line by line, written to log files, and passed on to the terminal."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from io import FileIO
from pathlib import Path

MAX_LINE_BYTES = 64 * 1024
"""The length at which a line is split: a process that never ends its line must not use up the memory."""

MAX_LOG_FILE_BYTES = 16 * 1024 * 1024
"""The size at which a log file is rotated; one rotated file is kept."""


class LineReader(asyncio.Protocol):
    """Reads a pipe line by line."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self.ended = asyncio.Event()
        self._on_line = on_line
        self._rest = b""

    @asynccontextmanager
    async def open_pipe(self) -> AsyncIterator[FileIO]:
        """Yield the writing end. The caller passes it to a process and then closes it."""
        reading, end = os.pipe()
        writing = FileIO(end, "wb")
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: self, FileIO(reading, "rb"))
        try:
            yield writing
        finally:
            writing.close()
            transport.close()

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE_BYTES:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            self._on_line(line.decode(errors="replace").rstrip("\r"))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        if self._rest:
            self._on_line(self._rest.decode(errors="replace"))
        self.ended.set()


class LogFile:
    """A log file that is rotated at its size limit. It leaves lines out while they cannot be written."""

    def __init__(self, path: Path, *, on_trouble: Callable[[str], None]) -> None:
        """`on_trouble` receives one line when writing fails, and one when it works again."""
        self._path = path
        self._on_trouble = on_trouble
        self._file: FileIO | None = None
        self._size = 0
        self._lines_left_out = 0
        self._is_inside_line = False

    def write(self, line: str) -> None:
        """Append a line."""
        try:
            self._write(line.encode(errors="replace") + b"\n")
        except OSError as error:
            self.close()
            if not self._lines_left_out:
                self._on_trouble(f"{self._path} cannot be written: {error.strerror}; lines are left out until it can")
            self._lines_left_out += 1
            return
        if self._lines_left_out:
            self._on_trouble(f"{self._path} is written again; lines that were left out: {self._lines_left_out}")
            self._lines_left_out = 0

    def close(self) -> None:
        """Close the file; the next line opens it again."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()

    def _write(self, data: bytes) -> None:
        file = self._open()
        if self._is_inside_line:
            data = b"\n" + data
        while data:
            count = file.write(data) or 0
            self._size += count
            self._is_inside_line = count < len(data)
            data = data[count:]

    def _open(self) -> FileIO:
        if self._file is not None and self._size > MAX_LOG_FILE_BYTES:
            self.close()
            self._path.replace(self._path.with_suffix(".log.1"))
        if self._file is None:
            self._file = FileIO(self._path, "ab")
            self._size = os.fstat(self._file.fileno()).st_size
        return self._file


class ProcessLogs:
    """Writes the output of each process to a file of its own, and to one follower."""

    def __init__(self, directory: Path, *, on_trouble: Callable[[str], None] = lambda _: None) -> None:
        """`on_trouble` receives one line when a log file cannot be written, and one when it can again."""
        self.directory = directory
        self._files: dict[str, LogFile] = {}
        self._last_lines: dict[str, str] = {}
        self._follower: Callable[[str, str], None] | None = None
        self._on_trouble = on_trouble

    def follow(self, follower: Callable[[str, str], None]) -> None:
        """Pass every further line to `follower`, too, with the name of its process."""
        self._follower = follower

    def append(self, name: str, line: str) -> None:
        """Add a line to the output of a process."""
        if name not in self._files:
            self._files[name] = LogFile(self.path(name), on_trouble=self._on_trouble)
        self._files[name].write(line)
        if line.strip():
            self._last_lines[name] = line.strip()
        if self._follower is not None:
            self._follower(name, line)

    def last_line(self, name: str) -> str:
        """Return the last line of a process that is not blank; empty if there is none."""
        return self._last_lines.get(name, "")

    def path(self, name: str) -> Path:
        """Return the log file of a process."""
        return self.directory / f"{name}.log"

    def close(self) -> None:
        for file in self._files.values():
            file.close()
