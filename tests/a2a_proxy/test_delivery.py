import json
from datetime import timedelta
from uuid import uuid4

import pytest

from protos.provisioner.v1 import provisioner_pb2
from protos.registry.v1 import registry_pb2
from services.chassis.identity import Identity, Kind
from services.chassis.settings import Mode
from tests.a2a_proxy.fake_gateway import (
    A_WORKSPACE,
    CALLER,
    TARGET,
    decode_details,
    message_body,
    open_exchange,
)
from tests.a2a_proxy.running_proxy import run_proxy
from tests.agents import (
    BusyAgent,
    DisconnectingAgent,
    EchoAgent,
    MisbehavingAgent,
    SilentAgent,
    list_possible_deliveries,
    serve_agent,
)
from tests.waiting import eventually


def bare_body(method: str) -> bytes:
    """Return a request without the frame of JSON-RPC."""
    request = json.loads(message_body(method))
    return json.dumps({"method": method, "params": request["params"]}).encode()


@pytest.mark.covers("A2A-11")
async def test_a_message_reaches_its_agent_and_the_activity_log(proxy, gateway):
    async with serve_agent(EchoAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        proxy.registry.set_workspace(CALLER)

        head = (await gateway.send_message(message_body(), sender=A_WORKSPACE, request_id="r-1")).head

        assert (head.status, head.complete) == (200, True)
        assert json.loads(head.body)["id"] == 7
        assert head.agent_micros > 0
        assert agent.bodies == [message_body()]
        assert agent.requests[0].headers["x-request-id"] == "r-1"
        (row,) = await eventually(lambda: proxy.list_activities(TARGET))
        assert (row.activity_type, row.source_id, row.target_id) == ("a2a_receive", CALLER, TARGET)
        assert (row.method, row.status) == ("message/send", "ok")
        assert row.request_body == message_body().decode()
        assert row.response_body == head.body.decode()


async def test_a_caller_that_is_not_a_workspace_leaves_no_source(proxy, gateway):
    async with serve_agent(EchoAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)

        await gateway.send_message(message_body(), sender=Identity(kind=Kind.ANONYMOUS))

        (row,) = await eventually(lambda: proxy.list_activities(TARGET))
        assert row.source_id is None


async def test_listed_headers_are_forwarded_and_credentials_are_not(proxy, gateway):
    async with serve_agent(EchoAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        headers = {"a2a-extensions": "x", "authorization": "Bearer secret", "cookie": "a=b", "prefer": "wait"}

        await gateway.send_message(message_body("SendMessage"), headers=headers)

        sent = agent.requests[0].headers
        assert (sent["a2a-extensions"], sent["a2a-version"]) == ("x", "1.0")
        assert not {"Cookie", "Prefer"} & set(sent)
        assert "Bearer secret" not in sent.values()


async def test_without_a_delay_the_activity_is_committed_before_the_answer(database_url):
    async with (
        run_proxy(database_url, activity_delay=timedelta()) as proxy,
        open_exchange(proxy) as gateway,
        serve_agent(EchoAgent()) as agent,
    ):
        proxy.registry.set_workspace(TARGET, address=agent.url)

        await gateway.send_message(message_body())

        assert len(await proxy.list_activities(TARGET)) == 1


# Refusals ────────────────────────────────────────────────────────────────────


async def test_a_caller_without_permission_does_not_learn_whether_the_target_exists(proxy, gateway):
    proxy.registry.set_workspace(TARGET, address="http://127.0.0.1:1/")
    proxy.registry.denied.add((CALLER, TARGET))

    known = (await gateway.send_message(message_body(), sender=A_WORKSPACE)).refused
    unknown = (await gateway.send_message(message_body(), sender=A_WORKSPACE, target=str(uuid4()))).refused

    assert known == unknown
    assert known.reason == "COMMUNICATION_DENIED"


async def test_a_permitted_caller_can_tell_unknown_from_removed_targets(proxy, gateway):
    proxy.registry.set_workspace(TARGET, status=registry_pb2.WORKSPACE_STATUS_REMOVED)

    assert (await gateway.send_message(message_body())).refused.reason == "WORKSPACE_REMOVED"
    assert (await gateway.send_message(message_body(), target=str(uuid4()))).refused.reason == "WORKSPACE_NOT_FOUND"


@pytest.mark.covers("A2A-01")
async def test_of_two_faults_the_earlier_in_the_specification_is_reported(proxy, gateway):
    proxy.registry.set_workspace(
        TARGET, address="http://169.254.169.254/", address_trusted=False, budget_limit=1, monthly_spend=1
    )
    assert (await gateway.send_message(b"nonsense", timeout="x")).refused.reason == "BUDGET_EXCEEDED"

    proxy.registry.set_workspace(TARGET, budget_limit=2)
    malformed = await eventually(lambda: frame_unless_refused(gateway.send_message(b"nonsense"), "BUDGET_EXCEEDED"))
    assert malformed.reason == "MALFORMED_MESSAGE"
    assert decode_details(malformed)["error"]["code"] == -32700
    assert (await gateway.send_message(message_body())).refused.reason == "ADDRESS_REFUSED"

    proxy.registry.set_workspace(TARGET, delivery_mode=registry_pb2.DELIVERY_MODE_POLL)
    await eventually(lambda: frame_unless_refused(gateway.send_message(message_body()), "ADDRESS_REFUSED"))


async def frame_unless_refused(asking, reason: str):
    """Return the refusal or else the frame, but `None` while the refusal has this reason."""
    frame = await asking
    return None if frame.refused.reason == reason else frame.refused if frame.HasField("refused") else frame


@pytest.mark.covers("A2A-06", "A2A-07")
@pytest.mark.parametrize("body", [b"", b"[]", b'{"jsonrpc":"2.0","method":"message/send","params":{"message":{}}}'])
async def test_a_malformed_message_is_not_sent_and_leaves_no_row(proxy, gateway, body):
    async with serve_agent(EchoAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)

        assert (await gateway.send_message(body)).refused.reason == "MALFORMED_MESSAGE"

        await gateway.send_message(message_body())
        rows = await eventually(lambda: proxy.list_activities(TARGET))
        assert len(agent.bodies) == len(rows) == 1


@pytest.mark.covers("A2A-15")
async def test_an_unsafe_address_is_refused_without_a_row(proxy, gateway):
    proxy.registry.set_workspace(TARGET, address="http://169.254.169.254/", address_trusted=False)

    refused = (await gateway.send_message(message_body())).refused

    assert (refused.reason, refused.message) == ("ADDRESS_REFUSED", "workspace URL is not publicly routable")
    assert await proxy.list_activities(TARGET) == []


@pytest.mark.covers("A2A-35")
async def test_an_address_that_changes_to_an_unsafe_one_is_refused_although_the_former_is_cached(proxy, gateway):
    async with serve_agent(EchoAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url, address_trusted=False)
        await eventually(lambda: frame_unless_refused(gateway.send_message(message_body()), "WORKSPACE_NOT_FOUND"))
        warmed = (len(agent.bodies), len(proxy.registry.resolved))
        assert (await gateway.send_message(message_body())).head.status == 200
        assert (len(agent.bodies), len(proxy.registry.resolved)) == (warmed[0] + 1, warmed[1])  # the cache has a route

        proxy.registry.set_workspace(TARGET, address="http://169.254.169.254/latest")
        refused = await eventually(lambda: refusal(gateway.send_message(message_body())))

        assert refused.reason == "ADDRESS_REFUSED"
        assert len(proxy.registry.resolved) == warmed[1]  # the feed brought the address; nobody asked for it
        sent = len(agent.bodies)
        assert (await gateway.send_message(message_body())).refused.reason == "ADDRESS_REFUSED"
        assert len(agent.bodies) == sent


async def refusal(asking):
    """Return the refusal, or `None` if there is an answer."""
    frame = await asking
    return frame.refused if frame.HasField("refused") else None


@pytest.mark.covers("A2A-15", "A2A-16")
@pytest.mark.parametrize("address", ["http://169.254.169.254/", "http://localhost:1/"], ids=["literal", "resolved"])
async def test_a_refused_address_leaves_no_row_where_rows_are_committed_before_the_answer(database_url, address):
    async with (
        run_proxy(database_url, activity_delay=timedelta(), mode=Mode.PRODUCTION) as proxy,
        open_exchange(proxy) as gateway,
    ):
        proxy.registry.set_workspace(TARGET, address=address, address_trusted=False)

        refused = (await gateway.send_message(message_body())).refused

        assert refused.reason == "ADDRESS_REFUSED"
        assert await proxy.list_activities(TARGET) == []


# Polling, dead and busy agents, timeouts ─────────────────────────────────────


@pytest.mark.covers("A2A-13")
@pytest.mark.parametrize("method", ["message/send", "message/stream", "tasks/list"])
async def test_a_message_for_a_polling_agent_is_committed_before_the_answer(proxy, gateway, method):
    proxy.registry.set_workspace(
        TARGET, delivery_mode=registry_pb2.DELIVERY_MODE_POLL, address="http://169.254.169.254/", address_trusted=False
    )

    head = (await gateway.send_message(bare_body(method))).head

    (row,) = await proxy.list_activities(TARGET)
    assert head.status == 200
    assert json.loads(head.body) == {
        "status": "queued",
        "delivery_mode": "poll",
        "method": method,
        "queue_id": row.id,
    }
    assert (row.method, row.activity_type) == (method, "a2a_receive")


@pytest.mark.covers("A2A-13")
@pytest.mark.parametrize(("sent", "stored"), [("a\0b", "ab"), ("m" * 9_000, "m" * 200)], ids=["NUL", "long"])
async def test_a_method_that_cannot_be_stored_as_it_is_neither_fails_nor_grows(proxy, gateway, sent, stored):
    proxy.registry.set_workspace(TARGET, delivery_mode=registry_pb2.DELIVERY_MODE_POLL)

    head = (await gateway.send_message(bare_body(sent))).head

    (row,) = await proxy.list_activities(TARGET)
    assert (head.status, json.loads(head.body)["method"], row.method) == (200, stored, stored)
    async with proxy.queue.begin() as tx:
        assert (await tx.get(row.id)).method == stored


@pytest.mark.covers("A2A-24", "A2A-39")
@pytest.mark.parametrize("agent", [MisbehavingAgent(), DisconnectingAgent(), None], ids=["502", "reset", "refused"])
async def test_the_caller_learns_that_a_dead_agent_is_restarted(proxy, gateway, agent):
    proxy.provisioner.condition = provisioner_pb2.INSTANCE_CONDITION_GONE
    async with serve_agent(agent or EchoAgent()) as served:
        proxy.registry.set_workspace(TARGET, address=served.url if agent else "http://127.0.0.1:1/", generation=3)

        refused = (await gateway.send_message(message_body())).refused

    assert refused.reason == "AGENT_RESTARTING"
    assert decode_details(refused) == {"restarting": True, "delivery": "unknown" if agent else "not_sent"}
    assert refused.retry_in.seconds == 15
    assert proxy.provisioner.checked == [(TARGET, 3)]


@pytest.mark.covers("A2A-24")
async def test_a_dead_status_of_a_running_agent_is_forwarded_without_its_page(proxy, gateway):
    async with serve_agent(MisbehavingAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)

        head = (await gateway.send_message(message_body())).head

        assert (head.status, head.body) == (502, b'{"error":"Bad Gateway"}')


@pytest.mark.covers("A2A-24")
@pytest.mark.parametrize("status", [502, 503, 524])
async def test_a_dead_status_of_a_running_agent_is_forwarded_with_its_json(proxy, gateway, status):
    body = '{ "error": "a  model of mine is down" }'
    async with serve_agent(
        MisbehavingAgent(status=status, text=body, headers={"Content-Type": "application/json"})
    ) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)

        head = (await gateway.send_message(message_body())).head

        assert (head.status, head.body.decode()) == (status, body)
        assert proxy.provisioner.checked == [(TARGET, 1)]


async def test_the_provisioner_is_not_asked_about_an_external_agent(proxy, gateway):
    proxy.registry.set_workspace(TARGET, address="http://127.0.0.1:1/", external=True)

    refused = (await gateway.send_message(message_body())).refused

    assert (refused.reason, decode_details(refused)) == ("AGENT_UNREACHABLE", {"delivery": "not_sent"})
    assert proxy.provisioner.checked == []


async def test_the_registry_is_asked_before_an_outdated_route_refuses_a_message(proxy, gateway):
    async with serve_agent(EchoAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url, status=registry_pb2.WORKSPACE_STATUS_PROVISIONING)
        refused = await gateway.send_message(message_body("message/stream"))
        assert refused.refused.reason == "TARGET_UNAVAILABLE"

        proxy.registry.records[TARGET].status = registry_pb2.WORKSPACE_STATUS_ONLINE  # without a message on the feed

        assert (await gateway.send_message(message_body())).head.status == 200


@pytest.mark.covers("DWN-30")
async def test_the_registry_is_asked_before_an_outdated_route_stores_a_message(proxy, gateway):
    async with serve_agent(EchoAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url, delivery_mode=registry_pb2.DELIVERY_MODE_POLL)
        assert json.loads((await gateway.send_message(message_body())).head.body)["status"] == "queued"

        proxy.registry.records[TARGET].delivery_mode = registry_pb2.DELIVERY_MODE_PUSH  # without a message on the feed

        head = (await gateway.send_message(message_body("message/stream", message_id="m-2"))).head
        assert head.headers["content-type"] == "text/event-stream"


@pytest.mark.covers("A2A-34")
@pytest.mark.parametrize("manner", ["429", "503", "json-rpc"])
async def test_a_stream_to_a_busy_agent_is_refused_with_a_retry_time_and_leaves_a_row(proxy, gateway, manner):
    async with serve_agent(BusyAgent(manner=manner)) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)

        refused = (await gateway.send_message(message_body("message/stream"))).refused

        assert refused.reason == "AGENT_BUSY"
        assert decode_details(refused)["busy"] is True
        (row,) = await eventually(lambda: proxy.list_activities(TARGET))
        assert (row.status, row.error_detail) == ("error", "workspace agent busy — retry after a short backoff")


