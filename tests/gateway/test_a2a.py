import asyncio
import json
import time
from collections.abc import AsyncIterator
from uuid import uuid4

import aiohttp
import pytest
from multidict import CIMultiDict

from gateway.exchange import ExchangePool
from gateway.message_request import MAX_EXTENSION_HEADERS
from protos.auth.v1 import auth_pb2
from protos.provisioner.v1 import provisioner_pb2
from protos.registry.v1 import registry_pb2
from services.chassis import clients
from tests.a2a_proxy.scripted_agent import serve_script
from tests.agents import (
    BusyAgent,
    DisconnectingAgent,
    EchoAgent,
    MisbehavingAgent,
    SilentAgent,
    SlowAgent,
    list_possible_deliveries,
    serve_agent,
)
from tests.gateway.gateway_with_proxy import (
    MEBIBYTE,
    OTHER,
    TARGET,
    FakeIdentityProvider,
    GatewayWithProxy,
    application,
    hello,
    run_gateway_with_proxy,
)
from tests.http.conftest import run_server
from tests.waiting import eventually

STRICT = {"Prefer": "handling=strict"}
"""The headers of a caller whose message is not to be queued."""


@pytest.fixture
async def gateway(database_url: str) -> AsyncIterator[GatewayWithProxy]:
    async with run_gateway_with_proxy(database_url) as gateway:
        yield gateway


@pytest.mark.parametrize("path", [f"/workspaces/{TARGET}/a2a", f"/workspaces/{TARGET.upper()}/a2a/"])
async def test_a_message_is_answered_by_its_agent(gateway, path):
    async with serve_agent(EchoAgent()) as agent:
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url)

        async with gateway.post(hello(), path=path) as answer:
            assert answer.status == 200
            assert answer.headers["Content-Type"].startswith("application/json")
            assert (await answer.json())["result"]["parts"] == [{"kind": "text", "text": "hi"}]


async def test_headers_that_the_card_names_travel_and_no_others(gateway):
    sent = [("X-Tenant", "blue"), ("X-Tenant", "red"), ("X-Other", "o"), ("X-Api-Key", "k"), ("X-Long", "v" * 1025)]
    async with serve_agent(EchoAgent()) as agent:
        named = ["x-tenant", "x-long", "x-missing"]
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url, extension_headers=named)

        async with gateway.post(hello(), headers=sent) as answer:
            assert answer.status == 200

    received = agent.requests[0].headers
    assert received.getall("X-Tenant") == ["blue"]
    assert not {"X-Other", "X-Api-Key", "X-Long", "X-Missing"} & set(received)


async def test_more_headers_than_may_be_named_are_left_out(gateway):
    sent = [(f"X-Number-{number}", "v") for number in range(MAX_EXTENSION_HEADERS + 1)]
    async with serve_agent(EchoAgent()) as agent:
        names = [name.lower() for name, _ in (sent[-2], sent[-1])]
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url, extension_headers=names)

        async with gateway.post(hello(), headers=sent):
            pass

    assert sent[-2][0] in agent.requests[0].headers
    assert sent[-1][0] not in agent.requests[0].headers


async def test_auth_receives_the_first_bearer_and_the_claimed_workspace(gateway):
    headers = [("Authorization", "Bearer one"), ("Authorization", "Bearer two"), ("X-Workspace-ID", TARGET.upper())]

    async with gateway.post(hello(), headers=headers):
        pass

    assert gateway.callers.received == [("one", auth_pb2.GATE_A2A, "a2a", TARGET, TARGET)]


async def test_a_caller_is_refused_before_the_body_is_read(gateway):
    async with gateway.post(b"x" * (11 * MEBIBYTE), headers={"Authorization": "Bearer wrong"}) as answer:
        assert answer.status == 401
        assert await answer.json() == {"error": "invalid caller auth token"}


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
async def test_the_message_path_takes_post_only(gateway, method):
    async with gateway.http.request(method, f"{gateway.url}/workspaces/{TARGET}/a2a") as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "OPTIONS, POST")
        assert await answer.json() == {"error": "method not allowed"}


