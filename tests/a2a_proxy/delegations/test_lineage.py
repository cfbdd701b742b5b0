"""Tests of the place of a delegation in the tree: lineage, depth, cycles, deadlines and budgets."""

import asyncio
import json
from datetime import timedelta

import pytest
import sqlalchemy as sa

from services.a2a_proxy.delegations.tables import DELEGATIONS
from services.a2a_proxy.queue.tables import QUEUED_MESSAGES
from services.chassis.errors import ServiceError
from tests.a2a_proxy.delegations.workspaces import read_token
from tests.agents import EchoAgent, MisbehavingAgent, SlowAgent, serve_agent
from tests.waiting import eventually

REFUSED = pytest.raises(ServiceError)


@pytest.fixture
async def slow():
    async with serve_agent(SlowAgent()) as agent:
        yield agent


async def delegate_to_work(client, agent, source, target, **fields):
    """Delegate, and wait until the target has the task; returns the delegation and its token."""
    count = len(agent.bodies)
    made = await client.delegate(source, target, **fields)
    await eventually(lambda: len(agent.bodies) > count)
    return await eventually(lambda: client.has_status(made, "dispatched")), read_token(agent)


@pytest.mark.covers("BEY-06")
async def test_the_lineage_follows_the_work_with_a_token_and_without(client, workspaces, slow):
    ada, bob, eve, dan = (workspaces.make(slow) for _ in range(4))
    root, _ = await delegate_to_work(client, slow, ada, bob)
    child, token = await delegate_to_work(client, slow, bob, eve)
    assert (child.root_id, child.parent_id, child.depth) == (root.delegation_id, root.delegation_id, 2)
    grandchild = await client.delegate(eve, dan, lineage_token=token)
    assert (grandchild.root_id, grandchild.parent_id) == (root.delegation_id, child.delegation_id)
    assert (await client.get(dan, grandchild.delegation_id)).depth == 3


@pytest.mark.covers("BEY-06")
async def test_a_workspace_with_several_tasks_needs_the_token_of_one(client, workspaces, slow):
    ada, bob, eve = (workspaces.make(slow) for _ in range(3))
    first, token = await delegate_to_work(client, slow, ada, bob)
    await delegate_to_work(client, slow, ada, bob)
    with REFUSED as refused:
        await client.delegate(bob, eve)
    assert refused.value.reason == "LINEAGE_REQUIRED"
    assert (await client.delegate(bob, eve, lineage_token=token)).parent_id == first.delegation_id


@pytest.mark.covers("BEY-06")
async def test_a_token_of_another_workspace_or_a_forged_one_is_refused(client, workspaces, slow):
    ada, bob, eve = (workspaces.make(slow) for _ in range(3))
    _, token = await delegate_to_work(client, slow, ada, bob)
    for source, forged in ((eve, token), (bob, token[:-1] + ("A" if token[-1] != "A" else "B")), (bob, "v1.x.y")):
        with REFUSED as refused:
            await client.delegate(source, ada, lineage_token=forged)
        assert refused.value.reason == "INVALID_LINEAGE_TOKEN"


@pytest.mark.covers("BEY-07")
async def test_the_ninth_level_is_refused_and_recorded(proxy, client, workspaces, slow):
    chain = [workspaces.make(slow) for _ in range(10)]
    for place in range(8):
        made, _ = await delegate_to_work(client, slow, chain[place], chain[place + 1])
        assert made.depth == place + 1
    with REFUSED as refused:
        await client.delegate(chain[8], chain[9])
    assert (refused.value.reason, refused.value.message) == (
        "DELEGATION_DEPTH_EXCEEDED",
        "delegation depth limit exceeded",
    )
    rows = [row for row in await proxy.list_activities(chain[8]) if row.method == "delegate"]
    assert [(row.status, row.target_id, row.error_detail) for row in rows] == [
        ("failed", chain[9], "delegation depth limit exceeded")
    ]
    assert len(slow.bodies) == 8


@pytest.mark.covers("BEY-08")
async def test_a_cycle_is_refused_with_its_chain_and_two_tasks_for_one_target_are_none(client, workspaces, slow):
    ada, bob, eve = (workspaces.make(slow) for _ in range(3))
    await delegate_to_work(client, slow, ada, bob)
    await delegate_to_work(client, slow, bob, eve)
    for source, target, chain in ((bob, ada, [ada, bob, ada]), (eve, bob, [ada, bob, eve, bob])):
        with REFUSED as refused:
            await client.delegate(source, target)
        assert refused.value.message == "delegation cycle refused"
        assert refused.value.details == {"chain": chain}
    both = await asyncio.gather(client.delegate(ada, eve), client.delegate(ada, eve))
    assert [made.depth for made in both] == [1, 1]


@pytest.mark.covers("BEY-08")
async def test_two_workspaces_that_delegate_to_each_other_at_the_same_moment_both_end(client, workspaces):
    async with serve_agent(EchoAgent()) as agent:
        ada, bob = workspaces.make(agent), workspaces.make(agent)

        async def delegate_often(source, target):
            results = [await asyncio.gather(client.delegate(source, target), return_exceptions=True) for _ in range(10)]
            return [result for (result,) in results]

        both = await asyncio.gather(delegate_often(ada, bob), delegate_often(bob, ada))
        results = [*both[0], *both[1]]
        every = [result for result in results if not isinstance(result, Exception)]
        refusals = {result.reason for result in results if isinstance(result, Exception)}
        assert refusals <= {"DELEGATION_CYCLE", "LINEAGE_REQUIRED", "DELEGATION_PARENT_ENDED"}
        assert every
        for made in every:
            await eventually(lambda made=made: client.has_status(made, "completed"))


