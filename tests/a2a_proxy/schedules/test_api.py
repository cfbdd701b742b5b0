"""Schedules as the gateway and the registry's feed see them: a running proxy behind real gRPC."""

from dataclasses import replace
from uuid import uuid4

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from protos.a2a_proxy.v1 import schedules_pb2 as pb
from protos.a2a_proxy.v1 import schedules_pb2_grpc as rpc
from protos.registry.v1 import registry_pb2
from services.a2a_proxy.schedules import rules
from services.a2a_proxy.schedules.store import ScheduleStore
from services.chassis import clients
from services.chassis.errors import PermissionDenied, ServiceError
from services.chassis.identity import Identity, Kind
from tests.a2a_proxy.running_proxy import run_proxy
from tests.agents import EchoAgent, serve_agent
from tests.waiting import eventually

ADMIN = Identity(kind=Kind.ADMIN)
ANNA, BORIS, GONE = (f"00000000-0000-4000-8000-00000000000{digit}" for digit in "abc")
ORG = str(uuid4())
REMOVED = registry_pb2.WORKSPACE_STATUS_REMOVED


class ScheduleClient:
    """Calls the service of schedules."""

    def __init__(self, channel, proxy):
        self.proxy = proxy
        self._channel = channel
        self._stub = rpc.ScheduleServiceStub(channel.channel)

    async def call(self, method, /, *, by=ADMIN, **fields):
        request = getattr(pb, f"{method}Request")(**fields)
        return await self._channel.call(getattr(self._stub, method), request, on_behalf_of=by)

    async def create(self, workspace_id=ANNA, **fields):
        values = {"name": "daily", "cron_expr": "0 9 * * *", "prompt": "go", "enabled": True} | fields
        request_id = values.pop("request_id", str(uuid4()))
        made = await self.call("CreateSchedule", workspace_id=workspace_id, request_id=request_id, **values)
        return made.schedule

    async def update(self, schedule, workspace_id=ANNA, **fields):
        return await self.call(
            "UpdateSchedule",
            workspace_id=workspace_id,
            schedule_id=schedule.id,
            schedule=pb.Schedule(**fields),
            update_mask=FieldMask(paths=list(fields)),
            allow_empty_mask=True,
        )

    async def list(self, workspace_id=ANNA):
        return list((await self.call("ListSchedules", workspace_id=workspace_id)).schedules)

    async def refuse(self, awaitable):
        """Return the reason and the message of the error that a call raises."""
        with pytest.raises(ServiceError) as refusal:
            await awaitable
        return refusal.value.reason, refusal.value.message

    async def make_due(self, schedule):
        """Let a schedule be due now."""
        async with self.proxy.store.begin() as tx:
            schedules = ScheduleStore(tx.connection)
            found = await schedules.find(schedule.id, lock=True)
            await schedules.update(replace(found, next_run_at=found.created_at))


@pytest.fixture
async def client(database_url):
    async with run_proxy(database_url) as proxy, clients.open_channel(proxy.address, caller_service="gateway") as line:
        for workspace_id, name in ((ANNA, "anna"), (BORIS, "boris")):
            proxy.registry.set_workspace(workspace_id, name=name, org_id=ORG)
        proxy.registry.set_workspace(GONE, status=REMOVED)
        yield ScheduleClient(line, proxy)


async def test_a_schedule_is_created_changed_run_and_deleted(client):
    made = await client.create(prompt="a\r\nb", timezone="Europe/Berlin")
    assert (await client.list()) == [made]
    assert (made.prompt, made.source, made.run_count, made.last_status) == ("a\nb", "runtime", 0, "")
    assert made.HasField("next_run_at")

    await client.update(made, prompt="other", enabled=False)
    [changed] = await client.list()
    assert (changed.prompt, changed.name, changed.HasField("next_run_at")) == ("other", "daily", False)
    await client.update(made)
    assert await client.list() == [changed]
    told = await client.call("RunSchedule", workspace_id=ANNA, schedule_id=made.id)
    assert told.prompt == "other"

    await client.call("DeleteSchedule", workspace_id=ANNA, schedule_id=made.id)
    assert await client.list() == []


async def test_a_request_that_is_repeated_creates_one_schedule(client):
    request_id = str(uuid4())

    once, again = await client.create(request_id=request_id), await client.create(request_id=request_id)

    assert once == again
    assert len(await client.list()) == 1


async def test_a_name_exists_once_in_a_workspace_the_empty_one_too(client):
    await client.create(name="")
    other = await client.create(name="other")
    exists = ("SCHEDULE_NAME_EXISTS", "schedule name already exists")

    assert await client.refuse(client.create(name="")) == exists
    assert await client.refuse(client.update(other, name="")) == exists
    await client.update(other, name="other")
    await client.create(BORIS, name="other")


async def test_a_workspace_has_a_limited_number_of_schedules(client):
    made = await client.create(name="0")
    async with client.proxy.store.begin() as tx:
        schedules = ScheduleStore(tx.connection)
        first = await schedules.find(made.id)
        for number in range(1, rules.MAX_SCHEDULES_PER_WORKSPACE):
            await schedules.insert(replace(first, id=str(uuid4()), name=str(number)))

    assert await client.refuse(client.create(name="more")) == ("TOO_MANY_SCHEDULES", "too many schedules")
    assert len(await client.list()) == rules.MAX_SCHEDULES_PER_WORKSPACE


async def test_invalid_schedules_change_nothing(client):
    made = await client.create()
    for fields, text in (
        ({"prompt": ""}, "cron_expr and prompt are required"),
        ({"cron_expr": "0 0 30 2 *"}, "invalid request body"),
        ({"timezone": "Mars"}, "invalid timezone: Mars"),
    ):
        assert await client.refuse(client.create(name="other", **fields)) == ("INVALID_SCHEDULE", text)
        assert await client.refuse(client.update(made, **fields)) == ("INVALID_SCHEDULE", text)
    assert (await client.refuse(client.update(made, run_count=7)))[0] == "INVALID_SCHEDULE"
    assert await client.list() == [made]


