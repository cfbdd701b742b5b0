"""The lock file of a home: the process that holds it runs the home's only plane."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGTERM

from deploy.errors import StartError

POLL_INTERVAL_SECONDS = 0.05

MAX_FILE_CHARACTERS = 1000


FILE_NAME = "lock"
"""The name of the lock file in a home."""


@contextmanager
def hold_lock(path: Path, *, url: str) -> Iterator[None]:
    """Hold the lock within the block. The file names this process and the URL of its plane.

    Raises `StartError` if another process holds it. The kernel releases the lock of a process that was killed.
    """
    with path.open("r+") as file:
        if not _try_lock(file.fileno()):
            message = (
                f"a plane already runs in {path.parent} (pid {find_holder(path)}): stop it with make down,"
                " or give this one a home of its own with MOLECULE_HOME"
            )
            raise StartError(message)
        file.truncate()
        file.write(f"{os.getpid()}\n{url}\n")
        file.flush()
        yield


def find_holder(path: Path) -> int | None:
    """Return the pid of the process that holds the lock; `None` if no process does. Raises `OSError`."""
    pid, *_ = _read_holder(path)
    return int(pid) if pid.isascii() and pid.isdigit() else None


def find_url(path: Path) -> str:
    """Return the URL of the plane that holds the lock; empty if no process does. Raises `OSError`."""
    _, url, *_ = [*_read_holder(path), ""]
    return url


def stop_holder(path: Path, *, timeout: float) -> bool:
    """Send SIGTERM to the holder and wait; return whether it released the lock within so many seconds."""
    pid = find_holder(path)
    if pid is not None:
        os.kill(pid, SIGTERM)
    deadline = time.monotonic() + timeout
    while find_holder(path) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_INTERVAL_SECONDS)
    return True


def _read_holder(path: Path) -> list[str]:
    """Return the lines that the holder of the lock wrote; one empty line if no process holds it."""
    try:
        with path.open("r+") as file:
            return [""] if _try_lock(file.fileno()) else file.read(MAX_FILE_CHARACTERS).splitlines() or [""]
    except FileNotFoundError:
        return [""]


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