@pytest.mark.parametrize("path", ["/workspaces", f"/workspaces/{TARGET}/a2a/x", f"/workspaces/{TARGET}/a2a//"])
async def test_other_paths_reach_the_fallback(gateway, path):
    async with gateway.post(hello(), path=path) as answer:
        assert answer.status == 299


@pytest.mark.parametrize("workspace_id", ["x", TARGET[:-1], TARGET + "0", "%00", "{}"])
async def test_an_invalid_id_is_refused_before_auth_is_called(gateway, workspace_id):
    async with gateway.post(hello(), path=f"/workspaces/{workspace_id}/a2a") as answer:
        assert (answer.status, await answer.json()) == (400, {"error": "invalid workspace ID"})
    assert gateway.callers.received == []


async def test_a_body_at_the_size_limit_passes_and_a_larger_one_is_refused(gateway):
    async with serve_agent(EchoAgent()) as agent:
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url)
        frame = json.dumps(hello("tasks/get", params={"x": ""})).encode()
        full = frame.replace(b'"x": ""', b'"x": "%s"' % (b"y" * (10 * MEBIBYTE - len(frame))))

        async with gateway.post(full) as answer:
            assert answer.status == 200
        async with gateway.post(full + b" ") as answer:
            assert answer.status == 413
            assert await answer.json() == {"error": "request body too large", "max_bytes": 10 * MEBIBYTE}
        async with gateway.http.post(f"{gateway.url}/workspaces/{TARGET}/a2a", data=_chunks(full + b" ")) as answer:
            assert answer.status == 413


async def _chunks(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), MEBIBYTE):
        yield body[start : start + MEBIBYTE]


@pytest.mark.covers("A2A-06", "A2A-07")
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", {"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "invalid JSON"}}),
        (
            hello(params={"message": {}}),
            {
                "jsonrpc": "2.0",
                "id": "seven",
                "error": {"code": -32602, "message": "invalid params: params.message.parts is required"},
            },
        ),
    ],
)
async def test_a_malformed_message_is_answered_as_json_rpc(gateway, body, expected):
    gateway.proxy.registry.set_workspace(TARGET, address="http://127.0.0.1:1/")

    async with gateway.post(body) as answer:
        assert (answer.status, await answer.json()) == (400, expected)


async def test_an_unsupported_version_is_refused_in_header_and_query(gateway):
    gateway.proxy.registry.set_workspace(TARGET, address="http://127.0.0.1:1/")

    async with gateway.post(hello(), headers={"A2A-Version": "99.0"}) as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (200, -32009)
    async with gateway.post(hello(), path=f"/workspaces/{TARGET}/a2a?A2A-Version=99.0") as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (200, -32009)
    async with gateway.post(hello(), headers={"A2A-Version": "\u00ff"}) as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (200, -32009)


# Callers that state a version ────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "code", "request_id"),
    [
        (b'{"jsonrpc":"2.0"', -32700, None),
        (b"[]", -32600, None),
        (b'{"jsonrpc":"2.0","id":"x","method":"SendMessage","params":{"message":{}}}', -32602, "x"),
    ],
)
async def test_a_protocol_error_is_no_error_of_http_for_a_caller_that_states_a_version(gateway, body, code, request_id):
    gateway.proxy.registry.set_workspace(TARGET, address="http://127.0.0.1:1/")

    async with gateway.post(body, headers={"A2A-Version": "1.0"}) as answer:
        found = await answer.json()

        assert (answer.status, found["error"]["code"], found["id"]) == (200, code, request_id)


