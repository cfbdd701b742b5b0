"""Every kind of client with every kind of agent, through a whole plane. The table is in docs/a2a.md."""

import pytest
import pytest_asyncio

from tests.e2e.a2a_matrix.agents import AGENTS, OFFERS, serve_agents
from tests.e2e.a2a_matrix.cells import RIGHT, try_all
from tests.e2e.a2a_matrix.clients import CLIENTS
from tests.e2e.a2a_matrix.expectations import DOCUMENT, expect, find_surprises, replace_table
from tests.e2e.sdk_clients import golang, java, node
from tests.e2e.sdk_clients.environments import GENERATIONS, converse

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def agents(empty_plane):
    async with serve_agents(empty_plane) as found:
        yield found


def find_bases(plane, agents):
    """Return the addresses at which a client finds the cards of the agents."""
    return {name: f"{plane.url}/workspaces/{agents[name].workspace_id}/a2a" for name in OFFERS}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
async def test_every_operation_is_right_or_refused_as_the_protocol_says(empty_plane, agents, client, agent):
    url = f"{empty_plane.url}/workspaces/{agents[agent].workspace_id}/a2a" + ("/rest" if "HTTP" in client.name else "")

    assert await try_all(client(empty_plane.http, url)) == expect(client, agent)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("agent", OFFERS)
async def test_an_agent_alone_answers_clients_of_its_own_kind_alike(empty_plane, agents, agent):
    _, binding, version = OFFERS[agent]
    name = f"{binding} {version}".replace("JSONRPC", "JSON-RPC")
    client = next(one for one in CLIENTS if one.name == name)
    url = agents[agent].url.rstrip("/")

    assert await try_all(client(empty_plane.http, url)) == expect(client, agent)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("version", "binding"), node.CLIENTS)
async def test_the_official_javascript_clients_reach_every_agent_by_its_card(empty_plane, agents, version, binding):
    found = await node.run_clients(version, binding, find_bases(empty_plane, agents))

    for agent in OFFERS:
        assert find_surprises(found[agent], agent) == {}, agent


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("version", "binding"), golang.CLIENTS)
async def test_the_official_go_clients_reach_every_agent_by_its_card(empty_plane, agents, version, binding):
    found = await golang.run_clients(version, binding, find_bases(empty_plane, agents))

    for agent in OFFERS:
        assert find_surprises(found[agent], agent, unnamed=golang.UNNAMED[version]) == {}, agent


@pytest.mark.java
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("binding", java.BINDINGS)
async def test_the_official_java_clients_reach_every_agent_by_its_card(empty_plane, agents, binding):
    found = await java.run_clients(binding, find_bases(empty_plane, agents))

    for agent in OFFERS:
        surprises = find_surprises(found[agent], agent)
        if binding == "HTTP+JSON":  # this client tells no code of an error of HTTP+JSON
            refused = {name for name in surprises if find_surprises({name: RIGHT}, agent)}
            assert all(surprises.pop(name).startswith(java.UNNAMED_ERROR) for name in refused), found[agent]
        assert surprises == {}, agent


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
