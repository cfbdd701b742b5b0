import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from protos.registry.v1 import registry_pb2
from services.a2a_proxy.work import WorkTracker
from services.chassis.errors import Unavailable
from tests.a2a_proxy.fake_gateway import A_WORKSPACE, CALLER, TARGET, message_body, open_exchange
from tests.a2a_proxy.running_proxy import run_replica
from tests.agents import EchoAgent, SlowAgent, serve_agent
from tests.waiting import eventually

INTERLEAVINGS = 50


def place(proxy, address="", target=TARGET, **fields):
    proxy.registry.set_workspace(target, address=address, hibernates_when_idle=True, **fields)


def check(proxy, target=TARGET):
    """Mark a workspace as the registry does when it seems to be idle; return the revision of the mark."""
    proxy.registry.set_workspace(target, is_idle_checked=True)
    return proxy.registry.revision


def find_answers(proxy, revision):
    """The reports that answer a check."""
    return [report for report in proxy.lifecycle.reports if report.seen_revision >= revision]


def ages(report):
    return {notice.workspace_id: notice.age.ToTimedelta() for notice in report.notices}


async def answer(proxy, revision):
    """The first report that answers a check."""
    return (await eventually(lambda: find_answers(proxy, revision)))[0]


@asynccontextmanager
async def agent_of(proxy, agent=None):
    async with serve_agent(agent or EchoAgent()) as served:
        place(proxy, served.url)
        place(proxy, target=CALLER)
        yield served


@pytest.mark.covers("BEY-03")
async def test_a_message_is_work_of_its_sender_and_of_its_target_and_is_reported_once(proxy, gateway):
    async with agent_of(proxy):
        await gateway.send_message(message_body(), sender=A_WORKSPACE)
        first = ages(await answer(proxy, check(proxy)))
        proxy.registry.set_workspace(TARGET, is_idle_checked=False)
        second = ages(await answer(proxy, check(proxy)))

    assert set(first) == {TARGET, CALLER}
    assert max(first.values()) < timedelta(seconds=30)
    assert second == {}


@pytest.mark.covers("BEY-03")
async def test_a_message_that_its_agent_still_answers_is_work_in_hand(proxy, gateway):
    async with agent_of(proxy, SlowAgent()) as agent:
        await gateway.open(1, message_body())
        await asyncio.wait_for(agent.asked.wait(), 20)
        reported = ages(await answer(proxy, check(proxy)))
        agent.go.set()

    assert reported[TARGET] == timedelta()


@pytest.mark.covers("BEY-03")
async def test_a_message_that_waits_in_the_queue_is_work_in_hand(proxy, gateway):
    place(proxy, delivery_mode=registry_pb2.DELIVERY_MODE_POLL)
    await gateway.send_message(message_body())
    await answer(proxy, check(proxy))
    proxy.registry.set_workspace(TARGET, is_idle_checked=False)

    reported = ages(await answer(proxy, check(proxy)))

    assert reported == {TARGET: timedelta()}


async def test_the_sender_of_a_message_that_was_answered_is_reported_once_also_if_it_never_hibernates(proxy, gateway):
    async with agent_of(proxy):
        proxy.registry.set_workspace(CALLER, hibernates_when_idle=False)
        await gateway.send_message(message_body(), sender=A_WORKSPACE)
        await gateway.send_message(message_body())
        sent = await eventually(lambda: [notice for report in proxy.lifecycle.reports for notice in report.sent])
        await answer(proxy, check(proxy))

    assert [notice.workspace_id for notice in sent] == [CALLER]
    assert sent[0].age.ToTimedelta() < timedelta(seconds=30)
    assert sum(len(report.sent) for report in proxy.lifecycle.reports) == 1


async def test_a_message_that_is_refused_is_none_that_was_sent(proxy, gateway):
    place(proxy, target=CALLER)
    place(proxy, "http://127.0.0.1:1")
    proxy.registry.denied.add((CALLER, TARGET))
    await gateway.send_message(message_body(), sender=A_WORKSPACE)
    await answer(proxy, check(proxy))

    assert [report for report in proxy.lifecycle.reports if report.sent] == []


async def test_work_of_a_workspace_that_does_not_hibernate_is_not_reported(proxy, gateway):
    async with agent_of(proxy):
        proxy.registry.set_workspace(CALLER, hibernates_when_idle=False)
        await gateway.send_message(message_body(), sender=A_WORKSPACE)
        reported = ages(await answer(proxy, check(proxy)))

    assert set(reported) == {TARGET}


