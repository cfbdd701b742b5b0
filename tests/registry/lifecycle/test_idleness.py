import asyncio
import itertools
from datetime import timedelta

import pytest
import sqlalchemy as sa

from services.registry.lifecycle.idleness import IdlenessService, WorkReport
from services.registry.store.tables.workspaces import reported_work, vitals
from services.registry.workspace.facts import InstanceStopped, StopFailed
from services.registry.workspace.model import Reason, Status
from tests.registry.conftest import ADMIN, overwrite, send_heartbeat

RACES = 100


class Plane:
    """A registry with proxies that report, and a provisioner that watches."""

    def __init__(self, registry):
        self.registry = registry
        self.replicas = ["a", "b"]

    async def report(self, *working, replica=None, seen=None, ages=()):
        """Let every proxy, or one, report the work of workspaces, after it has seen all changes."""
        async with self.registry.store.begin() as tx:
            head = await tx.revisions.get_head()
        now = self.registry.clock.now()
        worked_at = {workspace.id: now - age for workspace, age in itertools.zip_longest(working, ages)} if ages else {}
        worked_at |= {} if ages else {workspace.id: now for workspace in working}
        for name in [replica] if replica else self.replicas:
            await self.registry.idleness.receive(
                WorkReport(replica_id=name, seen_revision=head if seen is None else seen, worked_at=worked_at)
            )

    async def sweep(self):
        await self.registry.watched()
        await self.registry.idleness.find_idle()

    async def settle(self, *working):
        """Let the proxies report, the sweep begin the checks that are due, and the proxies answer them."""
        await self.report(*working)
        await self.sweep()
        await self.report(*working)

    async def spend(self, minutes, *working, heartbeats=()):
        """Let time pass, in which proxies report and agents send heartbeats every 30 s."""
        for _ in range(2 * minutes):
            self.registry.clock.advance(seconds=30)
            for workspace, active_tasks in heartbeats:
                await send_heartbeat(self.registry, workspace, active_tasks=active_tasks)
            await self.settle(*working)

    async def online(self, name="ada", minutes=10, **fields):
        return await self.registry.online(name, hibernation_idle_minutes=minutes, **fields)

    async def status(self, workspace):
        return (await self.registry.get(workspace.id)).status


@pytest.fixture
def plane(registry):
    return Plane(registry)


@pytest.mark.covers("BEY-03", "PROV-53")
async def test_a_workspace_with_heartbeats_only_hibernates_after_its_idle_time(plane, registry):
    idle, never, zero = await plane.online("idle"), await plane.online("never", None), await plane.online("zero", 0)

    await plane.spend(9, heartbeats=[(idle, 0)])
    before = await plane.status(idle)
    await plane.spend(2, heartbeats=[(idle, 0)])

    hibernating = await registry.get(idle.id)
    assert before is Status.ONLINE
    assert (hibernating.status, hibernating.status_reason) == (Status.HIBERNATING, Reason.IDLE)
    assert [await plane.status(other) for other in (never, zero)] == [Status.ONLINE, Status.ONLINE]
    assert [event.type for event in await registry.events(idle.id)][-1] == "WORKSPACE_HIBERNATING"


async def test_a_message_that_was_sent_is_work_and_is_shown_until_a_later_one(plane, registry):
    workspace = await plane.online()
    other = await plane.online("other")
    now = registry.clock.now()
    for age in (timedelta(minutes=1), timedelta(minutes=3)):
        await registry.idleness.receive(
            WorkReport(replica_id="a", seen_revision=0, worked_at={}, sent_at={workspace.id: now - age})
        )

    shown = [(await registry.queries.get(ADMIN, one.id)).last_sent_at for one in (workspace, other)]
    page = await registry.queries.list(ADMIN, size=10, token="")
    async with registry.store.begin() as tx:
        work = await tx.idleness.get_work([workspace.id, other.id])

    assert shown == [now - timedelta(minutes=1), None]
    assert {entry.workspace.id: entry.last_sent_at for entry in page.entries} == {
        workspace.id: shown[0],
        other.id: None,
    }
    assert work == {workspace.id: now - timedelta(minutes=1)}


