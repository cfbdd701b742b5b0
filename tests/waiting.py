"""Waiting for what another process does: a deadline and a question, never a fixed sleep."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

PAUSE = 0.02
"""Seconds between two questions: short against anything a process does, long against the loop."""


async def eventually(question: Callable[[], T | Awaitable[T]], *, within: float = 5.0) -> T:
    """The first truthy answer to `question`; fails with the last answer when `within` seconds have passed."""
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
