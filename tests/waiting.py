"""Waits for a condition with a deadline, never for a fixed time."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

PAUSE = 0.02
"""Seconds between two checks of the condition."""


async def eventually(question: Callable[[], T | Awaitable[T]], *, within: float = 20.0) -> T:
    """Call `question` until its answer is truthy and return that; fail with the last answer after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        answer = question()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        if time.monotonic() > deadline:
            message = f"still {answer!r} after {within} s"
            raise AssertionError(message)
        await asyncio.sleep(PAUSE)
