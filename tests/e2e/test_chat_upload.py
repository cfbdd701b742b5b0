"""The upload script works on a development plane and on one in production, and fails without a bearer."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from deploy.plane import Plane
from tests.databases import plane_database
from tests.e2e.modes import PRODUCTION

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]


async def run_script(plane, **environment) -> int:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.e2e.chat_upload"),
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "BASE": plane.url, **environment},
        stderr=asyncio.subprocess.DEVNULL,
    )
    return await asyncio.wait_for(process.wait(), 100)


@pytest.mark.covers("ENG-11")
async def test_upload_script_passes_on_a_fresh_development_plane(database_url):
    async with plane_database(database_url) as url, Plane(backend="process", database_url=url) as plane:
        assert await run_script(plane) == 0


@pytest.mark.covers("ENG-11")
async def test_upload_script_passes_in_production_with_the_token_only(database_url):
    async with (
        plane_database(database_url) as url,
        Plane(backend="process", database_url=url, env=PRODUCTION, processes=True) as plane,
    ):
        token = plane.admin["Authorization"].removeprefix("Bearer ")
        assert await run_script(plane, ADMIN_TOKEN=token) == 0
        assert await run_script(plane) == 1