async def test_a_refusal_has_a_json_rpc_body_for_a_caller_that_states_a_version(gateway):
    gateway.proxy.registry.set_workspace(TARGET, status=registry_pb2.WORKSPACE_STATUS_PAUSED, status_reason="paused")
    members = {"error": "workspace is paused", "status": "paused", "status_reason": "paused"}

    async with gateway.post(hello(), headers={"A2A-Version": "0.3"}) as answer:
        refusal = {"code": -32000, "message": "workspace is paused", "data": members}
        assert (answer.status, await answer.json()) == (503, {"jsonrpc": "2.0", "id": "seven", "error": refusal})
    async with gateway.post(hello(), headers={"A2A-Version": "1.0"}) as answer:
        reason, details = (await answer.json())["error"]["data"]
        assert (answer.status, reason["reason"], details["value"]) == (503, "TARGET_UNAVAILABLE", members)


async def test_a_caller_without_a_credential_learns_it_in_the_form_of_its_version(gateway):
    headers = {"A2A-Version": "1.0", "Authorization": "Bearer wrong"}

    async with gateway.post(hello(), headers=headers) as answer:
        found = await answer.json()

        assert (answer.status, found["error"]["code"], found["id"]) == (401, -32000, None)
        assert found["error"]["message"] == "invalid caller auth token"
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_repeated_extension_headers_are_one_list(gateway):
    async with serve_agent(EchoAgent()) as agent:
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url)
        headers = CIMultiDict([("A2A-Extensions", "a"), ("A2A-Extensions", "b, c"), ("X-A2A-Extensions", "d")])

        async with gateway.post(hello(), headers=headers):
            sent = agent.requests[0].headers

        assert (sent["A2A-Extensions"], sent["X-A2A-Extensions"]) == ("a, b, c", "d")


async def test_what_was_parsed_as_json_is_sent_on_as_json(gateway):
    async with serve_agent(EchoAgent()) as agent:
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url)

        async with gateway.post(hello(), headers={"Content-Type": "text/plain"}):
            assert agent.requests[0].headers["Content-Type"] == "application/json"


async def test_a_refusal_of_the_target_comes_before_that_of_an_invalid_timeout(gateway):
    gateway.proxy.registry.set_workspace(TARGET, address="http://127.0.0.1:1/")
    async with gateway.post(hello(), headers={"X-Timeout": "soon"}) as answer:
        assert answer.status == 400
        assert await answer.json() == {"error": "X-Timeout must be an integer from 1 to 86400"}
    async with gateway.post(hello(), headers={"X-Timeout": "soon"}, path=f"/workspaces/{uuid4()}/a2a") as answer:
        assert answer.status == 404


# The table of docs/spec/rest.md, 6.4 ─────────────────────────────────────────


async def test_a_message_wakes_a_hibernating_target_only(gateway):
    for status, expected in (
        (registry_pb2.WORKSPACE_STATUS_PAUSED, 503),
        (registry_pb2.WORKSPACE_STATUS_HIBERNATING, 202),
    ):
        gateway.proxy.registry.set_workspace(TARGET, status=status)
        async with gateway.post(hello()) as answer:
            assert answer.status == expected

    await eventually(lambda: gateway.proxy.lifecycle.woken)
    assert gateway.proxy.lifecycle.woken == [TARGET]


