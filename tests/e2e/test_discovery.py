"""Discovery of peers and the checks of registered addresses, in a whole plane."""

import pytest

from deploy.plane import Plane
from tests.agents import EchoAgent, serve_agent
from tests.databases import plane_database
from tests.e2e.conversation import send
from tests.e2e.modes import PRODUCTION
from tests.e2e.principals import external
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

CARD = {"name": "ada", "skills": []}


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.covers("REG-46")
async def test_discovery_of_a_peer_requires_a_live_token(database_url):
    async with (
        plane_database(database_url) as url,
        Plane(backend="none", database_url=url, env=PRODUCTION) as plane,
    ):
        boss, _ = await external(plane, "boss")
        peer, _ = await external(plane, "peer", parent_id=boss)
        asker, token = await external(plane, "asker", parent_id=boss)

        async def discover(**headers):
            return await plane.http.get(f"/registry/discover/{peer}", headers=headers)

        nobody = await discover()
        live = await discover(**bearer(token))
        [kept] = (await plane.http.get(f"/workspaces/{asker}/tokens", headers=plane.admin)).json()["tokens"]
        revoked = await plane.http.delete(f"/workspaces/{asker}/tokens/{kept['id']}", headers=plane.admin)

        async def refused():
            answer = await discover(**bearer(token))
            return answer if answer.status_code != 200 else None

        dead = await eventually(refused)

    assert revoked.json() == {"status": "revoked"}
    assert [answer.status_code for answer in (nobody, live, dead)] == [401, 200, 401]
    assert (live.json()["id"], live.json()["delivery_mode"]) == (peer, "poll")


@pytest.mark.covers("REG-10")
async def test_register_checks_the_delivery_mode_before_the_token_and_the_address_after_it(database_url):
    async with (
        plane_database(database_url) as url,
        Plane(backend="none", database_url=url, env=PRODUCTION) as plane,
    ):
        workspace_id, token = await external(plane, "ada")

        async def register(headers, **fields):
            body = {"id": workspace_id, "agent_card": CARD, **fields}
            answer = await plane.http.post("/registry/register", json=body, headers=headers)
            return answer.status_code, answer.json()

        strange = await register({}, delivery_mode="pull")
        nobody = await register({}, delivery_mode="push", url="")
        lost = await register(bearer(token), delivery_mode="push", url="")
        kept = await register(bearer(token), delivery_mode="poll")
        seen = (await plane.http.get(f"/workspaces/{workspace_id}", headers=plane.admin)).json()

    assert (strange[0], strange[1]["error"]) == (400, "invalid delivery_mode")
    assert nobody == (401, {"error": "missing workspace auth token"})
    assert (lost[0], lost[1]["reason"]) == (400, "url_validate_failed")
    assert (kept[0], kept[1]["delivery_mode"], seen["delivery_mode"]) == (200, "poll", "poll")


@pytest.mark.covers("REG-10")
async def test_once_the_proxy_is_informed_of_a_register_without_an_address_the_old_address_is_not_called(database_url):
    async with (
        plane_database(database_url) as url,
        Plane(backend="none", database_url=url) as plane,
        serve_agent(EchoAgent()) as agent,
    ):
        workspace_id, token = await external(plane, "ada")

        async def register(**fields):
            body = {"id": workspace_id, "agent_card": CARD, **fields}
            answer = await plane.http.post("/registry/register", json=body, headers=bearer(token))
            assert answer.status_code == 200, answer.text

        await register(url=agent.url, delivery_mode="push")
        first = await send(plane, workspace_id, "hello")
        await register(url="", delivery_mode="poll")
        await eventually(lambda: _is_queued(plane, workspace_id))
        calls = len(agent.bodies)
        second = await send(plane, workspace_id, "still there?")
        seen = (await plane.http.get(f"/workspaces/{workspace_id}")).json()

        assert get_echo(first) == "hello"
        assert (second.json()["status"], len(agent.bodies)) == ("queued", calls)
        assert seen["url"] == ""


async def _is_queued(plane: Plane, workspace_id: str) -> bool:
    return (await send(plane, workspace_id, "are you there?")).json().get("status") == "queued"


def get_echo(response):
    assert response.status_code == 200, response.text
    return response.json()["result"]["parts"][0]["text"]
