"""Callers without the token of a workspace cannot change it, and receive 401 also for an invalid body."""

import asyncpg
import pytest

from deploy.plane import Plane
from tests.databases import plane_database
from tests.e2e.modes import PRODUCTION
from tests.e2e.principals import external

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

METADATA_URL = "http://169.254.169.254/latest/"
"""An address that no agent may register."""

CARD = {"name": "outside"}


async def rows(url, workspace_id):
    """Return the rows of the registry about the workspace."""
    connection = await asyncpg.connect(url)
    try:
        tables = ("registry.workspaces where id", "registry.vitals where workspace_id")
        return [await connection.fetch(f"select * from {table} = $1", workspace_id) for table in tables]  # noqa: S608
    finally:
        await connection.close()


@pytest.mark.covers("AUTH-10", "AUTH-23", "AUTH-09")
async def test_a_caller_without_the_token_changes_nothing_and_receives_401_where_its_holder_receives_400(
    database_url, capsys
):
    async with (
        plane_database(database_url) as url,
        Plane(backend="none", database_url=url, env=PRODUCTION) as plane,
    ):
        workspace_id, token = await external(plane, "outside")
        _, another = await external(plane, "another")

        async def call(what, bearer, **fields):
            headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
            body = {"id": workspace_id, "workspace_id": workspace_id, "agent_card": CARD, **fields}
            return (await plane.http.post(f"/registry/{what}", json=body, headers=headers)).status_code

        assert await call("register", token) == 200
        assert await call("heartbeat", token, error_rate=0.9) == 200
        before = await rows(url, workspace_id)
        assert "degraded" in str(before)

        for bearer in (None, "nobody-has-this", another):
            assert await call("register", bearer, url=METADATA_URL, delivery_mode="push") == 401
            assert await call("heartbeat", bearer, error_rate=0.0) == 401
        assert await rows(url, workspace_id) == before

        capsys.readouterr()
        assert await call("register", another, url=METADATA_URL, delivery_mode="push") == 401
        assert await call("register", token, url=METADATA_URL, delivery_mode="push") == 400
        lines = [line for line in capsys.readouterr().out.splitlines() if "boot_register_failed" in line]

    assert ["status=401" in lines[0], "status=400" in lines[1]] == [True, True]
