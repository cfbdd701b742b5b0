"""Reads the end of an instance's log."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from services.provisioner.backends.safe_open import open_or_none
from services.provisioner.model import LogTail

LOG_FILE = "agent.log"
ROTATED_LOG_FILE = LOG_FILE + ".1"

MAX_TAIL_BYTES = 512 * 1024
"""The most bytes that are returned. Replacing invalid UTF-8 may triple them, which still fits into a gRPC message."""


def read_log_tail(directory: Path) -> tuple[bytes, bool]:
    """Return the end of the log, at most `MAX_TAIL_BYTES`, and whether there is more before it; raises `OSError`.

    If the log is shorter than that, the rotated file before it is read as well.
    """
    with (
        open_or_none(directory, os.O_DIRECTORY) as log_directory,
        _open_regular_file(log_directory, LOG_FILE) as current,
        _open_regular_file(log_directory, ROTATED_LOG_FILE) as rotated,
    ):
        end, has_more = _read_end(current, MAX_TAIL_BYTES)
        # The log may be rotated between the two opens; then both descriptors are the same file.
        if rotated is None or (current is not None and os.path.sameopenfile(current, rotated)):
            return end, has_more
        if has_more or len(end) == MAX_TAIL_BYTES:
            return end, True
        earlier, has_more = _read_end(rotated, MAX_TAIL_BYTES - len(end))
        return earlier + end, has_more


def take_last_lines(output: bytes, lines: int, *, has_more: bool) -> LogTail:
    """Return the last lines of `output`; `has_more` says whether there is output before it."""
    start = len(output) - output.endswith(b"\n")
    for _ in range(lines):
        start = output.rfind(b"\n", 0, start)
        if start < 0:
            return _decode(output, truncated=has_more)
    return _decode(output[start + 1 :], truncated=True)


def _decode(output: bytes, *, truncated: bool) -> LogTail:
    is_too_long = len(output) > MAX_TAIL_BYTES
    return LogTail(output[-MAX_TAIL_BYTES:].decode(errors="replace"), truncated=truncated or is_too_long)


@contextlib.contextmanager
def _open_regular_file(directory: int | None, name: str) -> Iterator[int | None]:
    if directory is None:
        yield None
        return
    with open_or_none(name, os.O_NONBLOCK, dir_fd=directory) as file:
        yield file if file is not None and stat.S_ISREG(os.fstat(file).st_mode) else None


def _read_end(file: int | None, limit: int) -> tuple[bytes, bool]:
    if file is None:
        return b"", False
    size = os.fstat(file).st_size
    start = max(0, size - limit)
    return os.pread(file, limit, start), start > 0
