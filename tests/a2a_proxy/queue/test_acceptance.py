"""Tests of what a sender is answered: accepted, refused, or accepted before."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import sqlalchemy as sa

from protos.registry.v1 import registry_pb2 as pb
from services.a2a_proxy.queue.model import MessageState
from tests.a2a_proxy.fake_gateway import TARGET, decode_details, open_exchange
from tests.a2a_proxy.queue.queue_agents import ASYNC, STRICT, Sender, WorkingAgent, list_queued, wait_for_state
from tests.a2a_proxy.running_proxy import RunningProxy, run_proxy, run_replica
from tests.agents import DisconnectingAgent, serve_agent
from tests.waiting import eventually


@asynccontextmanager
async def refuse_inserts(proxy: RunningProxy) -> AsyncIterator[None]:
    """Let the database refuse every queued message for the length of the block, as a full one does."""
    function = "create function a2a_proxy.refuse() returns trigger language plpgsql as $$ begin"
    await _execute(proxy, f"{function} raise exception 'full' using errcode = '53100'; end $$")
    await _execute(
        proxy,
        "create trigger refuse before insert on a2a_proxy.queued_messages execute function a2a_proxy.refuse()",
    )
    try:
        yield
    finally:
        await _execute(proxy, "drop trigger refuse on a2a_proxy.queued_messages")
        await _execute(proxy, "drop function a2a_proxy.refuse")


async def _execute(proxy: RunningProxy, statement: str) -> None:
    async with proxy.queue.begin() as tx:

        async def run(connection) -> None:
            await connection.execute(sa.text(statement))

        await tx.run(run)


@pytest.mark.covers("A2A-26")
async def test_a_busy_message_that_cannot_be_stored_is_refused_as_busy(proxy, sender):
    async with serve_agent(WorkingAgent(manner="429")) as agent, refuse_inserts(proxy):
        proxy.registry.set_workspace(TARGET, address=agent.url)

        refused = (await sender.send("m")).refused

        assert refused.reason == "AGENT_BUSY"
        assert refused.message == "workspace agent busy — retry after a short backoff"
        assert refused.retry_in.seconds == 30
        assert "native_session" not in decode_details(refused)
        assert await list_queued(proxy) == []


@pytest.mark.covers("A2A-27")
async def test_a_busy_agent_with_a_session_of_its_own_gets_nothing_queued(proxy, sender):
    async with serve_agent(WorkingAgent(manner="429")) as agent:
        declared = pb.Declarations(capabilities={"session": True})
        proxy.registry.set_workspace(TARGET, address=agent.url, declarations=declared)

        refused = (await sender.send("m")).refused

        assert decode_details(refused)["native_session"] is True
        assert await list_queued(proxy) == []
        (row,) = await eventually(lambda: proxy.list_activities(TARGET))
        assert row.status == "error"


async def test_a_sender_that_wants_nothing_stored_learns_that_the_agent_is_busy(proxy, sender):
    async with serve_agent(WorkingAgent(manner="429")) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)

        assert (await sender.send("m", headers=STRICT)).refused.reason == "AGENT_BUSY"
        assert await list_queued(proxy) == []


async def test_a_paused_target_gets_only_the_messages_whose_senders_do_not_wait(proxy, sender):
    proxy.registry.set_workspace(TARGET, status=pb.WORKSPACE_STATUS_PAUSED)

    assert (await sender.send("now")).refused.message == "workspace is paused"
    head = (await sender.send("later", headers=ASYNC)).head

    assert head.status == 202
    (stored,) = await list_queued(proxy)
    assert stored.id == json.loads(head.body)["queue_id"]


async def test_a_sender_that_does_not_wait_is_answered_before_the_agent_is(proxy, sender):
    async with serve_agent(WorkingAgent()) as agent:
        agent.may_answer.clear()
        proxy.registry.set_workspace(TARGET, address=agent.url)

        head = (await sender.send("m", headers=ASYNC)).head

        assert (head.status, head.headers["preference-applied"]) == (202, "respond-async")
        await eventually(lambda: agent.message_ids == ["m"])
        agent.may_answer.set()
        await wait_for_state(proxy, json.loads(head.body)["queue_id"], MessageState.COMPLETED)


@pytest.mark.covers("A2A-30")
async def test_a_message_that_was_accepted_before_is_answered_with_the_first_one(proxy, sender):
    async with serve_agent(WorkingAgent()) as agent:
        proxy.registry.set_workspace(TARGET, status=pb.WORKSPACE_STATUS_PAUSED)
        first = await sender.queue("m", headers=ASYNC)

        again = (await sender.send("m", headers=ASYNC)).head
        reused = (await sender.send("m", headers=ASYNC, text="other")).refused

        expected = {"queued": True, "queue_id": first, "status": "queued", "idempotent_hit": True}
        assert (again.status, json.loads(again.body)) == (202, expected)
        assert reused.message == "message id reused with different content"
        proxy.registry.set_workspace(TARGET, status=pb.WORKSPACE_STATUS_ONLINE, address=agent.url)
        await wait_for_state(proxy, first, MessageState.COMPLETED)

        ended = (await sender.send("m")).head

        expected |= {"queued": False, "status": "completed"}
        assert (ended.status, json.loads(ended.body)) == (200, expected)
        assert agent.message_ids == ["m"]


@pytest.mark.covers("A2A-30")
async def test_concurrent_messages_with_the_same_id_share_one_row(proxy, sender):
    proxy.registry.set_workspace(TARGET, status=pb.WORKSPACE_STATUS_PROVISIONING)

    calls = [await sender.start("m") for _ in range(10)]
    replies = [json.loads((await sender.read(call)).head.body) for call in calls]

    assert len({reply["queue_id"] for reply in replies}) == 1
    assert sum("idempotent_hit" in reply for reply in replies) == 9
    assert len(await list_queued(proxy)) == 1


@pytest.mark.parametrize("is_idempotent", [True, False])
async def test_after_an_ambiguous_break_only_a_repeatable_message_is_queued(proxy, sender, is_idempotent):
    async with serve_agent(DisconnectingAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url)

        frame = await sender.send("m", is_idempotent=is_idempotent)

        if is_idempotent:
            assert frame.head.status == 202
            assert len(await list_queued(proxy)) == 1
        else:
            assert decode_details(frame.refused)["delivery"] == "unknown"
            assert await list_queued(proxy) == []


async def test_a_repeatable_message_that_broke_and_cannot_be_stored_is_reported_as_unknown(proxy, sender):
    async with serve_agent(DisconnectingAgent()) as agent, refuse_inserts(proxy):
        proxy.registry.set_workspace(TARGET, address=agent.url)

        refused = (await sender.send("m", is_idempotent=True)).refused

        assert decode_details(refused)["delivery"] == "unknown"


async def test_a_full_queue_refuses_further_messages_as_busy(database_url):
    async with run_proxy(database_url, queue_max_messages_per_target=2) as proxy, open_exchange(proxy) as gateway:
        sender = Sender(gateway)
        async with serve_agent(WorkingAgent(manner="429")) as agent:
            proxy.registry.set_workspace(TARGET, address=agent.url)
            for name in ("first", "second"):
                await sender.queue(name)

            assert (await sender.send("third")).refused.reason == "AGENT_BUSY"
            assert len(await list_queued(proxy)) == 2


@pytest.mark.covers("A2A-30")
async def test_another_replica_knows_the_messages_that_were_accepted(proxy, sender):
    proxy.registry.set_workspace(TARGET, status=pb.WORKSPACE_STATUS_PROVISIONING)
    async with run_replica(proxy) as replica, open_exchange(replica) as gateway:
        first, other_sender = await sender.queue("m"), Sender(gateway)

        other = await other_sender.send("m")

        assert json.loads(other.head.body)["queue_id"] == first
        async with serve_agent(WorkingAgent()) as agent:
            proxy.registry.set_workspace(TARGET, status=pb.WORKSPACE_STATUS_ONLINE, address=agent.url)
            await wait_for_state(proxy, first, MessageState.COMPLETED)
            ended = json.loads((await other_sender.send("m")).head.body)
            assert (ended["status"], ended["idempotent_hit"]) == ("completed", True)
            assert agent.message_ids == ["m"]
