"""Callers of JSON-RPC and agents of the official SDK that offer HTTP+JSON only, through the whole proxy."""

import json

import pytest
from a2a.server.routes import create_rest_routes
from starlette.applications import Starlette

from protos.registry.v1.registry_pb2 import AgentInterface
from tests.a2a_proxy.dialect_agents import LegacyAgent
from tests.a2a_proxy.fake_gateway import TARGET
from tests.a2a_proxy.test_conversion import ask, current_message, legacy_message, read_events, request
from tests.agents import serve_agent
from tests.http.conftest import run_server
from tests.molecule_a2a.rest.binding import build_handler

VERSIONS = ("1.0", "0.3")


@pytest.fixture
async def agent_url():
    """The address of an agent that serves HTTP+JSON of both versions, and nothing else."""
    async with run_server(Starlette(routes=create_rest_routes(build_handler(), enable_v0_3_compat=True))) as url:
        yield url


def offer(proxy, url: str, version: str) -> None:
    interface = AgentInterface(url=url, binding="HTTP+JSON", version=version)
    proxy.registry.set_workspace(TARGET, address=url, interfaces=[interface])


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_caller_of_1_0_sends_reads_and_cancels_a_task(proxy, gateway, agent_url, version):
    offer(proxy, agent_url, version)

    sent = (await ask(gateway, current_message("wait please")))["result"]["task"]
    read = (await ask(gateway, request("GetTask", {"id": sent["id"]})))["result"]
    cancelled = (await ask(gateway, request("CancelTask", {"id": sent["id"]})))["result"]
    missing = (await ask(gateway, request("GetTask", {"id": "no such task"})))["error"]

    assert sent["status"]["state"] == read["status"]["state"] == "TASK_STATE_INPUT_REQUIRED"
    assert read["artifacts"][0]["parts"] == [{"text": "wait please"}]
    assert cancelled["status"]["state"] == "TASK_STATE_CANCELED"
    assert missing["code"] == -32001


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_caller_of_0_3_sends_and_reads_a_task(proxy, gateway, agent_url, version):
    offer(proxy, agent_url, version)

    sent = (await ask(gateway, legacy_message("wait please")))["result"]
    read = (await ask(gateway, request("tasks/get", {"id": sent["id"]})))["result"]

    assert (sent["kind"], sent["status"]["state"]) == ("task", "input-required")
    assert read["artifacts"][0]["parts"] == [{"kind": "text", "text": "wait please"}]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "body", [legacy_message("hello", "message/stream"), current_message("hello", "SendStreamingMessage")]
)
async def test_a_stream_ends_with_the_completed_task(proxy, gateway, agent_url, version, body):
    offer(proxy, agent_url, version)

    events = [event["result"] for event in await read_events(gateway, body)]

    states = [(event.get("statusUpdate") or event).get("status", {}).get("state") for event in events]
    assert states[-1] in {"completed", "TASK_STATE_COMPLETED"}
    assert "hello" in json.dumps(events)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"jsonrpc": "1.0"}, -32600),
        ({"method": 7}, -32600),
        ({"id": {"an": "object"}}, -32600),
        ({"method": "vendor/method"}, -32601),
        ({"params": {"message": {"parts": "text"}}}, -32602),
    ],
)
async def test_a_request_of_a_wrong_form_is_refused_as_an_agent_of_json_rpc_refuses_it(
    proxy, gateway, agent_url, version, members, code
):
    offer(proxy, agent_url, version)
    body = json.dumps({**json.loads(current_message("hello")), **members}).encode()

    found = await ask(gateway, body, version="1.0")

    assert (found["error"]["code"], len(found["error"]["data"])) == (code, 1), found
    assert found["id"] == (None if "id" in members else 7)


async def test_json_rpc_is_preferred_even_in_the_other_dialect(proxy, gateway, agent_url):
    async with serve_agent(LegacyAgent()) as other:
        interfaces = [
            AgentInterface(url=agent_url, binding="HTTP+JSON", version="1.0"),
            AgentInterface(url=other.url, binding="JSONRPC", version="0.3"),
        ]
        proxy.registry.set_workspace(TARGET, address=other.url, interfaces=interfaces)

        await ask(gateway, current_message("hello"))

        assert len(other.bodies) == 1


async def test_a_method_without_a_path_is_not_found(proxy, gateway, agent_url):
    offer(proxy, agent_url, "0.3")

    found = await ask(gateway, request("ListTasks", {}))

    assert found["error"]["code"] in {-32601, -32004}
