"""Memories, approvals, instructions and entries over HTTP, with the rights of each caller."""

import pytest

from deploy.plane import Plane
from tests.databases import plane_database
from tests.e2e.modes import PRODUCTION
from tests.e2e.principals import external

pytestmark = [pytest.mark.e2e]


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


async def call(plane, method, path, token, body=None):
    answer = await plane.http.request(method, path, json=body, headers=bearer(token))
    return answer.status_code, answer.json()


@pytest.mark.covers("REG-01")
async def test_a_team_shares_memories_requests_approvals_and_reads_instructions(database_url):
    async with (
        plane_database(database_url) as url,
        Plane(backend="none", database_url=url, env=PRODUCTION) as plane,
    ):
        memories = [{"content": "we meet at noon", "scope": "TEAM"}]
        lead, leads = await external(plane, "lead", initial_memories=memories)
        one, ones = await external(plane, "one", parent_id=lead)
        _, others = await external(plane, "two", parent_id=lead)
        operator = PRODUCTION["ADMIN_TOKEN"]

        # A team shares its memories; the token of another workspace is refused.
        status, read = await call(plane, "GET", f"/workspaces/{one}/memories?scope=TEAM&q=noon", ones)
        assert (status, [memory["content"] for memory in read]) == (200, ["we meet at noon"])
        assert (await call(plane, "GET", f"/workspaces/{one}/memories", others))[0] == 401

        # An agent requests an approval, its parent receives an event, and only the operator decides.
        _, asked = await call(plane, "POST", f"/workspaces/{one}/approvals", ones, {"action": "deploy", "reason": "r"})
        decide = f"/workspaces/{one}/approvals/{asked['approval_id']}/decide"
        assert (await call(plane, "POST", decide, ones, {"decision": "approved"}))[0] == 403
        assert (await call(plane, "POST", decide, leads, {"decision": "approved"}))[0] == 401
        assert (await call(plane, "POST", decide, operator, {"decision": "approved"}))[0] == 200
        assert (await call(plane, "POST", decide, operator, {"decision": "denied"}))[0] == 404
        _, events = await call(plane, "GET", f"/events/{lead}", operator)
        [escalated] = [event["payload"] for event in events if event["event_type"] == "APPROVAL_ESCALATED"]
        assert escalated["from_workspace_id"] == one
        _, events = await call(plane, "GET", f"/events/{one}", operator)
        assert [event["event_type"] for event in events[:2]] == ["APPROVAL_APPROVED", "APPROVAL_REQUESTED"]

        # Operators write instructions and agents read them; entries belong to their agent.
        instruction = {"scope": "global", "title": "Tone", "content": "Be brief."}
        assert (await call(plane, "POST", "/instructions", operator, instruction))[0] == 201
        assert (await call(plane, "POST", "/instructions", ones, instruction))[0] == 401
        resolved = await call(plane, "GET", f"/workspaces/{one}/instructions/resolve", ones)
        assert resolved == (200, {"workspace_id": one, "instructions": "## Tone\n\nBe brief."})
        assert (await call(plane, "POST", f"/workspaces/{one}/memory", ones, {"key": "k", "value": 1}))[0] == 200
        assert (await call(plane, "GET", f"/workspaces/{one}/memory/k", others))[0] == 401
        assert (await call(plane, "PUT", "/canvas/viewport", ones, {"x": 1, "y": 2, "zoom": 3}))[0] == 401
