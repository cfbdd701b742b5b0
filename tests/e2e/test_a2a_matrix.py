"""Every kind of client, by hand, with every kind of agent, through a whole plane. The table is in docs/a2a.md."""

import pytest
import pytest_asyncio

from tests.e2e.a2a_matrix.agents import AGENTS, OFFERS
from tests.e2e.a2a_matrix.card_agents import GRPC
from tests.e2e.a2a_matrix.cells import try_agents
from tests.e2e.a2a_matrix.clients import CurrentRpcClient
from tests.e2e.a2a_matrix.expectations import CLIENTS, DOCUMENT, expect, replace_table
from tests.e2e.a2a_matrix.framework_agents import HABITS
from tests.e2e.a2a_matrix.matrix import PUSHED, run_matrix

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def matrix(database_url):
    async with run_matrix(database_url) as matrix:
        yield matrix


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
async def test_every_operation_is_right_or_refused_as_the_protocol_says(matrix, client):
    clients = {agent: client(matrix.plane.http, matrix.locate(client, agent)) for agent in AGENTS}

    assert await try_agents(clients, HABITS) == {agent: expect(client, agent) for agent in AGENTS}


@pytest.mark.asyncio(loop_scope="module")
async def test_agents_alone_answer_clients_of_their_own_kind_alike(matrix):
    kinds = {agent: find_client_of(agent) for agent in PUSHED}
    urls = {agent: matrix.agents[agent].url.rstrip("/") for agent in PUSHED}
    urls[GRPC] = urls[GRPC].removeprefix("http://")
    clients = {agent: kinds[agent](matrix.plane.http, urls[agent]) for agent in PUSHED}

    assert await try_agents(clients, HABITS) == {agent: expect(kinds[agent], agent, alone=True) for agent in PUSHED}


def test_the_document_shows_the_table():
    document = DOCUMENT.read_text()

    assert replace_table(document) == document, "write it: python -m tests.e2e.a2a_matrix.expectations"


def find_client_of(agent):
    """Return the client that speaks the binding and the version that the card of an agent offers."""
    _, binding, version = OFFERS.get(agent, ("", "", ""))
    kind = f"{binding} {version}".replace("JSONRPC", "JSON-RPC") if agent in OFFERS else agent
    return next((one for one in CLIENTS if one.name == kind), CurrentRpcClient)
