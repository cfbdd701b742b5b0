"""The log that a keeper writes, read from its end. The agent writes in the same place: no link is followed there."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from services.provisioner.backends.folder import NO_RECORD
from services.provisioner.backends.tail import LIMIT

NAME = "agent.log"


def end_of(room: Path) -> tuple[bytes, bool]:
    """The end of the log in `room`, at most `LIMIT` bytes, and whether there is more; raises `OSError`.

    A log that has just been put aside is read too, as far as there is room left.
    """
    with _room(room) as place, _file(place, NAME) as now, _file(place, NAME + ".1") as before:
        end, more = _end(now, LIMIT)
        if before is None or (now is not None and os.path.sameopenfile(now, before)):
            return end, more
        if more or len(end) == LIMIT:
            return end, True
        earlier, more = _end(before, LIMIT - len(end))
        return earlier + end, more


@contextlib.contextmanager
def _room(path: Path) -> Iterator[int | None]:
    with _opened(path, os.O_DIRECTORY, within=None) as place:
        yield place


@contextlib.contextmanager
def _file(place: int | None, name: str) -> Iterator[int | None]:
    """A regular file; `None` where there is none, or something else."""
    if place is None:
        yield None
        return
    with _opened(name, os.O_NONBLOCK, within=place) as file:
        yield file if file is not None and stat.S_ISREG(os.fstat(file).st_mode) else None


@contextlib.contextmanager
def _opened(path: Path | str, flags: int, *, within: int | None) -> Iterator[int | None]:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | flags, dir_fd=within)
    except OSError as error:
        if error.errno not in NO_RECORD:
            raise
        yield None
        return
    try:
        yield file
    finally:
        os.close(file)


def _end(file: int | None, limit: int) -> tuple[bytes, bool]:
    if file is None:
        return b"", False
    size = os.fstat(file).st_size
    start = max(0, size - limit)
    return os.pread(file, limit, start), start > 0