@pytest.mark.covers("BEY-03")
async def test_a_refused_message_is_no_work_of_its_target(proxy, gateway):
    async with agent_of(proxy):
        proxy.registry.denied.add((CALLER, TARGET))
        await gateway.send_message(message_body(), sender=A_WORKSPACE)
        reported = ages(await answer(proxy, check(proxy)))

    assert TARGET not in reported


@pytest.mark.covers("BEY-03")
async def test_heartbeats_and_changes_of_a_workspace_are_no_work(proxy, gateway):
    async with agent_of(proxy):
        proxy.registry.send_heartbeat(TARGET)
        proxy.registry.set_workspace(TARGET, monthly_spend=3)
        reported = ages(await answer(proxy, check(proxy)))

    assert reported == {}


@pytest.mark.covers("BEY-04")
async def test_a_message_during_the_check_is_stored_and_wakes(proxy, gateway):
    async with agent_of(proxy) as agent:
        await answer(proxy, check(proxy))

        frame = await gateway.send_message(message_body())
        await eventually(lambda: proxy.lifecycle.woken)
        before = list(agent.requests)
        proxy.registry.set_workspace(TARGET, is_idle_checked=False)
        await eventually(lambda: agent.requests)

    assert frame.head.status == 202
    assert before == []
    assert set(proxy.lifecycle.woken) == {TARGET}


@pytest.mark.covers("BEY-03")
async def test_what_a_failed_report_contained_is_in_the_next_one(proxy, gateway):
    async with agent_of(proxy):
        proxy.lifecycle.report_refusal = Unavailable()
        await gateway.send_message(message_body())
        revision = check(proxy)
        await eventually(lambda: proxy.lifecycle.refused_reports)
        proxy.lifecycle.report_refusal = None
        reported = ages(await answer(proxy, revision))

    assert TARGET in reported


async def test_every_replica_answers_a_check_and_one_that_stops_says_so(proxy):
    async with run_replica(proxy):
        place(proxy)
        revision = check(proxy)
        replicas = await eventually(lambda: len({one.replica_id for one in find_answers(proxy, revision)}) == 2)
    leaving = await eventually(lambda: [one for one in proxy.lifecycle.reports if one.is_leaving])

    assert replicas
    assert len(leaving) == 1


@pytest.mark.covers("BEY-03", "BEY-04")
async def test_a_message_that_races_the_check_is_reported_before_its_agent_gets_it_or_is_stored(proxy):
    """Whatever the interleaving, no message is at the agent that the answer to the check does not contain."""
    async with agent_of(proxy, SlowAgent()) as agent, open_exchange(proxy) as gateway:
        outcomes = set()
        for number in range(INTERLEAVINGS):
            arrived = len(agent.requests)
            proxy.lifecycle.reports.clear()

            async def send(call=number):
                for _ in range(call % 10):
                    await asyncio.sleep(0)
                await gateway.open(call + 1, message_body(message_id=f"m-{call}"))

            sending = asyncio.create_task(send())
            revision = check(proxy)
            reported = ages(await answer(proxy, revision))
            await sending
            is_reported = TARGET in reported
            reached = await eventually(
                lambda seen=arrived, call=number: (
                    "agent" if len(agent.requests) > seen else "queue" if gateway.count_frames(call + 1) else None
                )
            )
            outcomes.add((reached, is_reported))
            agent.go.set()
            proxy.registry.set_workspace(TARGET, is_idle_checked=False)
            await eventually(lambda call=number: gateway.count_frames(call + 1))
            await eventually(lambda seen=arrived: len(agent.requests) > seen)
            agent.go.clear()

    assert ("agent", False) not in outcomes
    assert outcomes


async def test_what_was_no_work_after_all_leaves_no_trace():
    work = WorkTracker()

    work.begin("w")
    in_hand = work.take()
    work.end("w", was_work=False)

    assert (in_hand, work.take()) == ({"w": timedelta()}, {})


async def test_of_overlapping_work_the_last_end_counts():
    work = WorkTracker()

    work.begin("w")
    with work.hold("w"):
        pass
    overlapping = work.take()
    work.end("w")
    after = work.take()
    work.put_back({"w": timedelta(hours=1)})
    work.note("w")

    assert overlapping == {"w": timedelta()}
    assert list(after) == ["w"]
    assert work.take()["w"] < timedelta(hours=1)
