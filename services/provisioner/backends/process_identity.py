"""Identifies processes by pid, start time and boot, and sends signals to exactly these processes.

Linux reuses pids, so a pid alone may belong to another process by now.
"""

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from services.provisioner.backends import process_supervisor

PROC = Path("/proc")
"""Where Linux lists processes."""

POLL_SECONDS = 0.05
"""Seconds between two looks at a process without a pidfd that is to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessIdentity:
    """One process, whether it still runs or not. `start_ticks` are clock ticks since boot."""

    pid: int
    start_ticks: int
    boot_id: str

    def is_running(self) -> bool:
        """Whether exactly this process runs; a zombie does not."""
        return (
            self.boot_id == process_supervisor.read_boot_id()
            and process_supervisor.read_start_ticks(self.pid) == self.start_ticks
        )


async def terminate(process: ProcessIdentity, *, timeout: timedelta) -> bool:  # noqa: ASYNC109 - late is a usual result
    """Send SIGTERM and wait for the end; return whether the process ended in time."""
    return await _signal_and_wait(process, signal.SIGTERM, timeout)


async def kill(process: ProcessIdentity, *, timeout: timedelta) -> bool:  # noqa: ASYNC109 - the same
    """Send SIGKILL and wait for the end; return whether the process ended in time."""
    return await _signal_and_wait(process, signal.SIGKILL, timeout)


def kill_session(leader: ProcessIdentity) -> None:
    """Kill every process in the session of `leader`, which may have ended.

    Linux does not reuse a pid while a session has it. So either the session is still the one of `leader`, or the pid
    belongs to another process and the session has ended.
    """
    if leader.boot_id != process_supervisor.read_boot_id():
        return
    if process_supervisor.read_start_ticks(leader.pid) not in {None, leader.start_ticks}:
        return
    for pid in _list_pids():
        if _read_session_id(pid) != leader.pid:
            continue
        start_ticks = process_supervisor.read_start_ticks(pid) or 0
        if start_ticks >= leader.start_ticks:
            member = ProcessIdentity(pid=pid, start_ticks=start_ticks, boot_id=leader.boot_id)
            _send_signal(member, signal.SIGKILL)


def open_pidfd(process: ProcessIdentity) -> int | None:
    """Return a pidfd of exactly this process; `None` if it ended. Raises `OSError` if it runs and Linux gives none.

    The identity is compared after the pidfd was opened, so that the pid cannot be reused in between. An error does not
    tell whether the process ended: if the pid is that of a thread by now, Linux says EINVAL, and from 6.15 on ENOENT.
    """
    try:
        pidfd = os.pidfd_open(process.pid)
    except OSError:
        if process.is_running():
            raise
        return None
    if process.is_running():
        return pidfd
    os.close(pidfd)
    return None


def reap(process: ProcessIdentity) -> None:
    """Reap the process if it is a zombie and a child of this process. A child that reuses its pid is not touched."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, ChildProcessError):
        if process_supervisor.read_process_state(process.pid) == ("Z", process.start_ticks):
            os.waitpid(process.pid, os.WNOHANG)


async def _signal_and_wait(process: ProcessIdentity, number: signal.Signals, timeout: timedelta) -> bool:  # noqa: ASYNC109 - the same
    try:
        pidfd = open_pidfd(process)
    except OSError:
        return await _signal_and_poll(process, number, timeout)
    if pidfd is None:
        reap(process)
        return True
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(pidfd, ended.set)
    try:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, number)
        async with asyncio.timeout(timeout.total_seconds()):
            await ended.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)
    reap(process)
    return True


async def _signal_and_poll(process: ProcessIdentity, number: signal.Signals, timeout: timedelta) -> bool:  # noqa: ASYNC109 - the same
    """Do the same without a pidfd. The pid is reused in the moment between look and signal only if it ends there."""
    deadline = asyncio.get_running_loop().time() + timeout.total_seconds()
    _kill_if_running(process, number)
    while process.is_running():
        if asyncio.get_running_loop().time() >= deadline:
            return False
        await asyncio.sleep(POLL_SECONDS)
    reap(process)
    return True


def _kill_if_running(process: ProcessIdentity, number: signal.Signals) -> None:
    if process.is_running():
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)


def _send_signal(process: ProcessIdentity, number: signal.Signals) -> None:
    try:
        pidfd = open_pidfd(process)
    except OSError:
        _kill_if_running(process, number)
        return
    if pidfd is None:
        return
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, number)
    os.close(pidfd)


def _list_pids() -> list[int]:
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isascii() and entry.name.isdigit()]


def _read_session_id(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None
