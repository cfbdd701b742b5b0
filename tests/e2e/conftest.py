"""Fixtures: whole planes, with or without agents."""

from collections.abc import AsyncIterator, Callable

import psutil
import pytest
import pytest_asyncio

from deploy.plane import Plane
from tests.databases import plane_database


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plane(database_url: str) -> AsyncIterator[Plane]:
    """A plane in one event loop for all tests of a module; its agents are real processes."""
    async with plane_database(database_url) as url, Plane(backend="process", database_url=url) as plane:
        yield plane


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def empty_plane(database_url: str) -> AsyncIterator[Plane]:
    """A plane that starts no agents; tests register external ones."""
    async with plane_database(database_url) as url, Plane(backend="none", database_url=url) as plane:
        yield plane


@pytest.fixture
def agent_of() -> Callable[[str], psutil.Process]:
    """A function that finds the process of a workspace's agent."""
    return find_agent


def find_agent(workspace_id: str) -> psutil.Process:
    """Return the process of a workspace's agent."""
    return next(process for process in psutil.process_iter() if _is_agent(process, workspace_id))


def _is_agent(process: psutil.Process, workspace_id: str) -> bool:
    try:
        return process.environ().get("WORKSPACE_ID") == workspace_id and "molecule_agent" in process.cmdline()
    except psutil.Error:
        return False
