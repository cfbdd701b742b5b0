"""Secrets and models in a whole plane, down to the environment of a real agent process."""

import base64
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text

from deploy.plane import Plane
from services.auth.app import service
from services.chassis import database
from tests.databases import plane_database
from tests.e2e.conversation import START_TIME_LIMIT, create, get_workspace, wait_until_online
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

MARKER = "marker-of-a-secret-value"


@pytest.fixture
def environment_of(plane, agent_of):
    """A function that waits until the environment of a workspace's agent has the expected values, and returns it."""

    async def read(workspace_id, **expected):
        async def found():
            if (await get_workspace(plane, workspace_id))["status"] != "online":
                return None
            try:
                seen = agent_of(workspace_id).environ()
            except (psutil.Error, StopIteration):
                return None
            return seen if all(seen.get(name) == value for name, value in expected.items()) else None

        return await eventually(found, within=START_TIME_LIMIT)

    return read


async def count_restarts(plane, workspace_id):
    answer = (await plane.http.get(f"/events/{workspace_id}", params={"limit": 500})).json()
    return sum(event["event_type"] == "WORKSPACE_PROVISIONING" for event in answer) - 1


async def put(plane, workspace_id, key, value):
    answer = await plane.http.put(f"/workspaces/{workspace_id}/secrets", json={"key": key, "value": value})
    assert answer.json() == {"key": key, "status": "saved"}


@pytest.mark.covers("REG-02", "PROV-29")
async def test_a_workspace_is_created_with_its_secrets_and_reads_only_them(plane, environment_of):
    workspace_id = await create(plane, secrets={"KEY": MARKER}, model="echo/plain")

    seen = await environment_of(workspace_id, KEY=MARKER, MODEL="echo/plain")
    listed = await plane.http.get(f"/workspaces/{workspace_id}/secrets")
    nobody = await plane.http.get(f"/workspaces/{workspace_id}/secrets/values")
    token = (Path(seen["MOLECULE_ROOT"]) / "configs" / ".auth_token").read_text()
    own = {"Authorization": f"Bearer {token}"}
    answer = await plane.http.get(f"/workspaces/{workspace_id}/secrets/values", headers=own)

    assert [(secret["key"], secret["scope"]) for secret in listed.json()] == [("KEY", "workspace")]
    assert MARKER not in listed.text
    assert (nobody.status_code, nobody.json()) == (401, {"error": "missing workspace auth token"})
    assert answer.json() == {"KEY": MARKER}
    assert await count_restarts(plane, workspace_id) == 0


async def test_a_creation_with_invalid_secrets_creates_nothing(plane):
    before = (await plane.http.get("/workspaces")).json()

    answer = await plane.http.post("/workspaces", json={"name": "n", "runtime": "echo", "secrets": {"PATH": "/"}})

    assert (answer.status_code, answer.json()) == (400, {"error": "invalid workspace fields"})
    assert (await plane.http.get("/workspaces")).json() == before


@pytest.mark.covers("PROV-37", "REG-55")
async def test_a_secret_and_a_model_each_restart_the_agent_once(plane, environment_of):
    workspace_id = await create(plane)
    await wait_until_online(plane, workspace_id)

    await put(plane, workspace_id, "KEY", "1")
    await environment_of(workspace_id, KEY="1")
    assert await count_restarts(plane, workspace_id) == 1

    chosen = await plane.http.put(f"/workspaces/{workspace_id}/model", json={"model": "echo/plain"})
    assert chosen.json() == {"model": "echo/plain", "status": "saved"}
    await environment_of(workspace_id, KEY="1", MODEL="echo/plain")
    assert await count_restarts(plane, workspace_id) == 2

    refused = await plane.http.put(f"/workspaces/{workspace_id}/model", json={"model": "nobody's"})
    assert (refused.status_code, refused.json()["valid_models"]) == (422, ["echo/plain"])
    await plane.http.delete(f"/workspaces/{workspace_id}/model")
    seen = await environment_of(workspace_id, MODEL=None)
    assert "MODEL" not in seen
    assert (await plane.http.get(f"/workspaces/{workspace_id}/model")).json() == {"model": "", "source": "default"}
    assert await count_restarts(plane, workspace_id) == 3


