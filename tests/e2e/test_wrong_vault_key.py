"""Agents start by themselves after a wrong vault key was put right."""

import asyncio
import base64
import sys

import pytest

from deploy.plane import Plane
from tests.databases import plane_database
from tests.deploy.postgres_server import temporary_home
from tests.e2e.conversation import START_TIME_LIMIT, create, get_workspace, wait_until_online
from tests.waiting import eventually

pytestmark = pytest.mark.e2e


def build_key(number: int) -> str:
    return f"1:{base64.b64encode(bytes([number]) * 32).decode()}"


async def examine(plane: Plane) -> list[str]:
    """Return the names of the faults that `molecule doctor` finds."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "molecule_cli", "doctor", "-o", "name"),
        env={"MOLECULE_URL": plane.url},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    return output.decode().splitlines()


@pytest.mark.covers("ENV-30", "TTY-20")
async def test_agents_come_back_once_the_right_key_is_set(database_url, agent_of):
    with temporary_home() as home:
        async with plane_database(database_url) as url:

            def build_plane(key: str) -> Plane:
                return Plane(database_url=url, home=home, env={"SECRETS_ENCRYPTION_KEY": key})

            async with build_plane(build_key(1)) as plane:
                own = await create(plane, "own", secrets={"KEY": "value"})
                plain = await create(plane, "plain")
                await wait_until_online(plane, own, plain)

            async with build_plane(build_key(2)) as plane:

                async def have_failed():
                    found = [await get_workspace(plane, each) for each in (own, plain)]
                    return all(workspace["status_reason"] == "provision_error" for workspace in found)

                await eventually(have_failed, within=START_TIME_LIMIT)
                assert await examine(plane) == ["vault key"]

            async with build_plane(build_key(1)) as plane:
                await wait_until_online(plane, own, plain)
                events = (await plane.http.get(f"/events/{own}", params={"limit": 500})).json()
                assert agent_of(own).environ()["KEY"] == "value"

    assert [event["event_type"] for event in events].count("WORKSPACE_PROVISION_FAILED") == 1
