"""What agents report to a running proxy: activity of their workspaces, and messages to people."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa

from protos.a2a_proxy.v1 import activity_pb2 as pb
from protos.a2a_proxy.v1 import activity_pb2_grpc as rpc
from protos.a2a_proxy.v1 import broadcasts_pb2, broadcasts_pb2_grpc
from protos.registry.v1 import registry_pb2
from services.chassis import clients
from services.chassis.clients import ServiceChannel
from services.chassis.errors import FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from services.chassis.identity import Identity, Kind
from tests.a2a_proxy.fake_gateway import A_WORKSPACE, ADMIN, CALLER, TARGET, message_body
from tests.a2a_proxy.running_proxy import RunningProxy, run_proxy
from tests.agents import SilentAgent, serve_agent
from tests.waiting import eventually

OWN = Identity(kind=Kind.WORKSPACE, name=TARGET, generation=1)

PROBED = str(uuid4())
"""A workspace whose messages show that a subscription is there."""

MIB = 1024 * 1024


class Reporter:
    """The gateway's connection to a proxy, and the broadcasts that it has received."""

    def __init__(self, proxy: RunningProxy, channel: ServiceChannel) -> None:
        self.proxy = proxy
        self.events: list[tuple[str, dict]] = []
        """The broadcasts about the target."""
        self.heard: set[str] = set()
        """The workspaces of all broadcasts."""
        self._channel = channel
        self._stub = rpc.ActivityServiceStub(channel.channel)

    async def log(self, sender: Identity = OWN, **fields) -> None:
        request = pb.LogActivityRequest(**{"workspace_id": TARGET, "activity_type": "agent_log"} | fields)
        await self._channel.call(self._stub.LogActivity, request, on_behalf_of=sender)

    async def notify(self, text: str = "Ready", *, sender: Identity = OWN, target: str = TARGET, **fields) -> None:
        request = pb.SendAgentMessageRequest(workspace_id=target, message=text, **fields)
        await self._channel.call(self._stub.SendAgentMessage, request, on_behalf_of=sender)

    async def collect(self) -> None:
        """Collect broadcasts until cancelled."""
        stub = broadcasts_pb2_grpc.BroadcastServiceStub(self._channel.channel)
        request = broadcasts_pb2.WatchBroadcastsRequest()
        async with aclosing(self._channel.watch(stub.WatchBroadcasts, request)) as watch:
            payload = b""
            async for message in watch:
                for one in message.broadcasts:
                    self.heard.add(one.workspace_id)
                    payload += one.payload
                    if not one.continues and one.workspace_id == TARGET:
                        self.events.append((one.event_type, json.loads(payload)))
                    payload = payload if one.continues else b""

    def events_of(self, kind: str) -> list[dict]:
        return [payload for event_type, payload in self.events if event_type == kind]

    async def subscribe(self) -> None:
        """Return once broadcasts arrive here."""

        async def arrives() -> bool:
            await self.notify(sender=ADMIN, target=PROBED)
            return PROBED in self.heard

        await eventually(arrives)

    async def rows(self, count: int) -> list:
        """Return the rows of the target, the oldest first, once there are `count`."""

        async def found() -> list | None:
            rows = await self.proxy.list_activities(TARGET)
            return rows if len(rows) >= count else None

        rows = await eventually(found)
        assert len(rows) == count
        return rows


@asynccontextmanager
async def reporting_to(proxy: RunningProxy) -> AsyncIterator[Reporter]:
    proxy.registry.set_workspace(TARGET, name="writer")
    proxy.registry.set_workspace(PROBED)
    async with clients.open_channel(proxy.address, caller_service="gateway") as channel, asyncio.TaskGroup() as group:
        reporter = Reporter(proxy, channel)
        collecting = group.create_task(reporter.collect())
        await reporter.subscribe()
        yield reporter
        collecting.cancel()


@pytest.fixture
async def reporter(proxy: RunningProxy) -> AsyncIterator[Reporter]:
    async with reporting_to(proxy) as reporter:
        yield reporter


# Activity ────────────────────────────────────────────────────────────────────


