"""An agent that requires a credential of its own is reached through the plane, once its workspace has the secret."""

import pytest
from aiohttp import web

from deploy.plane import Plane
from tests.agents import EchoAgent, serve_agent
from tests.databases import plane_database
from tests.e2e.principals import external
from tests.waiting import eventually

pytestmark = pytest.mark.e2e

KEY = "key-of-the-partner"


class PartnerAgent(EchoAgent):
    """Requires an API key in a header."""

    async def reply(self, request: web.Request, message: dict) -> web.StreamResponse:
        if request.headers.get("X-Partner-Key") == KEY:
            return await super().reply(request, message)
        return web.json_response({"error": "X-Partner-Key is missing"}, status=403)


def build_card(url: str) -> dict:
    return {
        "name": "partner",
        "supportedInterfaces": [{"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}],
        "securitySchemes": {
            "partner-key": {"apiKeySecurityScheme": {"location": "header", "name": "X-Partner-Key"}},
            "login": {"oauth2SecurityScheme": {"flows": {}}},
        },
        "securityRequirements": [{"schemes": {"login": {"list": []}}}, {"schemes": {"partner-key": {"list": []}}}],
        "capabilities": {"extensions": [{"uri": "https://e.test/tenant/1", "params": {"headers": ["X-Tenant"]}}]},
    }


async def test_the_secret_of_a_workspace_fulfils_what_its_agent_requires(database_url):
    async with (
        plane_database(database_url) as url,
        Plane(backend="none", database_url=url) as plane,
        serve_agent(PartnerAgent()) as agent,
    ):
        workspace_id, token = await external(plane, "zoe", delivery_mode="push")
        headers = {"Authorization": f"Bearer {token}"}
        card = build_card(agent.url)
        path = f"/workspaces/{workspace_id}"

        async def register() -> dict:
            body = {"id": workspace_id, "agent_card": card, "url": agent.url}
            return (await plane.http.post("/registry/register", json=body, headers=headers)).json()

        async def send():
            message = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "hi"}]}
            body = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": message}}
            sent = {**plane.admin, "X-Tenant": "blue", "X-Other": "red", "Prefer": "handling=strict"}
            return await plane.http.post(f"{path}/a2a", json=body, headers=sent)

        [warning] = (await register())["warnings"]
        assert "A2A_CREDENTIAL_PARTNER_KEY" in warning
        refused = await send()
        assert (refused.status_code, refused.json()) == (403, {"error": "X-Partner-Key is missing"})

        set_secret = {"key": "A2A_CREDENTIAL_PARTNER_KEY", "value": KEY}
        assert (await plane.http.post(f"{path}/secrets", json=set_secret, headers=plane.admin)).is_success

        async def is_answered() -> bool:
            return (await send()).status_code == 200

        await eventually(is_answered)
        assert "warnings" not in await register()
        shown = (await plane.http.get(path, headers=plane.admin)).json()
        shown_card = (await plane.http.get(f"{path}/a2a/.well-known/agent-card.json", headers=plane.admin)).json()
        activity = (await plane.http.get(f"{path}/activity", headers=plane.admin)).text

    assert shown["card_signature"] == "unsigned"
    assert shown["agent_security"] == {
        "required": True,
        "alternatives": [
            [{"scheme": "login", "type": "oauth2", "secret": None}],
            [{"scheme": "partner-key", "type": "api_key_header", "secret": "A2A_CREDENTIAL_PARTNER_KEY"}],
        ],
    }
    assert list(shown_card["securitySchemes"]) == ["molecule"]
    assert "SendMessage" in activity
    assert KEY not in activity
    assert agent.requests[-1].headers["X-Tenant"] == "blue"
    assert "X-Other" not in agent.requests[-1].headers
