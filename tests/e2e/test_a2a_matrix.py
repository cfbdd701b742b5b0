"""Every kind of client with every kind of agent, through a whole plane. The table is in docs/a2a.md."""

import pytest
import pytest_asyncio

from tests.e2e.a2a_matrix.agents import AGENTS, OFFERS, serve_agents
from tests.e2e.a2a_matrix.cells import RIGHT, try_all
from tests.e2e.a2a_matrix.clients import CLIENTS
from tests.e2e.a2a_matrix.expectations import DOCUMENT, LEGACY_AGENTS, OLD_SDK, expect, replace_table
from tests.e2e.sdk_clients import node
from tests.e2e.sdk_clients.environments import GENERATIONS, converse

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def agents(empty_plane):
    async with serve_agents(empty_plane) as found:
        yield found


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
async def test_every_operation_is_right_or_refused_as_the_protocol_says(empty_plane, agents, client, agent):
    url = f"{empty_plane.url}/workspaces/{agents[agent].workspace_id}/a2a" + ("/rest" if "HTTP" in client.name else "")

    assert await try_all(client(empty_plane.http, url)) == expect(client, agent)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("agent", OFFERS)
async def test_an_agent_alone_answers_clients_of_its_own_kind_alike(empty_plane, agents, agent):
    client = next(one for one in CLIENTS if one.name == agent.replace(OLD_SDK, "JSON-RPC 0.3"))
    url = agents[agent].url.rstrip("/")

    assert await try_all(client(empty_plane.http, url)) == expect(client, agent)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("version", node.VERSIONS)
async def test_the_official_javascript_clients_reach_every_agent_by_its_card(empty_plane, agents, version):
    bases = {name: f"{empty_plane.url}/workspaces/{agents[name].workspace_id}/a2a" for name in OFFERS}

    found = await node.run_clients(version, bases)

    for agent, cells in found.items():
        refusals = (
            {} if version == "0.3" or agent not in LEGACY_AGENTS else {"list": "JsonRpcUnsupportedOperationError"}
        )
        assert cells == dict.fromkeys(cells, RIGHT) | refusals, agent


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("generation", GENERATIONS)
async def test_the_official_python_clients_reach_every_agent_by_its_card(empty_plane, agents, generation):
    for agent in OFFERS:
        url = f"{empty_plane.url}/workspaces/{agents[agent].workspace_id}/a2a/.well-known/agent-card.json"

        seen = await converse(generation, url, "hello")

        assert (seen["plain"], seen["streamed"]) == ("hello", "hello"), agent


def test_the_document_shows_the_table():
    document = DOCUMENT.read_text()

    assert replace_table(document) == document, "write it: python -m tests.e2e.a2a_matrix.expectations"
