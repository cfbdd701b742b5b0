from uuid import uuid4

import pytest
import sqlalchemy as sa

from services.a2a_proxy.model import StoredEvent, StoredEventType
from services.a2a_proxy.stored_events.relay import EVENTS_PER_CALL
from services.a2a_proxy.stored_events.store import StoredEvents
from services.a2a_proxy.stored_events.tables import OUTBOX
from tests.a2a_proxy.fake_gateway import TARGET
from tests.waiting import eventually


def build_event(number=0, workspace_id=TARGET):
    return StoredEvent(
        id=str(uuid4()), type=StoredEventType.CRON_EXECUTED, workspace_id=workspace_id, payload={"number": number}
    )


async def append(proxy, *events):
    async with proxy.store.begin() as tx:
        await StoredEvents(tx.connection).append(events)


async def count_waiting(proxy):
    async with proxy.store.begin() as tx:
        return await tx.connection.scalar(sa.select(sa.func.count()).select_from(OUTBOX))


async def is_empty(proxy):
    return await count_waiting(proxy) == 0


async def test_events_of_the_outbox_reach_the_registry_in_their_order(proxy):
    await append(proxy, *(build_event(number) for number in range(EVENTS_PER_CALL + 20)))

    await eventually(lambda: is_empty(proxy))

    assert [payload["number"] for _, _, payload in proxy.events.all] == list(range(EVENTS_PER_CALL + 20))
    assert {(kind, workspace) for kind, workspace, _ in proxy.events.all} == {("CRON_EXECUTED", TARGET)}
    assert max(len(call) for call in proxy.events.calls) == EVENTS_PER_CALL


async def test_events_of_a_transaction_that_fails_are_not_sent(proxy):
    async def fail_after_append():
        async with proxy.store.begin() as tx:
            await StoredEvents(tx.connection).append([build_event(1)])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_after_append()
    await append(proxy, build_event(2))

    await eventually(lambda: proxy.events.stored)

    assert [payload for _, _, payload in proxy.events.all] == [{"number": 2}]


async def test_events_are_sent_again_until_the_registry_answers(proxy):
    proxy.events.loses_answers = True
    event = build_event()
    await append(proxy, event)
    await eventually(lambda: len(proxy.events.calls) > 1)
    assert await count_waiting(proxy) == 1

    proxy.events.loses_answers = False

    await eventually(lambda: is_empty(proxy))
    assert list(proxy.events.stored) == [event.id]


async def test_an_event_that_the_registry_refuses_does_not_hold_up_the_others(proxy):
    gone = str(uuid4())
    proxy.events.refused.add(gone)
    await append(proxy, build_event(1, gone), build_event(2))

    await eventually(lambda: is_empty(proxy))

    assert [payload for _, _, payload in proxy.events.all] == [{"number": 2}]
