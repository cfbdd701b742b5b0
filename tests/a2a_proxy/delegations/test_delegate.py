"""Tests of delegating, from the request to the result."""

import asyncio
import json
from uuid import uuid4

import pytest

from protos.registry.v1 import registry_pb2
from services.chassis.errors import ServiceError
from tests.agents import BusyAgent, EchoAgent, SlowAgent, serve_agent
from tests.waiting import eventually

REFUSED = pytest.raises(ServiceError)


async def read_message(agent):
    await eventually(lambda: agent.bodies)
    return json.loads(agent.bodies[0])


def list_events(proxy, delegation):
    found = [(type_, payload) for type_, _, payload in proxy.events.all if type_.startswith("DELEGATION")]
    return [(type_, payload) for type_, payload in found if payload["delegation_id"] == delegation.delegation_id]


async def list_own_rows(proxy, source):
    rows = await proxy.list_activities(source)
    return {row.method: row for row in rows if row.activity_type == "delegation"}


@pytest.mark.covers("A2A-30")
async def test_a_task_reaches_its_target_and_the_answer_completes_the_delegation(proxy, client, workspaces):
    async with serve_agent(EchoAgent()) as agent:
        ada, bob = workspaces.make(agent), workspaces.make(agent)

        made = await client.delegate(ada, bob, task="x" * 150)
        done = await eventually(lambda: client.has_status(made, "completed"))

        message = (await read_message(agent))["params"]["message"]
        assert message["messageId"] == message["metadata"]["delegation_id"] == made.delegation_id
        assert (message["role"], message["parts"]) == ("user", [{"kind": "text", "text": "x" * 150}])
        assert (done.text, done.depth, done.root_id, done.HasField("parent_id")) == (
            "x" * 150,
            1,
            made.delegation_id,
            False,
        )
        await eventually(lambda: len(list_events(proxy, made)) == 3)
        assert list_events(proxy, made) == [
            (
                "DELEGATION_SENT",
                {"delegation_id": made.delegation_id, "target_id": bob, "task_preview": "x" * 100},
            ),
            (
                "DELEGATION_STATUS",
                {"delegation_id": made.delegation_id, "target_id": bob, "status": "dispatched"},
            ),
            (
                "DELEGATION_COMPLETE",
                {"delegation_id": made.delegation_id, "target_id": bob, "response_preview": "x" * 150},
            ),
        ]


async def test_the_activity_of_the_source_has_the_request_and_the_result(proxy, client, workspaces):
    async with serve_agent(EchoAgent()) as agent:
        ada, bob = workspaces.make(agent), workspaces.make(agent)
        made = await client.delegate(ada, bob)
        await eventually(lambda: client.has_status(made, "completed"))

        rows = await list_own_rows(proxy, ada)
        request, result = rows["delegate"], rows["delegate_result"]
        assert (request.status, request.source_id, request.target_id) == ("completed", ada, bob)
        assert json.loads(request.request_body)["task"] == "the task"
        assert (result.status, result.summary) == ("completed", "Delegation completed (the task)")
        assert json.loads(result.response_body) == {"delegation_id": made.delegation_id, "text": "the task"}

        listed = await client.list_rows(ada)
        assert [(row.id, row.is_result, row.delegation.status) for row in listed] == [
            (result.id, True, "completed"),
            (request.id, False, "completed"),
        ]
        assert await client.list_rows(bob) == []


