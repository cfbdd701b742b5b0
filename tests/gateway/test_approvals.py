"""Requests for consent, from HTTP to PostgreSQL and back."""

from uuid import uuid4

import pytest

from tests.gateway import gateway_with_registry

NOBODY = str(uuid4())


@pytest.fixture
async def book(database_url, tmp_path):
    async with gateway_with_registry.run_gateway_with_registry(database_url, f"unix:{tmp_path}/r.sock") as book:
        yield book


async def test_an_approval_is_requested_listed_and_decided_once(book):
    ada = await book.made()
    status, asked = await book.heard("POST", f"/workspaces/{ada}/approvals", {"action": "deploy"}, by=ada)
    approval_id = asked["approval_id"]
    assert (status, asked) == (201, {"approval_id": approval_id, "status": "pending"})

    [pending] = (await book.heard("GET", "/approvals/pending"))[1]
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
    assert await book.heard("POST", decide, {"decision": "approved"}, by=ada) == own

    given = await book.heard("POST", decide, {"decision": "approved", "decided_by": "eva"})
    assert given == (200, {"approval_id": approval_id, "status": "approved"})
    gone = (404, {"error": "approval not found or already decided"})
    assert await book.heard("POST", decide, {"decision": "denied"}) == gone

    [seen] = (await book.heard("GET", f"/workspaces/{ada}/approvals", by=ada))[1]
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
    assert (await book.heard("GET", "/approvals/pending"))[1] == []


async def test_a_pending_approval_has_no_decision(book):
    ada = await book.made()
    await book.ask("POST", f"/workspaces/{ada}/approvals", {"action": "deploy", "reason": "r", "context": {"a": [1]}})

    [seen] = (await book.heard("GET", f"/workspaces/{ada}/approvals"))[1]

    assert (seen["status"], seen["decided_by"], seen["decided_at"]) == ("pending", None, None)


async def test_malformed_requests_and_decisions_change_nothing(book):
    ada = await book.made()
    for body, error in (
        ({}, "invalid request body"),
        ({"action": ""}, "invalid request body"),
        ({"action": "x", "context": []}, "invalid request body"),
        ({"action": "x", "reason": "r" * 8193}, "reason must be <= 8192 bytes"),
        ({"action": "x", "context": {"c": "c" * 65536}}, "context must be <= 65536 bytes"),
    ):
        assert await book.heard("POST", f"/workspaces/{ada}/approvals", body) == (400, {"error": error})
    assert await book.heard("GET", f"/workspaces/{ada}/approvals") == (200, [])

    decide = f"/workspaces/{ada}/approvals/{NOBODY}/decide"
    wrong = "decision must be 'approved' or 'denied'"
    assert await book.heard("POST", decide, {}) == (400, {"error": wrong})
    assert await book.heard("POST", decide, {"decision": "Approved"}) == (400, {"error": wrong})
    assert (await book.heard("POST", decide, {"decision": "denied"}))[0] == 404
    nowhere = f"/workspaces/{ada}/approvals/1/decide"
    assert await book.heard("POST", nowhere, {"decision": "denied"}) == (400, {"error": "invalid approval ID"})


async def test_an_organisation_lists_its_own_approvals_and_an_unknown_workspace_has_none(book):
    ada, bob = await book.made("ada"), await book.made("bob")
    for workspace_id in (ada, bob):
        await book.ask("POST", f"/workspaces/{workspace_id}/approvals", {"action": "deploy"})

    _, pending = await book.heard("GET", "/approvals/pending", by=book.org_token(bob))

    assert [one["workspace_id"] for one in pending] == [bob]
    assert await book.heard("GET", f"/workspaces/{NOBODY}/approvals") == (200, [])
    asked = await book.heard("POST", f"/workspaces/{NOBODY}/approvals", {"action": "x"})
    assert asked == (404, {"error": "workspace not found"})
