import asyncio
import json
from contextlib import aclosing
from uuid import uuid4

import pytest

from services.chassis.errors import InvalidArgument
from services.registry.feeds.event_log import PublishedEvent, ReplayDone
from services.registry.feeds.relayed_events import MAX_RELAYED_EVENTS, RelayedEvents
from services.registry.workspace.audiences import EVERYTHING, name_org_audience, name_workspace_audience
from services.registry.workspace.events import MAX_RELAYED_PAYLOAD_BYTES, RelayedEvent, RelayedEventType
from tests.registry.conftest import ADMIN


def build_event(workspace_id, **fields):
    values = {"id": str(uuid4()), "type": "CRON_EXECUTED", "payload": b'{"schedule_id":"s"}'} | fields
    return RelayedEvent(workspace_id=workspace_id, **values)


@pytest.fixture
def relayed(registry):
    return RelayedEvents(registry.store)


async def list_relayed(registry):
    return [event for event in await registry.events() if event.type in set(RelayedEventType)]


async def test_an_event_of_another_service_is_published_like_one_of_the_registry(registry, relayed):
    workspace = await registry.create(runtime="external")
    event = build_event(workspace.id)
    async with registry.following(), aclosing(registry.event_log.watch(0)) as watch:
        async with asyncio.timeout(10):
            async for update in watch:
                if isinstance(update, ReplayDone):
                    assert await relayed.record([event]) == []
                if isinstance(update, PublishedEvent):
                    break

    assert (update.event.id, update.event.workspace_id) == (event.id, workspace.id)
    assert json.loads(update.event.payload) == {"schedule_id": "s"}
    assert update.published_to == (EVERYTHING, name_org_audience(workspace.id), name_workspace_audience(workspace.id))


async def test_a_repeated_event_is_stored_once(registry, relayed):
    workspace = await registry.create(runtime="external")
    event = build_event(workspace.id)

    assert await relayed.record([event, event]) == []
    assert await relayed.record([event]) == []
    await asyncio.gather(*(RelayedEvents(registry.store).record([event]) for _ in range(5)))

    assert [one.id for one in await list_relayed(registry)] == [event.id]


async def test_events_keep_their_order_over_several_workspaces(registry, relayed):
    one, other = await registry.create(runtime="external"), await registry.create(runtime="external")
    events = [build_event(workspace.id) for workspace in (one, other, one, other)]

    await relayed.record(events)

    assert [event.id for event in await list_relayed(registry)] == [event.id for event in events]


async def test_events_that_can_never_be_stored_are_refused_and_the_others_stored(registry, relayed):
    workspace, removed = await registry.create(runtime="external"), await registry.create(runtime="external")
    await registry.removal.remove(ADMIN, removed.id, confirm=True, purge=False)
    known = build_event(workspace.id)
    refused = [
        build_event(workspace.id, type="WORKSPACE_ONLINE"),
        build_event(workspace.id, type="nonsense"),
        build_event(workspace.id, payload=b"[]"),
        build_event(workspace.id, payload=b"{"),
        build_event(workspace.id, payload=b'{"x":' * 20 + b"1" + b"}" * 20),
        build_event(workspace.id, payload=b'{"x":"%s"}' % (b"x" * MAX_RELAYED_PAYLOAD_BYTES)),
        build_event(workspace.id, id="no-uuid"),
        build_event(str(uuid4())),
        build_event(removed.id),
    ]

    assert await relayed.record([*refused, known]) == [event.id for event in refused]

    assert [event.id for event in await list_relayed(registry)] == [known.id]


async def test_one_call_takes_a_limited_number_of_events(registry, relayed):
    workspace = await registry.create(runtime="external")

    with pytest.raises(InvalidArgument, match="too many events"):
        await relayed.record([build_event(workspace.id)] * (MAX_RELAYED_EVENTS + 1))
    assert await list_relayed(registry) == []
