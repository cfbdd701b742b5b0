"""Messages pass the middleware and the gate before the proxy. test_a2a.py tests what follows."""

import json

import pytest

from protos.a2a_proxy.v1 import a2a_proxy_pb2 as pb
from protos.auth.v1 import auth_pb2
from tests.gateway.conftest import run_gateway_under_test
from tests.gateway.echoing_proxy import EchoingProxy, ScriptedProxy
from tests.gateway.fake_services import FakeAuth, workspace

W = "11111111-1111-4111-8111-111111111111"
V = "22222222-2222-4222-8222-222222222222"


async def test_a_message_passes_the_middleware_and_its_gate():
    proxy = EchoingProxy()
    auth = FakeAuth(known={"w": workspace(W)})
    async with run_gateway_under_test(auth=auth, proxy=proxy.servicer()) as plane:
        headers = {"Authorization": "Bearer w", "X-Request-Id": "mine", "Origin": "http://localhost:3000"}
        for path in (f"/workspaces/{V}/a2a", f"/workspaces/{V}/a2a/"):
            answer = await plane.http.post(path, content=b'{"jsonrpc":"2.0"}', headers=headers)

            assert (answer.status_code, answer.content) == (200, b'{"jsonrpc":"2.0"}')
            assert answer.headers["x-request-id"] == "mine"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"
            assert float(answer.headers["x-molecule-overhead-ms"]) >= 0

        [first, _] = proxy.opened
        assert 0 < first.elapsed_micros < 60_000_000
        assert (first.workspace_id, first.identity.name, first.request_id) == (V, W, "mine")
        assert auth.received[0] == auth_pb2.AuthorizeRequest(
            bearer="w", gate=auth_pb2.GATE_A2A, scope="a2a", workspace_id=V
        )

        auth.known[None] = auth.known["w"]
        counted = await plane.http.get("/metrics")
        assert (
            'molecule_http_requests_total{method="POST",path="/workspaces/{id}/a2a",status="200"} 2.0' in counted.text
        )


async def test_a_message_to_an_invalid_id_is_refused_before_the_gate(plane):
    answer = await plane.http.post("/workspaces/not-an-id/a2a", content=b"{}")

    assert (answer.status_code, answer.json()) == (400, {"error": "invalid workspace ID"})
    assert plane.auth.received == []


async def test_a_call_of_the_http_json_binding_passes_the_middleware_and_its_gate():
    proxy = EchoingProxy()
    auth = FakeAuth(known={"w": workspace(W), None: workspace(W)})
    async with run_gateway_under_test(auth=auth, proxy=proxy.servicer()) as plane:
        path = f"/workspaces/{V}/a2a/rest/tasks/T%2FU"
        answer = await plane.http.get(path, headers={"Authorization": "Bearer w", "X-Request-Id": "mine"})

        assert (answer.status_code, answer.headers["x-request-id"]) == (500, "mine")  # a request is no response
        [opened] = proxy.opened
        assert (opened.workspace_id, opened.identity.name, opened.request_id) == (V, W, "mine")
        assert json.loads(opened.body)["params"] == {"id": "T/U"}

        counted = await plane.http.get("/metrics")
        label = 'method="GET",path="/workspaces/{id}/a2a/rest/tasks/{taskId}",status="500"'
        assert f"molecule_http_requests_total{{{label}}} 1.0" in counted.text


async def test_refusals_before_the_route_have_the_form_of_the_binding():
    auth = FakeAuth(known={"w": workspace(W)})
    async with run_gateway_under_test(auth=auth, admin_token="x" * 40, rate_limit=1) as plane:
        path = f"/workspaces/{V}/a2a/rest/v1/tasks/T"
        reserved = await plane.http.get(path, headers={"X-Workspace-ID": "system:x"})
        assert (reserved.status_code, reserved.json()["message"]) == (403, "invalid caller ID")
        limited = await plane.http.get(path)
        assert (limited.status_code, limited.json()["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")
        assert int(limited.headers["retry-after"]) > 0
        assert float(limited.headers["x-molecule-overhead-ms"]) >= 0
        assert limited.headers["x-ratelimit-limit"] == "1"


HEAD = {"status": 200, "headers": {"content-type": "application/json"}}

ANSWER = b'{"jsonrpc":"2.0","id":1,"result":{"id":"T"}}'


def chunk(data):
    return pb.ReplyFrame(chunk=data)


def end(*, interrupted=False):
    return pb.ReplyFrame(end=pb.ReplyEnd(interrupted=interrupted))


async def test_a_large_answer_in_chunks_is_one_answer_of_the_http_json_binding():
    head = pb.ReplyFrame(head=pb.ReplyHead(**HEAD, body_bytes=len(ANSWER)))
    proxy = ScriptedProxy(head, chunk(ANSWER[:9]), chunk(ANSWER[9:]), end())
    async with run_gateway_under_test(proxy=proxy.servicer()) as plane:
        answer = await plane.http.get(f"/workspaces/{V}/a2a/rest/tasks/T")

    assert (answer.status_code, answer.json()) == (200, {"id": "T"})


@pytest.mark.parametrize("size", [len(ANSWER), 10**9])
async def test_a_large_answer_that_breaks_off_or_has_no_room_is_a_502(size):
    head = pb.ReplyFrame(head=pb.ReplyHead(**HEAD, body_bytes=size))
    proxy = ScriptedProxy(head, chunk(ANSWER[:9]), end(interrupted=True))
    async with run_gateway_under_test(proxy=proxy.servicer()) as plane:
        for _ in range(2):
            answer = await plane.http.get(f"/workspaces/{V}/a2a/rest/tasks/T")

            assert (answer.status_code, answer.json()["error"]["message"]) == (502, "failed to read agent response")
            assert answer.json()["error"]["details"][1]["value"]["delivery_confirmed"] is True


@pytest.mark.parametrize("is_complete", [True, False])
async def test_a_compressed_answer_is_refused_because_nobody_asked_for_it(is_complete):
    headers = {"content-type": "application/json", "content-encoding": "gzip", "etag": "x", "retry-after": "3"}
    head = pb.ReplyHead(status=200, headers=headers, body=b"compressed" if is_complete else b"", complete=is_complete)
    proxy = ScriptedProxy(pb.ReplyFrame(head=head), *([] if is_complete else [chunk(b"compressed"), end()]))
    async with run_gateway_under_test(proxy=proxy.servicer()) as plane:
        answer = await plane.http.get(f"/workspaces/{V}/a2a/rest/tasks/T:subscribe")

    assert (answer.status_code, answer.headers["retry-after"]) == (500, "3")
    assert not {"content-encoding", "etag"} & answer.headers.keys()
    assert answer.json()["error"]["details"][0]["reason"] == "INVALID_AGENT_RESPONSE"


async def test_an_event_that_never_ends_is_refused():
    head = pb.ReplyFrame(head=pb.ReplyHead(status=200, headers={"content-type": "text/event-stream"}))
    proxy = ScriptedProxy(head, *[chunk(b"data: " + b"x" * 1_000_000)] * 11, end())
    async with run_gateway_under_test(proxy=proxy.servicer()) as plane:
        answer = await plane.http.get(f"/workspaces/{V}/a2a/rest/tasks/T:subscribe")

    assert answer.text.startswith("event: error\ndata: ")
    assert answer.text.count("data: ") == 1
    assert "an event of the agent's stream is too large" in answer.text
