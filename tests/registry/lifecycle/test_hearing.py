"""The sweeps after a time in which the plane could not hear: nobody loses what it could not help."""

from datetime import timedelta

import pytest

from services.registry.lifecycle.hearing import HearingRecorder
from services.registry.notes.approvals.rules import DECISION_TIMEOUT
from services.registry.notes.approvals.service import Approvals
from services.registry.store.tables.workspaces import hearing
from services.registry.workspace.hearing import Hearing
from services.registry.workspace.model import Status
from tests.registry.conftest import ADMIN, send_heartbeat
from tests.registry.notes.test_approvals import request
from tests.waiting import eventually


async def set_hearing(registry, *, since, until=None):
    async with registry.store.begin() as tx:
        await tx.hearing.save(Hearing(since=since, until=until or registry.clock.now()))


async def sweep(registry):
    await registry.sweeps.check_heartbeats()
    await registry.sweeps.fail_unstarted()


async def come_back_after(registry, **span):
    """Let time pass in which the plane could not hear, and let it hear again."""
    registry.clock.advance(**span)
    await set_hearing(registry, since=registry.clock.now())


async def hear_for(registry, **span):
    async with registry.store.begin() as tx:
        since = (await tx.hearing.find()).since
    registry.clock.advance(**span)
    await set_hearing(registry, since=since)


async def read_statuses(registry, *workspaces):
    return [(await registry.get(workspace.id)).status for workspace in workspaces]


@pytest.mark.covers("DWN-06")
async def test_after_an_outage_agents_have_their_whole_time_again(registry):
    managed = await registry.online("managed")
    external = await registry.register(await registry.create("external", runtime="external"), url="")
    starting = await registry.create("starting")

    await come_back_after(registry, days=1)
    await sweep(registry)
    assert await read_statuses(registry, managed, external, starting) == [
        Status.ONLINE,
        Status.ONLINE,
        Status.PROVISIONING,
    ]
    await hear_for(registry, seconds=89)
    await send_heartbeat(registry, managed)
    await sweep(registry)
    assert await read_statuses(registry, external) == [Status.ONLINE]
    await hear_for(registry, seconds=2)
    await sweep(registry)
    assert await read_statuses(registry, managed, external) == [Status.ONLINE, Status.AWAITING_AGENT]
    await hear_for(registry, minutes=10)
    await sweep(registry)
    assert await read_statuses(registry, starting) == [Status.FAILED]


@pytest.mark.covers("DWN-06")
async def test_an_agent_that_was_heard_shortly_before_the_outage_stays_online_during_it(registry):
    await set_hearing(registry, since=registry.clock.now() - timedelta(days=9))
    external = await registry.register(await registry.create("external", runtime="external"), url="")
    await hear_for(registry, seconds=85)

    for _ in range(10):
        registry.clock.advance(seconds=2)
        await sweep(registry)

    assert await read_statuses(registry, external) == [Status.ONLINE]


@pytest.mark.covers("DWN-06")
@pytest.mark.parametrize("has_record", [True, False])
async def test_a_plane_that_cannot_hear_judges_nobody(registry, has_record):
    workspaces = [
        await registry.online("managed"),
        await registry.register(await registry.create("external", runtime="external"), url=""),
        await registry.create("starting"),
    ]
    before = await read_statuses(registry, *workspaces)
    if has_record:
        await set_hearing(registry, since=registry.clock.now() - timedelta(days=9))
    else:
        await erase_record(registry)

    registry.clock.advance(days=1)
    await sweep(registry)

    assert await read_statuses(registry, *workspaces) == before


async def erase_record(registry):
    async with registry.store.begin() as tx:
        await tx.connection.execute(hearing.delete())


@pytest.mark.covers("DWN-06")
async def test_a_start_after_the_outage_has_its_usual_deadline(registry):
    await set_hearing(registry, since=registry.clock.now())
    late = await registry.create("late")

    await hear_for(registry, minutes=11)
    await sweep(registry)

    assert await read_statuses(registry, late) == [Status.FAILED]


@pytest.mark.covers("DWN-06")
async def test_an_approval_does_not_expire_while_nobody_can_decide(registry, clock):
    approvals = Approvals(registry.store, clock=clock, retention=timedelta(days=30))
    workspace = await registry.online()
    await request(approvals, workspace)

    await come_back_after(registry, days=1)
    await approvals.deny_expired()
    assert len(await approvals.list_pending(ADMIN, size=9)) == 1
    await hear_for(registry, seconds=DECISION_TIMEOUT.total_seconds())
    await approvals.deny_expired()
    assert len(await approvals.list_pending(ADMIN, size=9)) == 0


@pytest.mark.covers("DWN-06")
async def test_the_plane_hears_only_with_a_gateway_and_auth(registry, clock):
    await erase_record(registry)
    recorder = HearingRecorder(registry.store, event_log=registry.event_log, auth=registry.removal._auth, clock=clock)

    async def find():
        async with registry.store.begin() as tx:
            return await tx.hearing.find()

    async with registry.following():
        await recorder.record()
        assert await find() is None
        watching = registry.event_log.watch(0)
        await anext(watching)
        await eventually(lambda: registry.event_log.is_watched)
        await recorder.record()
        assert await find() == Hearing(since=clock.now(), until=clock.now())
        await watching.aclose()
        assert not registry.event_log.is_watched
