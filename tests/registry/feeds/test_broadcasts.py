import asyncio
from contextlib import aclosing

import pytest

from services.registry.feeds import broadcasts as module
from services.registry.feeds.broadcasts import Broadcasts
from services.registry.workspace.events import Broadcast, BroadcastType
from services.registry.workspace.facts import HeartbeatReceived
from tests.registry.conftest import agent
from tests.waiting import eventually


async def beat(registry, workspace, **said):
    caller = agent(workspace.id, workspace.generation or None)
    await registry.heartbeat(caller, workspace.id, HeartbeatReceived(at=registry.clock.now(), **said))


async def told(registry, count):
    """A task that collects what is broadcast."""
    found = []

    async def listen():
        async with aclosing(registry.broadcasts.watch()) as watch:
            async for together in watch:
                found.extend(together)
                if len(found) >= count:
                    return found
        return found

    listening = asyncio.ensure_future(listen())
    await eventually(lambda: registry.broadcasts._listeners)
    return listening


@pytest.mark.covers("REG-23")
async def test_every_heartbeat_is_broadcast_and_none_is_stored(registry):
    workspace = await registry.online()
    stored = await registry.events()
    listening = await told(registry, 3)
    for _ in range(3):
        await beat(registry, workspace, active_tasks=2, uptime_seconds=9)

    assert [
        (one.type, one.workspace_id, dict(one.payload)) for one in await listening if one.type != "TASK_UPDATED"
    ] == [("WORKSPACE_HEARTBEAT", workspace.id, {"active_tasks": 2, "uptime_seconds": 9})] * 3
    assert await registry.events() == stored


@pytest.mark.covers("REG-24")
async def test_a_task_is_broadcast_when_it_is_another(registry):
    workspace = await registry.online()
    listening = await told(registry, 5)
    for task in ("a", "a", "b"):
        await beat(registry, workspace, current_task=task, active_tasks=1)
    tasks = [one.payload for one in await listening if one.type is BroadcastType.TASK_UPDATED]

    assert tasks == [{"active_tasks": 1, "current_task": "a"}, {"active_tasks": 1, "current_task": "b"}]
    assert "TASK_UPDATED" not in {event.type for event in await registry.events()}


@pytest.mark.covers("REG-32")
async def test_ten_healthy_heartbeats_store_nothing_and_a_bad_one_stores_one_event(registry):
    workspace = await registry.online()
    stored = len(await registry.events())
    for _ in range(10):
        await beat(registry, workspace)
    assert len(await registry.events()) == stored

    await asyncio.gather(*(beat(registry, workspace, error_rate=0.9) for _ in range(6)))
    assert [event.type for event in (await registry.events())[stored:]] == ["WORKSPACE_DEGRADED"]


async def test_old_news_is_not_broadcast(registry):
    workspace = await registry.online()
    listening = await told(registry, 1)
    stale = agent(workspace.id, workspace.generation - 1)
    await registry.heartbeat(stale, workspace.id, HeartbeatReceived(at=registry.clock.now(), current_task="late"))
    await beat(registry, workspace, current_task="now")

    assert [one.payload["current_task"] for one in await listening if "current_task" in one.payload] == ["now"]


async def test_a_listener_that_does_not_listen_misses_and_costs_no_more_than_its_backlog(clock):
    broadcasts = Broadcasts()
    one = Broadcast(type=BroadcastType.TASK_UPDATED, workspace_id="w", payload={}, at=clock.now())
    async with aclosing(broadcasts.watch()) as watch:
        first = asyncio.ensure_future(anext(watch))
        await eventually(lambda: broadcasts._listeners)
        for _ in range(module.BACKLOG + 10):
            broadcasts.tell(one)
        [listener] = broadcasts._listeners
        assert len(listener._unheard) == module.BACKLOG
        assert len(await first) == module.TOGETHER
    assert broadcasts._listeners == set()