@pytest.mark.parametrize(
    ("fields", "status", "body"),
    [
        ({"status": registry_pb2.WORKSPACE_STATUS_REMOVED}, 410, {"error": "workspace removed"}),
        ({"budget_limit": 100, "monthly_spend": 100}, 402, {"error": "workspace budget limit exceeded"}),
        (
            {"status": registry_pb2.WORKSPACE_STATUS_HIBERNATED},
            503,
            {
                "error": "workspace is waking from hibernation — retry in ~15 seconds",
                "retry_after": 15,
                "waking": True,
            },
        ),
        (
            {"status": registry_pb2.WORKSPACE_STATUS_PAUSED, "status_reason": "user"},
            503,
            {"error": "workspace is paused", "status": "paused", "status_reason": "user"},
        ),
        ({"address": ""}, 503, {"error": "workspace has no URL", "status": "online", "status_reason": ""}),
        (
            {"address": "http://169.254.169.254/", "address_trusted": False},
            502,
            {"error": "workspace URL is not publicly routable"},
        ),
        (
            {"address": "http://127.0.0.1:1/", "external": True},
            502,
            {"error": "failed to reach workspace agent", "delivery": "not_sent"},
        ),
    ],
)
async def test_a_target_that_cannot_receive_is_reported_as_the_contract_says(gateway, fields, status, body):
    gateway.proxy.registry.set_workspace(TARGET, **fields)

    async with gateway.post(hello(), headers=STRICT) as answer:
        assert (answer.status, await answer.json()) == (status, body)
        assert float(answer.headers["X-Molecule-Overhead-Ms"]) >= 0


@pytest.mark.covers("A2A-24", "A2A-39")
async def test_a_dead_agent_is_a_structured_503(gateway):
    gateway.proxy.provisioner.condition = provisioner_pb2.INSTANCE_CONDITION_GONE
    gateway.proxy.registry.set_workspace(TARGET, address="http://127.0.0.1:1/")

    async with gateway.post(hello()) as answer:
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "15"
        assert await answer.json() == {
            "error": "workspace agent unreachable — container restart triggered",
            "restarting": True,
            "delivery": "not_sent",
        }


async def test_a_busy_agent_is_a_503_with_a_time_to_come_back(gateway):
    async with serve_agent(BusyAgent()) as agent:
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url)

        async with gateway.post(hello(), headers=STRICT) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "30")
            assert await answer.json() == {
                "error": "workspace agent busy — retry after a short backoff",
                "busy": True,
                "retry_after": 30,
            }


async def test_errors_of_the_agent_are_forwarded_unchanged(gateway):
    body = '{ "jsonrpc":"2.0","id":1, "error":{"code":-32001,"message":"Task not found"}}'
    agent = MisbehavingAgent(status=404, text=body, headers={"Content-Type": "application/json", "Retry-After": "9"})
    async with serve_agent(agent):
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url)

        async with gateway.post(hello("tasks/get")) as answer:
            assert (answer.status, await answer.text()) == (404, body)
            assert answer.headers["Retry-After"] == "9"


async def test_the_callers_deadline_is_a_504(gateway):
    async with serve_agent(SilentAgent()) as agent:
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url)

        async with gateway.post(hello(), headers={"X-Timeout": "1"}) as answer:
            body = await answer.json()

    assert answer.status == 504
    assert body.pop("delivery") in list_possible_deliveries(agent)
    assert body == {"error": "request deadline exceeded", "timeout_seconds": 1}


@pytest.mark.covers("BEY-22")
async def test_the_time_of_the_agent_does_not_count_as_overhead(gateway):
    async with serve_agent(SlowAgent()) as agent, serve_agent(EchoAgent()) as other:
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url)
        gateway.proxy.registry.set_workspace(OTHER, address=other.url)
        began = time.perf_counter()
        asking = asyncio.ensure_future(gateway.post(hello()).__aenter__())
        await agent.asked.wait()
        asked = time.perf_counter()
        for _ in range(10):  # the agent takes as long as ten whole calls, however slow the machine is
            async with gateway.post(hello(), path=f"/workspaces/{OTHER}/a2a"):
                pass
        held_ms = (time.perf_counter() - asked) * 1000
        agent.go.set()

        answer = await asking

    whole_ms = (time.perf_counter() - began) * 1000
    timing = answer.headers["Server-Timing"]
    agent_ms, queue_ms = (float(timing.partition(f"{name};dur=")[2].partition(",")[0]) for name in ("agent", "queue"))
    assert agent_ms >= held_ms - 1
    assert float(answer.headers["X-Molecule-Overhead-Ms"]) + agent_ms + queue_ms <= whole_ms + 1


