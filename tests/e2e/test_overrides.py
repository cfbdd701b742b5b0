"""What an agent declares about itself holds on every replica of the proxy, also on one that has just been born."""

from dataclasses import replace

import httpx
import pytest

from deploy.plane import Plane, fresh_database
from tests.agents import SilentAgent, serving
from tests.e2e.conversation import message
from tests.e2e.principals import external
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

OVERRIDE = 1
"""Seconds that the agent may be silent at work; the platform's default is minutes."""

PROXY = "a2a_proxy"


async def second_replica(plane):
    """One more proxy, and a gateway that knows no other; the URL of the gateway."""
    supervisor = plane._supervised()
    first = supervisor.child(PROXY).command
    address = first.environment["A2A_PROXY_LISTEN"].replace(PROXY, "proxy_2")
    supervisor.start(replace(first, name="proxy_2", environment={**first.environment, "A2A_PROXY_LISTEN": address}))
    return await plane.start_gateway("gateway_2", A2A_PROXY_TARGETS=address)


@pytest.mark.covers("REG-42")
async def test_the_patience_that_an_agent_declares_holds_on_both_replicas_and_after_a_restart(database_url):
    async with (
        fresh_database(database_url) as url,
        Plane(backend="none", database_url=url, processes=True) as plane,
        serving(SilentAgent()) as agent,
    ):
        workspace_id, token = await external(plane, "silent")
        bearer = {"Authorization": f"Bearer {token}"}
        said = {"id": workspace_id, "agent_card": {"name": "silent"}, "url": agent.url, "delivery_mode": "push"}
        assert (await plane.http.post("/registry/register", json=said, headers=bearer)).status_code == 200

        async def beat():
            said = {"workspace_id": workspace_id, "runtime_metadata": {"idle_timeout_seconds": OVERRIDE}}
            assert (await plane.http.post("/registry/heartbeat", json=said, headers=bearer)).status_code == 200

        async def outcome(gateway):
            """Of a message that the agent never answers."""
            async with httpx.AsyncClient(trust_env=False) as http:
                path = f"{gateway}/workspaces/{workspace_id}/a2a"
                answer = await http.post(path, json=message("are you there?"), timeout=20)
            return answer.status_code, answer.json()

        async def ready():
            return (await plane.http.get("/ready")).status_code == 200

        await beat()
        other = await second_replica(plane)
        before = [await outcome(gateway) for gateway in (plane.url, other)]

        first = plane.pid(PROXY)
        plane.kill(PROXY)
        await eventually(lambda: plane.pid(PROXY) not in {None, first})
        await eventually(ready, within=10)
        await beat()
        after = [await outcome(gateway) for gateway in (plane.url, other)]

    idle = (504, {"error": "agent idle timeout", "idle_seconds": OVERRIDE, "delivery": "unknown"})
    assert before == after == [idle, idle]
    assert len(agent.bodies) == 4
