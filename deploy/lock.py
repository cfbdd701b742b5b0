"""One plane in one home: whoever holds the lock file runs it."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGTERM

from deploy.errors import StartError

PAUSE = 0.05
"""Seconds between two looks at the lock while its holder shuts down."""


@contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold the lock. Raises `StartError` if another process does; the kernel lets go for one that was killed."""
    with path.open("r+") as file:
        if not _taken(file.fileno()):
            message = (
                f"a plane already runs in {path.parent} (pid {find_holder(path)}): stop it with make down,"
                " or give this one a home of its own with MOLECULE_HOME"
            )
            raise StartError(message)
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def find_holder(path: Path) -> int | None:
    """The pid of the process that holds the lock; `None` if nobody does."""
    try:
        with path.open("r+") as file:
            if _taken(file.fileno()):
                return None
            return int(file.read())
    except (FileNotFoundError, ValueError):
        return None


def stop_holder(path: Path, *, within: float) -> bool:
    """Ask the holder to stop and wait until it has let go; false if it still holds when the time is up."""
    pid = find_holder(path)
    if pid is not None:
        os.kill(pid, SIGTERM)
    deadline = time.monotonic() + within
    while find_holder(path) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(PAUSE)
    return True


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
