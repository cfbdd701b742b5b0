"""Keeps processes running: starts, watches, restarts with growing pauses, and stops them in order."""

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

FIRST_PAUSE = timedelta(milliseconds=100)
"""Before the first restart: short, because most deaths are single ones and somebody waits for an answer."""

LONGEST_PAUSE = timedelta(seconds=5)
"""Between restarts of a process that cannot run: it may depend on something that comes back at any moment."""

STABLE_UPTIME = timedelta(seconds=10)
"""A process that lived this long died of something new; its earlier deaths no longer count."""

LAST_WORDS = 0.5
"""Seconds for what a dead process left in its pipe; a grandchild may hold the other end open for ever."""


def pause_before(restart: int) -> timedelta:
    """How long to wait before the n-th restart in a row, counted from 1."""
    doublings = min(restart - 1, 16)
    return min(FIRST_PAUSE * (1 << doublings), LONGEST_PAUSE)


def count_restarts(restarts: int, *, lived: timedelta) -> int:
    """The number of the restart that follows the death of a process that lived that long."""
    return 1 if lived >= STABLE_UPTIME else restarts + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessOwner:
    """The user and the group a process runs as, where that is not ours."""

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
    """What it gets when the supervisor dies without stopping it, where the system can arrange that."""
    stop_timeout: timedelta = timedelta(seconds=20)
    """Between the request to stop and the end of discussion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessExit:
    """A process ended though it was wanted."""

    name: str
    code: int
    restart_in: timedelta


class Child:
    """One process that is wanted, whatever number of deaths it takes."""

    def __init__(
        self, command: Command, *, on_output: Callable[[str, str], None], on_exit: Callable[[ProcessExit], None]
    ) -> None:
        self.command = command
        self.exits = 0
        self._hear = on_output
        self._told = on_exit
        self._process: Process | None = None
        self._stopping = asyncio.Event()
        self._gone = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """The process id; `None` between two lives."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if running and self._process else None

    async def run_until_stopped(self) -> None:
        """Run the process until `stop` is called. Cancelled, it kills the process on the way out."""
        restarts = 0
        try:
            while not self._stopping.is_set():
                began = time.monotonic()
                code = await self._live()
                if self._stopping.is_set():
                    return
                self.exits += 1
                restarts = count_restarts(restarts, uptime=timedelta(seconds=time.monotonic() - began))
                pause = pause_before(restarts)
                self._told(ProcessExit(name=self.command.name, code=code, restart_in=pause))
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), pause.total_seconds())
        finally:
            self._gone.set()

    async def stop(self) -> None:
        """Return when the process is gone: asked first, killed when its patience is over."""
        self._stopping.set()
        self.signal(self.command.stop_signal)
        try:
            await asyncio.wait_for(self._gone.wait(), self.command.stop_timeout.total_seconds())
        except TimeoutError:
            self.signal(SIGKILL)
            await self._gone.wait()

    def kill(self) -> None:
        """End it for good without asking; `stop` then returns at once."""
        self._stopping.set()
        self.signal(SIGKILL)

    def signal(self, number: Signals) -> None:
        """Send a signal to the process, if there is one just now."""
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _live(self) -> int:
        lines = LineReader(lambda line: self._hear(self.command.name, line))
        async with lines.open_pipe() as pipe:
            self._process = await _spawn(self.command, pipe)
            pipe.close()
            if self._stopping.is_set():
                self.signal(self.command.stop_signal)
            try:
                return await self._process.wait()
            finally:
                await self._bury(lines)

    async def _bury(self, lines: LineReader) -> None:
        if self._process is not None and self._process.returncode is None:
            self.signal(SIGKILL)
            await self._process.wait()
        with suppress(TimeoutError):
            await asyncio.wait_for(lines.ended.wait(), LAST_WORDS)


class Supervisor:
    """Keeps its children until it is left, then stops them one after the other, the youngest first."""

    def __init__(self, *, on_output: Callable[[str, str], None], on_exit: Callable[[ProcessExit], None]) -> None:
        self._hear = on_output
        self._told = on_exit
        self._children: dict[str, Child] = {}
        self._keeping = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._keeping.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for child in reversed(self._children.values()):
                await child.stop()
        except BaseException as interruption:
            await self._keeping.__aexit__(type(interruption), interruption, interruption.__traceback__)
            raise
        await self._keeping.__aexit__(None, None, None)

    def start(self, command: Command) -> Child:
        """Start a process and keep it running."""
        child = Child(command, on_output=self._hear, on_exit=self._told)
        self._children[command.name] = child
        self._keeping.create_task(child.run_until_stopped(), name=command.name)
        return child

    def child(self, name: str) -> Child:
        return self._children[name]

    def kill_all(self) -> None:
        """Kill what still runs: the operator asked twice."""
        for child in self._children.values():
            child.kill()


async def _spawn(command: Command, pipe: FileIO) -> Process:
    """A session of its own keeps the terminal's Ctrl-C from the process: the order of stopping is ours."""
    account = command.owner
    return await asyncio.create_subprocess_exec(
        *_leash(command.orphan_signal),
        *command.argv,
        stdin=subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
        env=command.environment,
        start_new_session=True,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )


def _leash(number: Signals) -> tuple[str, ...]:
    """What makes the kernel end a process whose supervisor was killed. Linux only; nothing elsewhere."""
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", number.name.removeprefix("SIG"), "--") if setpriv else ()
