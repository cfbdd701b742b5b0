"""Requests for consent, from HTTP to PostgreSQL and back."""

from uuid import uuid4

import pytest

from tests.gateway import gateway_with_registry

NOBODY = str(uuid4())


@pytest.fixture
async def gateway(database_url, tmp_path):
    async with gateway_with_registry.run_gateway_with_registry(database_url, f"unix:{tmp_path}/r.sock") as gateway:
        yield gateway


async def test_an_approval_is_requested_listed_and_decided_once(gateway):
    ada = await gateway.create_workspace()
    status, asked = await gateway.request_json("POST", f"/workspaces/{ada}/approvals", {"action": "deploy"}, by=ada)
    approval_id = asked["approval_id"]
    assert (status, asked) == (201, {"approval_id": approval_id, "status": "pending"})

    [pending] = (await gateway.request_json("GET", "/approvals/pending"))[1]
    assert pending == {
        "id": approval_id,
        "workspace_id": ada,
        "workspace_name": "ada",
        "action": "deploy",
        "reason": "",
        "status": "pending",
        "created_at": pending["created_at"],
    }
    decide = f"/workspaces/{ada}/approvals/{approval_id}/decide"
    own = (403, {"error": "workspaces cannot decide their own approvals"})
    assert await gateway.request_json("POST", decide, {"decision": "approved"}, by=ada) == own

    given = await gateway.request_json("POST", decide, {"decision": "approved", "decided_by": "eva"})
    assert given == (200, {"approval_id": approval_id, "status": "approved"})
    gone = (404, {"error": "approval not found or already decided"})
    assert await gateway.request_json("POST", decide, {"decision": "denied"}) == gone

    [seen] = (await gateway.request_json("GET", f"/workspaces/{ada}/approvals", by=ada))[1]
    assert seen == {
        "id": approval_id,
        "action": "deploy",
        "reason": "",
        "task_id": "",
        "status": "approved",
        "decided_by": "eva",
        "decided_at": seen["decided_at"],
        "created_at": seen["created_at"],
    }
    assert (await gateway.request_json("GET", "/approvals/pending"))[1] == []


async def test_a_pending_approval_has_no_decision(gateway):
    ada = await gateway.create_workspace()
    await gateway.request(
        "POST", f"/workspaces/{ada}/approvals", {"action": "deploy", "reason": "r", "context": {"a": [1]}}
    )

    [seen] = (await gateway.request_json("GET", f"/workspaces/{ada}/approvals"))[1]

    assert (seen["status"], seen["decided_by"], seen["decided_at"]) == ("pending", None, None)


async def test_malformed_requests_and_decisions_change_nothing(gateway):
    ada = await gateway.create_workspace()
    for body, error in (
        ({}, "invalid request body"),
        ({"action": ""}, "invalid request body"),
        ({"action": "x", "context": []}, "invalid request body"),
        ({"action": "x", "reason": "r" * 8193}, "reason must be <= 8192 bytes"),
        ({"action": "x", "context": {"c": "c" * 65536}}, "context must be <= 65536 bytes"),
    ):
        assert await gateway.request_json("POST", f"/workspaces/{ada}/approvals", body) == (400, {"error": error})
    assert await gateway.request_json("GET", f"/workspaces/{ada}/approvals") == (200, [])

    decide = f"/workspaces/{ada}/approvals/{NOBODY}/decide"
    wrong = "decision must be 'approved' or 'denied'"
    assert await gateway.request_json("POST", decide, {}) == (400, {"error": wrong})
    assert await gateway.request_json("POST", decide, {"decision": "Approved"}) == (400, {"error": wrong})
    assert (await gateway.request_json("POST", decide, {"decision": "denied"}))[0] == 404
    nowhere = f"/workspaces/{ada}/approvals/1/decide"
    assert await gateway.request_json("POST", nowhere, {"decision": "denied"}) == (
        400,
        {"error": "invalid approval ID"},
    )


async def test_an_organisation_lists_its_own_approvals_and_an_unknown_workspace_has_none(gateway):
    ada, bob = await gateway.create_workspace("ada"), await gateway.create_workspace("bob")
    for workspace_id in (ada, bob):
        await gateway.request("POST", f"/workspaces/{workspace_id}/approvals", {"action": "deploy"})

    _, pending = await gateway.request_json("GET", "/approvals/pending", by=gateway.add_org_token(bob))

    assert [one["workspace_id"] for one in pending] == [bob]
    assert await gateway.request_json("GET", f"/workspaces/{NOBODY}/approvals") == (200, [])
    asked = await gateway.request_json("POST", f"/workspaces/{NOBODY}/approvals", {"action": "x"})
    assert asked == (404, {"error": "workspace not found"})