async def test_without_a_proxy_the_answer_says_that_nothing_was_sent():
    async with (
        clients.open_channel("unix:/nowhere.sock", caller_service="gateway") as line,
        run_server(application(FakeIdentityProvider(), ExchangePool([line]))) as url,
        aiohttp.ClientSession() as http,
        http.post(f"{url}/workspaces/{TARGET}/a2a", data=b"{}") as answer,
    ):
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        assert (await answer.json())["code"] == "platform_unavailable"


class PrivateAgent(EchoAgent):
    """Answers with a card that says where it really lives."""

    async def reply(self, request, message):
        card = {
            "name": "private",
            "url": "http://10.0.0.7:9000/",
            "protocolVersion": "0.3.0",
            "preferredTransport": "JSONRPC",
            "supportedInterfaces": [
                {"url": "http://10.0.0.7:9000/", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
            ],
            "signatures": [{"protected": "x"}],
        }
        return aiohttp.web.json_response({"jsonrpc": "2.0", "id": message["id"], "result": card})


@pytest.mark.parametrize("method", ["GetExtendedAgentCard", "agent/getAuthenticatedExtendedCard"])
async def test_an_extended_card_leads_to_the_plane(gateway, method):
    async with serve_agent(PrivateAgent()) as agent:
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url)

        async with gateway.post(hello(method)) as answer:
            card = (await answer.json())["result"]

    assert "10.0.0.7" not in json.dumps(card)
    assert "signatures" not in card
    assert card["supportedInterfaces"][0]["url"] == f"https://plane.example/workspaces/{TARGET}/a2a"
    assert (card.get("url") == f"https://plane.example/workspaces/{TARGET}/a2a") is ("/" in method)


@pytest.mark.parametrize(
    ("content_type", "beginning"), [("text/event-stream", "data: "), ("application/json", "not JSON: ")]
)
async def test_an_extended_card_that_cannot_be_rewritten_is_refused(gateway, content_type, beginning):
    text = beginning + '{"jsonrpc": "2.0", "id": 1, "result": {"url": "http://10.0.0.7:9000/"}}\n\n'
    async with serve_agent(MisbehavingAgent(status=200, text=text, headers={"Content-Type": content_type})) as agent:
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url)

        async with gateway.post(hello("GetExtendedAgentCard")) as answer:
            assert answer.status == 200
            assert answer.content_type == "application/json"
            assert (await answer.json())["error"]["code"] == -32006


async def test_the_error_of_an_agent_without_an_extended_card_is_forwarded(gateway):
    text = '{"jsonrpc": "2.0", "id": 1, "error": {"code": -32007, "message": "not configured"}}'
    async with serve_agent(
        MisbehavingAgent(status=200, text=text, headers={"Content-Type": "application/json"})
    ) as agent:
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url)

        async with gateway.post(hello("GetExtendedAgentCard")) as answer:
            assert await answer.text() == text


# Streams ─────────────────────────────────────────────────────────────────────


async def test_a_stream_is_forwarded_unchanged_and_unbuffered(gateway):
    async with serve_agent(EchoAgent()) as agent:
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url)

        async with gateway.post(hello("message/stream")) as answer:
            assert answer.headers["Content-Type"] == "text/event-stream"
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.headers["X-Accel-Buffering"] == "no"
            assert "X-Molecule-Overhead-Ms" in answer.headers
            body = await answer.read()

    events = [json.loads(line[6:]) for line in body.split(b"\n") if line.startswith(b"data: ")]
    assert [event["result"]["number"] for event in events] == [0, 1, 2]
    assert body.count(b": ping\r\n\r\n") == 3


