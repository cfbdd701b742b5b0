"""Fixtures: a running proxy, and a gateway that is connected to it."""

from collections.abc import AsyncIterator

import pytest

from tests.a2a_proxy.fake_gateway import FakeGateway, open_exchange
from tests.a2a_proxy.running_proxy import RunningProxy, run_proxy


@pytest.fixture
async def proxy(database_url: str) -> AsyncIterator[RunningProxy]:
    async with run_proxy(database_url) as proxy:
        yield proxy


@pytest.fixture
async def gateway(proxy: RunningProxy) -> AsyncIterator[FakeGateway]:
    async with open_exchange(proxy) as gateway:
        yield gateway
