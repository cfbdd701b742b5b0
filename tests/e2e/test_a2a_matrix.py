"""Every kind of client with every kind of agent, through a whole plane. The table is in docs/a2a.md."""

import socket

import grpc
import pytest
import pytest_asyncio
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.types import a2a_pb2 as pb
from google.protobuf.json_format import MessageToDict

from deploy.plane import Plane
from tests.databases import plane_database
from tests.e2e.a2a_matrix.agents import AGENTS, OFFERS, POLL, serve_agents
from tests.e2e.a2a_matrix.card_agents import GRPC
from tests.e2e.a2a_matrix.cells import RIGHT, Habits, try_all
from tests.e2e.a2a_matrix.clients import CurrentRpcClient, read_seen
from tests.e2e.a2a_matrix.curl_client import CurlClient
from tests.e2e.a2a_matrix.expectations import CLIENTS, DOCUMENT, LEGACY_AGENTS, OLD_SDK, expect, replace_table
from tests.e2e.a2a_matrix.framework_agents import GOOGLE_ADK, HABITS, PYDANTIC_AI
from tests.e2e.a2a_matrix.grpc_client import GrpcClient
from tests.e2e.sdk_clients import node
from tests.e2e.sdk_clients.environments import GENERATIONS, converse_with_all

PUSHED = [name for name in AGENTS if name != POLL]
"""The agents that have an address of their own."""

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plane(database_url):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    env = {"GATEWAY_GRPC_LISTEN": address, "REMOTE_LIVENESS_STALE_AFTER": "3600"}  # the agents send no heartbeats
    async with plane_database(database_url) as url, Plane(backend="none", database_url=url, env=env) as plane:
        plane.grpc_address = address
        yield plane


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def agents(plane):
    async with serve_agents(plane) as found:
        yield found


def locate(plane, client, workspace_id):
    if client is GrpcClient:
        return f"{plane.grpc_address}/{workspace_id}"
    return f"{plane.url}/workspaces/{workspace_id}/a2a" + ("/rest" if "HTTP" in client.name else "")


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
async def test_every_operation_is_right_or_refused_as_the_protocol_says(plane, agents, client, agent):
    url = locate(plane, client, agents[agent].workspace_id)

    assert await try_all(client(plane.http, url), HABITS.get(agent, Habits())) == expect(client, agent)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("agent", PUSHED)
async def test_an_agent_alone_answers_clients_of_its_own_kind_alike(plane, agents, agent):
    kind = "JSON-RPC 0.3" if agent == OLD_SDK else agent
    client = next((one for one in CLIENTS if one.name == kind), CurrentRpcClient)
    url = agents[agent].url.rstrip("/")
    if client is GrpcClient:
        url = url.removeprefix("http://")

    assert await try_all(client(plane.http, url), HABITS.get(agent, Habits())) == expect(client, agent)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("version", node.VERSIONS)
async def test_the_official_javascript_clients_reach_every_agent_by_its_card(plane, agents, version):
    bases = {name: f"{plane.url}/workspaces/{agents[name].workspace_id}/a2a" for name in OFFERS}

    found = await node.run_clients(version, bases)

    for agent, cells in found.items():
        refusals = (
            {} if version == "0.3" or agent not in LEGACY_AGENTS else {"list": "JsonRpcUnsupportedOperationError"}
        )
        assert cells == dict.fromkeys(cells, RIGHT) | refusals, agent


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("generation", GENERATIONS)
async def test_the_official_python_clients_reach_every_agent_by_its_card(plane, agents, generation):
    bases = [f"{plane.url}/workspaces/{agents[name].workspace_id}/a2a" for name in PUSHED]
    urls = [f"{base}/.well-known/agent-card.json" for base in bases]

    found = dict(zip(PUSHED, await converse_with_all(generation, urls, "hello"), strict=True))

    pydantic_ai = found.pop(PYDANTIC_AI)
    if generation == "1_0":  # it cannot read the agent's times
        alone = await converse_with_all("1_0", [f"{agents[PYDANTIC_AI].url}.well-known/agent-card.json"], "hello")
        assert [pydantic_ai] == alone
        assert "timestamp" in pydantic_ai["failure"]
    else:
        assert (pydantic_ai["plain_state"], pydantic_ai["streamed"]) == ("submitted", "hello")
    assert {name: (seen.get("plain"), seen.get("streamed")) for name, seen in found.items()} == dict.fromkeys(
        found, ("hello", "hello")
    )


@pytest.mark.asyncio(loop_scope="module")
async def test_the_official_python_client_reaches_every_agent_by_grpc(plane, agents):
    config = ClientConfig(
        streaming=True, supported_protocol_bindings=["GRPC"], grpc_channel_factory=grpc.aio.insecure_channel
    )
    found = {}
    for name in PUSHED:
        card = await A2ACardResolver(plane.http, f"/workspaces/{agents[name].workspace_id}/a2a").get_agent_card()
        message = pb.Message(message_id="m", role=pb.ROLE_USER, parts=[pb.Part(text="hello")])
        async with ClientFactory(config).create(card) as client:
            answers = client.send_message(pb.SendMessageRequest(message=message))
            events = [read_seen(MessageToDict(event)) async for event in answers]
        found[name] = ("hello" in {event.text for event in events}, events[-1].state)

    assert found == dict.fromkeys(PUSHED, (True, "completed"))


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("agent", ["JSON-RPC 1.0", GRPC, GOOGLE_ADK])
async def test_curl_alone_does_what_the_document_shows(plane, agents, agent):
    client = CurlClient(plane.url, agents[agent].workspace_id)

    sent = read_seen(await client.read("Send a message"))
    events = [read_seen(event) for event in await client.read_events("Stream the answer")]
    client.variables["TASK"] = read_seen(await client.read("Send a message", "wait")).task_id
    read = read_seen(await client.read("Read a task"))
    listed = await client.read("List your tasks")
    canceled = read_seen(await client.read("Cancel a task"))

    assert (sent.state, sent.text) == ("completed", "hello")
    assert ("hello" in {event.text for event in events}, events[-1].state) == (True, "completed")
    assert (read.task_id, read.state) == (client.variables["TASK"], "input-required")
    assert client.variables["TASK"] in {task["id"] for task in listed["tasks"]}
    assert canceled.state == "canceled"
    by_rpc, by_rest = await client.read_first_examples()
    assert read_seen(by_rpc["result"]).text == read_seen(by_rest).text == "hello"


def test_the_document_shows_the_table():
    document = DOCUMENT.read_text()

    assert replace_table(document) == document, "write it: python -m tests.e2e.a2a_matrix.expectations"