@pytest.mark.covers("BEY-09")
async def test_a_child_inherits_the_deadline_of_its_parent(client, workspaces, slow):
    ada, bob, eve = (workspaces.make(slow) for _ in range(3))
    parent, _ = await delegate_to_work(client, slow, ada, bob, deadline_seconds=60)
    child = await client.delegate(bob, eve, deadline_seconds=300)
    shorter = await client.delegate(bob, eve, deadline_seconds=5)
    assert child.deadline == parent.deadline
    left = shorter.deadline.ToDatetime() - shorter.created_at.ToDatetime()
    assert left == timedelta(seconds=5)


@pytest.mark.covers("BEY-09")
async def test_the_time_that_the_parent_waited_in_the_queue_counts_towards_the_deadline_of_a_child(
    proxy, client, workspaces, slow
):
    ada, bob, eve = workspaces.make(slow), workspaces.make(), workspaces.make(slow)
    parent = await client.delegate(ada, bob, deadline_seconds=60)
    await pass_time(proxy, parent.delegation_id, timedelta(seconds=40))
    workspaces.bring_online(bob, slow)
    await slow.asked.wait()

    child = await client.delegate(bob, eve, deadline_seconds=300)

    left = child.deadline.ToDatetime() - child.created_at.ToDatetime()
    assert timedelta() < left <= timedelta(seconds=20)
    found = await client.get(ada, parent.delegation_id)
    assert child.deadline == found.deadline


async def pass_time(proxy, delegation_id, time):
    """Move the times of a delegation and of its message into the past, as if it had waited for that long."""
    async with proxy.store.begin() as tx:
        for table, names in (
            (DELEGATIONS, ("created_at", "deadline")),
            (QUEUED_MESSAGES, ("accepted_at", "not_before", "expires_at")),
        ):
            values = {name: table.c[name] - time for name in names}
            await tx.connection.execute(sa.update(table).where(table.c.id == delegation_id).values(values))


@pytest.mark.covers("BEY-09")
async def test_of_two_parallel_children_that_ask_for_too_much_one_is_refused(client, workspaces, slow):
    ada, bob, eve = (workspaces.make(slow) for _ in range(3))
    parent, _ = await delegate_to_work(client, slow, ada, bob, budget=10)
    results = await asyncio.gather(
        client.delegate(bob, eve, budget=8), client.delegate(bob, eve, budget=8), return_exceptions=True
    )
    (refused,) = [result for result in results if isinstance(result, ServiceError)]
    assert (refused.reason, refused.details) == ("DELEGATION_BUDGET_EXCEEDED", {"budget_remaining": 2})
    assert (await client.get(ada, parent.delegation_id)).budget_remaining == 2
    rest = await client.delegate(bob, eve)
    assert rest.budget == 2


@pytest.mark.covers("BEY-09")
async def test_a_failed_child_releases_its_budget_and_one_that_answers_is_charged(client, workspaces, slow):
    usage = {"jsonrpc": "2.0", "id": 1, "result": {"parts": [], "usage": {"output_tokens": 2000}}}
    priced = MisbehavingAgent(status=200, text=json.dumps(usage), headers={"content-type": "application/json"})
    async with serve_agent(priced), serve_agent(MisbehavingAgent(status=400, text="{}")) as failing:
        ada, bob = workspaces.make(slow), workspaces.make(slow)
        parent, token = await delegate_to_work(client, slow, ada, bob, budget=10)
        for agent, status, left in ((failing, "failed", 10), (priced, "completed", 7)):
            child = await client.delegate(bob, workspaces.make(agent), budget=8, lineage_token=token)
            await eventually(lambda child=child, status=status: client.has_status(child, status))
            assert (await client.get(ada, parent.delegation_id)).budget_remaining == left


@pytest.mark.covers("BEY-09")
async def test_a_child_that_does_not_report_its_usage_is_charged_its_whole_budget(client, workspaces, slow):
    async with serve_agent(EchoAgent()) as echo:
        ada, bob = workspaces.make(slow), workspaces.make(slow)
        parent, _ = await delegate_to_work(client, slow, ada, bob, budget=10)
        child = await client.delegate(bob, workspaces.make(echo), budget=8)
        await eventually(lambda: client.has_status(child, "completed"))
        assert (await client.get(ada, parent.delegation_id)).budget_remaining == 2


async def test_nothing_is_delegated_below_a_delegation_that_has_ended(client, workspaces, slow):
    ada, bob, eve = (workspaces.make(slow) for _ in range(3))
    made, token = await delegate_to_work(client, slow, ada, bob)
    await client.cancel(ada, made.delegation_id)
    with REFUSED as refused:
        await client.delegate(bob, eve, lineage_token=token)
    assert refused.value.reason == "DELEGATION_PARENT_ENDED"


async def test_a_polling_target_counts_as_at_work_because_it_may_read_without_leasing(client, workspaces, slow):
    ada, bob = workspaces.make(slow), workspaces.make_polling()
    await client.delegate(ada, bob)
    with REFUSED as refused:
        await client.delegate(bob, ada)
    assert refused.value.reason == "DELEGATION_CYCLE"
