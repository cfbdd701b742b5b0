"""Delegations over HTTP with real agents, and with external ones that fetch their messages."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import httpx
import pytest

from deploy.plane import Plane
from tests.e2e.conversation import build_message, create, wait_until_online
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

MAX_DEPTH = 8


@dataclass(frozen=True, slots=True)
class PollingWorkspace:
    """An external workspace that delegates, fetches its messages and answers them with its own token."""

    plane: Plane
    id: str
    headers: dict[str, str]

    async def post(self, path: str, body: dict[str, Any], **headers: str) -> httpx.Response:
        url = f"/workspaces/{self.id}/{path}"
        return await self.plane.http.post(url, json=body, headers=self.headers | headers)

    async def get(self, path: str) -> Any:
        answer = await self.plane.http.get(f"/workspaces/{self.id}/{path}", headers=self.headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def delegate(self, target: "PollingWorkspace", **fields: Any) -> dict[str, Any]:
        """Delegate to a workspace; returns the stored delegation."""
        answer = await self.post("delegate", {"target_id": target.id, "task": "go on"} | fields)
        assert answer.status_code == 202, answer.text
        return await self.get(f"delegations/{answer.json()['delegation_id']}")

    async def lease(self) -> dict[str, Any]:
        """Fetch the only message of the inbox."""
        [message] = await self.get("inbox?max=10&wait=5")
        return message


async def create_polling(plane: Plane) -> PollingWorkspace:
    """Create a workspace whose agent is the test."""
    made = (
        await plane.http.post("/workspaces", json={"name": "polling", "external": True}, headers=plane.admin)
    ).json()
    workspace = PollingWorkspace(plane, made["id"], {"Authorization": f"Bearer {made['connection']['auth_token']}"})
    card = {"name": "polling", "description": "", "version": "1", "skills": []}
    body = {"id": workspace.id, "url": "", "delivery_mode": "poll", "agent_card": card}
    answer = await plane.http.post("/registry/register", json=body, headers=workspace.headers)
    assert answer.status_code == 200, answer.text
    return workspace


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


@pytest.mark.covers("BEY-06")
async def test_a_workspace_at_work_cannot_forge_the_place_of_what_it_delegates(plane):
    ada, bob, eve, other = [await create_polling(plane) for _ in range(4)]
    elsewhere = await other.delegate(eve)
    root = await ada.delegate(bob)
    await bob.lease()
    claims = {"root_id": elsewhere["delegation_id"], "parent_id": elsewhere["delegation_id"], "depth": 1}
    body = {"target_id": other.id, "task": "go on", "metadata": claims} | claims
    headers = {"X-Molecule-Depth": "1", "X-Root-Id": claims["root_id"], "X-Parent-Id": claims["parent_id"]}

    answer = await bob.post("delegate", body, **headers)

    assert answer.status_code == 202, answer.text
    made = await bob.get(f"delegations/{answer.json()['delegation_id']}")
    assert (made["root_id"], made["parent_id"], made["depth"]) == (root["delegation_id"], root["delegation_id"], 2)


@pytest.mark.covers("BEY-06")
async def test_the_lineage_that_an_ordinary_message_claims_is_ignored(plane):
    ada, bob, eve = [await create_polling(plane) for _ in range(3)]
    root = await ada.delegate(bob)
    task = await bob.lease()
    token = task["message"]["params"]["message"]["metadata"]["lineage_token"]
    claims = {"delegation_id": root["delegation_id"], "root_id": root["delegation_id"], "depth": 8}
    forged = build_message("do it")
    forged["params"]["message"]["metadata"] = {"lineage_token": token} | claims
    answer = await plane.http.post(f"/workspaces/{eve.id}/a2a", json=forged, headers=bob.headers)
    assert answer.status_code in {200, 202}, answer.text
    received = await eve.lease()
    assert received["message"]["params"]["message"]["metadata"]["lineage_token"] == token

    made = await eve.delegate(ada)
    refused = await eve.post("delegate", {"target_id": ada.id, "task": "go on", "lineage_token": token})

    assert (made["root_id"], made["parent_id"], made["depth"]) == (made["delegation_id"], None, 1)
    assert (refused.status_code, refused.json()) == (400, {"error": "invalid lineage token"})


@pytest.mark.covers("BEY-07")
async def test_the_ninth_level_is_refused_and_the_chain_above_it_fails_with_that_error(plane):
    chain = [await create_polling(plane) for _ in range(MAX_DEPTH + 2)]
    pairs, made, tasks = list(pairwise(chain[:-1])), [], []
    for source, target in pairs:
        made.append(await source.delegate(target))
        tasks.append(await target.lease())
    assert [one["depth"] for one in made] == list(range(1, MAX_DEPTH + 1))

    refused = await chain[-2].post("delegate", {"target_id": chain[-1].id, "task": "go on"})

    assert (refused.status_code, refused.json()) == (409, {"error": "delegation depth limit exceeded"})
    assert await chain[-1].get("inbox?max=10&wait=0") == []
    error = refused.json()["error"]
    for (source, target), delegation, task in reversed(list(zip(pairs, made, tasks, strict=True))):
        body = {"receipt": task["receipt"], "error": {"code": -32000, "message": error}}
        answer = await target.post(f"inbox/{task['id']}/ack", body)
        assert answer.status_code == 200, answer.text
        ended = await source.get(f"delegations/{delegation['delegation_id']}")
        assert (ended["status"], ended["error"]) == ("failed", "delegation depth limit exceeded")
        error = ended["error"]


@pytest.mark.covers("BEY-11")
async def test_only_a_get_of_the_inbox_leases_messages_and_only_within_its_limits(plane):
    ada, bob = [await create_polling(plane) for _ in range(2)]
    await ada.delegate(bob)
    inbox = f"/workspaces/{bob.id}/inbox"

    head = await plane.http.head(inbox, headers=bob.headers)
    refused = [
        (await plane.http.get(f"{inbox}?{query}", headers=bob.headers)).status_code
        for query in ("wait=61", "lease_seconds=0", "lease_seconds=3601")
    ]

    assert (head.status_code, refused) == (200, [400, 400, 400])
    assert (await bob.lease())["attempts"] == 0