@pytest.mark.covers("ACT-04", "ACT-16")
async def test_a_reported_row_is_stored_and_broadcast_with_its_bodies_as_they_were_sent(reporter):
    await reporter.log(
        activity_type="a2a_send",
        method="message/send",
        summary="asked",
        duration_ms=12,
        request_body=b'{ "n": 0.10 }',
        response_body=b"[1E2]",
    )

    [row] = await reporter.rows(1)
    [logged] = await eventually(lambda: reporter.events_of("ACTIVITY_LOGGED")[-1:])
    assert (row.request_body, row.response_body, row.source_id) == ('{ "n": 0.10 }', "[1E2]", TARGET)
    assert logged == {
        "activity_type": "a2a_send",
        "method": "message/send",
        "source_id": TARGET,
        "target_id": None,
        "summary": "asked",
        "status": "ok",
        "duration_ms": 12,
        "request_body": {"n": 0.1},
        "response_body": [100.0],
    }


@pytest.mark.covers("ACT-04", "ACT-16")
async def test_bodies_that_were_not_reported_are_no_keys_of_the_event(reporter):
    await reporter.log(metadata=b'{"step":1}')

    logged = (await eventually(lambda: reporter.events_of("ACTIVITY_LOGGED")[-1:]))[0]
    assert logged["request_body"] == {"step": 1}
    assert not {"response_body", "tool_trace", "metadata"} & set(logged)


@pytest.mark.covers("ACT-05")
async def test_bodies_of_ten_mebibytes_are_broadcast_whole(reporter):
    body = json.dumps("x" * (10 * MIB - 1000)).encode()

    await reporter.log(request_body=body)

    [logged] = await eventually(lambda: reporter.events_of("ACTIVITY_LOGGED"), within=20)
    assert logged["request_body"] == json.loads(body)


async def test_a_row_of_an_agent_is_never_the_answer_to_a_message(reporter):
    await reporter.log(activity_type="a2a_receive", duration_ms=1, response_body=b"{}")

    await reporter.rows(1)
    await eventually(lambda: reporter.events_of("ACTIVITY_LOGGED"))
    assert reporter.events_of("A2A_RESPONSE") == []


async def test_a_report_that_is_repeated_with_its_id_adds_one_row(reporter):
    for request_id in ("one", "one", "two", ""):
        await reporter.log(request_id=request_id)

    assert len(await reporter.rows(3)) == 3


async def test_a_workspace_reports_for_itself_alone(reporter):
    with pytest.raises(PermissionDenied) as refusal:
        await reporter.log(source_id=CALLER)
    assert (refusal.value.reason, refusal.value.message) == (
        "FOREIGN_SOURCE",
        "source_id must match authenticated workspace",
    )
    with pytest.raises(PermissionDenied):
        await reporter.log(A_WORKSPACE)
    with pytest.raises(PermissionDenied):
        await reporter.notify(sender=A_WORKSPACE)
    await reporter.log(ADMIN, source_id=CALLER)

    [row] = await reporter.rows(1)
    assert row.source_id == CALLER


async def test_an_invalid_report_is_refused_and_changes_nothing(reporter):
    for fields in ({"activity_type": "delegation"}, {"target_id": "nobody"}, {"request_body": b"\xff"}):
        with pytest.raises(InvalidArgument) as refusal:
            await reporter.log(**fields)
        assert refusal.value.reason == "INVALID_ACTIVITY"
    await reporter.log(summary="valid")

    assert [row.summary for row in await reporter.rows(1)] == ["valid"]


async def test_nothing_is_reported_for_an_unknown_or_removed_workspace(reporter):
    unknown, removed = str(uuid4()), str(uuid4())
    reporter.proxy.registry.set_workspace(removed, status=registry_pb2.WORKSPACE_STATUS_REMOVED)

    for target, error in ((unknown, NotFound), (removed, FailedPrecondition)):
        with pytest.raises(error) as refusal:
            await reporter.log(ADMIN, workspace_id=target)
        assert refusal.value.reason in {"WORKSPACE_NOT_FOUND", "WORKSPACE_REMOVED"}
        with pytest.raises(NotFound) as refusal:
            await reporter.notify(sender=ADMIN, target=target)
        assert refusal.value.message == "workspace not found"
        assert await reporter.proxy.list_activities(target) == []
    assert reporter.events == []
    assert not reporter.heard & {unknown, removed}


