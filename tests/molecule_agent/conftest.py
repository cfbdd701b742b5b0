"""Fixtures: agents and fake planes, each on its own port."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from molecule_agent.app import Agent, run_agent
from molecule_agent.credentials import Credentials
from molecule_agent.settings import Settings
from tests.molecule_agent.a2a_client import A2aClient
from tests.molecule_agent.clocks import ManualClock
from tests.molecule_agent.fake_plane import SECRET, FakePlane

WORKSPACE_ID = "0a6c1a3e-0d5c-4c3a-8c39-8f2f3a3c1a11"

Start = Callable[..., AbstractAsyncContextManager[Agent]]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def plane() -> AsyncIterator[FakePlane]:
    plane = FakePlane()
    async with plane.open():
        yield plane


@pytest.fixture
def start(tmp_path: Path, clock: ManualClock) -> Start:
    """A function that starts an agent for a fake plane, with the inbound secret; keywords override settings."""
    Credentials(tmp_path).save_inbound_secret(SECRET)

    @asynccontextmanager
    async def _start(plane: FakePlane, **settings) -> AsyncIterator[Agent]:
        described = {"workspace_id": WORKSPACE_ID, "platform_url": plane.url, "root": tmp_path} | settings
        async with run_agent(Settings(**described), clock=clock) as agent:
            yield agent

    return _start


@pytest.fixture
async def gated(start: Start, plane: FakePlane) -> AsyncIterator[Agent]:
    async with start(plane, adapter_module="tests.molecule_agent.adapters.gated") as agent:
        yield agent


@pytest.fixture
async def echo(start: Start, plane: FakePlane) -> AsyncIterator[Agent]:
    async with start(plane) as agent:
        yield agent


@pytest.fixture
async def client() -> AsyncIterator[A2aClient]:
    async with A2aClient(headers={"Authorization": f"Bearer {SECRET}"}) as client:
        yield client
