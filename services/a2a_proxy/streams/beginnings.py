"""Looks at the beginning of an agent's stream without losing it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import timedelta

from services.a2a_proxy.model import Answer, Stream, StreamInterrupted
from services.a2a_proxy.streams.rules import cannot_stream

MAX_DELAY = timedelta(milliseconds=250)
"""Time that a stream may be delayed for its first event: agents report at once that they cannot stream."""


async def reject_refusal(stream: Stream) -> Stream | None:
    """Return a stream unchanged, or `None` if its only event says that the agent cannot stream the task."""
    first = asyncio.ensure_future(anext(stream.chunks, b""))
    await asyncio.wait({first}, timeout=MAX_DELAY.total_seconds())
    if first.done() and not first.exception() and cannot_stream(Answer(status=stream.status, body=first.result())):
        with suppress(StreamInterrupted):
            await stream.chunks.aclose()
        return None
    return replace(stream, chunks=_continue(first, stream.chunks))


async def _continue(first: asyncio.Future[bytes], chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    try:
        if beginning := await first:
            yield beginning
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk
    finally:
        if not first.done():
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
        await chunks.aclose()
