import json
from dataclasses import replace
from datetime import timedelta

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from gateway.live_event import LiveEvent
from gateway.subscriptions import MAX_UNREAD_BROADCAST_BYTES, EndReason, EventSubscription, SubscriptionEnded

SHORT_TIMEOUT = timedelta(seconds=0.01)


def live_event(event_id=None):
    return LiveEvent(type="T", workspace_id="w", payload=b'{"a":1}', at=Timestamp(seconds=1), event_id=event_id)


async def read_all(subscription):
    found = []
    while (event := await subscription.next(SHORT_TIMEOUT)) is not None:
        found.append(event.event_id)
    return found


async def test_events_are_read_in_order_and_a_quiet_queue_returns_none():
    subscription = EventSubscription(4, 0)
    for event_id in (1, None, 2):
        subscription.put(live_event(event_id))

    assert await read_all(subscription) == [1, None, 2]
    assert await subscription.next(SHORT_TIMEOUT) is None


async def test_a_stored_event_that_the_client_knows_is_ignored():
    subscription = EventSubscription(9, 5)
    for event_id in (4, 5, 6, 6, 5, 7):
        subscription.put(live_event(event_id))

    assert await read_all(subscription) == [6, 7]


async def test_in_a_full_queue_the_oldest_broadcast_gives_way_to_a_stored_event():
    subscription = EventSubscription(3, 0)
    for event_id in (None, 1, None, None, 2, 3):
        subscription.put(live_event(event_id))

    assert await read_all(subscription) == [1, 2, 3]


async def test_a_client_that_does_not_read_large_broadcasts_misses_further_ones_and_no_stored_event():
    subscription = EventSubscription(64, 0)
    large = replace(live_event(), payload=b"x" * (MAX_UNREAD_BROADCAST_BYTES // 3))
    for event in (large, large, live_event(1), large, large, live_event(), live_event(2)):
        subscription.put(event)
    assert await read_all(subscription) == [None, None, 1, None, None, 2]

    for event in (large, large, large, large, large):  # what was read has made room again
        subscription.put(event)
    assert len(await read_all(subscription)) == 4


async def test_a_large_broadcast_that_gave_way_to_a_stored_event_makes_room():
    subscription = EventSubscription(2, 0)
    large = replace(live_event(), payload=b"x" * MAX_UNREAD_BROADCAST_BYTES)
    for event in (large, live_event(1), live_event(2)):
        subscription.put(event)

    assert await read_all(subscription) == [1, 2]
    subscription.put(large)
    assert await read_all(subscription) == [None]


async def test_a_full_queue_of_stored_events_ends_the_subscription():
    subscription = EventSubscription(2, 0)
    for event_id in (1, 2, 3, 4):
        subscription.put(live_event(event_id))

    with pytest.raises(SubscriptionEnded) as ended:
        await subscription.next(SHORT_TIMEOUT)
    assert ended.value.reason is EndReason.TOO_SLOW


async def test_the_first_reason_to_end_counts():
    subscription = EventSubscription(1, 0)
    subscription.end(EndReason.GATEWAY_LEAVING)
    subscription.end(EndReason.TOO_SLOW)
    subscription.put(live_event(1))

    with pytest.raises(SubscriptionEnded) as ended:
        await subscription.next(SHORT_TIMEOUT)
    assert ended.value.reason is EndReason.GATEWAY_LEAVING


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 8), st.sets(st.integers(0, 39)))
async def test_stored_events_are_read_without_a_gap_until_the_subscription_ends(kept, capacity, pauses):
    subscription = EventSubscription(capacity, 0)
    found, sent = [], []
    for number, is_kept in enumerate(kept, start=1):
        subscription.put(live_event(number if is_kept else None))
        sent += [number] if is_kept else []
        try:
            while number not in pauses and (event := await subscription.next(timedelta(0))) is not None:
                found += [] if event.event_id is None else [event.event_id]
        except SubscriptionEnded:
            break

    assert found == sent[: len(found)]


@given(st.binary().map(lambda raw: {"text": raw.decode("latin-1")}), st.none() | st.integers(0, 2**62))
def test_frames_are_json_on_one_line(payload, event_id):
    event = LiveEvent(
        type="T", workspace_id="w", payload=json.dumps(payload).encode(), at=Timestamp(seconds=1), event_id=event_id
    )
    lines = event.sse_frame.split(b"\n")
    numbered = {} if event_id is None else {"event_id": event_id}

    assert lines[-2:] == [b"", b""]
    assert lines[:-3] == ([] if event_id is None else [b"id: %d" % event_id])
    assert json.loads(lines[-3].removeprefix(b"data: ")) == {"type": "T", "timestamp": 1000, "data": payload} | numbered
    assert (
        json.loads(event.websocket_frame)
        == {
            "event": "T",
            "workspace_id": "w",
            "timestamp": "1970-01-01T00:00:01.000000Z",
            "payload": payload,
        }
        | numbered
    )
