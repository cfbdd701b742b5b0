"""Timeouts that an agent declares apply on every replica of the proxy, also on a new one."""

from dataclasses import replace

import httpx
import pytest

from deploy.plane import Plane
from tests.agents import SilentAgent, serve_agent
from tests.databases import plane_database
from tests.e2e.conversation import build_message
from tests.e2e.principals import external
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

IDLE_TIMEOUT_SECONDS = 1
"""The idle timeout that the agent declares; the default of the plane is minutes."""

PROXY = "a2a_proxy"


async def start_second_replica(plane):
    """Start a second proxy and a gateway that uses only this proxy; return the URL of the gateway."""
    supervisor = plane._require_supervisor()
    first = supervisor.child(PROXY).command
    address = first.environment["A2A_PROXY_LISTEN"].replace(PROXY, "proxy_2")
    supervisor.start(replace(first, name="proxy_2", environment={**first.environment, "A2A_PROXY_LISTEN": address}))
    return await plane.start_gateway("gateway_2", A2A_PROXY_TARGETS=address)


@pytest.mark.covers("REG-42")
async def test_the_idle_timeout_of_an_agent_applies_on_both_replicas_and_after_a_restart(database_url):
    async with (
        plane_database(database_url) as url,
        Plane(backend="none", database_url=url, processes=True) as plane,
        serve_agent(SilentAgent()) as agent,
    ):
        workspace_id, token = await external(plane, "silent")
        bearer = {"Authorization": f"Bearer {token}"}
        body = {"id": workspace_id, "agent_card": {"name": "silent"}, "url": agent.url, "delivery_mode": "push"}
        assert (await plane.http.post("/registry/register", json=body, headers=bearer)).status_code == 200

        async def send_heartbeat():
            body = {"workspace_id": workspace_id, "runtime_metadata": {"idle_timeout_seconds": IDLE_TIMEOUT_SECONDS}}
            assert (await plane.http.post("/registry/heartbeat", json=body, headers=bearer)).status_code == 200

        async def send_message(gateway):
            """Send a message that the agent never answers; return status and body."""
            async with httpx.AsyncClient(trust_env=False) as http:
                path = f"{gateway}/workspaces/{workspace_id}/a2a"
                answer = await http.post(path, json=build_message("are you there?"), timeout=20)
            return answer.status_code, answer.json()

        async def is_ready():
            return (await plane.http.get("/ready")).status_code == 200

        await send_heartbeat()
        other = await start_second_replica(plane)
        before = [await send_message(gateway) for gateway in (plane.url, other)]

        first = plane.pid(PROXY)
        plane.kill(PROXY)
        await eventually(lambda: plane.pid(PROXY) not in {None, first})
        await eventually(is_ready, within=10)
        await send_heartbeat()
        after = [await send_message(gateway) for gateway in (plane.url, other)]

    idle = (504, {"error": "agent idle timeout", "idle_seconds": IDLE_TIMEOUT_SECONDS, "delivery": "unknown"})
    assert before == after == [idle, idle]
    assert len(agent.bodies) == 4
