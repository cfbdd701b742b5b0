"""The HTTP+JSON binding in front of a whole A2A proxy, whose agents speak JSON-RPC 1.0."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest
import sqlalchemy as sa
from aiohttp import web

from gateway.exchange import ExchangePool
from protos.auth.v1 import auth_pb2
from protos.registry.v1 import registry_pb2
from services.a2a_proxy.push.tables import PUSH_TARGETS
from services.chassis import clients
from tests.a2a_proxy.dialect_agents import LegacyAgent
from tests.agents import BusyAgent, DisconnectingAgent, EchoAgent, MisbehavingAgent, SilentAgent, serve_agent
from tests.gateway.gateway_with_proxy import (
    MEBIBYTE,
    TARGET,
    FakeIdentityProvider,
    GatewayWithProxy,
    application,
    run_gateway_with_proxy,
)
from tests.http.conftest import run_server
from tests.waiting import eventually

REST = f"/workspaces/{TARGET}/a2a/rest"
STRICT = {"Prefer": "handling=strict"}

ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"

MESSAGE = {"message": {"messageId": "m-1", "contextId": "C", "role": "ROLE_USER", "parts": [{"text": "hi"}]}}
PROTO_MESSAGE = {"message": {"messageId": "m-1", "role": "ROLE_USER", "content": [{"text": "hi"}]}}

TASK = {"id": "T", "contextId": "C", "status": {"state": "TASK_STATE_COMPLETED"}, "metadata": {"big": 2**53 + 1}}

CARD = {
    "name": "private",
    "supportedInterfaces": [{"url": "http://10.0.0.7:9000/", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}],
    "signatures": [{"protected": "x"}],
}


@dataclass
class CurrentAgent(EchoAgent):
    """Answers every method of 1.0, and records the requests."""

    async def reply(self, request, message):
        results = {
            "SendMessage": {"task": TASK},
            "ListTasks": {"tasks": [TASK]},
            "GetExtendedAgentCard": CARD,
            "DeleteTaskPushNotificationConfig": {},
            "CreateTaskPushNotificationConfig": message["params"],
        }
        if message["method"] in {"SendStreamingMessage", "SubscribeToTask"}:
            return await self.stream(request, message)
        result = results.get(message["method"], TASK)
        return web.json_response({"jsonrpc": "2.0", "id": message["id"], "result": result})

    async def stream(self, request, message):
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        update = {"taskId": "T", "contextId": "C", "status": {"state": "TASK_STATE_COMPLETED"}}
        for number, result in enumerate(({"task": TASK}, {"statusUpdate": update})):
            event = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}, indent=1)
            data = "".join(f"data: {line}\r\n" for line in event.split("\n"))
            await response.write(f": ping\r\n\r\nid: {number}\r\n{data}\r\n".encode())
        await response.write_eof()
        return response

    @property
    def last(self) -> dict:
        return json.loads(self.bodies[-1])


@pytest.fixture
async def gateway(database_url: str) -> AsyncIterator[GatewayWithProxy]:
    async with run_gateway_with_proxy(database_url) as gateway:
        yield gateway


@pytest.fixture
async def agent(gateway) -> AsyncIterator[CurrentAgent]:
    async with serve_agent(CurrentAgent()) as agent:
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url)
        yield agent


def call(gateway, method, path, *, base=REST, **options):
    return gateway.http.request(method, f"{gateway.url}{base}{path}", **options)


async def get_error(answer):
    """The status and the error of an answer, whose status the error repeats."""
    body = await answer.json()
    assert answer.headers["Content-Type"] == "application/json"
    assert body["error"]["code"] == answer.status
    return answer.status, body["error"]


@pytest.mark.parametrize(
    ("method", "path", "body", "asked", "answered"),
    [
        ("POST", "/message:send", MESSAGE, ("SendMessage", MESSAGE), {"task": TASK}),
        ("POST", "/acme/message:send", MESSAGE, ("SendMessage", {**MESSAGE, "tenant": "acme"}), {"task": TASK}),
        ("GET", "/tasks/a%2Fb?historyLength=0", None, ("GetTask", {"id": "a/b", "historyLength": 0}), TASK),
        ("GET", "/tasks?pageSize=3", None, ("ListTasks", {"pageSize": 3}), {"tasks": [TASK]}),
        ("POST", "/tasks/T:cancel", None, ("CancelTask", {"id": "T"}), TASK),
        (
            "POST",
            "/tasks/T/pushNotificationConfigs",
            {"id": "P", "url": "https://8.8.8.8/h"},
            ("CreateTaskPushNotificationConfig", {"id": "P", "url": "https://8.8.8.8/h", "taskId": "T"}),
            {"id": "P", "url": "https://8.8.8.8/h", "taskId": "T"},
        ),
        (
            "DELETE",
            "/tasks/T/pushNotificationConfigs/P",
            None,
            ("DeleteTaskPushNotificationConfig", {"taskId": "T", "id": "P"}),
            {},
        ),
    ],
)
async def test_a_request_is_asked_by_json_rpc_and_its_result_is_the_body(
    gateway, agent, method, path, body, asked, answered
):
    async with call(gateway, method, path, json=body) as answer:
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/a2a+json")
        assert await answer.json(content_type=None) == answered
        assert float(answer.headers["X-Molecule-Overhead-Ms"]) >= 0

    params = agent.last["params"]
    if "url" in params:
        assert params["url"].startswith("http://127.0.0.1:8080/a2a/push/")  # the plane relays the notifications
        params = params | {"url": asked[1]["url"]}
    assert (agent.last["method"], params) == asked
    assert agent.requests[-1].headers["A2A-Version"] == "1.0"
    assert agent.requests[-1].headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("path", "message", "member", "version"),
    [
        ("/message:send", MESSAGE, "taskPushNotificationConfig", "1.0"),
        ("/v1/message:send", PROTO_MESSAGE, "pushNotification", "0.3"),
    ],
)
async def test_callers_are_notified_in_the_version_of_their_path(gateway, agent, path, message, member, version):
    body = message | {"configuration": {member: {"url": "https://8.8.8.8/h"}}}
    async with call(gateway, "POST", path, json=body) as answer:
        assert answer.status == 200

    async with gateway.proxy.store.begin() as tx:
        assert await tx.connection.scalar(sa.select(PUSH_TARGETS.c.dialect)) == version


async def test_a_request_of_the_old_version_is_converted(gateway, agent):
    async with call(gateway, "POST", "/v1/message:send", json=PROTO_MESSAGE) as answer:
        assert answer.headers["Content-Type"] == "application/json"
        task = (await answer.json())["task"]
    assert agent.last["params"]["message"]["parts"] == [{"text": "hi"}]
    assert task == TASK

    async with call(gateway, "GET", "/v1/tasks/T") as answer:
        assert await answer.json() == TASK


async def test_auth_receives_the_bearer_for_the_target(gateway, agent):
    headers = {"Authorization": "Bearer one", "X-Workspace-ID": TARGET}
    async with call(gateway, "GET", "/tasks/T", headers=headers, base=REST.replace(TARGET, TARGET.upper())):
        pass
    assert gateway.callers.received == [("one", auth_pb2.GATE_A2A, "a2a", TARGET, TARGET)]


async def test_refusals_of_the_plane_have_a_body_that_sdks_read(gateway):
    async with call(gateway, "GET", "/tasks/T", headers={"Authorization": "Bearer wrong"}) as answer:
        status, error = await get_error(answer)
        assert (status, error["status"]) == (401, "UNAUTHENTICATED")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert "X-Molecule-Overhead-Ms" in answer.headers
    async with call(gateway, "POST", "/message:send", base="/workspaces/x/a2a/rest", json=MESSAGE) as answer:
        assert (await get_error(answer))[1]["message"] == "invalid workspace ID"


@pytest.mark.parametrize(
    ("fields", "status", "code", "text"),
    [
        ({"status": registry_pb2.WORKSPACE_STATUS_REMOVED}, 410, "NOT_FOUND", "workspace removed"),
        ({"budget_limit": 1, "monthly_spend": 1}, 402, "RESOURCE_EXHAUSTED", "workspace budget limit exceeded"),
        ({"status": registry_pb2.WORKSPACE_STATUS_PAUSED}, 503, "UNAVAILABLE", "workspace is paused"),
        (
            {"address": "http://127.0.0.1:1/", "external": True},
            502,
            "UNAVAILABLE",
            "failed to reach workspace agent",
        ),
    ],
)
async def test_a_target_that_cannot_receive(gateway, fields, status, code, text):
    gateway.proxy.registry.set_workspace(TARGET, **fields)
    for path, body in (("/message:send", MESSAGE), ("/v1/message:stream", PROTO_MESSAGE)):
        async with call(gateway, "POST", path, json=body, headers=STRICT) as answer:
            found, error = await get_error(answer)
            assert (found, error["status"], error["message"]) == (status, code, text)
            assert error["details"][0].items() > {"@type": ERROR_INFO, "domain": "molecule"}.items()
            assert error["details"][1]["value"]["error"] == text


async def test_a_busy_agent_and_a_deadline(gateway):
    async with serve_agent(BusyAgent()) as agent:
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url)
        async with call(gateway, "POST", "/message:send", json=MESSAGE, headers=STRICT) as answer:
            status, error = await get_error(answer)
            assert (status, answer.headers["Retry-After"]) == (503, "30")
            assert error["details"][1]["value"]["busy"] is True
    async with serve_agent(SilentAgent()) as agent:
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url)
        async with call(gateway, "GET", "/tasks/T", headers={"X-Timeout": "1"}) as answer:
            status, error = await get_error(answer)
            assert (status, error["status"]) == (504, "DEADLINE_EXCEEDED")
            assert error["details"][1]["value"]["timeout_seconds"] == 1


async def test_without_a_proxy_the_answer_says_that_nothing_was_sent():
    async with (
        clients.open_channel("unix:/nowhere.sock", caller_service="gateway") as line,
        run_server(application(FakeIdentityProvider(), ExchangePool([line]))) as url,
        aiohttp.ClientSession() as http,
        http.get(f"{url}{REST}/tasks/T") as answer,
    ):
        status, error = await get_error(answer)
        assert (status, answer.headers["Retry-After"]) == (503, "5")
        assert error["details"][1]["value"]["delivery"] == "not_sent"


async def test_an_error_of_the_agent_has_the_status_of_its_code(gateway):
    text = '{"jsonrpc": "2.0", "id": 1, "error": {"code": -32001, "message": "no task"}}'
    headers = {"Content-Type": "application/json"}
    async with serve_agent(MisbehavingAgent(status=200, text=text, headers=headers)) as agent:
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url)
        for path, form in (("/tasks/T", set()), ("/v1/tasks/T", {"code", "type", "message"})):
            async with call(gateway, "GET", path) as answer:
                status, error = await get_error(answer)
                assert (status, error["status"], error["message"]) == (404, "NOT_FOUND", "no task")
                assert error["details"][0]["reason"] == "TASK_NOT_FOUND"
                assert (await answer.json()).keys() == {"error"} | form
        async with call(gateway, "POST", "/message:stream", json=MESSAGE) as answer:
            assert (await get_error(answer))[0] == 404


async def test_an_agent_that_answers_something_else(gateway):
    async with serve_agent(MisbehavingAgent(status=200)) as agent:
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url)
        async with call(gateway, "GET", "/tasks/T") as answer:
            status, error = await get_error(answer)
            assert (status, error["details"][0]["reason"]) == (500, "INVALID_AGENT_RESPONSE")
            assert "10.0.0.7" not in await answer.text()


@pytest.mark.covers("A2A-06", "A2A-07", "BEY-22")
@pytest.mark.parametrize(
    ("method", "path", "body", "status", "reason"),
    [
        ("POST", "/message:send", b"{", 400, "INVALID_REQUEST"),
        ("POST", "/message:send", b"", 400, "INVALID_REQUEST"),
        ("POST", "/message:send", b"[]", 400, "INVALID_REQUEST"),
        ("POST", "/message:send", b'{"message":{}}', 400, "INVALID_PARAMS"),
        ("POST", "/v1/message:send", b'{"message":{}}', 400, "INVALID_PARAMS"),
        ("GET", "/tasks/T?historyLength=x", b"", 400, "INVALID_PARAMS"),
        ("GET", "/tasks/T?A2A-Version=0.3", b"", 400, "VERSION_NOT_SUPPORTED"),
        ("POST", "/message:other", b"{}", 404, "METHOD_NOT_FOUND"),
        ("GET", "", b"", 404, "METHOD_NOT_FOUND"),
        ("GET", "/", b"", 404, "METHOD_NOT_FOUND"),
        ("GET", "/tasks/%00", b"", 404, "METHOD_NOT_FOUND"),
        ("GET", "/message:send", b"", 405, "METHOD_NOT_FOUND"),
    ],
)
async def test_a_request_that_is_not_valid(gateway, agent, method, path, body, status, reason):
    async with call(gateway, method, path, data=body) as answer:
        found, error = await get_error(answer)
        assert (found, error["details"][0]["reason"]) == (status, reason)
        assert "X-Molecule-Overhead-Ms" in answer.headers
    assert agent.requests == []


@pytest.mark.parametrize("version", ["0.3", "2.0", "99.0", "x"])
async def test_another_version_is_refused(gateway, agent, version):
    async with call(gateway, "GET", "/tasks/T", headers={"A2A-Version": version}) as answer:
        status, error = await get_error(answer)
        assert (status, error["details"][0]["reason"]) == (400, "VERSION_NOT_SUPPORTED")
    async with call(gateway, "GET", "/tasks/T", headers={"A2A-Version": "1.9"}) as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/message:send", "OPTIONS, POST"),
        ("/tasks/T", "GET, HEAD, OPTIONS"),
        ("/v1/tasks/T:subscribe", "GET, HEAD, OPTIONS, POST"),
        ("/tasks/T/pushNotificationConfigs/P", "DELETE, GET, HEAD, OPTIONS"),
    ],
)
async def test_other_methods_and_options(gateway, path, allowed):
    async with call(gateway, "PUT", path) as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, allowed)
    async with call(gateway, "OPTIONS", path) as answer:
        assert (answer.status, answer.headers["Allow"], await answer.read()) == (204, allowed, b"")


async def test_head_is_get_without_a_body(gateway, agent):
    async with call(gateway, "HEAD", "/tasks/T") as answer:
        assert (answer.status, await answer.read()) == (200, b"")
        assert int(answer.headers["Content-Length"]) > 10
    async with call(gateway, "HEAD", "/tasks/T:subscribe") as answer:
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream")
    await eventually(lambda: gateway.active_calls == 0)


async def test_paths_beside_the_binding_reach_the_fallback(gateway):
    for path in ("/workspaces", f"/workspaces/{TARGET}/a2a/restless", f"/workspaces/{TARGET}/a2a/x/rest"):
        async with call(gateway, "GET", "", base=path) as answer:
            assert answer.status == 299


async def test_a_large_body_passes_and_a_larger_one_is_refused(gateway, agent):
    body = {"message": {**MESSAGE["message"], "parts": [{"text": "x" * (5 * MEBIBYTE)}]}}
    for path in ("/message:send", "/v1/message:send"):
        async with call(gateway, "POST", path, data=as_file(json.dumps(body).encode())) as answer:
            assert answer.status == 200
        assert agent.last["params"]["message"]["parts"] == body["message"]["parts"]
    grown = b'{"x":"%s"}' % (b"x" * (10 * MEBIBYTE - 20))  # together with what JSON-RPC adds it is too large
    for sent in (b"x" * (10 * MEBIBYTE + 1), grown):
        async with call(gateway, "POST", "/message:send", data=as_file(sent)) as answer:
            status, error = await get_error(answer)
            assert (status, error["details"][1]["value"]["max_bytes"]) == (413, 10 * MEBIBYTE)
    await eventually(lambda: gateway.active_calls == 0)


def as_file(body):
    """A body that the client sends in parts."""
    return io.BytesIO(body)


async def test_a_large_body_that_is_not_valid_is_refused_and_its_call_freed(gateway, agent):
    grown = json.dumps({"message": {"content": ["a"] * 40_000}}).encode()
    for body, reason in ((b"[" + b"1," * 20_000 + b"1]", "INVALID_REQUEST"), (b"{" * 20_000, "INVALID_REQUEST")):
        async with call(gateway, "POST", "/message:send", data=body) as answer:
            assert (await get_error(answer))[1]["details"][0]["reason"] == reason
    async with call(gateway, "POST", "/v1/message:send", data=grown) as answer:
        assert answer.status == 200
    await eventually(lambda: gateway.active_calls == 0)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_stream_is_converted_event_by_event(gateway, agent, method):
    async with call(gateway, method, "/tasks/T:subscribe") as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert (answer.headers["Cache-Control"], answer.headers["X-Accel-Buffering"]) == ("no-store", "no")
        assert "X-Molecule-Overhead-Ms" in answer.headers
        body = await answer.read()

    assert body.count(b": ping\n\n") == 2
    assert b"id: 0\ndata: " in body
    assert read_events(body) == [
        ("", {"task": TASK}),
        (
            "",
            {"statusUpdate": {"taskId": "T", "contextId": "C", "status": {"state": "TASK_STATE_COMPLETED"}}},
        ),
    ]


async def test_a_stream_of_the_old_version_says_which_event_is_the_last(gateway, agent):
    async with call(gateway, "POST", "/v1/message:stream", json=PROTO_MESSAGE) as answer:
        events = read_events(await answer.read())
    assert [(event.get("statusUpdate") or {}).get("final") for _, event in events] == [None, True]
    assert agent.last["method"] == "SendStreamingMessage"


@pytest.mark.parametrize("path", ["", "/v1"])
async def test_agents_of_the_old_version_serve_both_versions_of_the_binding(gateway, path):
    body = PROTO_MESSAGE if path else MESSAGE
    async with serve_agent(LegacyAgent()) as agent:
        interface = registry_pb2.AgentInterface(url=agent.url, binding="JSONRPC", version="0.3")
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url, interfaces=[interface])

        async with call(gateway, "POST", f"{path}/message:send", json=body) as answer:
            task = (await answer.json(content_type=None))["task"]
        assert (task["status"], task["artifacts"][0]["parts"]) == ({"state": "TASK_STATE_COMPLETED"}, [{"text": "hi"}])
        async with call(gateway, "POST", f"{path}/message:stream", json=body) as answer:
            events = [event for _, event in read_events(await answer.read())]
        kinds = [next(iter(event)) for event in events]
        assert kinds == ["task", "statusUpdate", "artifactUpdate", "statusUpdate"]
        assert events[-1]["statusUpdate"].get("final") is (True if path else None)
        async with call(gateway, "GET", f"{path}/tasks/t") as answer:
            assert (await answer.json(content_type=None))["status"] == {"state": "TASK_STATE_INPUT_REQUIRED"}
        async with call(gateway, "POST", f"{path}/tasks/t:cancel") as answer:
            status, error = await get_error(answer)
            assert (status, error["details"][0]["reason"]) == (404, "METHOD_NOT_FOUND")


async def test_an_event_arrives_before_the_next_is_sent(gateway):
    class PatientAgent(CurrentAgent):
        go = asyncio.Event()

        async def stream(self, request, message):
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            event = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": {"task": TASK}})
            await response.write(f"data: {event}\n\n".encode())
            await self.go.wait()
            await response.write(f"data: {event}\n\n".encode())
            return response

    async with serve_agent(PatientAgent()) as agent:
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url)
        async with call(gateway, "GET", "/tasks/T:subscribe") as answer:
            first = await answer.content.readuntil(b"\n\n")
            agent.go.set()
            second = await answer.content.readuntil(b"\n\n")

    (first_id, first_data), (second_id, second_data) = (event.split(b"\n", 1) for event in (first, second))
    assert first_data == second_data
    assert (first_id.rpartition(b":")[2], second_id.rpartition(b":")[2]) == (b"1", b"2")


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("data: no json\n\n", 500),
        ("data: {}\n\n", 500),
        ('data: {"error": {"code": -32001, "message": "no task"}}\n\ndata: {}\n\n', 404),
    ],
)
async def test_a_stream_that_is_not_valid_ends_with_one_error_event(gateway, text, status):
    async with serve_agent(
        MisbehavingAgent(status=200, text=text, headers={"Content-Type": "text/event-stream"})
    ) as agent:
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url)
        for path in ("/tasks/T:subscribe", "/v1/tasks/T:subscribe"):
            async with call(gateway, "GET", path) as answer:
                [(name, event)] = read_events(await answer.read())
            assert (name, event["error"]["code"]) == ("error", status)
    await eventually(lambda: gateway.active_calls == 0)


async def test_a_broken_stream_ends_with_one_error_event(gateway):
    async with serve_agent(DisconnectingAgent(moment="stream")) as agent:
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url)
        async with call(gateway, "POST", "/message:stream", json=MESSAGE) as answer:
            [(name, event)] = read_events(await answer.read())
    assert (name, event["error"]["message"]) == ("error", "upstream stream interrupted")


async def test_a_client_that_leaves_frees_its_call_and_changes_nothing_for_the_agent(gateway):
    class EndlessAgent(CurrentAgent):
        left = asyncio.Event()

        async def stream(self, request, message):
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            await response.write(b": hello\n\n")
            try:
                await asyncio.Event().wait()
            finally:
                self.left.set()
            return response

    async with serve_agent(EndlessAgent()) as agent:
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url)
        async with call(gateway, "GET", "/tasks/T:subscribe") as answer:
            assert await answer.content.readany() == b": hello\n\n"
            answer.close()
        assert await eventually(lambda: gateway.active_calls == 0)
        assert not agent.left.is_set()


async def test_a_streamed_message_that_is_answered_whole_is_a_stream_of_one_event(gateway):
    answered = {"jsonrpc": "2.0", "id": 1, "result": {"message": {"messageId": "r", "role": "ROLE_AGENT", "parts": []}}}
    async with serve_agent(
        MisbehavingAgent(status=200, text=json.dumps(answered), headers={"Content-Type": "application/json"})
    ) as agent:
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url)
        async with call(gateway, "POST", "/message:stream", json=MESSAGE) as answer:
            assert answer.headers["Content-Type"] == "text/event-stream"
            assert read_events(await answer.read()) == [("", answered["result"])]


async def test_a_message_accepted_for_later_is_a_submitted_task(gateway):
    gateway.proxy.registry.set_workspace(TARGET, delivery_mode=registry_pb2.DELIVERY_MODE_POLL)
    async with call(gateway, "POST", "/message:send", json=MESSAGE) as answer:
        task = (await answer.json(content_type=None))["task"]
    assert (task["contextId"], task["status"]["state"]) == ("C", "TASK_STATE_SUBMITTED")
    async with call(gateway, "GET", f"/v1/tasks/{task['id']}") as answer:
        assert (await answer.json())["status"]["state"] == "TASK_STATE_SUBMITTED"

    gateway.proxy.registry.set_workspace(
        TARGET, delivery_mode=registry_pb2.DELIVERY_MODE_PUSH, status=registry_pb2.WORKSPACE_STATUS_HIBERNATED
    )
    body = {"message": {**PROTO_MESSAGE["message"], "messageId": "m-2"}}
    async with call(gateway, "POST", "/v1/message:send", json=body) as answer:
        assert answer.status == 200
        later = (await answer.json())["task"]
    assert later["id"] != task["id"]
    assert later["status"]["state"] == "TASK_STATE_SUBMITTED"


@pytest.mark.parametrize("path", ["/extendedAgentCard", "/v1/card"])
async def test_an_extended_card_leads_to_the_plane(gateway, agent, path):
    async with call(gateway, "GET", path) as answer:
        card = await answer.json(content_type=None)
    assert "10.0.0.7" not in json.dumps(card)
    assert "signatures" not in card
    address = f"https://plane.example/workspaces/{TARGET}/a2a"
    assert (card["url"] if "v1" in path else card["supportedInterfaces"][0]["url"]) == address


def read_events(body: bytes) -> list[tuple[str, dict]]:
    """The types and the data of the events of a stream."""
    found = []
    for block in body.decode().strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        if "data" in fields:
            found.append((fields.get("event", ""), json.loads(fields["data"])))
    return found
