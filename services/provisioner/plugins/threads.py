"""Runs blocking work in a thread, and returns only when the work has ended."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def run_in_thread(work: Callable[[], T]) -> T:
    """Return the result of the work.

    A thread cannot be cancelled: the cancellation of the caller takes effect once the thread has ended, so that no
    thread writes into a directory that its caller has deleted. The work has to be bounded.
    """
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
