"""The messages that the plane itself sends, with a running proxy and real agents."""

import json
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from protos.registry.v1 import registry_pb2 as pb
from services.a2a_proxy.platform_messages.store import HandledInstanceStore
from services.a2a_proxy.queue.model import MessageState
from tests.a2a_proxy.fake_gateway import TARGET
from tests.a2a_proxy.queue.queue_agents import WorkingAgent, list_queued, wait_for_state
from tests.a2a_proxy.running_proxy import run_proxy, run_replica
from tests.agents import serve_agent
from tests.waiting import eventually

ONLINE = pb.WORKSPACE_STATUS_ONLINE
PROVISIONING = pb.WORKSPACE_STATUS_PROVISIONING
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
PROMPTED = pb.Brief(initial_prompt="read the plan, then begin")


@pytest.fixture
async def agent(proxy):
    async with serve_agent(WorkingAgent()) as agent:
        yield agent


async def find_handled(proxy, workspace_id=TARGET):
    async with proxy.queue.begin() as tx:
        return await HandledInstanceStore(tx.connection).find(workspace_id)


async def wait_for_generation(proxy, generation, workspace_id=TARGET):
    async def is_handled():
        handled = await find_handled(proxy, workspace_id)
        return handled is not None and handled.generation == generation

    await eventually(is_handled, within=10)


async def wait_for_completion(proxy, count):
    """Return the stored messages of the target once so many of them are completed."""

    async def are_completed():
        found = await list_queued(proxy)
        return found if [one.state for one in found] == [MessageState.COMPLETED] * count else None

    return await eventually(are_completed, within=15)


def restart(proxy, generation, **fields):
    """Have the instance of the target restart and come online again."""
    proxy.registry.set_workspace(
        TARGET, status=PROVISIONING, generation=generation, status_since=NOON, status_reason="restart_requested"
    )
    proxy.registry.set_workspace(TARGET, status=ONLINE, status_reason="registered", **fields)


def read_message(body):
    return json.loads(body)["params"]["message"]


@pytest.mark.covers("A2A-12", "PROV-38")
async def test_a_restarted_agent_that_was_busy_gets_one_notice_whose_caller_is_a_label(proxy, agent):
    agent.manner = "429"
    proxy.registry.set_workspace(TARGET, address=agent.url)
    await wait_for_generation(proxy, 1)

    restart(proxy, 2)
    await eventually(lambda: agent.bodies)
    [waiting] = await list_queued(proxy)
    assert (waiting.caller_id, waiting.caller_label) == (None, "system:restart-context")
    agent.manner = ""
    proxy.registry.send_heartbeat(TARGET)

    [notice] = await wait_for_completion(proxy, 1)
    message = read_message(agent.bodies[-1])
    assert message["messageId"] == f"restart-{TARGET}-2"
    assert message["metadata"] == {
        "source": "platform",
        "kind": "restart_context",
        "restart_context": True,
        "layer": 1,
    }
    assert "Restart: 2026-05-01T12:00:00Z (restart_requested)" in message["parts"][0]["text"]
    assert notice.expires_at is not None
    assert await proxy.list_activities(TARGET) == []


@pytest.mark.covers("PROV-38")
async def test_no_notice_is_sent_for_a_first_start_and_none_before_the_agent_is_online(proxy, agent):
    proxy.registry.set_workspace(TARGET, address=agent.url, status=PROVISIONING)
    proxy.registry.set_workspace(TARGET, status=pb.WORKSPACE_STATUS_FAILED)
    proxy.registry.set_workspace(TARGET, status=PROVISIONING, generation=2)
    proxy.registry.set_workspace(TARGET, status=ONLINE)
    await wait_for_generation(proxy, 2)
    proxy.registry.set_workspace(TARGET, status=PROVISIONING, generation=3)
    proxy.registry.set_workspace(TARGET, status=pb.WORKSPACE_STATUS_FAILED)
    other = str(uuid4())
    proxy.registry.set_workspace(other)
    await wait_for_generation(proxy, 1, other)

    assert await list_queued(proxy) == []
    assert (await find_handled(proxy)).generation == 2