async def test_a_broken_stream_ends_with_one_error_event(gateway):
    async with serve_agent(DisconnectingAgent(moment="stream")) as agent:
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url)

        async with gateway.post(hello("message/stream")) as answer:
            body = await answer.read()

    *_, last = body.strip().split(b"\n\n")
    assert json.loads(last.removeprefix(b"data: ")) == {
        "jsonrpc": "2.0",
        "id": "seven",
        "error": {"code": -32603, "message": "upstream stream interrupted"},
    }


@pytest.mark.covers("BEY-02")
async def test_a_client_that_leaves_does_not_end_the_agents_stream(gateway):
    class PausingAgent(EchoAgent):
        go = asyncio.Event()

        async def stream(self, request, message):
            response = aiohttp.web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            await response.write(b"data: 1\n\n")
            await self.go.wait()
            await response.write(b"data: 2\n\n")
            return response

    async with serve_agent(PausingAgent()) as agent:
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url)

        async with gateway.post(hello("message/stream")) as answer:
            assert (await answer.content.readany()).endswith(b"\ndata: 1\n\n")
            answer.close()

        assert await eventually(lambda: gateway.active_calls == 0)
        agent.go.set()
        (row,) = await eventually(lambda: gateway.proxy.list_activities(TARGET))
        assert (row.status, row.response_body) == ("ok", "2")


async def test_a_large_stream_arrives_whole(gateway):
    size = 3 * MEBIBYTE

    class FloodingAgent(EchoAgent):
        async def stream(self, request, message):
            response = aiohttp.web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            for start in range(0, size, 50_000):
                await response.write(bytes([65 + start % 26]) * min(50_000, size - start))
            return response

    async with serve_agent(FloodingAgent()) as agent:
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url)

        async with gateway.post(hello("message/stream"), timeout=aiohttp.ClientTimeout(total=30)) as answer:
            assert len(await answer.read()) == size


async def test_a_client_that_reads_nothing_delays_no_other(gateway):
    class FloodingAgent(EchoAgent):
        async def stream(self, request, message):
            response = aiohttp.web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            while True:
                await response.write(b"data: " + b"x" * 65_536 + b"\n\n")

    async with serve_agent(FloodingAgent()) as agent:
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url)
        async with gateway.post(hello("message/stream"), read_bufsize=1024):
            for _ in range(20):
                async with gateway.post(hello(), timeout=aiohttp.ClientTimeout(total=5)) as answer:
                    assert answer.status == 200


# Agents that are hostile or broken ────────────────────────────────────────────


@pytest.mark.covers("HOS-03", "HOS-05")
@pytest.mark.parametrize("status", [200, 204, 205, 299, 304, 404, 418, 599])
async def test_an_answer_keeps_its_status_and_the_connection_of_the_client(gateway, status):
    head = b"HTTP/1.1 %d x\r\nContent-Type: application/json\r\nX-Long: %s\r\nETag: \xe9\r\n" % (status, b"x" * 9000)
    async with serve_script(head + b"Content-Length: 2\r\n\r\n{}") as agent:
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url)
        for _ in range(2):  # a body that the client does not expect would spoil the second answer
            async with gateway.post(hello()) as answer:
                assert answer.status == status
                assert await answer.read() == (b"" if status in {204, 205, 304} else b"{}")
                assert ("content-length" in answer.headers) == (status not in {204, 304})
                assert "etag" not in answer.headers


@pytest.mark.covers("HOS-04")
@pytest.mark.parametrize("status", [b"000", b"099", b"101", b"600", b"999"])
async def test_a_status_that_http_does_not_define_is_a_502_that_says_so(gateway, status):
    async with serve_script(b"HTTP/1.1 %s x\r\nContent-Length: 2\r\n\r\n{}" % status) as agent:
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url)
        async with gateway.post(hello()) as answer:
            assert answer.status == 502
            assert await answer.json() == {
                "error": "workspace agent answered with an HTTP status outside 200 to 599",
                "delivery_confirmed": True,
            }


