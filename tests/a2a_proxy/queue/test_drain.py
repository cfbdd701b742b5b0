"""Tests that queued messages reach their agents: in order, once, and never more than an agent takes."""

import json
from datetime import timedelta

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from protos.registry.v1 import registry_pb2 as pb
from services.a2a_proxy.queue.model import MessageState, Result, WaitReason
from services.a2a_proxy.queue.tables import QUEUED_MESSAGES
from services.chassis.errors import FailedPrecondition
from tests.a2a_proxy.fake_gateway import A_WORKSPACE, CALLER, TARGET
from tests.a2a_proxy.queue.queue_agents import ASYNC, WorkingAgent, list_queued, wait_for_state
from tests.a2a_proxy.queue.queue_factory import new_id
from tests.agents import MisbehavingAgent, serve_agent
from tests.waiting import eventually

OTHER = new_id()


@pytest.mark.covers("A2A-26", "BEY-01")
async def test_a_message_for_a_busy_agent_is_queued_and_delivered_once_it_is_free(proxy, sender):
    async with serve_agent(WorkingAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        agent.may_answer.clear()
        direct = await sender.start("direct")
        await eventually(lambda: agent.message_ids == ["direct"])

        head = (await sender.send("queued")).head

        reply = json.loads(head.body)
        assert (head.status, reply["queued"], reply["queue_depth"]) == (202, True, 1)
        assert reply["message"] == "workspace agent busy — request queued, will dispatch when capacity available"
        agent.may_answer.set()
        ended = await wait_for_state(proxy, reply["queue_id"], MessageState.COMPLETED)
        assert (ended.result, ended.failures) == (Result.OK, 0)
        assert json.loads(ended.answer_body)["id"] == 7
        assert agent.message_ids == ["direct", "queued"]
        assert (await sender.read(direct)).head.status == 200


@pytest.mark.covers("ACT-07")
async def test_a_queued_message_has_a_row_at_its_acceptance_and_one_at_its_end(proxy, sender):
    async with serve_agent(WorkingAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        id_ = await sender.queue("m", headers=ASYNC)
        await wait_for_state(proxy, id_, MessageState.COMPLETED)

        accepted, ended = await proxy.list_activities(TARGET)

        assert accepted.id == id_
        assert json.loads(accepted.request_body)["params"]["message"]["messageId"] == "m"
        assert accepted.response_body is None
        assert (ended.status, ended.request_body) == ("ok", None)
        assert json.loads(ended.response_body)["id"] == 7


@pytest.mark.covers("A2A-26")
@pytest.mark.parametrize("manner", ["429", "503", "json"])
async def test_an_agent_that_says_busy_gets_the_message_again(proxy, sender, manner):
    async with serve_agent(WorkingAgent(manner=manner)) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        id_ = await sender.queue("m")
        await eventually(lambda: len(agent.bodies) >= (1 if manner == "503" else 2))

        agent.manner = ""

        async def is_delivered() -> bool:
            proxy.registry.send_heartbeat(TARGET)  # one that arrives while a slot is taken shows no room
            return bool(agent.message_ids)

        await eventually(is_delivered)
        ended = await wait_for_state(proxy, id_, MessageState.COMPLETED)
        assert ended.failures == 0
        assert agent.message_ids == ["m"]


async def test_the_time_that_a_busy_agent_names_is_kept(proxy, sender):
    async with serve_agent(WorkingAgent(manner="503")) as agent:  # its Retry-After is 7
        proxy.registry.set_workspace(TARGET, address=agent.url)

        await sender.queue("m")

        (message,) = await list_queued(proxy)
        assert timedelta(seconds=7) <= message.not_before - message.accepted_at < timedelta(seconds=8)


@pytest.mark.covers("A2A-31")
async def test_the_heartbeat_that_shows_room_delivers_by_priority_and_then_in_order(proxy, sender):
    async with serve_agent(WorkingAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        await eventually(lambda: proxy.registry.has_watchers)
        proxy.registry.send_heartbeat(TARGET, active_tasks=1)
        await eventually_busy(sender, agent)
        priorities = {"first": 0, "low": -1, "urgent": 5, "second": 0}
        ids = [await sender.queue(name, priority=priority) for name, priority in priorities.items()]

        proxy.registry.send_heartbeat(TARGET)

        for id_ in ids:
            await wait_for_state(proxy, id_, MessageState.COMPLETED)
        order = [name for name in agent.message_ids if name in priorities]
        assert order == ["urgent", "first", "second", "low"]


@pytest.mark.covers("A2A-31")
async def test_an_agent_never_works_on_more_tasks_than_it_takes(proxy, sender):
    async with serve_agent(WorkingAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url, max_concurrent_tasks=3)
        agent.may_answer.clear()
        names = [f"m-{number}" for number in range(20)]
        ids = [await sender.queue(name, headers=ASYNC) for name in names]

        await eventually(lambda: agent.running == 3)
        agent.may_answer.set()
        for id_ in ids:
            await wait_for_state(proxy, id_, MessageState.COMPLETED)

        assert agent.most_running == 3
        assert sorted(agent.message_ids) == sorted(names)


@pytest.mark.covers("BEY-04")
async def test_a_hundred_messages_wake_their_target_once_and_are_each_delivered_once(proxy, sender):
    proxy.registry.set_workspace(TARGET, status=pb.WORKSPACE_STATUS_HIBERNATED, max_concurrent_tasks=10)

    calls = [await sender.start(f"m-{number}") for number in range(100)]
    heads = [(await sender.read(call)).head for call in calls]

    replies = [json.loads(head.body) for head in heads]
    assert {head.status for head in heads} == {202}
    assert all(reply["waking"] for reply in replies)
    assert len({reply["queue_id"] for reply in replies}) == 100
    await eventually(lambda: proxy.lifecycle.woken)
    async with serve_agent(WorkingAgent()) as agent:
        proxy.registry.set_workspace(TARGET, status=pb.WORKSPACE_STATUS_ONLINE, address=agent.url)
        await eventually(lambda: len(agent.message_ids) == 100, within=20)
        assert len(set(agent.message_ids)) == 100
        await eventually(lambda: list_states(proxy, {MessageState.COMPLETED}), within=15)
    assert proxy.lifecycle.woken == [TARGET]


@pytest.mark.covers("BEY-04")
async def test_messages_between_the_claim_and_the_stop_of_their_target_are_each_delivered_once_after_the_wake(
    proxy, sender
):
    async with serve_agent(WorkingAgent()) as agent:
        still_there = {"address": agent.url, "max_concurrent_tasks": 10}
        proxy.registry.set_workspace(TARGET, status=pb.WORKSPACE_STATUS_HIBERNATING, **still_there)

        calls = [await sender.start(f"m-{number}") for number in range(10)]
        heads = [(await sender.read(call)).head for call in calls]

        assert {head.status for head in heads} == {202}
        assert agent.message_ids == []
        await eventually(lambda: proxy.lifecycle.woken)
        asked = len(proxy.lifecycle.woken)
        proxy.registry.set_workspace(TARGET, status=pb.WORKSPACE_STATUS_HIBERNATED, address="")
        await eventually(lambda: len(proxy.lifecycle.woken) > asked)
        proxy.registry.set_workspace(TARGET, status=pb.WORKSPACE_STATUS_ONLINE, address=agent.url, generation=2)
        for head in heads:
            await wait_for_state(proxy, json.loads(head.body)["queue_id"], MessageState.COMPLETED)
        received = [id_ for id_ in agent.message_ids if not id_.startswith("restart-")]  # the plane's note of the wake
        assert sorted(received) == sorted(f"m-{number}" for number in range(10))
        assert proxy.lifecycle.woken == [TARGET] * 2  # once for each status; the registry starts it once


@pytest.mark.covers("BEY-04")
async def test_a_wake_that_fails_leaves_the_message_queued_with_the_reason(proxy, sender):
    proxy.registry.set_workspace(TARGET, status=pb.WORKSPACE_STATUS_HIBERNATED)
    proxy.lifecycle.refusal = FailedPrecondition("the image is missing")

    id_ = await sender.queue("m")

    async def find_reason() -> str | None:
        (message,) = await list_queued(proxy)
        return message.last_error

    assert "the image is missing" in await eventually(find_reason)
    async with serve_agent(WorkingAgent()) as agent:
        proxy.registry.set_workspace(TARGET, status=pb.WORKSPACE_STATUS_ONLINE, address=agent.url)
        await wait_for_state(proxy, id_, MessageState.COMPLETED)


@pytest.mark.covers("BEY-04")
async def test_a_target_that_is_hibernated_while_its_messages_wait_for_a_slot_is_woken(proxy, sender):
    async with serve_agent(WorkingAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)
        await eventually(lambda: proxy.registry.has_watchers)
        proxy.registry.send_heartbeat(TARGET, active_tasks=1)
        await eventually_busy(sender, agent)
        id_ = await sender.queue("m")

        proxy.registry.set_workspace(TARGET, status=pb.WORKSPACE_STATUS_HIBERNATED)

        await eventually(lambda: proxy.lifecycle.woken)
        proxy.registry.set_workspace(TARGET, status=pb.WORKSPACE_STATUS_ONLINE, generation=2)
        await wait_for_state(proxy, id_, MessageState.COMPLETED)


@pytest.mark.parametrize(
    ("status", "flag", "reason"),
    [
        (pb.WORKSPACE_STATUS_PROVISIONING, "starting", WaitReason.STARTING),
        (pb.WORKSPACE_STATUS_OFFLINE, "restarting", WaitReason.OFFLINE),
    ],
    ids=["provisioning", "offline"],
)
async def test_messages_for_a_target_that_starts_are_delivered_once_it_is_online(proxy, sender, status, flag, reason):
    proxy.registry.set_workspace(TARGET, status=status)

    head = (await sender.send("m")).head

    reply = json.loads(head.body)
    assert (head.status, reply[flag]) == (202, True)
    (message,) = await list_queued(proxy)
    assert message.reason is reason
    async with serve_agent(WorkingAgent()) as agent:
        proxy.registry.set_workspace(TARGET, status=pb.WORKSPACE_STATUS_ONLINE, address=agent.url)
        await wait_for_state(proxy, reply["queue_id"], MessageState.COMPLETED)
        assert agent.message_ids == ["m"]


async def test_messages_of_a_removed_target_are_dropped(proxy, sender):
    proxy.registry.set_workspace(TARGET, status=pb.WORKSPACE_STATUS_PAUSED)
    id_ = await sender.queue("m", headers=ASYNC)

    proxy.registry.set_workspace(TARGET, status=pb.WORKSPACE_STATUS_REMOVED)

    dropped = await wait_for_state(proxy, id_, MessageState.DROPPED)
    assert "the workspace was removed" in dropped.last_error


async def test_messages_wait_while_the_budget_is_spent_and_go_on_once_it_is_raised(proxy, sender):
    proxy.registry.set_workspace(TARGET, status=pb.WORKSPACE_STATUS_PROVISIONING)
    id_ = await sender.queue("m")
    async with serve_agent(WorkingAgent()) as agent:
        spent = {"budget_limit": 10, "monthly_spend": 10}
        proxy.registry.set_workspace(TARGET, status=pb.WORKSPACE_STATUS_ONLINE, address=agent.url, **spent)

        async def waits_for_budget() -> bool:
            (message,) = await list_queued(proxy)
            return message.reason is WaitReason.BUDGET

        await eventually(waits_for_budget)
        assert agent.message_ids == []
        proxy.registry.set_workspace(TARGET, budget_limit=20)
        await wait_for_state(proxy, id_, MessageState.COMPLETED)


async def test_a_sender_that_may_no_longer_write_to_the_target_gets_nothing_delivered(proxy, sender):
    proxy.registry.set_workspace(CALLER)
    proxy.registry.set_workspace(TARGET, status=pb.WORKSPACE_STATUS_PROVISIONING)
    id_ = await sender.queue("m", sender=A_WORKSPACE)
    proxy.registry.denied.add((CALLER, TARGET))

    async with serve_agent(WorkingAgent()) as agent:
        moved = {"parent_id": new_id()}
        proxy.registry.set_workspace(TARGET, status=pb.WORKSPACE_STATUS_ONLINE, address=agent.url, **moved)

        refused = await wait_for_state(proxy, id_, MessageState.DEAD)

        assert refused.last_error == "access denied: workspaces cannot communicate per hierarchy rules"
        assert agent.message_ids == []


@pytest.mark.covers("A2A-28")
async def test_a_message_whose_time_is_over_expires_and_is_never_delivered(proxy, sender):
    proxy.registry.set_workspace(TARGET, status=pb.WORKSPACE_STATUS_PROVISIONING)
    id_ = await sender.queue("m", expires_in_seconds=1)

    await wait_for_state(proxy, id_, MessageState.EXPIRED)

    async with serve_agent(WorkingAgent()) as agent:
        proxy.registry.set_workspace(TARGET, status=pb.WORKSPACE_STATUS_ONLINE, address=agent.url)
        await wait_for_state(proxy, await sender.queue("later", headers=ASYNC), MessageState.COMPLETED)
        assert agent.message_ids == ["later"]


@pytest.mark.covers("A2A-31")
async def test_an_agent_that_cannot_be_reached_five_times_leaves_a_dead_message(proxy, sender):
    async with serve_agent(WorkingAgent()) as stopped_agent:
        pass
    proxy.registry.set_workspace(TARGET, address=stopped_agent.url, external=True)
    id_ = await sender.queue("m", headers=ASYNC)

    async def is_dead() -> bool:
        proxy.registry.send_heartbeat(TARGET)  # ends the delay
        (message,) = await list_queued(proxy)
        return message.state is MessageState.DEAD

    await eventually(is_dead, within=15)
    dead = await wait_for_state(proxy, id_, MessageState.DEAD)
    assert (dead.failures, dead.last_error) == (5, "failed to reach workspace agent")
    assert [attempt.outcome for attempt in dead.attempts] == ["failed"] * 5


async def test_an_error_of_the_agent_is_the_answer_to_a_message_that_may_not_be_repeated(proxy, sender):
    async with serve_agent(MisbehavingAgent(status=500, text="boom")) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)

        ended = await wait_for_state(proxy, await sender.queue("m", headers=ASYNC), MessageState.COMPLETED)

        assert (ended.result, ended.answer_status) == (Result.ERROR, 500)
        assert len(agent.bodies) == 1


async def test_a_message_that_cannot_be_read_does_not_stop_the_others(proxy, sender):
    proxy.registry.set_workspace(TARGET, status=pb.WORKSPACE_STATUS_PROVISIONING)
    proxy.registry.set_workspace(OTHER, status=pb.WORKSPACE_STATUS_PROVISIONING)
    await sender.queue("unreadable")
    id_ = await sender.queue("m", target=OTHER)
    async with proxy.queue.begin() as tx:
        broken = sa.update(QUEUED_MESSAGES).where(QUEUED_MESSAGES.c.target_id == TARGET).values(attempts="no JSON")
        await tx.run(lambda connection: connection.execute(broken))

    async with serve_agent(WorkingAgent()) as agent:
        with capture_logs() as logs:  # the trace is long
            for target in (TARGET, OTHER):
                proxy.registry.set_workspace(target, status=pb.WORKSPACE_STATUS_ONLINE, address=agent.url)
            await wait_for_state(proxy, id_, MessageState.COMPLETED)
            await eventually(lambda: find_entry(logs, "queued messages not delivered"))

        assert agent.message_ids == ["m"]
        assert not proxy.stopped.is_set()


async def eventually_busy(sender, agent: WorkingAgent) -> None:
    """Wait until the proxy knows that the agent has no room."""

    async def is_queued() -> bool:
        return (await sender.send()).head.status == 202

    await eventually(is_queued)
    agent.message_ids.clear()


async def list_states(proxy, expected: set[MessageState]) -> bool:
    return {message.state for message in await list_queued(proxy)} == expected


def find_entry(logs: list, event: str) -> bool:
    return any(entry["event"] == event for entry in logs)