async def test_active_tasks_of_an_agent_that_fell_silent_are_shown_for_ten_minutes(plane, registry):
    workspace = await plane.online()
    await send_heartbeat(registry, workspace, active_tasks=2, current_task="write")
    registry.clock.advance(minutes=9, seconds=59)
    before = (await registry.queries.get(ADMIN, workspace.id)).workspace.vitals
    registry.clock.advance(seconds=1)
    after = (await registry.queries.get(ADMIN, workspace.id)).workspace.vitals
    listed = (await registry.queries.list(ADMIN, size=10, token="")).entries[0].workspace.vitals

    assert (before.active_tasks, before.current_task) == (2, "write")
    assert (after.active_tasks, after.current_task, listed.active_tasks) == (0, "", 0)


@pytest.mark.covers("BEY-03", "PROV-53")
async def test_work_restarts_the_clock(plane):
    workspace = await plane.online()

    await plane.spend(9)
    await plane.report(workspace)
    await plane.spend(9)
    still = await plane.status(workspace)
    await plane.spend(2)

    assert (still, await plane.status(workspace)) == (Status.ONLINE, Status.HIBERNATING)


@pytest.mark.covers("BEY-03")
async def test_a_workspace_with_active_tasks_is_never_hibernated_and_has_its_time_after_them(plane):
    workspace = await plane.online()

    await plane.spend(60, heartbeats=[(workspace, 1)])
    working = await plane.status(workspace)
    await plane.spend(9, heartbeats=[(workspace, 0)])
    rested = await plane.status(workspace)
    await plane.spend(2, heartbeats=[(workspace, 0)])

    assert (working, rested) == (Status.ONLINE, Status.ONLINE)
    assert await plane.status(workspace) is Status.HIBERNATING


@pytest.mark.covers("BEY-03")
async def test_a_workspace_that_a_proxy_reports_to_have_work_is_not_hibernated(plane):
    workspace = await plane.online()

    await plane.spend(30, workspace)

    assert await plane.status(workspace) is Status.ONLINE


@pytest.mark.covers("BEY-03")
async def test_clearing_the_idle_time_while_idle_prevents_hibernation_and_setting_it_starts_the_clock(plane, registry):
    workspace = await plane.online()

    await plane.spend(9)
    await registry.updater.update(ADMIN, workspace.id, {"hibernation_idle_minutes": None})
    await plane.spend(30)
    cleared = await plane.status(workspace)
    await registry.updater.update(ADMIN, workspace.id, {"hibernation_idle_minutes": 10})
    await plane.spend(9)
    waiting = await plane.status(workspace)
    await plane.spend(2)

    assert (cleared, waiting, await plane.status(workspace)) == (Status.ONLINE, Status.ONLINE, Status.HIBERNATING)


async def test_an_agent_that_is_degraded_and_recovers_has_no_new_idle_time(plane, registry):
    workspace = await plane.online()

    await plane.spend(6)
    await send_heartbeat(registry, workspace, error_rate=0.9)
    await send_heartbeat(registry, workspace, error_rate=0.0)
    await plane.spend(5)

    assert await plane.status(workspace) is Status.HIBERNATING


async def test_an_external_workspace_and_one_without_a_backend_do_not_hibernate(plane, registry):
    external = await registry.register(await registry.create("far", runtime="external", hibernation_idle_minutes=1))
    brought = await registry.online("brought", backend="none", hibernation_idle_minutes=1)

    await plane.spend(5, heartbeats=[(external, 0), (brought, 0)])

    assert [await plane.status(one) for one in (external, brought)] == [Status.ONLINE, Status.ONLINE]