async def test_a_schedule_of_another_workspace_does_not_exist(client):
    made = await client.create()
    missing = ("SCHEDULE_NOT_FOUND", "schedule not found")

    assert await client.refuse(client.update(made, BORIS, name="x")) == missing
    for name in ("DeleteSchedule", "RunSchedule", "ListScheduleRuns"):
        assert await client.refuse(client.call(name, workspace_id=BORIS, schedule_id=made.id)) == missing
    assert await client.list() == [made]


async def test_unknown_and_removed_workspaces_take_no_schedules(client):
    unknown = str(uuid4())

    assert (await client.refuse(client.create(unknown)))[0] == "WORKSPACE_NOT_FOUND"
    assert (await client.refuse(client.create(GONE)))[0] == "WORKSPACE_REMOVED"
    assert await client.list(unknown) == []


async def test_a_workspace_reads_the_health_of_those_that_it_may_write_to(client):
    await client.create()
    by = Identity(kind=Kind.WORKSPACE, name=BORIS, generation=1)

    [health] = (await client.call("ListScheduleHealth", workspace_id=ANNA, by=by)).schedules
    assert (health.name, health.prompt) == ("daily", "")

    client.proxy.registry.denied.add((GONE, ANNA))
    stranger = Identity(kind=Kind.WORKSPACE, name=GONE, generation=1)
    assert await client.refuse(client.call("ListScheduleHealth", workspace_id=ANNA, by=stranger)) == (
        "ACCESS_DENIED",
        "access denied",
    )
    with pytest.raises(PermissionDenied):
        await client.call("ListSchedules", workspace_id=ANNA, by=by)
    with pytest.raises(PermissionDenied):
        await client.call("ListAllScheduleHealth", by=by)


async def test_the_health_of_all_schedules_is_paged_by_names_and_limited_to_an_organisation(client):
    for workspace_id, name in ((BORIS, "b"), (ANNA, "y"), (BORIS, "a"), (ANNA, "x")):
        await client.create(workspace_id, name=name)
    found, token = [], ""
    while not found or token:
        page = await client.call("ListAllScheduleHealth", page_size=3, page_token=token)
        found += page.schedules
        token = page.next_page_token

    assert [(one.workspace_name, one.schedule_name) for one in found] == [
        ("anna", "x"),
        ("anna", "y"),
        ("boris", "a"),
        ("boris", "b"),
    ]
    assert {(one.status, one.stale_threshold_seconds) for one in found} == {("never_run", 172_800)}
    own, other = (Identity(kind=Kind.ORG, name="t", org_id=org_id) for org_id in (ORG, str(uuid4())))
    assert len((await client.call("ListAllScheduleHealth", by=own)).schedules) == 4
    assert (await client.call("ListAllScheduleHealth", by=other)).schedules == []


@pytest.mark.covers("SCH-04")
async def test_a_due_schedule_reaches_its_agent_as_a_message_and_is_recorded_everywhere(client):
    async with serve_agent(EchoAgent()) as agent:
        client.proxy.registry.set_workspace(ANNA, address=agent.url)
        made = await client.create(cron_expr="* * * * *")
        await client.make_due(made)

        async def has_run():
            [schedule] = await client.list()
            return schedule.last_status and schedule

        after = await eventually(has_run, within=15)

    assert (after.last_status, after.run_count) == ("ok", 1)
    assert len(agent.bodies) == 1
    assert f'"messageId":"cron-{made.id}-' in agent.bodies[0].decode()
    [run] = (await client.call("ListScheduleRuns", workspace_id=ANNA, schedule_id=made.id)).runs
    assert (run.status, run.prompt) == ("ok", "go")
    rows = await eventually(lambda: both_rows(client))
    assert {row.activity_type for row in rows} == {"a2a_receive", "cron_run"}
    [(kind, workspace_id, payload)] = await eventually(lambda: client.proxy.events.all)
    assert (kind, workspace_id) == ("CRON_EXECUTED", ANNA)
    assert payload == {"schedule_id": made.id, "schedule_name": "daily", "status": "ok"}


async def both_rows(client):
    rows = await client.proxy.list_activities(ANNA)
    return rows if len(rows) == 2 else None


@pytest.mark.covers("SCH-01", "SCH-03")
async def test_a_busy_agent_and_one_with_its_own_scheduler_receive_nothing(client):
    async with serve_agent(EchoAgent()) as agent:
        registry = client.proxy.registry
        native = registry_pb2.Declarations(capabilities={"scheduler": True})
        registry.set_workspace(ANNA, address=agent.url, declarations=native)
        registry.set_workspace(BORIS, address=agent.url, max_concurrent_tasks=2)
        await eventually(lambda: registry.has_watchers)
        registry.send_heartbeat(BORIS, active_tasks=2)
        left, waiting = await client.create(cron_expr="0 0 1 1 *"), await client.create(BORIS, cron_expr="0 0 1 1 *")
        for schedule in (left, waiting):
            await client.make_due(schedule)

        async def is_left():
            [schedule] = await client.list()
            return schedule.HasField("last_run_at")

        await eventually(is_left, within=15)
        assert agent.bodies == []
        assert not (await client.list(BORIS))[0].HasField("last_run_at")

        registry.send_heartbeat(BORIS, active_tasks=1)
        await eventually(lambda: agent.bodies, within=15)
        assert f"cron-{waiting.id}-" in agent.bodies[0].decode()
