"""What processes say: read line by line, kept in files, and shown on the terminal."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from io import FileIO
from pathlib import Path

LONGEST_LINE = 64 * 1024
"""Bytes after which a line is broken: a process that never ends its line must not fill our memory."""

LARGEST_FILE = 16 * 1024 * 1024
"""Bytes after which a log file is put aside; one predecessor is kept."""


class LineReader(asyncio.Protocol):
    """The reading end of a pipe, heard line by line."""

    def __init__(self, on_output: Callable[[str], None]) -> None:
        self.ended = asyncio.Event()
        self._hear = on_output
        self._rest = b""

    @asynccontextmanager
    async def open_pipe(self) -> AsyncIterator[FileIO]:
        """The writing end, to be handed to a process and closed by the caller once that has it."""
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
        if len(self._rest) > LONGEST_LINE:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            self._hear(line.decode(errors="replace").rstrip("\r"))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        if self._rest:
            self._hear(self._rest.decode(errors="replace"))
        self.ended.set()


class LogFile:
    """A growing file that puts itself aside before it becomes a burden."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("ab", buffering=0)
        self._size = path.stat().st_size

    def write(self, line: str) -> None:
        if self._size > LARGEST_FILE:
            self._put_aside()
        self._size += self._file.write(line.encode(errors="replace") + b"\n") or 0

    def close(self) -> None:
        self._file.close()

    def _put_aside(self) -> None:
        self._file.close()
        self._path.replace(self._path.with_suffix(".log.1"))
        self._file = self._path.open("ab", buffering=0)
        self._size = 0


class ProcessLogs:
    """Everything the processes say: a file for each, and all of it together to whoever follows."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._files: dict[str, LogFile] = {}
        self._last: dict[str, str] = {}
        self._follow: Callable[[str, str], None] | None = None

    def follow(self, show: Callable[[str, str], None]) -> None:
        """Hand every line from now on to `print_log_line` as well, with the name of who said it."""
        self._follow = show

    def on_output(self, name: str, line: str) -> None:
        if name not in self._files:
            self._files[name] = LogFile(self.path(name))
        self._files[name].write(line)
        if line.strip():
            self._last[name] = line.strip()
        if self._follow is not None:
            self._follow(name, line)

    def last(self, name: str) -> str:
        """The last thing it said; empty if it never spoke."""
        return self._last.get(name, "")

    def path(self, name: str) -> Path:
        return self.directory / f"{name}.log"

    def close(self) -> None:
        for file in self._files.values():
            file.close()