@pytest.mark.covers("HOS-01", "HOS-02")
async def test_floods_of_interim_responses_delay_no_other_message(gateway):
    def flood():
        while True:
            yield b"HTTP/1.1 100 Continue\r\n\r\n" * 4000

    async with serve_script(script=flood) as hostile, serve_agent(EchoAgent()) as honest:
        gateway.proxy.registry.set_workspace(TARGET, address=hostile.url)
        gateway.proxy.registry.set_workspace(OTHER, address=honest.url)

        async def flood_once() -> int:
            async with gateway.post(hello()) as answer:
                return answer.status

        floods = [asyncio.create_task(flood_once()) for _ in range(3)]
        async with asyncio.timeout(5), gateway.post(hello(), path=f"/workspaces/{OTHER}/a2a") as answer:
            assert answer.status == 200
        assert await asyncio.gather(*floods) == [502, 502, 502]


@pytest.mark.covers("HOS-06")
@pytest.mark.parametrize("ring", [[TARGET], [TARGET, OTHER]])
async def test_a_message_to_an_agent_that_is_the_plane_itself_ends_after_a_few_dispatches(gateway, ring):
    for place, workspace_id in enumerate(ring):
        following = ring[(place + 1) % len(ring)]
        address = f"{gateway.url}/workspaces/{following}/a2a"
        gateway.proxy.registry.set_workspace(workspace_id, address=address, max_concurrent_tasks=100)

    async with gateway.post(hello()) as answer:
        assert answer.status == 508
        assert await answer.json() == {
            "error": "message loop: the message has passed through planes too often",
        }
    assert len(gateway.callers.received) == 9


@pytest.mark.covers("HOS-06")
@pytest.mark.parametrize(("hops", "status"), [("0", 200), ("7", 200), ("8", 508), ("999", 508)])
async def test_the_dispatches_of_other_planes_count(gateway, hops, status):
    async with serve_agent(EchoAgent()) as agent:
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url)
        async with gateway.post(hello(), headers={"X-Molecule-Hops": hops}) as answer:
            assert answer.status == status
        assert [request.headers["X-Molecule-Hops"] for request in agent.requests] == (
            [str(int(hops) + 1)] if status == 200 else []
        )


@pytest.mark.covers("HOS-06")
@pytest.mark.parametrize("hops", ["-1", "1000", "one", "1.0", "+1", "1, 2"])
async def test_a_count_of_dispatches_that_is_no_number_is_refused(gateway, hops):
    gateway.proxy.registry.set_workspace(TARGET, address="http://127.0.0.1:1/")
    async with gateway.post(hello(), headers={"X-Molecule-Hops": hops}) as answer:
        assert (answer.status, await answer.json()) == (
            400,
            {"error": "X-Molecule-Hops must be an integer of at most 3 digits"},
        )


# Large answers ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", [11 * MEBIBYTE, 32 * MEBIBYTE])
async def test_an_answer_of_up_to_32_mib_arrives_whole(gateway, size):
    text = "x" * (size - 2)
    async with serve_agent(MisbehavingAgent(status=200, text=f'"{text}"')) as agent:
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url)

        async with gateway.post(hello()) as answer:
            body = await answer.read()

            assert answer.status == 200
            assert answer.headers["Content-Length"] == str(size)
            assert "X-Accel-Buffering" not in answer.headers
            assert body == f'"{text}"'.encode()


async def test_an_answer_beyond_the_limit_is_refused_naming_it(gateway):
    async with serve_agent(MisbehavingAgent(status=200, text="x" * (32 * MEBIBYTE + 1))) as agent:
        gateway.proxy.registry.set_workspace(TARGET, address=agent.url)

        async with gateway.post(hello()) as answer:
            text = "failed to read agent response: it is larger than 32 MiB"
            expected = {"error": text, "delivery_confirmed": True, "max_bytes": 32 * MEBIBYTE}
            assert (answer.status, await answer.json()) == (502, expected)
