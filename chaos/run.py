"""Runs chaos: load and faults for a time, then quiet until the queue is empty, then the verdict."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import asyncpg
import httpx

from chaos.agents import CALM
from chaos.evidence import collect_evidence, count_open, read_accounts
from chaos.faults import Fault, shuffle_faults
from chaos.judge import judge
from chaos.load import Load
from chaos.model import Verdict, Violation
from chaos.settings import RunSettings
from chaos.subject import Subject
from chaos.upkeep import run_upkeep

PAUSE_SECONDS = (0.5, 2.5)
"""The shortest and the longest time between two faults."""

PAIR_SHARE = 0.2
"""Share of the faults that come with the next one at the same time."""

RECOVERED_MESSAGES = 20
"""Messages that are answered between two faults, so that each fault strikes a plane at work."""

RECOVERY_POLL_SECONDS = 0.1

MAX_RECOVERY_POLLS = 200
"""Polls after which the next fault comes, whatever was answered."""

PROGRESS_SECONDS = 10.0

ACCOUNTS_SECONDS = 1.0

QUIET_POLL_SECONDS = 0.5

QUIET_POLLS = 4
"""Polls without an open message after which the plane is quiet: a call whose sender has left may still be stored."""

Print = Callable[[str], None]


class ChaosRun:
    """One run on a fresh plane."""

    def __init__(self, settings: RunSettings, faults: Sequence[Fault], *, directory: Path, report: Print) -> None:
        """`faults` are those of each round; `report` receives lines of progress."""
        self._settings = settings
        self._faults = faults
        self._directory = directory
        self._report = report
        self._random = random.Random(settings.seed)
        self._imbalances: list[Violation] = []
        self._started_at = time.monotonic()
        self.injected: list[str] = []
        """The names of the faults that were injected, in their order."""

    async def run(self) -> Verdict:
        """Return the verdict."""
        async with Subject(self._directory) as subject:
            self._print("the plane runs")
            load = Load(
                self._settings,
                gateways=subject.gateways,
                targets=subject.targets,
                callers=subject.callers,
                directory=self._directory,
            )
            async with asyncio.TaskGroup() as group:
                upkeep = group.create_task(
                    run_upkeep(subject.targets, subject.gateways, self._directory, self._settings.seed)
                )
                watch = group.create_task(self._watch(subject, load))
                sending = group.create_task(load.run())
                await self._inject_faults(subject, load)
                load.stop()
                await sending
                (self._directory / CALM).touch()
                self._print(f"the load is over: {load.sent} messages; waiting for an empty queue")
                await self._wait_until_quiet(subject)
                watch.cancel()
                upkeep.cancel()
            evidence = await collect_evidence(subject)
        verdict = judge(evidence)
        return replace(verdict, violations=[*self._imbalances, *verdict.violations])

    async def _inject_faults(self, subject: Subject, load: Load) -> None:
        """Inject one fault after the other, now and then two at once, until the time or the rounds are used up."""
        until = time.monotonic() + self._settings.seconds
        for _ in range(self._settings.rounds):
            left = shuffle_faults(self._faults, seed=self._random.getrandbits(32))
            while left and time.monotonic() < until:
                await asyncio.sleep(self._random.uniform(*PAUSE_SECONDS))
                is_pair = len(left) > 1 and left[0].process != left[1].process and self._random.random() < PAIR_SHARE
                chosen = [left.pop(0) for _ in range(2 if is_pair else 1)]
                self._print(f"fault: {' and '.join(fault.name for fault in chosen)}")
                async with asyncio.TaskGroup() as group:
                    for fault in chosen:
                        group.create_task(self._inject(fault, subject))
                await _wait_for_messages(load)
            if time.monotonic() >= until:
                return

    async def _inject(self, fault: Fault, subject: Subject) -> None:
        """Inject a fault and record its name; one that finds the database down has nothing to break."""
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await fault.inject(subject)
            self.injected.append(fault.name)

    async def _watch(self, subject: Subject, load: Load) -> None:
        """Print how far the run is, and look whether the accounts balance at every moment."""
        printed_at = time.monotonic()
        while True:
            await asyncio.sleep(ACCOUNTS_SECONDS)
            try:
                total, accounts = await read_accounts(subject)
            except (httpx.HTTPError, OSError):
                continue
            for account in (total, *accounts):
                if account.accepted != sum(account.counts.values()):
                    self._imbalances.append(
                        Violation(rule="account did not balance during the run", detail=str(account))
                    )
            if time.monotonic() - printed_at >= PROGRESS_SECONDS:
                printed_at = time.monotonic()
                counts = ", ".join(f"{count} {state}" for state, count in total.counts.items() if count)
                self._print(f"{load.sent} sent, {total.accepted} accepted: {counts}")

    async def _wait_until_quiet(self, subject: Subject) -> None:
        """Return once no message has been open for a while, or after the time that the settings allow."""
        await subject.wait_for_database()
        deadline = time.monotonic() + self._settings.quiet_seconds
        quiet_polls = left = 0
        while quiet_polls < QUIET_POLLS and time.monotonic() < deadline:
            left = await count_open(subject)
            quiet_polls = 0 if left else quiet_polls + 1
            await asyncio.sleep(QUIET_POLL_SECONDS)
        self._print(f"{left} messages are open")

    def _print(self, line: str) -> None:
        self._report(f"{time.monotonic() - self._started_at:7.1f} s  {line}")


async def _wait_for_messages(load: Load) -> None:
    """Return once the plane has answered some messages again, or after a while."""
    wanted = load.settled + RECOVERED_MESSAGES
    for _ in range(MAX_RECOVERY_POLLS):
        if load.settled >= wanted:
            return
        await asyncio.sleep(RECOVERY_POLL_SECONDS)
