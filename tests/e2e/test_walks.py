"""The examples of the README, over HTTP with real agents."""

import httpx
import pytest

from tests.e2e.conversation import (
    build_message,
    create,
    get_answer_text,
    get_workspace,
    send,
    send_and_wait,
    stream_events,
    wait_until_online,
)
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


@pytest.mark.covers("REG-36", "PROV-19", "AGT-12")
async def test_a_created_workspace_comes_online_and_answers(plane):
    workspace_id = await create(plane)
    assert (await get_workspace(plane, workspace_id))["status"] in {"provisioning", "online"}

    await wait_until_online(plane, workspace_id)
    response = await send(plane, workspace_id, "hello")

    assert get_answer_text(response) == "hello"
    assert float(response.headers["X-Molecule-Overhead-Ms"]) >= 0
    assert (await get_workspace(plane, workspace_id))["status_reason"] == "registered"


async def test_a_stream_is_forwarded_as_it_arrives(plane):
    workspace_id = await create(plane)
    await wait_until_online(plane, workspace_id)

    stream = await stream_events(plane, workspace_id, "one two three four")

    kinds = [event["result"]["kind"] for event in stream]
    assert kinds[0] == "task"
    assert kinds[-1] == "status-update"
    assert kinds.count("artifact-update") > 1
    pieces = [event["result"]["artifact"]["parts"][0]["text"] for event in stream if "artifact" in event["result"]]
    assert "".join(pieces) == "one two three four"


@pytest.mark.covers("A2A-11", "ACT-01")
async def test_forwarded_messages_are_in_the_activity_log(plane):
    workspace_id = await create(plane)
    await wait_until_online(plane, workspace_id)
    assert get_answer_text(await send(plane, workspace_id, "remember me")) == "remember me"

    async def rows():
        return (await plane.http.get(f"/workspaces/{workspace_id}/activity")).json()

    await eventually(rows)
    [row] = await rows()
    assert (row["activity_type"], row["status"], row["source_id"]) == ("a2a_receive", "ok", None)
    assert row["request_body"]["params"]["message"]["parts"][0]["text"] == "remember me"


@pytest.mark.covers("A2A-02", "A2A-03")
async def test_a_bare_body_of_an_old_client_is_accepted(plane):
    workspace_id = await create(plane)
    await wait_until_online(plane, workspace_id)

    body = {"method": "message/send", "params": {"message": {"role": "user", "content": "old words"}}}
    response = await plane.http.post(f"/workspaces/{workspace_id}/a2a/", json=body, timeout=30)

    assert get_answer_text(response) == "old words"


@pytest.mark.covers("PROV-21", "PROV-30")
async def test_a_restart_brings_a_new_generation_online(plane):
    workspace_id = await create(plane)
    await wait_until_online(plane, workspace_id)
    before = await get_workspace(plane, workspace_id)

    answer = await plane.http.post(f"/workspaces/{workspace_id}/restart")
    assert answer.json()["status"] == "provisioning"
    assert (await get_workspace(plane, workspace_id))["status"] == "provisioning"

    await wait_until_online(plane, workspace_id)
    after = await get_workspace(plane, workspace_id)
    assert after["status_event_id"] > before["status_event_id"]
    assert get_answer_text(await send_and_wait(plane, workspace_id, "still here")) == "still here"


@pytest.mark.covers("REG-64")
async def test_removing_a_team_removes_all_its_members(plane):
    lead = await create(plane, "lead")
    member = await create(plane, "member", parent_id=lead)
    await wait_until_online(plane, lead, member)

    refused = await plane.http.delete(f"/workspaces/{lead}")
    assert refused.status_code == 409
    assert refused.json()["children"] == [{"id": member, "name": "member"}]

    removed = await plane.http.delete(f"/workspaces/{lead}?confirm=true", timeout=40)
    assert removed.json() == {"status": "removed", "cascade_deleted": 1}
    assert (await get_workspace(plane, member))["status"] == "removed"
    assert (await send(plane, member, "anyone?")).status_code == 410
    left = {workspace["id"] for workspace in (await plane.http.get("/workspaces")).json()}
    assert left.isdisjoint({lead, member})