@pytest.mark.covers("BEY-03")
async def test_nothing_is_checked_while_a_proxy_or_the_provisioner_is_not_heard(plane, registry):
    workspace = await plane.online()
    registry.clock.advance(minutes=9)
    await plane.report()

    registry.clock.advance(minutes=2)
    await plane.report(replica="a")
    await plane.sweep()
    silent_proxy = await registry.get(workspace.id)
    registry.clock.advance(minutes=2)
    await plane.report()
    await registry.idleness.find_idle()
    no_provisioner = await registry.get(workspace.id)
    await plane.settle()

    assert (silent_proxy.idle_check_at, no_provisioner.idle_check_at) == (None, None)
    assert await plane.status(workspace) is Status.HIBERNATING


async def test_a_proxy_that_ended_without_a_word_holds_hibernation_back_for_some_minutes_only(plane, registry):
    workspace = await plane.online(minutes=1)
    await plane.report()
    plane.replicas = ["a"]

    registry.clock.advance(minutes=4)
    await plane.settle()
    held = await plane.status(workspace)
    registry.clock.advance(minutes=2)
    await plane.settle()

    assert (held, await plane.status(workspace)) == (Status.ONLINE, Status.HIBERNATING)


async def test_a_proxy_that_leaves_is_not_waited_for(plane, registry):
    workspace = await plane.online(minutes=1)
    await plane.report()
    plane.replicas = ["a"]
    await registry.idleness.receive(WorkReport(replica_id="b", seen_revision=0, worked_at={}, is_leaving=True))

    registry.clock.advance(minutes=2)
    await plane.settle()

    assert await plane.status(workspace) is Status.HIBERNATING


@pytest.mark.covers("BEY-03")
async def test_a_workspace_hibernates_only_after_every_proxy_has_seen_the_check(plane, registry):
    workspace = await plane.online()
    registry.clock.advance(minutes=11)
    await plane.report()
    await plane.sweep()
    checked = await registry.get(workspace.id)

    await plane.report(replica="a")
    await plane.report(replica="b", seen=checked.revision - 1)
    waiting = await plane.status(workspace)
    await plane.report(replica="b", seen=checked.revision)

    assert checked.idle_check_at == registry.clock.now()
    assert (waiting, await plane.status(workspace)) == (Status.ONLINE, Status.HIBERNATING)


@pytest.mark.covers("BEY-03")
async def test_work_that_a_proxy_reports_during_the_check_ends_it(plane, registry):
    workspace = await plane.online()
    registry.clock.advance(minutes=11)
    await plane.report()
    await plane.sweep()

    await plane.report(replica="a")
    await plane.report(workspace, replica="b")
    now = await registry.get(workspace.id)

    assert (now.status, now.idle_check_at) == (Status.ONLINE, None)
    assert [event.type for event in await registry.events(workspace.id)].count("WORKSPACE_HIBERNATING") == 0


async def test_a_check_that_a_proxy_does_not_answer_ends_and_the_clock_starts_anew(plane, registry):
    workspace = await plane.online()
    registry.clock.advance(minutes=11)
    await plane.report()
    await plane.sweep()

    for _ in range(4):
        registry.clock.advance(seconds=10)
        await plane.report(seen=0)
    ended = await registry.get(workspace.id)
    await plane.spend(9)
    rested = await plane.status(workspace)
    await plane.spend(2)

    assert (ended.status, ended.idle_check_at, rested) == (Status.ONLINE, None, Status.ONLINE)
    assert await plane.status(workspace) is Status.HIBERNATING


@pytest.mark.covers("BEY-04")
async def test_a_message_during_the_check_keeps_the_workspace_online(plane, registry):
    workspace = await plane.online()
    registry.clock.advance(minutes=11)
    await plane.report()
    await plane.sweep()

    await registry.pausing.wake(workspace.id)
    await plane.report()
    now = await registry.get(workspace.id)

    assert (now.status, now.generation, now.idle_check_at) == (Status.ONLINE, workspace.generation, None)


