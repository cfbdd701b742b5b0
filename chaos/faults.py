"""The faults that a run injects, each as a small class named after what it does."""

import asyncio
import os
import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from signal import SIGKILL
from typing import Protocol

from chaos.settings import FEED_SILENCE_SECONDS, LEASE_SECONDS
from chaos.subject import SECOND_GATEWAY, SECOND_PROXY, Subject
from deploy.postgres import NAME as POSTGRES

CLOCK_STEP = timedelta(seconds=20)
"""Longer than a lease and than most delays."""


class Fault(Protocol):
    """Something that goes wrong, and is well again when `inject` returns."""

    @property
    def name(self) -> str:
        """What the log calls it."""

    @property
    def process(self) -> str:
        """The process that it strikes; two faults of one process are not injected at the same time."""

    async def inject(self, subject: Subject) -> None:
        """Do it, and heal it."""


@dataclass(frozen=True, slots=True)
class ProcessKill:
    """A process is killed with SIGKILL and restarted by its supervisor."""

    process: str

    @property
    def name(self) -> str:
        """What the log calls it."""
        return f"kill {self.process}"

    async def inject(self, subject: Subject) -> None:
        """Kill the process and wait until it runs again."""
        old = subject.plane.pid(self.process)
        subject.plane.kill(self.process)
        await subject.wait_for_restart(self.process, old)
        if self.process == POSTGRES:
            await subject.wait_for_database()


@dataclass(frozen=True, slots=True)
class ProcessStop:
    """A process is stopped with SIGTERM, as by a rolling update, and started again."""

    process: str

    @property
    def name(self) -> str:
        """What the log calls it."""
        return f"stop {self.process}"

    async def inject(self, subject: Subject) -> None:
        """Stop the process and start it again."""
        await subject.plane.stop(self.process)
        subject.plane.start(self.process)
        await subject.wait_for_restart(self.process, None)


@dataclass(frozen=True, slots=True)
class ProcessStall:
    """A process is suspended for longer than a lease, or than a feed may be silent, and then goes on."""

    process: str
    seconds: float

    @property
    def name(self) -> str:
        """What the log calls it."""
        return f"stall {self.process} for {self.seconds:.0f} s"

    async def inject(self, subject: Subject) -> None:
        """Suspend the process, and resume it."""
        subject.plane.suspend(self.process)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            subject.plane.resume(self.process)


@dataclass(frozen=True, slots=True)
class DatabaseRecovery:
    """A process of PostgreSQL dies, so that the server ends all sessions and recovers."""

    name: str = "database in recovery"
    process: str = POSTGRES

    async def inject(self, subject: Subject) -> None:
        """Kill the server process of an own session."""
        async with subject.open_database() as connection:
            pid = await connection.fetchval("select pg_backend_pid()")
            os.kill(pid, SIGKILL)
            with suppress(Exception):
                await connection.fetchval("select 1")
        await subject.wait_for_database()


@dataclass(frozen=True, slots=True)
class DatabaseClockStep:
    """The clock of the database is stepped.

    The queue compares stored times with the clock of the database alone, so a step of that clock and a shift of the
    stored times the other way are the same to it; the clock of the machine belongs to others.
    """

    step: timedelta
    process: str = POSTGRES

    @property
    def name(self) -> str:
        """What the log calls it."""
        return f"step the clock by {self.step.total_seconds():+.0f} s"

    async def inject(self, subject: Subject) -> None:
        """Shift the times of all open messages."""
        async with subject.open_database() as connection, connection.transaction():
            await connection.execute(WRITER_LOCK)
            await connection.execute(SHIFT, self.step)


@dataclass(frozen=True, slots=True)
class AgentKill:
    """All agents are killed with SIGKILL and started again."""

    name: str = "kill the agents"
    process: str = "agents"

    async def inject(self, subject: Subject) -> None:
        """Restart the agents."""
        await subject.restart_agents()


WRITER_LOCK = "select pg_advisory_xact_lock(hashtextextended('a2a_proxy.activities', 0))"
"""The lock under which the proxies change messages; without it the shift and they could wait for each other."""

SHIFT = """
    update a2a_proxy.queued_messages
    set accepted_at = accepted_at - $1::interval, not_before = not_before - $1::interval,
        dispatched_at = dispatched_at - $1::interval, lease_expires_at = lease_expires_at - $1::interval,
        expires_at = expires_at - $1::interval
    where state in ('queued', 'dispatching')
"""

KILLS: Sequence[Fault] = tuple(
    ProcessKill(process)
    for process in ("a2a_proxy", SECOND_PROXY, "registry", "gateway", SECOND_GATEWAY, "auth", POSTGRES)
)
"""The death of each process that a message depends on."""

SHORT_FAULTS: Sequence[Fault] = (
    *KILLS,
    DatabaseRecovery(),
    DatabaseClockStep(CLOCK_STEP),
    ProcessStall("a2a_proxy", LEASE_SECONDS + 3),
)
"""The faults of the shortest run, each once."""

ALL_FAULTS: Sequence[Fault] = (
    *SHORT_FAULTS,
    ProcessKill("a2a_proxy"),
    ProcessKill(SECOND_PROXY),
    DatabaseClockStep(-CLOCK_STEP),
    ProcessStall(SECOND_PROXY, LEASE_SECONDS + 3),
    ProcessStall("registry", FEED_SILENCE_SECONDS + 2),
    ProcessStall(POSTGRES, LEASE_SECONDS + 3),
    ProcessStop("a2a_proxy"),
    ProcessStop(SECOND_PROXY),
    AgentKill(),
)
"""The faults of one round; a long run has many rounds."""


def shuffle_faults(faults: Sequence[Fault], *, seed: int) -> list[Fault]:
    """Return the faults of a round in a random order."""
    return random.Random(seed).sample(faults, len(faults))
