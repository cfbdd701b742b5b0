import json
from datetime import timedelta

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from gateway.live_event import LiveEvent
from gateway.subscriptions import EndReason, EventSubscription, SubscriptionEnded

SOON = timedelta(seconds=0.01)


def news(event_id=None):
    return LiveEvent(type="T", workspace_id="w", payload=b'{"a":1}', at=Timestamp(seconds=1), event_id=event_id)


async def heard(listener):
    found = []
    while (one := await listener.next(SOON)) is not None:
        found.append(one.event_id)
    return found


async def test_news_is_heard_in_order_and_quiet_is_nothing():
    listener = EventSubscription(4, 0)
    for event_id in (1, None, 2):
        listener.hear(news(event_id))

    assert await heard(listener) == [1, None, 2]
    assert await listener.next(SOON) is None


async def test_what_was_heard_before_is_not_heard_again():
    listener = EventSubscription(9, 5)
    for event_id in (4, 5, 6, 6, 5, 7):
        listener.hear(news(event_id))

    assert await heard(listener) == [6, 7]


async def test_what_is_not_kept_gives_way_the_oldest_first():
    listener = EventSubscription(3, 0)
    for event_id in (None, 1, None, None, 2, 3):
        listener.hear(news(event_id))

    assert await heard(listener) == [1, 2, 3]


async def test_before_something_kept_would_be_lost_it_ends():
    listener = EventSubscription(2, 0)
    for event_id in (1, 2, 3, 4):
        listener.hear(news(event_id))

    with pytest.raises(SubscriptionEnded) as ended:
        await listener.next(SOON)
    assert ended.value.ending is EndReason.SLOW


async def test_the_first_reason_to_end_stays():
    listener = EventSubscription(1, 0)
    listener.end(EndReason.LEAVING)
    listener.end(EndReason.SLOW)
    listener.hear(news(1))

    with pytest.raises(SubscriptionEnded) as ended:
        await listener.next(SOON)
    assert ended.value.ending is EndReason.LEAVING


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 8), st.sets(st.integers(0, 39)))
async def test_kept_news_is_heard_without_a_gap_for_as_long_as_it_is_heard(kept, capacity, pauses):
    listener = EventSubscription(capacity, 0)
    found, told = [], []
    for number, is_kept in enumerate(kept, start=1):
        listener.hear(news(number if is_kept else None))
        told += [number] if is_kept else []
        try:
            while number not in pauses and (one := await listener.next(timedelta(0))) is not None:
                found += [] if one.event_id is None else [one.event_id]
        except SubscriptionEnded:
            break

    assert found == told[: len(found)]


@given(st.binary().map(lambda raw: {"text": raw.decode("latin-1")}), st.none() | st.integers(0, 2**62))
def test_frames_are_json_on_one_line(payload, event_id):
    one = LiveEvent(
        type="T", workspace_id="w", payload=json.dumps(payload).encode(), at=Timestamp(seconds=1), event_id=event_id
    )
    lines = one.chunk.split(b"\n")
    numbered = {} if event_id is None else {"event_id": event_id}

    assert lines[-2:] == [b"", b""]
    assert lines[:-3] == ([] if event_id is None else [b"id: %d" % event_id])
    assert json.loads(lines[-3].removeprefix(b"data: ")) == {"type": "T", "timestamp": 1000, "data": payload} | numbered
    assert (
        json.loads(one.text)
        == {
            "event": "T",
            "workspace_id": "w",
            "timestamp": "1970-01-01T00:00:01.000000Z",
            "payload": payload,
        }
        | numbered
    )
