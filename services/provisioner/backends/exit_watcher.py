"""Waits for the end of many processes at once, without polling."""

import asyncio
import os

from services.provisioner.backends.process_identity import ProcessIdentity, open_pidfd, reap


class ExitWatcher:
    """Watches processes through pidfds. Each process has a name, which is returned when it ends."""

    def __init__(self) -> None:
        self._pidfds: dict[int, int] = {}
        self._ended: asyncio.Queue[str] = asyncio.Queue()

    def watch(self, name: str, process: ProcessIdentity) -> None:
        """Watch one more process. If it has already ended, its name is returned next."""
        pidfd = open_pidfd(process)
        if pidfd is None:
            reap(process)
            self._ended.put_nowait(name)
            return
        if process.pid in self._pidfds:
            os.close(pidfd)
            return
        self._pidfds[process.pid] = pidfd
        asyncio.get_running_loop().add_reader(pidfd, self._handle_exit, name, process)

    async def wait_for_exit(self) -> str:
        """Return the name of the next process that ends."""
        return await self._ended.get()

    def close(self) -> None:
        """Stop watching. The processes keep running."""
        for pid in list(self._pidfds):
            self._unwatch(pid)

    def _handle_exit(self, name: str, process: ProcessIdentity) -> None:
        self._unwatch(process.pid)
        reap(process)
        self._ended.put_nowait(name)

    def _unwatch(self, pid: int) -> None:
        pidfd = self._pidfds.pop(pid)
        asyncio.get_running_loop().remove_reader(pidfd)
        os.close(pidfd)
