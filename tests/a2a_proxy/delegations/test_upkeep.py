"""Tests of what ends and erases delegations without a caller: deadlines, removals, retention and lost processes."""

from datetime import timedelta

import pytest

from protos.registry.v1 import registry_pb2
from services.a2a_proxy.delegations.store import DelegationTransaction
from services.a2a_proxy.queue.model import LeaseKind
from services.a2a_proxy.queue.store.transaction import QueueTransaction
from services.chassis.errors import ServiceError
from tests.agents import EchoAgent, SlowAgent, serve_agent
from tests.waiting import eventually


async def claim_and_die(proxy, target):
    """Claim a message as a process that dies before it stores the result; returns whether there was one."""
    async with proxy.store.begin() as tx:
        lease = timedelta(milliseconds=100)
        return await QueueTransaction(tx.connection).claim(
            target, limit=1, kind=LeaseKind.DISPATCH, owner="dead", lease=lease, max_bytes=1_000_000
        )


@pytest.mark.covers("BEY-09")
async def test_overdue_delegations_expire_whether_they_wait_or_are_at_work(proxy, client, workspaces):
    async with serve_agent(SlowAgent()) as slow:
        ada, bob, eve = workspaces.make(slow), workspaces.make(slow), workspaces.make()
        at_work = await client.delegate(ada, bob, deadline_seconds=1)
        waiting = await client.delegate(ada, eve, deadline_seconds=1)
        for made in (at_work, waiting):
            found = await eventually(lambda made=made: client.has_status(made, "expired"), within=10)
            assert found.error == "delegation deadline passed"
        slow.go.set()
        later = await client.delegate(ada, bob)
        await eventually(lambda: client.has_status(later, "completed"))
        assert (await client.get(ada, at_work.delegation_id)).status == "expired"
        expired = sorted([at_work.delegation_id, waiting.delegation_id])
        await eventually(lambda: list_failures(proxy) == expired)


def list_failures(proxy) -> list[str]:
    """Return the delegations whose failure the registry has received as an event."""
    return sorted(p["delegation_id"] for t, _, p in proxy.events.all if t == "DELEGATION_FAILED")


async def test_the_delegations_of_a_removed_workspace_are_cancelled(proxy, client, workspaces):
    async with serve_agent(SlowAgent()) as slow:
        ada, bob, eve = (workspaces.make(slow) for _ in range(3))
        incoming = await client.delegate(ada, bob)
        await slow.asked.wait()
        below = await client.delegate(bob, eve)
        proxy.registry.set_workspace(bob, status=registry_pb2.WORKSPACE_STATUS_REMOVED)
        found = await eventually(lambda: client.has_status(incoming, "cancelled"))
        assert found.error == "workspace removed"
        assert (await client.get(eve, below.delegation_id)).status == "cancelled"


async def test_the_delegations_of_a_purged_workspace_are_erased(proxy, client, workspaces):
    ada, bob = workspaces.make(), workspaces.make()
    made = await client.delegate(ada, bob)
    proxy.registry.set_workspace(bob, status=registry_pb2.WORKSPACE_STATUS_REMOVED)
    del proxy.registry.records[bob]

    async def is_erased():
        try:
            await client.get(ada, made.delegation_id)
        except ServiceError as error:
            return error.reason == "DELEGATION_NOT_FOUND"
        return False

    await eventually(is_erased)


async def test_what_ended_long_ago_is_erased_and_what_is_open_is_kept(proxy, client, workspaces):
    ada, bob = workspaces.make(), workspaces.make()
    ended, waiting = [await client.delegate(ada, bob) for _ in range(2)]
    await client.cancel(ada, ended.delegation_id)
    async with proxy.store.begin() as tx:
        delegations = DelegationTransaction(QueueTransaction(tx.connection), tx.connection)
        now = await delegations.queue.now()
        assert await delegations.erase_ended_before(now - timedelta(days=1), limit=10) == 0
        assert await delegations.erase_ended_before(now + timedelta(days=1), limit=10) == 1
    assert {row.delegation.delegation_id for row in await client.list_rows(ada)} == {waiting.delegation_id}


async def test_the_oldest_ended_delegations_of_a_source_are_erased_beyond_a_limit(proxy, client, workspaces):
    ada, bob = workspaces.make(), workspaces.make()
    made = [await client.delegate(ada, bob) for _ in range(3)]
    for one in made[:2]:
        await client.cancel(ada, one.delegation_id)
    async with proxy.store.begin() as tx:
        delegations = DelegationTransaction(QueueTransaction(tx.connection), tx.connection)
        await delegations.erase_surplus(ada, kept=1)
    left = {row.delegation.delegation_id for row in await client.list_rows(ada)}
    assert left == {one.delegation_id for one in made[1:]}


@pytest.mark.covers("A2A-33")
async def test_a_task_whose_sender_died_is_delivered_again_and_completed_once(proxy, client, workspaces):
    async with serve_agent(EchoAgent()) as agent:
        ada, bob = workspaces.make(agent), workspaces.make()
        made = await client.delegate(ada, bob)
        await eventually(lambda: claim_and_die(proxy, bob))
        declared = registry_pb2.Declarations(capabilities={"idempotent_delivery": True})
        proxy.registry.set_workspace(bob, declarations=declared)
        workspaces.bring_online(bob, agent)

        found = await eventually(lambda: client.has_status(made, "completed"), within=15)

        assert found.text == "the task"
        await eventually(lambda: [t for t, _, _ in proxy.events.all if t == "DELEGATION_COMPLETE"])
        assert len([t for t, _, _ in proxy.events.all if t == "DELEGATION_COMPLETE"]) == 1


async def test_a_task_that_may_have_been_delivered_by_a_dead_sender_fails_visibly(proxy, client, workspaces):
    async with serve_agent(EchoAgent()) as agent:
        ada, bob = workspaces.make(agent), workspaces.make()
        made = await client.delegate(ada, bob)
        await eventually(lambda: claim_and_die(proxy, bob))
        found = await eventually(lambda: client.has_status(made, "failed"), within=15)
        assert found.error == "the connection broke before the target answered; it may have done the work"
        assert agent.bodies == []
