"""Delegations over HTTP with real agents."""

import pytest

from tests.e2e.conversation import create, wait_until_online
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


@pytest.mark.covers("BEY-06", "A2A-33", "A2A-38")
async def test_a_delegated_task_is_done_by_a_real_agent_whatever_lineage_the_source_claims(plane):
    source, target = await create(plane), await create(plane)
    await wait_until_online(plane, target)
    forged = {"root_id": target, "parent_id": target, "depth": 7, "metadata": {"root_id": target, "depth": 7}}
    body = {"target_id": target, "task": "count to three", "idempotency_key": "k-1"} | forged
    headers = {"X-Molecule-Depth": "7", "X-Root-Id": target}

    answer = await plane.http.post(f"/workspaces/{source}/delegate", json=body, headers=headers)

    made = answer.json()
    assert (answer.status_code, made["status"], made["target_id"]) == (202, "delegated", target)
    path = f"/workspaces/{source}/delegations/{made['delegation_id']}"

    async def is_completed():
        found = (await plane.http.get(path)).json()
        return found if found["status"] == "completed" else None

    found = await eventually(is_completed, within=20)
    assert (found["text"], found["root_id"], found["parent_id"], found["depth"]) == (
        "count to three",
        made["delegation_id"],
        None,
        1,
    )
    queued = (await plane.http.get(f"/workspaces/{target}/a2a/queue/{made['delegation_id']}")).json()
    assert queued["status"] == "completed"

    again = await plane.http.post(f"/workspaces/{source}/delegate", json=body)
    assert (again.status_code, again.json()) == (
        200,
        {
            "delegation_id": made["delegation_id"],
            "status": "completed",
            "target_id": target,
            "idempotent_hit": True,
        },
    )

    async def has_events():
        events = (await plane.http.get(f"/events/{source}")).json()
        found = {event["event_type"] for event in events if event["event_type"].startswith("DELEGATION")}
        return found == {"DELEGATION_SENT", "DELEGATION_STATUS", "DELEGATION_COMPLETE"}

    await eventually(has_events)


async def test_a_delegation_that_waits_in_an_inbox_is_cancelled_and_a_faulty_one_refused(plane):
    source = await create(plane)
    made = await plane.http.post("/workspaces", json={"name": "away", "external": True}, headers=plane.admin)
    target, path = made.json()["id"], f"/workspaces/{source}"

    for body, text in (
        ({}, "target_id must be a valid UUID"),
        ({"target_id": "x", "task": "t"}, "target_id must be a valid UUID"),
        ({"target_id": target}, "invalid delegation request"),
        ({"target_id": source, "task": "t"}, "self-delegation not permitted"),
        ({"target_id": target, "task": "t", "budget": 0}, "budget must be from 1 to 1000000000000"),
        ({"target_id": target, "task": "t", "lineage_token": "forged"}, "invalid lineage token"),
    ):
        refused = await plane.http.post(f"{path}/delegate", json=body)
        assert (refused.status_code, refused.json()) == (400, {"error": text})

    waiting = (await plane.http.post(f"{path}/delegate", json={"target_id": target, "task": "t"})).json()
    [row] = (await plane.http.get(f"{path}/delegations")).json()
    assert (row["status"], row["delegation_id"]) == ("pending", waiting["delegation_id"])
    cancelled = await plane.http.post(f"{path}/delegations/{waiting['delegation_id']}/cancel")
    one = {"delegation_id": waiting["delegation_id"], "target_id": target}
    assert cancelled.json() == {
        "delegation_id": waiting["delegation_id"],
        "status": "cancelled",
        "cancelled": [one],
        "not_stopped": [],
    }
    unknown = await plane.http.post(f"{path}/delegations/nothing/cancel")
    assert (unknown.status_code, unknown.json()) == (404, {"error": "delegation not found"})

    recorded = {"target_id": target, "task": "own", "delegation_id": "mine"}
    answer = await plane.http.post(f"{path}/delegations/record", json=recorded)
    assert (answer.status_code, answer.json()) == (202, {"delegation_id": "mine", "status": "recorded"})
    report = {"status": "completed", "response_preview": "done"}
    answer = await plane.http.post(f"{path}/delegations/mine/update", json=report)
    assert answer.json() == {"delegation_id": "mine", "status": "completed"}
    rows = (await plane.http.get(f"{path}/delegations")).json()
    assert (rows[0]["delegation_id"], rows[0]["response_preview"]) == ("mine", "done")
