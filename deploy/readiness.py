"""Waits until started processes are ready, or have failed."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta

from deploy.errors import StartError
from deploy.output import ProcessLogs
from deploy.supervisor import Child

MAX_EXITS = 4
"""Exits of one process before it was ready, after which the start fails: the cause is a wrong setting, and no retry
helps."""

POLL_INTERVAL_SECONDS = 0.02


async def wait_until_ready(
    is_ready: Callable[[], Awaitable[bool]],
    *,
    children: Iterable[Child],
    logs: ProcessLogs,
    timeout: timedelta,  # noqa: ASYNC109 - it has an error of its own
) -> None:
    """Return once `is_ready()` is true. Raises `StartError` if a child keeps ending, or the timeout is over."""
    children = tuple(children)
    deadline = asyncio.get_running_loop().time() + timeout.total_seconds()
    while not await is_ready():
        for child in children:
            if child.exits >= MAX_EXITS:
                raise StartError(_describe_failure(child.command.name, logs))
        if asyncio.get_running_loop().time() > deadline:
            names = ", ".join(child.command.name for child in children)
            message = f"{names} did not get ready within {timeout.total_seconds():.0f} s (logs in {logs.directory})"
            raise StartError(message)
        await asyncio.sleep(POLL_INTERVAL_SECONDS)


def _describe_failure(name: str, logs: ProcessLogs) -> str:
    return f"{name} does not start: {logs.last_line(name) or 'it said nothing'} (log: {logs.path(name)})"
