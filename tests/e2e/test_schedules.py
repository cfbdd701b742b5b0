"""Schedules in a whole plane: the routes, a run that reaches an agent, and schedules that an organisation declares."""

import json
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio

from deploy.plane import Plane
from tests.agents import EchoAgent, serve_agent
from tests.databases import plane_database
from tests.e2e.principals import external
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

EVERY_DAY = {"cron_expr": "30 9 * * *", "prompt": "Report.\r\n", "name": "daily", "timezone": "Europe/Berlin"}
MISSING = (404, {"error": "schedule not found"})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url(database_url):
    async with plane_database(database_url) as url:
        yield url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plane(url):
    async with Plane(backend="none", database_url=url) as plane:
        yield plane


async def request(plane, method, path, body=None, **headers):
    answer = await plane.http.request(method, path, json=body, headers=headers)
    return answer.status_code, answer.json()


async def make_due(url, schedule_id):
    """Let a schedule be due now: the API has no clock that a test could set."""
    connection = await asyncpg.connect(url)
    await connection.execute("update a2a_proxy.schedules set next_run_at = now() where id = $1", schedule_id)
    await connection.close()


async def test_a_schedule_is_created_read_changed_and_deleted(plane):
    workspace_id, _ = await external(plane, "scheduled")
    path = f"/workspaces/{workspace_id}/schedules"

    status, made = await request(plane, "POST", path, EVERY_DAY)
    assert (status, sorted(made), made["status"]) == (201, ["id", "next_run_at", "status"], "created")
    _, [listed] = await request(plane, "GET", path)
    assert listed == {
        "id": made["id"],
        "workspace_id": workspace_id,
        "name": "daily",
        "cron_expr": "30 9 * * *",
        "timezone": "Europe/Berlin",
        "prompt": "Report.\n",
        "enabled": True,
        "last_run_at": None,
        "next_run_at": made["next_run_at"],
        "run_count": 0,
        "last_status": "",
        "last_error": "",
        "source": "runtime",
        "created_at": listed["created_at"],
        "updated_at": listed["updated_at"],
    }
    one = f"{path}/{made['id']}"
    assert await request(plane, "PATCH", one, {"enabled": False}) == (200, {"status": "updated"})
    assert await request(plane, "PATCH", one, {}) == (200, {"status": "updated"})
    fired = {"status": "fired", "workspace_id": workspace_id, "prompt": "Report.\n"}
    assert await request(plane, "POST", f"{one}/run") == (200, fired)
    assert await request(plane, "GET", f"{one}/history") == (200, [])
    health = ["id", "name", "enabled", "last_run_at", "next_run_at", "run_count", "last_status", "last_error"]
    _, [found] = await request(plane, "GET", f"{path}/health")
    assert (list(found), found["enabled"], found["next_run_at"]) == (health, False, None)
    assert await request(plane, "DELETE", one) == (200, {"status": "deleted"})
    for method, place in (("DELETE", one), ("PATCH", one), ("POST", f"{one}/run"), ("GET", f"{one}/history")):
        assert await request(plane, method, place, {}) == MISSING


async def test_refusals_have_their_texts(plane):
    workspace_id, _ = await external(plane, "refusing")
    path = f"/workspaces/{workspace_id}/schedules"
    _, made = await request(plane, "POST", path, EVERY_DAY)
    invalid = {"error": "invalid request body", "detail": "invalid cron_expr"}
    for fields, answer in (
        ({"cron_expr": ""}, {"error": "cron_expr and prompt are required"}),
        ({"cron_expr": "@daily"}, invalid),
        ({"cron_expr": "0 0 30 2 *"}, invalid),
        ({"timezone": "Mars/Olympus"}, {"error": "invalid timezone: Mars/Olympus"}),
        ({"prompt": "x" * 70_000}, {"error": "prompt must be <= 65536 bytes"}),
    ):
        assert await request(plane, "POST", path, EVERY_DAY | {"name": "b"} | fields) == (400, answer)
        assert await request(plane, "PATCH", f"{path}/{made['id']}", fields) == (400, answer)
    exists = {"error": "schedule name already exists"}
    assert await request(plane, "POST", path, EVERY_DAY) == (409, exists)
    assert await request(plane, "POST", path, {"cron_expr": 5}) == (400, {"error": "invalid request body"})
    assert await request(plane, "PATCH", f"{path}/{made['id']}", {"enabled": "x"}) == (400, {"error": "invalid JSON"})
    assert await request(plane, "PATCH", f"{path}/x", {}) == (400, {"error": "invalid schedule ID"})
    assert await request(plane, "POST", f"/workspaces/{uuid4()}/schedules", EVERY_DAY) == (
        404,
        {"error": "workspace not found"},
    )
    assert await request(plane, "GET", f"/workspaces/{uuid4()}/schedules") == (200, [])


