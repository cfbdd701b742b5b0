"""Fixtures: the store of the queue on a real PostgreSQL."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.a2a_proxy.app import service
from services.a2a_proxy.queue.store.transaction import QueueStore
from tests import databases
from tests.a2a_proxy.fake_gateway import FakeGateway
from tests.a2a_proxy.queue.queue_agents import Sender


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    async with databases.open_empty_database(database_url, service) as engine:
        yield engine


@pytest.fixture
def store(engine: AsyncEngine) -> QueueStore:
    return QueueStore(engine)


@pytest.fixture
def sender(gateway: FakeGateway) -> Sender:
    return Sender(gateway)
