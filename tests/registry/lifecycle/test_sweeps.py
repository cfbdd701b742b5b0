import json
from datetime import timedelta

import pytest
from sqlalchemy import select

from services.registry.store.tables.workspaces import vitals
from services.registry.workspace.facts import InstanceSkipped
from services.registry.workspace.model import Reason, Status
from tests.registry.conftest import overwrite, send_heartbeat


async def later(registry, **span):
    registry.clock.advance(**span)
    await registry.sweeps.check_heartbeats()
    await registry.sweeps.fail_unstarted()


@pytest.mark.covers("REG-37", "REG-38")
async def test_a_missed_heartbeat_replaces_a_managed_instance_and_an_external_workspace_awaits_its_agent(registry):
    managed = await registry.online("managed")
    external = await registry.register(await registry.create("external", runtime="external"), url="")
    brought = await registry.online("brought", backend="none")

    await later(registry, seconds=89)
    early = [(await registry.get(workspace.id)).status for workspace in (managed, external, brought)]
    await later(registry, seconds=2)
    mid = [(await registry.get(workspace.id)).status for workspace in (managed, external, brought)]
    await later(registry, seconds=88)
    before = [(await registry.get(workspace.id)).status for workspace in (managed, external, brought)]
    await later(registry, seconds=2)
    late = [await registry.get(workspace.id) for workspace in (managed, external, brought)]

    assert early == [Status.ONLINE] * 3
    assert mid == before == [Status.ONLINE, Status.AWAITING_AGENT, Status.ONLINE]
    assert [workspace.status for workspace in late] == [Status.PROVISIONING, Status.AWAITING_AGENT, Status.OFFLINE]
    assert [workspace.status_reason for workspace in late] == [
        Reason.AUTO_RESTART,
        Reason.AGENT_STALE,
        Reason.LIVENESS_TIMEOUT,
    ]


async def test_an_agent_with_heartbeats_stays_online(registry):
    workspace = await registry.online()

    for _ in range(20):
        await later(registry, seconds=30)
        await send_heartbeat(registry, workspace)

    assert (await registry.get(workspace.id)).status is Status.ONLINE


@pytest.mark.parametrize(
    "status", [Status.PROVISIONING, Status.HIBERNATING, Status.HIBERNATED, Status.FAILED, Status.PAUSED]
)
async def test_a_status_without_heartbeats_has_no_timeout(registry, status):
    workspace = await overwrite(registry, await registry.online(), status=status)

    await later(registry, hours=1)

    assert (await registry.get(workspace.id)).status is status


@pytest.mark.covers("PROV-47")
async def test_an_agent_that_misses_its_start_deadline_is_failed(registry):
    slow, quick = await registry.create("slow", runtime="hermes"), await registry.create("quick")

    await later(registry, minutes=9)
    assert (await registry.get(quick.id)).status is Status.PROVISIONING
    await later(registry, minutes=2)
    assert (await registry.get(quick.id)).status is Status.FAILED
    assert (await registry.get(slow.id)).status is Status.PROVISIONING
    await later(registry, minutes=20)
    failed = await registry.get(slow.id)
    [*_, last] = await registry.events(slow.id)

    assert (failed.status, failed.status_reason) == (Status.FAILED, Reason.PROVISION_TIMEOUT)
    assert failed.vitals.sample_error
    assert last.type == "WORKSPACE_PROVISION_FAILED"
    assert json.loads(last.payload)["runtime"] == "hermes"


async def test_a_workspace_without_a_backend_waits_without_a_deadline(registry):
    waiting = await registry.create()
    await registry.observations.observe(
        waiting.id, InstanceSkipped(at=registry.clock.now(), generation=1, backend="none")
    )

    await later(registry, days=3)

    assert (await registry.get(waiting.id)).status is Status.PROVISIONING


async def test_placements_are_confirmed_once(registry):
    made = await registry.create()

    await registry.sweeps.confirm_placements()
    registry.auth.confirmed.clear()
    await registry.sweeps.confirm_placements()

    assert (await registry.get(made.id)).placement_confirmed
    assert registry.auth.confirmed == {}


async def test_old_events_are_deleted_in_batches(registry):
    for _ in range(3):
        await registry.create()
    registry.clock.advance(days=29)
    kept = await registry.create()
    registry.clock.advance(days=2)

    await registry.sweeps.delete_old_records()

    assert [event.workspace_id for event in await registry.events()] == [kept.id]


async def test_provisioners_that_no_longer_watch_are_deleted(registry):
    await registry.watched()
    registry.clock.advance(hours=2)
    await registry.sweeps.delete_old_records()

    async with registry.store.begin() as tx:
        assert not await tx.revisions.is_watched(registry.clock.now() - timedelta(days=1))


async def test_the_sweep_skips_healthy_agents_and_most_heartbeats_do_not_touch_the_index(registry, engine):
    workspace = await registry.online()
    looks = []

    for _ in range(20):
        registry.clock.advance(seconds=30)
        await send_heartbeat(registry, workspace)
        async with engine.connect() as connection:
            looks.append(await connection.scalar(select(vitals.c.look_at)) - registry.clock.now())

    assert all(timedelta(seconds=90) <= left <= timedelta(seconds=180) for left in looks)
    assert looks.count(timedelta(seconds=180)) == 5


async def test_a_rare_but_timely_heartbeat_moves_the_next_check(registry, engine):
    workspace = await registry.online()
    for _ in range(2):
        registry.clock.advance(seconds=80)
        await send_heartbeat(registry, workspace)

    await later(registry, seconds=101)  # the first heartbeat is 181 seconds ago, the second 101
    heard = (await registry.get(workspace.id)).status
    async with engine.connect() as connection:
        again = await connection.scalar(select(vitals.c.look_at))
    await later(registry, seconds=80)

    assert heard is Status.ONLINE
    assert again == registry.clock.now() - timedelta(seconds=1)
    assert (await registry.get(workspace.id)).status is not Status.ONLINE
