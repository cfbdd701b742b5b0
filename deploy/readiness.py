"""Waiting until something that was started answers, or cannot any more."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta

from deploy.errors import StartError
from deploy.output import ProcessLogs
from deploy.supervisor import Child

HOPELESS = 4
"""Deaths in a row before anything answered: a setting is wrong, not the moment."""

PAUSE = 0.02
"""Seconds between two questions: short against any start, long against the loop."""


async def wait_until_ready(
    answers: Callable[[], Awaitable[bool]], *, children: Iterable[Child], journal: ProcessLogs, within: timedelta
) -> None:
    """Return once `answers()` is true. Raises `StartError` when a child keeps dying, or time is up."""
    watched = tuple(children)
    deadline = asyncio.get_running_loop().time() + within.total_seconds()
    while not await answers():
        for child in watched:
            if child.exits >= HOPELESS:
                raise StartError(_obituary(child.command.name, journal))
        if asyncio.get_running_loop().time() > deadline:
            names = ", ".join(child.command.name for child in watched)
            message = f"{names} did not get ready within {within.total_seconds():.0f} s (logs in {journal.directory})"
            raise StartError(message)
        await asyncio.sleep(PAUSE)


def _obituary(name: str, journal: ProcessLogs) -> str:
    return f"{name} does not start: {journal.last(name) or 'it said nothing'} (log: {journal.path(name)})"