@pytest.mark.covers("A2A-32", "A2A-33")
async def test_a_busy_target_is_recorded_as_queued_and_completed_once_it_has_room(proxy, client, workspaces):
    async with serve_agent(BusyAgent()) as busy, serve_agent(EchoAgent()) as free:
        ada, bob = workspaces.make(free), workspaces.make(busy)
        made = await client.delegate(ada, bob)
        await eventually(lambda: client.has_status(made, "queued"))

        rows = await list_own_rows(proxy, ada)
        assert (rows["delegate"].status, rows["delegate_result"].status) == ("queued", "queued")
        assert rows["delegate_result"].summary == "Delegation queued — target at capacity"
        assert json.loads(rows["delegate_result"].response_body) == {
            "delegation_id": made.delegation_id,
            "queued": True,
        }
        assert [row.delegation.HasField("text") for row in await client.list_rows(ada)] == [False, False]

        workspaces.bring_online(bob, free)
        await eventually(lambda: client.has_status(made, "completed"))
        after = await list_own_rows(proxy, ada)
        assert after["delegate_result"].id == rows["delegate_result"].id
        assert json.loads(after["delegate_result"].response_body)["text"] == "the task"
        await eventually(lambda: len(list_events(proxy, made)) == 4)
        completions = [payload for type_, payload in list_events(proxy, made) if type_ == "DELEGATION_COMPLETE"]
        assert [payload["via"] for payload in completions] == ["queue_drain"]


@pytest.mark.covers("A2A-32")
async def test_a_target_whose_slots_are_used_up_is_queued_at_once(proxy, client, workspaces):
    async with serve_agent(SlowAgent()) as slow:
        ada, bob = workspaces.make(slow), workspaces.make(slow, max_concurrent_tasks=1)
        first = await client.delegate(ada, bob)
        await slow.asked.wait()
        second = await client.delegate(ada, bob)
        assert second.status == "pending"
        assert (await client.get(ada, second.delegation_id)).status == "queued"
        slow.go.set()
        for made in (first, second):
            await eventually(lambda made=made: client.has_status(made, "completed"))


async def test_a_task_for_a_target_that_is_away_waits_for_it(client, workspaces):
    async with serve_agent(EchoAgent()) as agent:
        ada, bob = workspaces.make(agent), workspaces.make()
        made = await client.delegate(ada, bob)
        assert (await client.get(ada, made.delegation_id)).status == "queued"
        workspaces.bring_online(bob, agent)
        assert (await eventually(lambda: client.has_status(made, "completed"))).text == "the task"


async def test_a_hibernated_target_is_woken(proxy, client, workspaces):
    async with serve_agent(EchoAgent()) as agent:
        ada = workspaces.make(agent)
        bob = workspaces.make(status=registry_pb2.WORKSPACE_STATUS_HIBERNATED)
        await client.delegate(ada, bob)
        await eventually(lambda: proxy.lifecycle.woken == [bob])


@pytest.mark.covers("A2A-38")
async def test_a_target_that_polls_completes_the_delegation_by_acknowledging(client, workspaces):
    async with serve_agent(EchoAgent()) as agent:
        ada, bob = workspaces.make(agent), workspaces.make_polling()
        made = await client.delegate(ada, bob)
        (message,) = await client.lease(bob)
        assert message.id == made.delegation_id
        assert (await client.get(ada, made.delegation_id)).status == "dispatched"
        await client.acknowledge(bob, message, b'{"parts":[{"kind":"text","text":"polled"}]}')
        assert (await client.get(ada, made.delegation_id)).text == "polled"


async def test_a_key_that_was_used_names_the_first_delegation(client, workspaces):
    async with serve_agent(EchoAgent()) as agent:
        ada, bob, eve = (workspaces.make(agent) for _ in range(3))
        answers = await asyncio.gather(*(client.request(ada, bob, idempotency_key="k") for _ in range(5)))
        assert sorted(answer.idempotent_hit for answer in answers) == [False, True, True, True, True]
        assert len({answer.delegation.delegation_id for answer in answers}) == 1
        other = await client.request(eve, bob, idempotency_key="k")
        assert not other.idempotent_hit
        await eventually(lambda: len(agent.bodies) == 2)


async def test_a_key_may_be_used_again_after_a_failure(client, workspaces):
    async with serve_agent(EchoAgent()) as agent:
        ada, bob = workspaces.make(agent), workspaces.make()
        first = await client.request(ada, bob, idempotency_key="k")
        await client.report(ada, first.delegation.delegation_id, "failed")
        second = await client.request(ada, bob, idempotency_key="k")
        assert not second.idempotent_hit
        assert second.delegation.delegation_id != first.delegation.delegation_id


