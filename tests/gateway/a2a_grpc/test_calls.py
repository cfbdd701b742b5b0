"""The limits of calls and of reads."""

import asyncio
from contextlib import AsyncExitStack, ExitStack

import pytest

from gateway.a2a_grpc.calls import MAX_CALLS, MAX_READS, MAX_READS_PER_CLIENT, CallLimits
from gateway.errors import RateLimitExceeded


def test_calls_of_one_address_are_limited_and_those_of_a_trusted_proxy_are_not():
    limits = CallLimits(2)
    with ExitStack() as stack:
        for address in ("10.0.0.1", "10.0.0.1", "10.0.0.2", "2001:db8::1", "2001:db8::2"):
            stack.enter_context(limits.count(address, is_trusted=False))
        for address in ("10.0.0.1", "2001:db8::3"):
            with pytest.raises(RateLimitExceeded), limits.count(address, is_trusted=False):
                pass
            with limits.count(address, is_trusted=True):
                pass
    with limits.count("10.0.0.1", is_trusted=False):
        pass


def test_one_address_has_at_most_half_of_all_calls():
    limits = CallLimits(MAX_CALLS)
    with ExitStack() as stack:
        for _ in range(MAX_CALLS // 2):
            stack.enter_context(limits.count("10.0.0.1", is_trusted=False))
        with pytest.raises(RateLimitExceeded), limits.count("10.0.0.1", is_trusted=False):
            pass


async def test_a_few_requests_are_read_at_a_time():
    limits = CallLimits(100)
    async with AsyncExitStack() as stack:
        for _ in range(MAX_READS_PER_CLIENT):
            await stack.enter_async_context(limits.wait_to_read("10.0.0.1"))
        assert not await can_read(limits, "10.0.0.1")
        for number in range(MAX_READS - MAX_READS_PER_CLIENT):
            await stack.enter_async_context(limits.wait_to_read(f"10.0.1.{number}"))
        assert not await can_read(limits, "10.0.0.2")
    assert await can_read(limits, "10.0.0.1")


async def can_read(limits, address):
    try:
        async with asyncio.timeout(0.01), limits.wait_to_read(address):
            return True
    except TimeoutError:
        return False
