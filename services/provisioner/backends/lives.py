"""Processes by what they are, not by their number: pid, start time and boot."""

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from services.provisioner.backends import keeper

TASKS = Path("/proc")
"""Where Linux lists processes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One run of one process. Its pid may by now be somebody else's."""

    pid: int
    started: int
    boot: str

    def lasts(self) -> bool:
        """Whether this very process still runs; a zombie does not."""
        return self.boot == keeper.boot() and keeper.started(self.pid) == self.started


class Vigil:
    """Waits for the end of many processes at once, without asking them, and tells the names they were entered under."""

    def __init__(self) -> None:
        self._handles: dict[int, int] = {}
        self._ended: asyncio.Queue[str] = asyncio.Queue()

    def enter(self, name: str, life: Life) -> None:
        """Watch over one more process. One that has ended already is told at once."""
        handle = _handle(life)
        if handle is None:
            _bury(life)
            self._ended.put_nowait(name)
            return
        if life.pid in self._handles:
            os.close(handle)
            return
        self._handles[life.pid] = handle
        asyncio.get_running_loop().add_reader(handle, self._notice, name, life)

    async def next_end(self) -> str:
        """The name of the next process to end."""
        return await self._ended.get()

    def close(self) -> None:
        """Stop waiting; what is watched lives on."""
        for pid in list(self._handles):
            self._leave(pid)

    def _notice(self, name: str, life: Life) -> None:
        self._leave(life.pid)
        _bury(life)
        self._ended.put_nowait(name)

    def _leave(self, pid: int) -> None:
        handle = self._handles.pop(pid)
        asyncio.get_running_loop().remove_reader(handle)
        os.close(handle)


async def end(life: Life, *, within: timedelta) -> bool:
    """Ask a process to end, and wait; whether it did in time. Only this very process is ever signalled."""
    return await _signalled(life, signal.SIGTERM, within)


async def kill(life: Life, *, within: timedelta) -> bool:
    """Make a process end, and wait; whether it did in time."""
    return await _signalled(life, signal.SIGKILL, within)


def kill_session(leader: Life) -> None:
    """Kill what a process has left behind in its session.

    A number is not given out again while a session bears it. So either the leader is gone and the session is still
    its own, or the number belongs to somebody else and the session has ended.
    """
    if leader.boot != keeper.boot() or keeper.started(leader.pid) not in {None, leader.started}:
        return
    for pid in _processes():
        if _session(pid) == leader.pid and (keeper.started(pid) or 0) >= leader.started:
            _send(Life(pid=pid, started=keeper.started(pid) or 0, boot=leader.boot), signal.SIGKILL)


async def _signalled(life: Life, number: signal.Signals, within: timedelta) -> bool:
    handle = _handle(life)
    if handle is None:
        _bury(life)
        return True
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(handle, ended.set)
    try:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, number)
        async with asyncio.timeout(within.total_seconds()):
            await ended.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(handle)
        os.close(handle)
    _bury(life)
    return True


def _bury(life: Life) -> None:
    """Reap it, if it has ended and is our child; a child that has its number by now is left alone."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, ChildProcessError):
        if keeper.state(life.pid) == ("Z", life.started):
            os.waitpid(life.pid, os.WNOHANG)


def _handle(life: Life) -> int | None:
    """A descriptor of exactly this process: opened first, compared then, so that no other can slip in between."""
    try:
        handle = os.pidfd_open(life.pid)
    except ProcessLookupError:
        return None
    if life.lasts():
        return handle
    os.close(handle)
    return None


def _send(life: Life, number: signal.Signals) -> None:
    handle = _handle(life)
    if handle is None:
        return
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(handle, number)
    os.close(handle)


def _processes() -> list[int]:
    return [int(entry.name) for entry in TASKS.iterdir() if entry.name.isdigit()]


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None