@pytest.mark.covers("PROV-29", "PROV-33")
async def test_a_secret_written_just_before_a_restart_is_in_the_final_process(plane, environment_of):
    workspace_id = await create(plane)
    await wait_until_online(plane, workspace_id)
    for number in range(5):
        await put(plane, workspace_id, "KEY", str(number))
        assert (await plane.http.post(f"/workspaces/{workspace_id}/restart")).status_code == 200
    await environment_of(workspace_id, KEY="4")


@pytest.mark.covers("PROV-37", "REG-62")
async def test_a_global_secret_applies_to_workspaces_without_their_own(plane, environment_of):
    overriding = await create(plane, "overriding", secrets={"SHARED": "own"})
    reached = await create(plane, "reached")
    await wait_until_online(plane, overriding, reached)

    saved = await plane.http.post("/settings/secrets", json={"key": "SHARED", "value": "of all"})
    await environment_of(reached, SHARED="of all")
    await environment_of(overriding, SHARED="own")
    erased = await plane.http.delete("/settings/secrets/SHARED")
    await environment_of(reached, SHARED=None)

    assert saved.json() == {"key": "SHARED", "scope": "global", "status": "saved"}
    assert erased.json() == {"key": "SHARED", "scope": "global", "status": "deleted"}
    assert await count_restarts(plane, overriding) == 0
    assert await count_restarts(plane, reached) == 2


@pytest.mark.covers("PROV-22", "PROV-25", "ENG-08", "GW-04")
async def test_a_secret_that_no_key_can_open_fails_the_workspace_until_it_is_set_again(plane, environment_of):
    workspace_id = await create(plane, secrets={"FAKE_KEY": MARKER})
    await wait_until_online(plane, workspace_id)
    async with (
        database.open_engine(plane._environment["DATABASE_URL"], role=service.build_role()) as engine,
        database.transaction(engine) as connection,
    ):
        await connection.execute(
            text("update auth.secrets set sealed = '99' || substr(sealed, 2) where key = 'FAKE_KEY'")
        )

    await plane.http.post(f"/workspaces/{workspace_id}/restart")

    async def failed():
        return (await get_workspace(plane, workspace_id))["status"] == "failed"

    await eventually(failed, within=START_TIME_LIMIT)
    answer = await plane.http.get(f"/events/{workspace_id}")
    listed = await plane.http.get("/workspaces")
    [row] = [workspace for workspace in listed.json() if workspace["id"] == workspace_id]
    [event] = [event for event in answer.json() if event["event_type"] == "WORKSPACE_PROVISION_FAILED"]
    assert row["last_sample_error"] == event["payload"]["error"] == "failed to decrypt workspace secret"
    for marker in (MARKER, "FAKE_KEY", "version=99"):
        assert marker not in answer.text + listed.text

    await put(plane, workspace_id, "FAKE_KEY", "again")
    await environment_of(workspace_id, FAKE_KEY="again")


@pytest.mark.covers("PROV-25")
async def test_after_a_reseal_the_plane_runs_without_the_old_key(database_url):
    old, new = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))
    async with plane_database(database_url) as url:
        async with build_plane(url, f"1:{old}") as plane:
            made = await plane.http.post(
                "/workspaces", json={"name": "n", "external": True, "secrets": {"KEY": MARKER}}
            )
            workspace_id, token = made.json()["id"], made.json()["connection"]["auth_token"]
            await plane.http.put("/settings/secrets", json={"key": "SHARED", "value": MARKER})
        async with build_plane(url, f"2:{new},1:{old}") as plane:
            resealed = await plane.http.post("/admin/vault/reseal")
        async with build_plane(url, f"2:{new}") as plane:
            path, own = f"/workspaces/{workspace_id}/secrets/values", {"Authorization": f"Bearer {token}"}
            answer = await plane.http.get(path, headers=own)
        async with build_plane(url, f"3:{old}") as plane:
            blind = await plane.http.get(path, headers=own)
            refused = await plane.http.post("/admin/vault/reseal")

    assert resealed.json() == {"resealed": 2, "remaining": 0, "key_version": "2"}
    assert answer.json() == {"KEY": MARKER, "SHARED": MARKER}
    assert (blind.status_code, blind.json()["failed_keys"]) == (500, ["workspace:KEY", "global:SHARED"])
    assert (refused.status_code, refused.json()["key_version"]) == (409, "2")


def build_plane(url, keys):
    return Plane(backend="none", database_url=url, env={"SECRETS_ENCRYPTION_KEY": keys})