async def test_without_a_delay_a_report_is_answered_after_its_commit(database_url):
    async with run_proxy(database_url, activity_delay=timedelta()) as proxy, reporting_to(proxy) as reporter:
        await reporter.log(summary="committed")

        assert "committed" in [row.summary for row in await proxy.list_activities(TARGET)]


# Messages to people ──────────────────────────────────────────────────────────


@pytest.mark.covers("ACT-07", "ACT-08", "ACT-14")
async def test_a_message_is_broadcast_with_its_files_and_kept_as_a_row_without_a_source(reporter):
    report = pb.Attachment(uri="workspace:/workspace/r.pdf", name="r.pdf", mime_type="application/pdf", size=0)

    await reporter.notify("Ready", attachments=[report])

    shown = {"uri": "workspace:/workspace/r.pdf", "name": "r.pdf", "mimeType": "application/pdf", "size": 0}
    [message] = await eventually(lambda: reporter.events_of("AGENT_MESSAGE"))
    assert message == {"message": "Ready", "name": "writer", "workspace_id": TARGET, "attachments": [shown]}
    [row] = await reporter.rows(1)
    assert (row.activity_type, row.method, row.source_id) == ("a2a_receive", "notify", None)
    assert json.loads(row.response_body) == {"result": "Ready", "parts": [{"kind": "file", "file": shown}]}


async def test_a_message_carries_the_present_name_of_the_workspace(reporter):
    reporter.proxy.registry.set_workspace(TARGET, name="editor")

    async def has_new_name() -> bool:
        await reporter.notify()
        return any(message["name"] == "editor" for message in reporter.events_of("AGENT_MESSAGE"))

    await eventually(has_new_name)


@pytest.mark.covers("ACT-08")
async def test_a_refused_message_is_neither_broadcast_nor_kept(reporter):
    good = pb.Attachment(uri="u", name="n")
    for index, broken in enumerate((pb.Attachment(name="n"), pb.Attachment(uri="u"), pb.Attachment())):
        with pytest.raises(InvalidArgument) as refusal:
            await reporter.notify(attachments=[good] * index + [broken])
        assert refusal.value.reason == "INVALID_AGENT_MESSAGE"
        assert refusal.value.message == f"attachment[{index}]: uri and name are required"
    await reporter.notify("valid")

    await reporter.rows(1)
    assert [message["message"] for message in reporter.events_of("AGENT_MESSAGE")] == ["valid"]


@pytest.mark.covers("ACT-07")
@pytest.mark.parametrize("delay", [timedelta(), timedelta(milliseconds=1)], ids=["no delay", "delay"])
async def test_a_database_that_hangs_does_not_hold_back_a_message_which_is_kept_later(database_url, delay):
    async with run_proxy(database_url, activity_delay=delay) as proxy, reporting_to(proxy) as reporter:
        async with proxy.store._engine.begin() as connection:
            await connection.execute(sa.text("lock table a2a_proxy.activities in access exclusive mode"))
            await reporter.notify("the insert hangs")

            assert await eventually(lambda: reporter.events_of("AGENT_MESSAGE"))
            assert reporter.events_of("ACTIVITY_LOGGED") == []
        await eventually(lambda: reporter.events_of("ACTIVITY_LOGGED"))
        [row] = await reporter.rows(1)

    assert row.summary == "Agent message: the insert hangs"


@pytest.mark.covers("A2A-41")
async def test_after_an_idle_timeout_the_agent_works_on_and_its_message_reaches_people_live_and_later(
    reporter, gateway
):
    async with serve_agent(SilentAgent()) as agent:
        reporter.proxy.registry.set_workspace(
            TARGET, address=agent.url, declarations=registry_pb2.Declarations(idle_timeout_seconds=1)
        )

        refused = (await gateway.send_message(message_body())).refused
        await reporter.notify("It is done.")

        assert refused.reason == "AGENT_IDLE"
        [live] = await eventually(lambda: reporter.events_of("AGENT_MESSAGE"))
        assert live["message"] == "It is done."
        failed, told = await reporter.rows(2)
        assert (failed.status, failed.activity_type) == ("error", "a2a_receive")
        assert (told.status, told.method, told.source_id) == ("ok", "notify", None)
        assert "It is done." in told.response_body
        assert [json.loads(body)["method"] for body in agent.bodies] == ["message/send"]