@pytest.mark.covers("A2A-27", "A2A-34", "A2A-37")
async def test_a_busy_agent_with_a_native_session_is_reported_as_such(proxy, gateway):
    async with serve_agent(BusyAgent()) as agent:
        declared = registry_pb2.Declarations(capabilities={"session": True})
        proxy.registry.set_workspace(TARGET, address=agent.url, declarations=declared)

        assert decode_details((await gateway.send_message(message_body())).refused)["native_session"] is True


async def test_the_deadline_of_the_caller_ends_the_wait(proxy, gateway):
    async with serve_agent(SilentAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)

        refused = (await gateway.send_message(message_body(), timeout="1")).refused

        assert refused.reason == "CALL_DEADLINE_EXCEEDED"
        details = decode_details(refused)
        assert details.pop("delivery") in list_possible_deliveries(agent)
        assert details == {"timeout_seconds": 1}
        assert (refused.agent_micros > 0) or not agent.requests


# Streams ─────────────────────────────────────────────────────────────────────


async def test_a_stream_is_forwarded_unchanged_and_its_last_event_is_logged(proxy, gateway):
    async with serve_agent(EchoAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        await gateway.open(1, message_body("message/stream"))

        head = (await gateway.next(1)).head
        body = b""
        while (frame := await gateway.next(1)).HasField("chunk"):
            body += frame.chunk

        assert not head.complete
        assert head.headers["content-type"] == "text/event-stream"
        assert body.count(b": ping\r\n\r\n") == body.count(b"data: ") == 3
        assert not frame.end.interrupted
        (row,) = await eventually(lambda: proxy.list_activities(TARGET))
        assert json.loads(row.response_body)["result"] == {"number": 2}