async def test_a_due_schedule_reaches_its_agent_and_is_seen_in_history_activity_and_events(plane, url):
    async with serve_agent(EchoAgent()) as agent:
        workspace_id, token = await external(plane, "working")
        own = {"Authorization": f"Bearer {token}"}
        card = {"id": workspace_id, "agent_card": {"name": "w"}, "url": agent.url, "delivery_mode": "push"}
        assert (await request(plane, "POST", "/registry/register", card, **own))[0] == 200
        _, made = await request(plane, "POST", f"/workspaces/{workspace_id}/schedules", EVERY_DAY)
        heartbeat = {"workspace_id": workspace_id, "active_tasks": 1}
        assert (await request(plane, "POST", "/registry/heartbeat", heartbeat, **own))[0] == 200
        await make_due(url, made["id"])
        assert (await request(plane, "POST", "/registry/heartbeat", heartbeat | {"active_tasks": 0}, **own))[0] == 200
        path = f"/workspaces/{workspace_id}/schedules/{made['id']}/history"

        async def history():
            _, runs = await request(plane, "GET", path)
            return runs if runs and runs[0]["status"] else None

        [run] = await eventually(history, within=20)

    assert (run["status"], run["error_detail"]) == ("ok", "")
    assert run["request"] == {
        "schedule_id": made["id"],
        "schedule_name": "daily",
        "cron_expr": "30 9 * * *",
        "prompt": "Report.\n",
    }
    [body] = agent.bodies
    assert json.loads(body)["params"]["message"]["messageId"].startswith(f"cron-{made['id']}-")
    rows = await eventually(lambda: list_rows(plane, workspace_id))
    assert rows[0]["request_body"] == run["request"]
    [event] = await eventually(lambda: list_events(plane, workspace_id))
    assert event["payload"] == {"schedule_id": made["id"], "schedule_name": "daily", "status": "ok"}
    _, listed = await request(plane, "GET", "/admin/schedules/health")
    [found] = [one for one in listed if one["schedule_id"] == made["id"]]
    assert (found["workspace_name"], found["status"], found["stale_threshold_seconds"]) == ("working", "ok", 172_800)


async def list_rows(plane, workspace_id):
    _, rows = await request(plane, "GET", f"/workspaces/{workspace_id}/activity?type=cron_run")
    return rows


async def list_events(plane, workspace_id):
    _, events = await request(plane, "GET", f"/events/{workspace_id}")
    return [event for event in events if event["event_type"] == "CRON_EXECUTED"]


async def test_schedules_of_an_organisation_file_appear_and_end_with_their_workspace(plane):
    schedules = [{"name": "hourly", "cron_expr": "0 * * * *", "prompt": "Go."}]
    org = {"name": "Team", "workspaces": [{"name": "clerk", "runtime": "external", "schedules": schedules}]}
    status, imported = await request(plane, "POST", "/org/import", {"template": org})
    assert status == 201, imported
    [workspace] = imported["workspaces"]
    path = f"/workspaces/{workspace['id']}/schedules"

    async def listed():
        return (await request(plane, "GET", path))[1]

    [schedule] = await eventually(listed, within=10)
    assert (schedule["name"], schedule["source"], schedule["enabled"]) == ("hourly", "template", True)

    assert (await request(plane, "DELETE", f"/workspaces/{workspace['id']}"))[0] == 200

    async def is_disabled():
        return not (await listed())[0]["enabled"]

    await eventually(is_disabled, within=10)
    assert await request(plane, "POST", path, EVERY_DAY) == (410, {"error": "workspace removed"})
    assert (await request(plane, "DELETE", f"/workspaces/{workspace['id']}?purge=true"))[0] == 200

    async def is_gone():
        return await listed() == []

    await eventually(is_gone, within=10)
