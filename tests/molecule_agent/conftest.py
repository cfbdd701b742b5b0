"""Agents and planes, on ports of their own."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from molecule_agent.app import Agent, run_agent
from molecule_agent.settings import Settings
from tests.molecule_agent.a2a_client import Client
from tests.molecule_agent.clocks import MovedClock
from tests.molecule_agent.fake_plane import GoodPlane

WORKSPACE_ID = "0a6c1a3e-0d5c-4c3a-8c39-8f2f3a3c1a11"

Start = Callable[..., AbstractAsyncContextManager[Agent]]


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
async def plane() -> AsyncIterator[GoodPlane]:
    plane = GoodPlane()
    async with plane.open():
        yield plane


@pytest.fixture
def start(tmp_path: Path, clock: MovedClock) -> Start:
    """Starts an agent of the given plane; other settings by keyword."""

    @asynccontextmanager
    async def _start(plane: GoodPlane, **settings) -> AsyncIterator[Agent]:
        described = {"workspace_id": WORKSPACE_ID, "platform_url": plane.url, "root": tmp_path} | settings
        async with run_agent(Settings(**described), clock=clock) as agent:
            yield agent

    return _start


@pytest.fixture
async def patient(start: Start, plane: GoodPlane) -> AsyncIterator[Agent]:
    async with start(plane, adapter_module="tests.molecule_agent.adapters.patient") as agent:
        yield agent


@pytest.fixture
async def echo(start: Start, plane: GoodPlane) -> AsyncIterator[Agent]:
    async with start(plane) as agent:
        yield agent


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with Client() as client:
        yield client
