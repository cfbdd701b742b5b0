"""Fixtures: a client for the delegations of a running proxy, and workspaces whose agents a test controls."""

from collections.abc import AsyncIterator

import pytest

from tests.a2a_proxy.delegations.delegation_client import DelegationClient, open_client
from tests.a2a_proxy.delegations.workspaces import Workspaces
from tests.a2a_proxy.running_proxy import RunningProxy


@pytest.fixture
async def client(proxy: RunningProxy) -> AsyncIterator[DelegationClient]:
    async with open_client(proxy) as client:
        yield client


@pytest.fixture
def workspaces(proxy: RunningProxy) -> Workspaces:
    return Workspaces(proxy.registry)
