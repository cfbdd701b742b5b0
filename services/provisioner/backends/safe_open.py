"""Opens files in directories where agents write, too: no link is followed, and no pipe blocks."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

NOT_A_FILE_ERRNOS = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.EACCES, errno.EPERM}
)
"""Errors of opening and reading where the file is missing, or an agent has replaced it with something else."""


@contextlib.contextmanager
def open_or_none(path: Path | str, flags: int, *, dir_fd: int | None = None) -> Iterator[int | None]:
    """Open for reading and yield the descriptor; `None` if there is no such file. Raises other `OSError`s."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | flags, dir_fd=dir_fd)
    except OSError as error:
        if error.errno not in NOT_A_FILE_ERRNOS:
            raise
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)