async def test_after_a_stop_that_failed_the_clock_starts_anew(plane, registry):
    workspace = await plane.online()
    registry.clock.advance(minutes=11)
    await plane.settle()
    await registry.observations.observe(
        workspace.id, StopFailed(at=registry.clock.now(), generation=workspace.generation, text="stuck")
    )

    await plane.spend(9)
    rested = await plane.status(workspace)
    await plane.spend(2)

    assert (rested, await plane.status(workspace)) == (Status.ONLINE, Status.HIBERNATING)


async def test_a_hibernated_workspace_that_was_woken_has_its_whole_time(plane, registry):
    workspace = await plane.online()
    registry.clock.advance(minutes=11)
    await plane.settle()
    await registry.observations.observe(
        workspace.id, InstanceStopped(at=registry.clock.now(), generation=workspace.generation)
    )
    registry.clock.advance(hours=5)
    await registry.pausing.wake(workspace.id)
    woken = await registry.register(await registry.get(workspace.id))

    await plane.spend(9)

    assert woken.generation == workspace.generation + 1
    assert await plane.status(workspace) is Status.ONLINE


@pytest.mark.covers("BEY-04", "PROV-53")
async def test_a_message_that_races_the_check_either_prevents_hibernation_or_wakes_once(plane, registry):
    outcomes = set()
    other = IdlenessService(registry.store, clock=registry.clock)
    for number in range(RACES):
        workspace = await plane.online(f"race {number}", minutes=1)
        registry.clock.advance(minutes=2)
        await plane.report()
        await plane.sweep()
        async with registry.store.begin() as tx:
            head = await tx.revisions.get_head()
        reports = [WorkReport(replica_id=name, seen_revision=head, worked_at={}) for name in plane.replicas]

        async def message(target=workspace.id, steps=number % 8):
            for _ in range(steps):
                await registry.get(target)
            await registry.pausing.wake(target)

        await asyncio.gather(registry.idleness.receive(reports[0]), other.receive(reports[1]), message(), message())
        now = await registry.get(workspace.id)
        stopped = InstanceStopped(at=registry.clock.now(), generation=workspace.generation)
        await registry.observations.observe(workspace.id, stopped)
        later = await registry.get(workspace.id)
        outcomes.add((now.status, later.status, later.generation - workspace.generation))
        await overwrite(registry, later, hibernation_idle_minutes=None)

    assert outcomes <= {(Status.ONLINE, Status.ONLINE, 0), (Status.HIBERNATING, Status.PROVISIONING, 1)}
    assert outcomes


@pytest.mark.covers("PROV-53", "BEY-19")
async def test_two_replicas_stop_an_idle_workspace_once(plane, registry):
    workspace = await plane.online()
    other = IdlenessService(registry.store, clock=registry.clock)
    registry.clock.advance(minutes=11)
    await plane.report()
    await registry.watched()

    await asyncio.gather(registry.idleness.find_idle(), other.find_idle())
    await asyncio.gather(plane.report(), plane.report(), other.find_idle())

    kinds = [event.type for event in await registry.events(workspace.id)]
    assert kinds.count("WORKSPACE_HIBERNATING") == 1


async def test_the_sweep_reads_only_workspaces_that_are_due(plane, registry, engine):
    workspace = await plane.online()
    await plane.online("never", None)
    await plane.settle()

    async with engine.connect() as connection:
        looks = dict((await connection.execute(sa.select(vitals.c.workspace_id, vitals.c.idle_look_at))).all())
    due = {key: at for key, at in looks.items() if at is not None}

    assert due == {workspace.id: registry.clock.now() + timedelta(minutes=10)}


async def test_work_that_is_older_than_what_is_known_changes_nothing_and_purging_erases_it(plane, registry, engine):
    workspace = await plane.online()
    await plane.report(workspace)
    await plane.report(workspace, ages=[timedelta(minutes=3)])

    async with registry.store.begin() as tx:
        known = await tx.idleness.get_work([workspace.id])
        await tx.erase_records([workspace.id])
    async with engine.connect() as connection:
        left = (await connection.execute(sa.select(reported_work))).all()

    assert known == {workspace.id: registry.clock.now()}
    assert left == []
