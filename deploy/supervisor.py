"""Keeps processes running: starts them, restarts them after a delay, and stops them in order."""

import asyncio
import shutil
import subprocess
import time
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from io import FileIO
from signal import SIGKILL, SIGTERM, Signals
from types import TracebackType
from typing import Self

from deploy.output import LineReader
from services.chassis.backoff import Backoff

RESTART_BACKOFF = Backoff(first=timedelta(milliseconds=100), maximum=timedelta(seconds=5))
"""The delay before a restart. It starts short, because most exits happen once and callers wait for an answer. Its
maximum is short, because a service that the process depends on may come back at any time."""

STABLE_UPTIME = timedelta(seconds=10)
"""Uptime after which the earlier exits of a process no longer count."""

DRAIN_TIMEOUT_SECONDS = 0.5
"""Time for reading the rest of the output of a process that ended; a grandchild may keep the pipe open."""


def count_restarts(restarts: int, *, uptime: timedelta) -> int:
    """Return the number of consecutive restarts, including the next one, of a process that ended after `uptime`."""
    return 1 if uptime >= STABLE_UPTIME else restarts + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessOwner:
    """The user and the group of a process that runs as another user than the supervisor."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """How one process is started and stopped."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    owner: ProcessOwner | None = None
    stop_signal: Signals = SIGTERM
    orphan_signal: Signals = SIGKILL
    """The signal that the process receives when the supervisor is killed, if the system supports that."""
    stop_timeout: timedelta = timedelta(seconds=20)
    """Time between the stop signal and SIGKILL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessExit:
    """A process ended without being stopped, and is restarted after a delay."""

    name: str
    code: int
    restart_in: timedelta


class Child:
    """One process that is restarted whenever it ends, until it is stopped."""

    def __init__(
        self, command: Command, *, on_output: Callable[[str, str], None], on_exit: Callable[[ProcessExit], None]
    ) -> None:
        self.command = command
        self.exits = 0
        self._on_output = on_output
        self._on_exit = on_exit
        self._process: Process | None = None
        self._stopping = asyncio.Event()
        self._stopped = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The process id; `None` between an exit and the restart."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if running and self._process else None

    async def run_until_stopped(self) -> None:
        """Run the process, and restart it, until `stop` is called. A cancellation kills the process."""
        restarts = 0
        try:
            while not self._stopping.is_set():
                began = time.monotonic()
                code = await self._run_once()
                if self._stopping.is_set():
                    return
                self.exits += 1
                restarts = count_restarts(restarts, uptime=timedelta(seconds=time.monotonic() - began))
                delay = RESTART_BACKOFF.delay(restarts)
                self._on_exit(ProcessExit(name=self.command.name, code=code, restart_in=delay))
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), delay.total_seconds())
        finally:
            self._stopped.set()

    async def stop(self) -> None:
        """Send the stop signal, and SIGKILL after the stop timeout; return once the process has ended."""
        self._stopping.set()
        self.signal(self.command.stop_signal)
        try:
            await asyncio.wait_for(self._stopped.wait(), self.command.stop_timeout.total_seconds())
        except TimeoutError:
            self.signal(SIGKILL)
            await self._stopped.wait()

    def kill(self) -> None:
        """Kill the process without a restart; a `stop` then returns at once."""
        self._stopping.set()
        self.signal(SIGKILL)

    def signal(self, number: Signals) -> None:
        """Send a signal to the process, if it runs."""
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _run_once(self) -> int:
        reader = LineReader(lambda line: self._on_output(self.command.name, line))
        async with reader.open_pipe() as pipe:
            self._process = await _spawn(self.command, pipe)
            pipe.close()
            if self._stopping.is_set():
                self.signal(self.command.stop_signal)
            try:
                return await self._process.wait()
            finally:
                await self._reap(reader)

    async def _reap(self, reader: LineReader) -> None:
        if self._process is not None and self._process.returncode is None:
            self.signal(SIGKILL)
            await self._process.wait()
        with suppress(TimeoutError):
            await asyncio.wait_for(reader.ended.wait(), DRAIN_TIMEOUT_SECONDS)


class Supervisor:
    """Runs children within an `async with`; on exit it stops them one after the other, the last started first."""

    def __init__(self, *, on_output: Callable[[str, str], None], on_exit: Callable[[ProcessExit], None]) -> None:
        """`on_output` receives the name of a process and a line; `on_exit` every exit that was not requested."""
        self._on_output = on_output
        self._on_exit = on_exit
        self._children: dict[str, Child] = {}
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for child in reversed(self._children.values()):
                await child.stop()
        except BaseException as interruption:
            await self._tasks.__aexit__(type(interruption), interruption, interruption.__traceback__)
            raise
        await self._tasks.__aexit__(None, None, None)

    def start(self, command: Command) -> Child:
        """Start a process and keep it running."""
        child = Child(command, on_output=self._on_output, on_exit=self._on_exit)
        self._children[command.name] = child
        self._tasks.create_task(child.run_until_stopped(), name=command.name)
        return child

    def child(self, name: str) -> Child:
        """Return the child with this name."""
        return self._children[name]

    def kill_all(self) -> None:
        """Kill every process without waiting for its stop."""
        for child in self._children.values():
            child.kill()


async def _spawn(command: Command, pipe: FileIO) -> Process:
    """Start the process in a new session, so that the terminal's Ctrl-C reaches the supervisor only."""
    owner = command.owner
    return await asyncio.create_subprocess_exec(
        *_build_orphan_signal_prefix(command.orphan_signal),
        *command.argv,
        stdin=subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
        env=command.environment,
        start_new_session=True,
        user=owner.uid if owner else None,
        group=owner.gid if owner else None,
        extra_groups=[] if owner else None,
    )


def _build_orphan_signal_prefix(number: Signals) -> tuple[str, ...]:
    """Return the command that makes Linux signal the process when the supervisor is killed; empty elsewhere."""
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", number.name.removeprefix("SIG"), "--") if setpriv else ()