async def test_the_initial_prompt_goes_to_the_first_instance_and_is_shown_in_the_activity(proxy, agent):
    proxy.registry.set_workspace(TARGET, address=agent.url, brief=PROMPTED)

    [prompt] = await wait_for_completion(proxy, 1)
    message = read_message(agent.bodies[0])
    assert message["parts"] == [{"kind": "text", "text": PROMPTED.initial_prompt}]
    assert message["metadata"] == {"source": "platform", "kind": "initial_prompt"}
    assert (prompt.caller_id, prompt.caller_label) == (None, "system:initial-prompt")
    rows = await proxy.list_activities(TARGET)
    assert {(row.activity_type, row.source_id) for row in rows} == {("a2a_receive", None)}
    assert rows[0].id == prompt.id
    assert PROMPTED.initial_prompt in rows[0].request_body

    restart(proxy, 2, brief=pb.Brief(initial_prompt="another prompt"))
    await wait_for_completion(proxy, 2)
    assert agent.message_ids == [f"initial-prompt-{TARGET}", f"restart-{TARGET}-2"]


async def test_restarts_of_the_proxy_and_a_second_replica_repeat_no_message(database_url):
    async with run_proxy(database_url) as proxy, serve_agent(WorkingAgent()) as agent:
        proxy.registry.set_workspace(TARGET, address=agent.url, brief=PROMPTED)
        await wait_for_completion(proxy, 1)
        async with run_replica(proxy) as second:
            restart(proxy, 2)
            await wait_for_completion(proxy, 2)
            proxy.stop.set()
            await proxy.stopped.wait()
            await forget_identities(proxy)
            restart(proxy, 3)
            await wait_for_completion(proxy, 3)
            async with run_replica(second):
                proxy.registry.break_feeds()
                marker = str(uuid4())
                restart(proxy, 4)
                proxy.registry.set_workspace(marker)
                await wait_for_generation(proxy, 1, marker)
                await wait_for_completion(proxy, 4)

        expected = [f"initial-prompt-{TARGET}", *(f"restart-{TARGET}-{generation}" for generation in (2, 3, 4))]
        assert agent.message_ids == expected


async def forget_identities(proxy):
    """Have the queue forget the identities of ended messages, as it does after a day."""
    async with proxy.queue.begin() as tx:
        await tx.connection.exec_driver_sql("UPDATE a2a_proxy.queued_messages SET identity = NULL")


async def test_a_notice_that_still_waits_is_dropped_when_the_instance_restarts_again(proxy, agent):
    agent.manner = "429"
    proxy.registry.set_workspace(TARGET, address=agent.url)
    await wait_for_generation(proxy, 1)
    restart(proxy, 2)
    await wait_for_generation(proxy, 2)
    [first] = await list_queued(proxy)
    proxy.registry.set_workspace(TARGET, status=PROVISIONING, generation=3)
    await wait_for_state(proxy, first.id, MessageState.QUEUED)

    # An agent that polls is sent nothing, so the first notice cannot be on its way when the second one comes.
    proxy.registry.set_workspace(TARGET, status=ONLINE, delivery_mode=pb.DELIVERY_MODE_POLL)

    await wait_for_generation(proxy, 3)
    handled = await find_handled(proxy)
    await wait_for_state(proxy, first.id, MessageState.DROPPED)
    await wait_for_state(proxy, handled.notice_id, MessageState.QUEUED)


async def test_a_purge_forgets_the_instance(proxy):
    proxy.registry.set_workspace(TARGET)
    await wait_for_generation(proxy, 1)

    proxy.registry.set_workspace(TARGET, status=pb.WORKSPACE_STATUS_REMOVED)
    await eventually(lambda: (TARGET, "") in proxy.registry.resolved)
    assert await find_handled(proxy) is not None
    record = proxy.registry.records.pop(TARGET)
    proxy.registry.announce(record)

    async def is_forgotten():
        return await find_handled(proxy) is None

    await eventually(is_forgotten, within=10)


async def test_a_purge_while_the_proxy_was_down_is_found_by_the_cleaning(database_url):
    async with run_proxy(database_url) as proxy:
        proxy.registry.set_workspace(TARGET)
        await wait_for_generation(proxy, 1)
        proxy.stop.set()
        await proxy.stopped.wait()
        del proxy.registry.records[TARGET]
        async with run_replica(proxy):

            async def is_forgotten():
                return await find_handled(proxy) is None

            await eventually(is_forgotten, within=10)
