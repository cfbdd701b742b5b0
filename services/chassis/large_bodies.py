"""Runs work on large bodies in a thread, so that the event loop goes on with small ones."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

LARGE_BODY_BYTES = 128 * 1024
"""Size from which work on a body leaves the event loop; work on smaller ones takes less than a change of threads."""

P = ParamSpec("P")
R = TypeVar("R")


async def run_by_size(size: int, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Return the result of `work`, which runs in a thread if it is about `size` bytes or more.

    There is one such thread, so at most one large body at a time competes with the event loop for the interpreter.
    """
    if size < LARGE_BODY_BYTES:
        return work(*args, **kwargs)
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_THREAD, lambda: work(*args, **kwargs))


_THREAD = ThreadPoolExecutor(max_workers=1, thread_name_prefix="large-bodies")
