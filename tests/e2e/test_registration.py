"""Who does not hold the token of a workspace leaves no trace in it, and is told apart from who sends nonsense."""

import asyncpg
import pytest

from deploy.plane import Plane, fresh_database
from tests.e2e.modes import PRODUCTION
from tests.e2e.principals import external

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

METADATA = "http://169.254.169.254/latest/"
"""No agent may be there."""

CARD = {"name": "outside"}


async def rows(url, workspace_id):
    """All that the registry keeps of the workspace."""
    connection = await asyncpg.connect(url)
    try:
        tables = ("registry.workspaces where id", "registry.vitals where workspace_id")
        return [await connection.fetch(f"select * from {table} = $1", workspace_id) for table in tables]  # noqa: S608
    finally:
        await connection.close()


@pytest.mark.covers("AUTH-10", "AUTH-23", "AUTH-09")
async def test_who_does_not_hold_the_token_changes_nothing_and_hears_401_where_the_holder_hears_400(
    database_url, capsys
):
    async with fresh_database(database_url) as url, Plane(backend="none", database_url=url, env=PRODUCTION) as plane:
        workspace_id, token = await external(plane, "outside")
        _, another = await external(plane, "another")

        async def say(what, bearer, **fields):
            headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
            body = {"id": workspace_id, "workspace_id": workspace_id, "agent_card": CARD, **fields}
            return (await plane.http.post(f"/registry/{what}", json=body, headers=headers)).status_code

        assert await say("register", token) == 200
        assert await say("heartbeat", token, error_rate=0.9) == 200
        before = await rows(url, workspace_id)
        assert "degraded" in str(before)

        for bearer in (None, "nobody-has-this", another):
            assert await say("register", bearer, url=METADATA, delivery_mode="push") == 401
            assert await say("heartbeat", bearer, error_rate=0.0) == 401
        assert await rows(url, workspace_id) == before

        capsys.readouterr()
        assert await say("register", another, url=METADATA, delivery_mode="push") == 401
        assert await say("register", token, url=METADATA, delivery_mode="push") == 400
        told = [line for line in capsys.readouterr().out.splitlines() if "boot_register_failed" in line]

    assert ["status=401" in told[0], "status=400" in told[1]] == [True, True]
