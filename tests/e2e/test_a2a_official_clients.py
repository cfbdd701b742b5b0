"""The official clients and curl with every kind of agent, which they find by its card, through a whole plane."""

from dataclasses import replace

import grpc
import pytest
import pytest_asyncio
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.types import a2a_pb2 as pb
from google.protobuf.json_format import MessageToDict

from tests.e2e.a2a_matrix.agents import AGENTS
from tests.e2e.a2a_matrix.cells import Habits
from tests.e2e.a2a_matrix.clients import read_seen
from tests.e2e.a2a_matrix.curl_client import CurlClient
from tests.e2e.a2a_matrix.expectations import REASONS, find_refusal
from tests.e2e.a2a_matrix.framework_agents import HABITS, PYDANTIC_AI
from tests.e2e.a2a_matrix.matrix import PUSHED, run_matrix
from tests.e2e.a2a_matrix.official_clients import DOCUMENT, OFFICIAL_CLIENTS, replace_table
from tests.e2e.sdk_clients import golang, java, node
from tests.e2e.sdk_clients.environments import GENERATIONS, converse_with_all
from tests.e2e.sdk_clients.processes import Target

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

PROGRAMS = {"js": node, "go": golang, "java": java}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def matrix(database_url):
    async with run_matrix(database_url) as matrix:
        yield matrix


@pytest.fixture(scope="module")
def targets(matrix):
    return {agent: Target(f"{matrix.get_base(agent)}/", HABITS.get(agent, Habits()).list_names()) for agent in AGENTS}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("language", "version", "binding"),
    [
        pytest.param(*key, binding, marks=[pytest.mark.java] if key[0] == "java" else [])
        for key, client in OFFICIAL_CLIENTS.items()
        for binding in client.bindings
    ],
)
async def test_the_official_clients_try_every_operation_with_every_agent(targets, language, version, binding):
    client = OFFICIAL_CLIENTS[language, version]

    found = await PROGRAMS[language].run_clients(version, binding, {agent: targets[agent] for agent in client.agents})

    assert client.find_surprises(binding, found) == []


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("language", ["js", "go", pytest.param("java", marks=pytest.mark.java)])
async def test_an_official_client_of_0_3_that_is_made_to_speak_grpc_is_told_what_to_use(matrix, targets, language):
    agent = "JSON-RPC 0.3"
    target = replace(targets[agent], grpc=matrix.grpc_address)

    found = await PROGRAMS[language].run_clients("0.3", "GRPC", {agent: target})

    assert "use JSON-RPC or HTTP+JSON" in found[agent]["send"]


def test_the_document_shows_the_official_clients():
    document = DOCUMENT.read_text()

    assert replace_table(document) == document, "write it: python -m tests.e2e.a2a_matrix.official_clients"


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("generation", GENERATIONS)
async def test_the_official_python_clients_reach_every_agent_by_its_card(matrix, generation):
    urls = [f"{matrix.get_base(agent)}/.well-known/agent-card.json" for agent in PUSHED]

    found = dict(zip(PUSHED, await converse_with_all(generation, urls, "hello"), strict=True))

    pydantic_ai = found.pop(PYDANTIC_AI)
    if generation == "1_0":  # it cannot read the agent's times
        card_url = f"{matrix.agents[PYDANTIC_AI].url}.well-known/agent-card.json"
        alone = await converse_with_all("1_0", [card_url], "hello")
        assert [pydantic_ai] == alone
        assert "timestamp" in pydantic_ai["failure"]
    else:
        assert (pydantic_ai["plain_state"], pydantic_ai["streamed"]) == ("submitted", "hello")
    assert {name: (seen.get("plain"), seen.get("streamed")) for name, seen in found.items()} == dict.fromkeys(
        found, ("hello", "hello")
    )


@pytest.mark.asyncio(loop_scope="module")
async def test_the_official_python_client_reaches_every_agent_by_grpc(matrix):
    config = ClientConfig(
        streaming=True, supported_protocol_bindings=["GRPC"], grpc_channel_factory=grpc.aio.insecure_channel
    )
    found = {}
    for agent in PUSHED:
        card = await A2ACardResolver(matrix.plane.http, matrix.get_base(agent)).get_agent_card()
        message = pb.Message(message_id="m", role=pb.ROLE_USER, parts=[pb.Part(text="hello")])
        async with ClientFactory(config).create(card) as client:
            answers = client.send_message(pb.SendMessageRequest(message=message))
            events = [read_seen(MessageToDict(event)) async for event in answers]
        found[agent] = ("hello" in {event.text for event in events}, events[-1].state)

    assert found == dict.fromkeys(PUSHED, (True, "completed"))


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("agent", [agent for agent in PUSHED if agent not in HABITS])
async def test_curl_alone_does_what_the_document_shows(matrix, agent):
    client = CurlClient(matrix.plane.url, matrix.agents[agent].workspace_id)

    sent = read_seen(await client.read("Send a message"))
    events = [read_seen(event) for event in await client.read_events("Stream the answer")]
    client.variables["TASK"] = read_seen(await client.read("Send a message", "wait")).task_id
    read = read_seen(await client.read("Read a task"))
    listed = await client.read("List your tasks")
    refused = REASONS.get(find_refusal(agent, "list"))
    canceled = read_seen(await client.read("Cancel a task"))

    assert (sent.state, sent.text) == ("completed", "hello")
    assert ("hello" in {event.text for event in events}, events[-1].state) == (True, "completed")
    assert (read.task_id, read.state) == (client.variables["TASK"], "input-required")
    if refused is None:
        assert client.variables["TASK"] in {task["id"] for task in listed["tasks"]}
    else:
        assert listed["error"]["details"][0]["reason"] == refused
    assert canceled.state == "canceled"
    assert read_seen((await client.read_by_rpc())["result"]).text == "hello"
