"""Tests of cancelling a delegation with everything below it, and of tasks whose state is asked for."""

import asyncio
import json

import pytest

from protos.registry.v1 import registry_pb2
from services.a2a_proxy.delegations.messages import CANCEL_LABEL
from services.chassis.errors import ServiceError
from tests.a2a_proxy.delegations.workspaces import TaskAgent, read_token
from tests.a2a_proxy.queue.queue_agents import list_queued
from tests.agents import EchoAgent, SlowAgent, serve_agent
from tests.waiting import eventually

RACES = 50
PARALLEL = 5


async def work_on_task(client, workspaces, agent):
    """Delegate to a workspace whose agent answers with a task; returns the delegation once the task is known."""
    ada, bob = workspaces.make(agent), workspaces.make(agent)
    made = await client.delegate(ada, bob)
    await eventually(lambda: agent.asked)
    return made


async def test_a_task_that_goes_on_is_asked_for_until_it_is_finished(client, workspaces):
    async with serve_agent(TaskAgent()) as agent:
        made = await work_on_task(client, workspaces, agent)
        assert (await client.get(made.source_id, made.delegation_id)).status == "dispatched"
        agent.finished.set()
        assert (await eventually(lambda: client.has_status(made, "completed"))).text == "the result"


@pytest.mark.covers("BEY-10")
async def test_a_waiting_task_that_is_cancelled_never_starts(proxy, client, workspaces):
    async with serve_agent(EchoAgent()) as agent:
        ada, bob = workspaces.make(agent), workspaces.make()
        made = await client.delegate(ada, bob)
        answer = await client.cancel(ada, made.delegation_id)
        assert answer.delegation.status == "cancelled"
        assert [one.delegation_id for one in answer.cancelled] == [made.delegation_id]
        assert not answer.not_stopped

        workspaces.bring_online(bob, agent)
        other = await client.delegate(ada, bob, task="other")
        await eventually(lambda: client.has_status(other, "completed"))
        assert [json.loads(body)["params"]["message"]["parts"][0]["text"] for body in agent.bodies] == ["other"]
        await eventually(lambda: [p for t, _, p in proxy.events.all if p.get("status") == "cancelled"])
        again = await client.cancel(ada, made.delegation_id)
        assert (again.delegation.status, len(again.cancelled)) == ("cancelled", 0)


@pytest.mark.covers("BEY-10")
async def test_a_cancelled_tree_ends_and_says_which_agents_could_not_be_stopped(client, workspaces):
    async with serve_agent(SlowAgent()) as slow, serve_agent(TaskAgent()) as leaf:
        root_source, root_target = workspaces.make(slow), workspaces.make(slow)
        root = await client.delegate(root_source, root_target)
        await slow.asked.wait()
        token, tree = read_token(slow), [root]
        middles = [workspaces.make(slow) for _ in range(3)]
        for place, middle in enumerate(middles):
            tree.append(await client.delegate(root_target, middle, lineage_token=token))
            await eventually(lambda place=place: len(slow.bodies) == place + 2)
        for middle in middles:
            leaves = [workspaces.make(leaf if middle is middles[0] and place == 0 else None) for place in range(3)]
            tree += [await client.delegate(middle, one) for one in leaves]
        await eventually(lambda: leaf.asked)

        answer = await client.cancel(root_source, root.delegation_id)

        assert {one.delegation_id for one in answer.cancelled} == {one.delegation_id for one in tree}
        assert {one.target_id for one in answer.not_stopped} == {root_target, *middles}
        await eventually(lambda: leaf.cancelled == ["task-1"])
        slow.go.set()
        later = await client.delegate(root_source, root_target)
        await eventually(lambda: client.has_status(later, "completed"))
        found = [await client.get(one.source_id, one.delegation_id) for one in tree]
        assert [one.status for one in found] == ["cancelled"] * 13
        assert len(slow.bodies) == 5


@pytest.mark.covers("BEY-10")
async def test_an_agent_at_work_on_a_known_task_is_told_to_stop(client, workspaces):
    async with serve_agent(TaskAgent()) as agent:
        made = await work_on_task(client, workspaces, agent)
        answer = await client.cancel(made.source_id, made.delegation_id)
        assert not answer.not_stopped
        await eventually(lambda: agent.cancelled == ["task-1"])
        assert (await client.get(made.source_id, made.delegation_id)).status == "cancelled"


@pytest.mark.covers("BEY-10")
async def test_an_agent_that_is_away_is_told_to_stop_on_its_return(proxy, client, workspaces):
    async with serve_agent(TaskAgent()) as agent:
        made = await work_on_task(client, workspaces, agent)
        proxy.registry.set_workspace(made.target_id, status=registry_pb2.WORKSPACE_STATUS_PAUSED)
        await client.cancel(made.source_id, made.delegation_id)

        async def has_cancellation() -> bool:
            return CANCEL_LABEL in {message.caller_label for message in await list_queued(proxy, made.target_id)}

        await eventually(has_cancellation)
        assert agent.cancelled == []
        workspaces.bring_online(made.target_id, agent)
        await eventually(lambda: agent.cancelled == ["task-1"])


@pytest.mark.covers("BEY-10")
async def test_an_answer_that_races_a_cancellation_leaves_one_final_state(proxy, client, workspaces):
    async with serve_agent(EchoAgent()) as agent:
        ada, bob = workspaces.make(agent), workspaces.make(agent)

        async def race():
            made = await client.delegate(ada, bob)
            return made, (await client.cancel(ada, made.delegation_id)).delegation.status

        races = []
        for _ in range(RACES // PARALLEL):
            races += await asyncio.gather(*(race() for _ in range(PARALLEL)))
        last = await client.delegate(ada, bob)
        await eventually(lambda: client.has_status(last, "completed"))
        for made, status in races:
            assert status in {"cancelled", "completed"}
            assert (await client.get(ada, made.delegation_id)).status == status
        await eventually(
            lambda: any(
                p["delegation_id"] == last.delegation_id and t.endswith("COMPLETE") for t, _, p in proxy.events.all
            )
        )
        for made, _ in races:
            mine = [(t, p.get("status")) for t, _, p in proxy.events.all if p["delegation_id"] == made.delegation_id]
            final = [one for one in mine if one[0] == "DELEGATION_COMPLETE" or one[1] == "cancelled"]
            assert len(final) == 1


async def test_only_the_source_cancels(client, workspaces):
    ada, bob = workspaces.make(), workspaces.make()
    made = await client.delegate(ada, bob)
    with pytest.raises(ServiceError) as refused:
        await client.cancel(bob, made.delegation_id)
    assert refused.value.reason == "DELEGATION_NOT_FOUND"
