"""Waits for the end of many processes at once, without polling where Linux gives a pidfd."""

import asyncio
import contextlib
import os
from datetime import timedelta

from services.provisioner.backends.process_identity import ProcessIdentity, open_pidfd, reap

POLL_INTERVAL = timedelta(seconds=1)
"""How often a process without a pidfd is looked at."""


class ExitWatcher:
    """Watches processes. Each has a name, which is returned when it ends.

    A process for which Linux gives no pidfd, because descriptors are used up or for a reason of the kernel's own, is
    recognised by its start time at regular intervals.
    """

    def __init__(self, *, poll_interval: timedelta = POLL_INTERVAL) -> None:
        self._poll_interval = poll_interval
        self._pidfds: dict[ProcessIdentity, int] = {}
        self._polls: dict[ProcessIdentity, asyncio.TimerHandle] = {}
        self._ended: asyncio.Queue[str] = asyncio.Queue()

    def watch(self, name: str, process: ProcessIdentity) -> None:
        """Watch one more process. If it has already ended, its name is returned next."""
        if process in self._pidfds or process in self._polls:
            return
        try:
            pidfd = open_pidfd(process)
        except OSError:
            self._poll_later(name, process)
            return
        if pidfd is None:
            self._report_end(name, process)
            return
        self._pidfds[process] = pidfd
        asyncio.get_running_loop().add_reader(pidfd, self._handle_exit, name, process)

    async def wait_for_exit(self) -> str:
        """Return the name of the next process that ends."""
        return await self._ended.get()

    def close(self) -> None:
        """Stop watching. The processes keep running."""
        for process in list(self._pidfds):
            self._unwatch(process)
        for poll in self._polls.values():
            poll.cancel()
        self._polls.clear()

    def _handle_exit(self, name: str, process: ProcessIdentity) -> None:
        self._unwatch(process)
        self._report_end(name, process)

    def _poll_later(self, name: str, process: ProcessIdentity) -> None:
        seconds = self._poll_interval.total_seconds()
        self._polls[process] = asyncio.get_running_loop().call_later(seconds, self._poll, name, process)

    def _poll(self, name: str, process: ProcessIdentity) -> None:
        """Look at the process again, with a pidfd if there is one now."""
        del self._polls[process]
        self.watch(name, process)

    def _report_end(self, name: str, process: ProcessIdentity) -> None:
        with contextlib.suppress(OSError):
            reap(process)
        self._ended.put_nowait(name)

    def _unwatch(self, process: ProcessIdentity) -> None:
        pidfd = self._pidfds.pop(process)
        asyncio.get_running_loop().remove_reader(pidfd)
        os.close(pidfd)