async def test_a_request_that_is_repeated_by_the_gateway_delegates_once(client, workspaces):
    async with serve_agent(EchoAgent()) as agent:
        ada, bob, id_ = workspaces.make(agent), workspaces.make(agent), str(uuid4())
        for _ in range(2):
            assert (await client.delegate(ada, bob, request_id=id_)).delegation_id == id_
        await eventually(lambda: agent.bodies)
        assert len(await client.list_rows(ada)) <= 2


async def test_a_target_must_exist_and_be_one_that_the_source_may_write_to(proxy, client, workspaces):
    async with serve_agent(EchoAgent()) as agent:
        ada, bob = workspaces.make(agent), workspaces.make(agent)
        proxy.registry.denied.add((ada, bob))
        removed = workspaces.make(agent, status=registry_pb2.WORKSPACE_STATUS_REMOVED)
        for source, target, reason in (
            (ada, bob, "COMMUNICATION_DENIED"),
            (ada, removed, "DELEGATION_TARGET_NOT_FOUND"),
            (ada, ada, "INVALID_DELEGATION"),
            (ada, "not a uuid", "INVALID_DELEGATION"),
            (removed, ada, "WORKSPACE_REMOVED"),
            (str(uuid4()), ada, "WORKSPACE_NOT_FOUND"),
        ):
            with REFUSED as refused:
                await client.delegate(source, target)
            assert refused.value.reason == reason
        spent = workspaces.make(agent, budget_limit=100, monthly_spend=100)
        with REFUSED as refused:
            await client.delegate(ada, spent)
        assert refused.value.reason == "BUDGET_EXCEEDED"
        assert await client.list_rows(ada) == []


async def test_an_agent_reports_what_it_has_recorded(proxy, client, workspaces):
    async with serve_agent(EchoAgent()) as agent:
        ada, bob = workspaces.make(agent), workspaces.make(agent)
        recorded = await client.record(ada, bob, "mine-1")
        assert (recorded.delegation_id, recorded.status) == ("mine-1", "dispatched")
        await client.record(ada, bob, "mine-1")
        with REFUSED as refused:
            await client.report(ada, "mine-1", "done")
        assert refused.value.message == "status must be 'completed' or 'failed'"
        with REFUSED as refused:
            await client.report(bob, "mine-1", "completed")
        assert refused.value.reason == "DELEGATION_NOT_FOUND"

        assert (await client.report(ada, "mine-1", "completed", text="ready")).status == "completed"
        assert (await client.report(ada, "mine-1", "failed", error="late")).status == "completed"
        assert [row.delegation.text for row in await client.list_rows(ada)] == ["ready", "ready"]
        await eventually(lambda: len(proxy.events.all) == 2)
        assert [type_ for type_, _, _ in proxy.events.all] == ["DELEGATION_SENT", "DELEGATION_COMPLETE"]
        assert agent.bodies == []


@pytest.mark.covers("A2A-33")
async def test_a_report_ends_a_delegation_of_the_plane_and_a_later_answer_changes_nothing(client, workspaces):
    async with serve_agent(SlowAgent()) as slow:
        ada, bob = workspaces.make(slow), workspaces.make(slow)
        made = await client.delegate(ada, bob)
        await slow.asked.wait()
        await client.report(ada, made.delegation_id, "failed", error="gave up")
        slow.go.set()
        third = await client.delegate(ada, bob)
        await eventually(lambda: client.has_status(third, "completed"))
        found = await client.get(ada, made.delegation_id)
        assert (found.status, found.error, found.text) == ("failed", "gave up", "")


async def test_a_report_about_a_waiting_task_keeps_it_from_being_sent(client, workspaces):
    async with serve_agent(EchoAgent()) as agent:
        ada, bob = workspaces.make(agent), workspaces.make()
        made = await client.delegate(ada, bob)
        await client.report(ada, made.delegation_id, "completed", text="did it myself")
        workspaces.bring_online(bob, agent)
        other = await client.delegate(ada, bob, task="other")
        await eventually(lambda: client.has_status(other, "completed"))
        assert [json.loads(body)["params"]["message"]["parts"][0]["text"] for body in agent.bodies] == ["other"]
