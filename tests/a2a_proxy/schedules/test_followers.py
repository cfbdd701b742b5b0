"""What the registry's feed changes: declared schedules, and removed and purged workspaces."""

from uuid import uuid4

import pytest

from protos.registry.v1 import registry_pb2
from services.a2a_proxy.clients import RegistryClient
from services.a2a_proxy.model import DeclaredSchedule, Route, RouteChanged, Status, WorkspaceId
from services.a2a_proxy.schedules import rules
from services.a2a_proxy.schedules.followers import WorkspaceFollower
from services.a2a_proxy.schedules.rules import ScheduleSource
from services.a2a_proxy.schedules.store import ScheduleStore
from services.chassis import clients
from services.chassis.clock import SystemClock
from tests.a2a_proxy.running_proxy import run_proxy
from tests.waiting import eventually

WORKSPACE = str(uuid4())
REMOVED = registry_pb2.WORKSPACE_STATUS_REMOVED


def declare(name="daily", cron_expr="0 9 * * *", prompt="go", **fields):
    values = {"timezone": "UTC", "enabled": True} | fields
    return registry_pb2.DeclaredSchedule(name=name, cron_expr=cron_expr, prompt=prompt, **values)


def set_brief(proxy, *schedules, **fields):
    """Send a workspace whose template declares these schedules."""
    record = proxy.registry.records.get(WORKSPACE)
    if record is None:
        proxy.registry.set_workspace(WORKSPACE)
        record = proxy.registry.records[WORKSPACE]
    record.brief.CopyFrom(registry_pb2.Brief(schedules=schedules))
    proxy.registry.set_workspace(WORKSPACE, **fields)


async def list_schedules(proxy):
    async with proxy.store.begin() as tx:
        return await ScheduleStore(tx.connection).list_of_workspace(WorkspaceId(WORKSPACE))


async def wait_for(proxy, *prompts):
    """Return the schedules once they have these prompts."""

    async def have_prompts():
        found = await list_schedules(proxy)
        return (found or True) if sorted(one.prompt for one in found) == sorted(prompts) else None

    return await eventually(have_prompts, within=10)


async def change(proxy, schedule, **changes):
    async with proxy.store.begin() as tx:
        await ScheduleStore(tx.connection).update(rules.apply_changes(schedule, changes, schedule.updated_at))


async def test_declared_schedules_appear_follow_their_template_and_leave_edited_ones(proxy):
    set_brief(proxy, declare(), declare("weekly", prompt="weekly"), declare("wrong", "@daily", "wrong"))
    found = {one.name: one for one in await wait_for(proxy, "go", "weekly", "wrong")}
    assert {one.source for one in found.values()} == {ScheduleSource.TEMPLATE}
    assert (found["wrong"].enabled, found["wrong"].last_error) == (False, "invalid cron_expr")
    assert found["daily"].next_run_at is not None

    await change(proxy, found["weekly"], prompt="mine")
    set_brief(proxy, declare(prompt="new"), declare("weekly", prompt="new"))
    after = {one.name: one for one in await wait_for(proxy, "new", "mine")}
    assert (after["daily"].id, after["weekly"].edited) == (found["daily"].id, True)


async def test_a_schedule_that_a_caller_deleted_comes_back_with_another_declaration_only(proxy):
    set_brief(proxy, declare(), declare("weekly", prompt="weekly"))
    [gone] = [one for one in await wait_for(proxy, "go", "weekly") if one.prompt == "weekly"]
    async with proxy.store.begin() as tx:
        await ScheduleStore(tx.connection).delete(gone.id)

    set_brief(proxy, declare(), declare("weekly", prompt="weekly"), status=registry_pb2.WORKSPACE_STATUS_PAUSED)
    other = str(uuid4())
    proxy.registry.set_workspace(other)
    proxy.registry.records[other].brief.schedules.append(declare(prompt="marker"))
    proxy.registry.set_workspace(other)
    await eventually(lambda: has_schedule(proxy, other), within=10)
    assert [one.prompt for one in await list_schedules(proxy)] == ["go"]

    set_brief(proxy, declare(), declare("weekly", prompt="newer"))
    await wait_for(proxy, "go", "newer")


async def has_schedule(proxy, workspace_id):
    async with proxy.store.begin() as tx:
        return await ScheduleStore(tx.connection).list_of_workspace(WorkspaceId(workspace_id))


async def test_removal_disables_schedules_and_a_purge_deletes_them(proxy):
    set_brief(proxy, declare())
    await wait_for(proxy, "go")

    proxy.registry.set_workspace(WORKSPACE, status=REMOVED)

    async def are_disabled():
        return all(not one.enabled and one.next_run_at is None for one in await list_schedules(proxy))

    await eventually(are_disabled, within=10)
    assert len(await list_schedules(proxy)) == 1

    record = proxy.registry.records[WORKSPACE]
    proxy.registry.set_workspace(WORKSPACE, status=REMOVED)
    del proxy.registry.records[WORKSPACE]
    proxy.registry.announce(record)
    await eventually(lambda: is_purged(proxy), within=10)


async def is_purged(proxy):
    async with proxy.store.begin() as tx:
        return WORKSPACE not in await ScheduleStore(tx.connection).list_workspaces()


async def test_a_purge_that_happened_while_the_proxy_was_down_is_found_by_the_cleaning(database_url):
    async with run_proxy(database_url) as proxy:
        set_brief(proxy, declare())
        await wait_for(proxy, "go")
        del proxy.registry.records[WORKSPACE]
        async with follower(proxy) as following:
            await following.clean(lambda _: True)
            await following._stop_removed()
            assert len(await list_schedules(proxy)) == 1

            await following.clean(lambda _: False)
            await following._stop_removed()

        assert await is_purged(proxy)


async def test_an_older_declaration_does_not_replace_a_newer_one(proxy):
    async with follower(proxy) as late, follower(proxy) as quick:
        quick.note(build_update(revision=9, prompt="newer"))
        late.note(build_update(revision=8, prompt="older"))

        await quick._apply_declarations()
        await late._apply_declarations()

    assert [one.prompt for one in await list_schedules(proxy)] == ["newer"]


@pytest.mark.parametrize("schedules", [(), (DeclaredSchedule(name="a", cron_expr="* * * * *", prompt="p"),)])
async def test_a_declaration_that_is_applied_already_is_no_work_after_a_restart(proxy, schedules):
    update = build_update(revision=5, schedules=schedules)
    async with follower(proxy) as before:
        before.note(update)
        await before._apply_declarations()
    async with follower(proxy) as restarted:
        restarted.note(update)
        await restarted._apply_declarations()
        restarted.note(update)
        assert restarted._declared == {}

    assert len(await list_schedules(proxy)) == len(schedules)


def build_update(*, revision, prompt="go", schedules=None):
    found = schedules if schedules is not None else (DeclaredSchedule(name="a", cron_expr="* * * * *", prompt=prompt),)
    route = Route(workspace_id=WorkspaceId(WORKSPACE), status=Status.ONLINE, revision=revision)
    return RouteChanged(revision, route, found)


class follower:  # noqa: N801 - used like a function
    """A follower of its own, beside that of the proxy."""

    def __init__(self, proxy):
        self._proxy = proxy
        self._channel = clients.open_channel(proxy.fakes, caller_service="a2a_proxy")

    async def __aenter__(self):
        channel = await self._channel.__aenter__()
        return WorkspaceFollower(self._proxy.store, RegistryClient(channel), SystemClock())

    async def __aexit__(self, *error):
        await self._channel.__aexit__(*error)
