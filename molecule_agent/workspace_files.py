"""Opens files and directories of the workspace without following a symbolic link."""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""A pipe must not block the one that opens it."""


def open_file(root: Path, parts: Sequence[str]) -> tuple[int, int]:
    """Return a descriptor and the size of a regular file below `root`.

    Raises `FileNotFoundError` if there is none that the agent may read, and where a symbolic link leads to one.
    """
    try:
        with open_directory(root, parts[:-1]) as directory:
            descriptor = os.open(parts[-1], FILE_FLAGS, dir_fd=directory)
    except OSError:
        raise FileNotFoundError from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise FileNotFoundError
    return descriptor, status.st_size


@contextmanager
def open_directory(root: Path, parts: Sequence[str], *, create: bool = False) -> Iterator[int]:
    """Open a directory below `root` for the length of the block; `create` makes the directories that are missing.

    Raises `OSError`, also for a symbolic link on the way.
    """
    descriptor = os.open(root, DIRECTORY_FLAGS)
    try:
        for part in parts:
            if create:
                _make_directory(part, descriptor)
            inner = os.open(part, DIRECTORY_FLAGS | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def _make_directory(name: str, parent: int) -> None:
    with suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=parent)
