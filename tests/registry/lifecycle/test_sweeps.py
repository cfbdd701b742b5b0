import json
from datetime import timedelta

import pytest
from sqlalchemy import select

from services.registry.store.tables.workspaces import vitals
from services.registry.workspace.facts import InstanceSkipped
from services.registry.workspace.model import Reason, Status
from tests.registry.lifecycle.test_observations import beat, put


async def later(book, **span):
    book.clock.advance(**span)
    await book.sweeps.silence()
    await book.sweeps.overdue()


@pytest.mark.covers("REG-37", "REG-38")
async def test_silence_costs_a_managed_workspace_its_instance_and_an_external_its_status(book):
    managed = await book.online("managed")
    external = await book.register(await book.create("external", runtime="external"), url="")
    brought = await book.online("brought", backend="none")

    await later(book, seconds=89)
    early = [(await book.get(workspace.id)).status for workspace in (managed, external, brought)]
    await later(book, seconds=2)
    mid = [(await book.get(workspace.id)).status for workspace in (managed, external, brought)]
    await later(book, seconds=88)
    before = [(await book.get(workspace.id)).status for workspace in (managed, external, brought)]
    await later(book, seconds=2)
    late = [await book.get(workspace.id) for workspace in (managed, external, brought)]

    assert early == [Status.ONLINE] * 3
    assert mid == before == [Status.ONLINE, Status.AWAITING_AGENT, Status.ONLINE]
    assert [workspace.status for workspace in late] == [Status.PROVISIONING, Status.AWAITING_AGENT, Status.OFFLINE]
    assert [workspace.status_reason for workspace in late] == [
        Reason.AUTO_RESTART,
        Reason.AGENT_STALE,
        Reason.LIVENESS_TIMEOUT,
    ]


async def test_who_is_heard_is_not_silent(book):
    workspace = await book.online()

    for _ in range(20):
        await later(book, seconds=30)
        await beat(book, workspace)

    assert (await book.get(workspace.id)).status is Status.ONLINE


@pytest.mark.parametrize(
    "status", [Status.PROVISIONING, Status.HIBERNATING, Status.HIBERNATED, Status.FAILED, Status.PAUSED]
)
async def test_who_is_not_expected_to_speak_may_be_silent(book, status):
    workspace = await put(book, await book.online(), status=status)

    await later(book, hours=1)

    assert (await book.get(workspace.id)).status is status


@pytest.mark.covers("PROV-47")
async def test_an_agent_that_does_not_come_up_in_time_has_failed(book):
    slow, quick = await book.create("slow", runtime="hermes"), await book.create("quick")

    await later(book, minutes=9)
    assert (await book.get(quick.id)).status is Status.PROVISIONING
    await later(book, minutes=2)
    assert (await book.get(quick.id)).status is Status.FAILED
    assert (await book.get(slow.id)).status is Status.PROVISIONING
    await later(book, minutes=20)
    failed = await book.get(slow.id)
    [*_, last] = await book.events(slow.id)

    assert (failed.status, failed.status_reason) == (Status.FAILED, Reason.PROVISION_TIMEOUT)
    assert failed.vitals.sample_error
    assert last.type == "WORKSPACE_PROVISION_FAILED"
    assert json.loads(last.payload)["runtime"] == "hermes"


async def test_a_workspace_that_nobody_starts_waits_for_its_agent_for_ever(book):
    waiting = await book.create()
    await book.presence.observe(waiting.id, InstanceSkipped(at=book.clock.now(), generation=1, backend="none"))

    await later(book, days=3)

    assert (await book.get(waiting.id)).status is Status.PROVISIONING


async def test_placements_are_confirmed_once(book):
    made = await book.create()

    await book.sweeps.placements()
    book.auth.confirmed.clear()
    await book.sweeps.placements()

    assert (await book.get(made.id)).placement_confirmed
    assert book.auth.confirmed == {}


async def test_old_events_are_forgotten_in_batches(book):
    for _ in range(3):
        await book.create()
    book.clock.advance(days=29)
    kept = await book.create()
    book.clock.advance(days=2)

    await book.sweeps.old()

    assert [event.workspace_id for event in await book.events()] == [kept.id]


async def test_provisioners_that_went_long_ago_are_forgotten(book):
    await book.watched()
    book.clock.advance(hours=2)
    await book.sweeps.old()

    async with book.store.begin() as tx:
        assert not await tx.changes.is_watched(book.clock.now() - timedelta(days=1))


async def test_a_healthy_agent_is_never_looked_at_and_most_heartbeats_leave_the_index_alone(book, engine):
    workspace = await book.online()
    looks = []

    for _ in range(20):
        book.clock.advance(seconds=30)
        await beat(book, workspace)
        async with engine.connect() as connection:
            looks.append(await connection.scalar(select(vitals.c.look_at)) - book.clock.now())

    assert all(timedelta(seconds=90) <= left <= timedelta(seconds=180) for left in looks)
    assert looks.count(timedelta(seconds=180)) == 5


async def test_who_was_heard_in_time_though_seldom_is_looked_at_again_when_the_time_is_up(book, engine):
    workspace = await book.online()
    for _ in range(2):
        book.clock.advance(seconds=80)
        await beat(book, workspace)

    await later(book, seconds=101)  # the first heartbeat is 181 seconds ago, the second 101
    heard = (await book.get(workspace.id)).status
    async with engine.connect() as connection:
        again = await connection.scalar(select(vitals.c.look_at))
    await later(book, seconds=80)

    assert heard is Status.ONLINE
    assert again == book.clock.now() - timedelta(seconds=1)
    assert (await book.get(workspace.id)).status is not Status.ONLINE