@pytest.mark.covers("REG-06", "REG-09", "REG-40")
async def test_an_external_agent_registers_sends_heartbeats_and_is_found(empty_plane):
    plane = empty_plane
    created = await plane.http.post("/workspaces", json={"name": "outside", "external": True})
    connection = created.json()["connection"]
    assert created.json()["status"] == "awaiting_agent"

    bearer = {"Authorization": f"Bearer {connection['auth_token']}"}
    card = {"name": "outside", "description": "elsewhere", "version": "1", "skills": []}
    registered = await plane.http.post(
        "/registry/register", json={"workspace_id": "", "id": created.json()["id"], "agent_card": card}, headers=bearer
    )
    assert registered.status_code == 200, registered.text
    assert registered.json()["delivery_mode"] == "poll"
    assert registered.json()["platform_inbound_secret"]
    assert "auth_token" not in registered.json()

    beat = await plane.http.post("/registry/heartbeat", json={"workspace_id": created.json()["id"]}, headers=bearer)
    assert beat.json() == {"status": "ok"}

    queued = await send(plane, created.json()["id"], "for later")
    assert queued.status_code == 200
    receipt = queued.json()
    assert (receipt["status"], receipt["delivery_mode"], receipt["method"]) == ("queued", "poll", "message/send")
    assert receipt["result"]["id"] == receipt["queue_id"]


@pytest.mark.covers("A2A-24", "A2A-39", "PROV-40")
async def test_a_killed_agent_is_detected_and_restarted(plane, agent_of):
    workspace_id = await create(plane)
    await wait_until_online(plane, workspace_id)

    agent_of(workspace_id).kill()

    async def is_restarted():
        try:
            return (await send_and_wait(plane, workspace_id, "are you well?")).status_code == 200
        except httpx.TransportError:
            return False

    await eventually(is_restarted, within=30)
    await wait_until_online(plane, workspace_id)


@pytest.mark.covers("A2A-06", "A2A-07")
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"   ", -32700),
        (b'{"jsonrpc":', -32700),
        (b"[]", -32600),
        (b'{"method":"message/send","params":{"message":{}}}', -32602),
    ],
)
async def test_an_invalid_message_never_reaches_the_agent(plane, body, code):
    workspace_id = await create(plane)
    await wait_until_online(plane, workspace_id)

    response = await plane.http.post(f"/workspaces/{workspace_id}/a2a", content=body)

    assert response.status_code == 400
    assert response.json()["error"]["code"] == code
    assert (await plane.http.get(f"/workspaces/{workspace_id}/activity")).json() == []


async def test_peers_discover_each_other_and_exchange_messages(plane):
    lead = await create(plane, "lead")
    one, two = await create(plane, "one", parent_id=lead), await create(plane, "two", parent_id=lead)
    stranger = await create(plane, "stranger")
    await wait_until_online(plane, lead, one, two, stranger)

    peers = (await plane.http.get(f"/registry/{one}/peers")).json()
    assert [(peer["name"], peer["id"]) for peer in peers] == [("two", two), ("lead", lead)]

    async def allowed(caller, target):
        answer = await plane.http.post("/registry/check-access", json={"caller_id": caller, "target_id": target})
        return answer.json()["allowed"]

    assert await allowed(one, two)
    assert await allowed(lead, stranger)
    assert not await allowed(one, stranger)


async def test_a_message_names_its_a2a_version_and_an_unknown_one_is_refused(plane):
    workspace_id = await create(plane)
    await wait_until_online(plane, workspace_id)

    response = await plane.http.post(
        f"/workspaces/{workspace_id}/a2a", json=build_message("hi"), headers={"A2A-Version": "99.0"}
    )

    assert response.status_code == 200
    assert response.json()["error"]["code"] == -32009
