"""Tests of the stored queue on a real PostgreSQL: order, leases, fencing, identities and limits."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from services.a2a_proxy.model import Answer
from services.a2a_proxy.queue import rules
from services.a2a_proxy.queue.model import (
    Accepted,
    AlreadyAccepted,
    AttemptFailed,
    Change,
    Delivered,
    Full,
    IdReused,
    LeaseKind,
    MessageState,
    QueueLimits,
    Result,
    StillBusy,
    WaitReason,
)
from services.a2a_proxy.queue.tables import QUEUED_MESSAGES
from tests.a2a_proxy.queue.queue_factory import BODY, new_id, new_message
from tests.a2a_proxy.queue.queue_steps import accept, change, claim, execute, get, set_columns, settle

ANSWER = Answer(status=200, headers={"content-type": "application/json"}, body=b'{"result":{}}')

OK = Delivered(ANSWER, Result.OK)

LONG_AGO = datetime.now(UTC) - timedelta(hours=25)


@pytest.mark.covers("BEY-01")
async def test_an_accepted_message_is_stored_with_all_that_its_delivery_needs(store):
    target, caller = new_id(), new_id()
    message = new_message(
        target, "m", caller_id=caller, priority=3, is_idempotent=True, expires_in=timedelta(minutes=1)
    )

    assert await accept(store, message) == [Accepted(message.id, 1)]

    stored = await get(store, message.id)
    assert (stored.state, stored.target_id, stored.caller_id) == (MessageState.QUEUED, target, caller)
    assert (stored.body, stored.headers) == (BODY, {"accept": "application/json"})
    assert (stored.priority, stored.is_idempotent, stored.failures, stored.lease_generation) == (3, True, 0, 0)
    assert stored.expires_at is not None
    assert stored.expires_at - stored.accepted_at == timedelta(minutes=1)


@pytest.mark.covers("A2A-31")
async def test_messages_are_leased_by_priority_and_then_in_the_order_of_acceptance(store):
    target = new_id()
    messages = [new_message(target, priority=priority) for priority in (0, -1, 5, 0, 5)]
    await accept(store, *messages)
    await accept(store, new_message(new_id(), priority=9))

    first = await claim(store, target, limit=3)
    second = await claim(store, target, limit=3)

    order = [messages.index(next(m for m in messages if m.id == found.id)) for found in (*first, *second)]
    assert order == [2, 4, 0, 3, 1]
    assert all(found.lease_generation == 1 and found.lease_kind is LeaseKind.DISPATCH for found in first)


async def test_a_message_in_backoff_does_not_block_those_behind_it(store):
    target = new_id()
    waiting, due = new_message(target, not_before_in=timedelta(hours=1)), new_message(target)
    await accept(store, waiting, due)

    assert [found.id for found in await claim(store, target)] == [due.id]
    async with store.begin() as tx:
        assert timedelta(minutes=59) < await tx.find_next_due(target) <= timedelta(hours=1)


async def test_messages_that_are_due_do_not_hide_the_next_one_that_is_not(store):
    target = new_id()
    await accept(store, new_message(target), new_message(target, not_before_in=timedelta(hours=1)))

    async with store.begin() as tx:
        assert await tx.find_next_due(target) <= timedelta()
        assert await tx.find_next_due(target, is_later=True) > timedelta(minutes=59)


async def test_messages_are_leased_up_to_a_number_of_bytes_and_at_least_one(store):
    target = new_id()
    large = b'{"params":"%b"}' % (b"x" * 1000)
    messages = [new_message(target, body=large) for _ in range(5)]
    await accept(store, *messages)
    size = rules.measure(messages[0])

    assert len(await claim(store, target, max_bytes=1)) == 1
    assert len(await claim(store, target, max_bytes=3 * size - 1)) == 2
    left = await claim(store, target)
    assert [found.id for found in left] == [message.id for message in messages[3:]]
    assert all(found.lease_generation == 1 for found in left)


@pytest.mark.covers("A2A-31", "BEY-12")
async def test_two_replicas_lease_each_message_once(store):
    target, count = new_id(), 200
    messages = [new_message(target) for _ in range(count)]
    await accept(store, *messages)
    leased: list[str] = []

    async def take() -> None:
        while found := await claim(store, target, limit=4):
            leased.extend(message.id for message in found)

    await asyncio.gather(*(take() for _ in range(4)))

    assert len(leased) == count
    assert set(leased) == {message.id for message in messages}


@pytest.mark.covers("BEY-01")
async def test_a_writer_whose_lease_was_lost_changes_nothing(store):
    target = new_id()
    await accept(store, new_message(target))
    (early,) = await claim(store, target, lease=timedelta())
    async with store.begin() as tx:
        (expired,) = await tx.lock_expired_leases(limit=10)
        now = await tx.now()
        await tx.apply([Change(expired, rules.expire_lease(expired, repeatable=True, now=now, jitter=0))])
    await set_columns(store, [early.id], not_before=LONG_AGO)
    (late,) = await claim(store, target)

    assert await settle(store, early, OK) == []
    assert (await get(store, early.id)).state is MessageState.DISPATCHING
    assert len(await settle(store, late, OK)) == 1
    assert await settle(store, late, OK) == []
    assert (await get(store, early.id)).answer_body == ANSWER.body


@pytest.mark.parametrize(
    "result", [OK, StillBusy(), AttemptFailed("x", may_have_arrived=True)], ids=["delivered", "busy", "broken"]
)
async def test_a_result_that_is_stored_twice_changes_nothing_the_second_time(store, result):
    target = new_id()
    await accept(store, new_message(target))
    (leased,) = await claim(store, target)
    await settle(store, leased, result)
    before = await get(store, leased.id)

    assert await settle(store, leased, result) == []
    assert await get(store, leased.id) == before


async def test_a_renewed_lease_does_not_expire(store):
    target = new_id()
    await accept(store, new_message(target), new_message(target))
    kept, lost = await claim(store, target, lease=timedelta())

    async with store.begin() as tx:
        held = await tx.renew({kept.id: 1, lost.id: 7, new_id(): 1}, timedelta(seconds=30))
        found = await tx.lock_expired_leases(limit=10)

    assert held == {kept.id}
    assert [message.id for message in found] == [lost.id]


@pytest.mark.covers("A2A-28")
async def test_a_message_whose_time_is_over_is_not_leased_and_ends_as_expired(store):
    target = new_id()
    message = new_message(target, expires_in=timedelta(hours=1))
    await accept(store, message)
    await set_columns(store, [message.id], expires_at=LONG_AGO)

    assert await claim(store, target) == []
    async with store.begin() as tx:
        (found,) = await tx.lock_expired_messages(limit=10)
        await tx.apply([Change(found, rules.expire(found, now=await tx.now()))])

    ended = await get(store, message.id)
    assert (ended.state, ended.body, ended.dispatched_at) == (MessageState.EXPIRED, b"", None)


async def test_a_message_that_may_still_be_delivered_keeps_its_body_when_it_was_locked_without_it(store):
    target = new_id()
    await accept(store, new_message(target))
    (leased,) = await claim(store, target, lease=timedelta())

    async with store.begin() as tx:
        (found,) = await tx.lock_expired_leases(limit=10)
        now = await tx.now()
        await tx.apply([Change(found, rules.expire_lease(found, repeatable=False, now=now, jitter=0))])

    assert found.body == b""
    unknown = await get(store, leased.id)
    assert (unknown.state, unknown.body) == (MessageState.UNKNOWN, BODY)


@pytest.mark.covers("A2A-30")
async def test_two_concurrent_requests_with_the_same_id_store_one_message(store):
    target = new_id()

    for round_ in range(10):
        messages = [new_message(target, f"m-{round_}") for _ in range(2)]
        results = [found for (found,) in await asyncio.gather(*(accept(store, message) for message in messages))]

        assert {type(found) for found in results} == {Accepted, AlreadyAccepted}
        assert results[0].id == results[1].id


@pytest.mark.covers("A2A-30")
async def test_an_id_is_known_by_target_and_caller_until_a_day_after_the_end(store):
    target, caller = new_id(), new_id()
    first = new_message(target, "m", caller_id=caller)
    await accept(store, first)

    same, other_body, other_caller = await accept(
        store,
        new_message(target, "m", caller_id=caller),
        new_message(target, "m", caller_id=caller, body=b'{"params":{}}'),
        new_message(target, "m", caller_id=new_id()),
    )

    assert same == AlreadyAccepted(first.id, MessageState.QUEUED)
    assert other_body == IdReused()
    assert isinstance(other_caller, Accepted)

    await change(store, first.id, rules.drop, "")
    (known,) = await accept(store, new_message(target, "m", caller_id=caller))
    assert known == AlreadyAccepted(first.id, MessageState.DROPPED)

    await set_columns(store, [first.id], ended_at=LONG_AGO)
    (forgotten,) = await accept(store, new_message(target, "m", caller_id=caller))
    assert isinstance(forgotten, Accepted)
    assert forgotten.id != first.id


async def test_a_batch_that_is_stored_again_after_a_lost_answer_stores_nothing_twice(store):
    message = new_message(new_id(), "m")

    first = await accept(store, message)
    again = await accept(store, message)

    assert first == again == [Accepted(message.id, 1)]


async def test_the_limits_of_targets_and_callers_refuse_further_messages(store):
    target, caller = new_id(), new_id()
    limits = QueueLimits(max_per_target=2, max_per_caller=3, max_bytes_per_target=100_000)

    filled = await accept(store, *(new_message(target, caller_id=caller) for _ in range(3)), limits=limits)
    elsewhere = await accept(store, *(new_message(new_id(), caller_id=caller) for _ in range(2)), limits=limits)
    too_large = new_message(new_id(), body=b'{"params":"%b"}' % (b"x" * 100_000))

    assert [type(found) for found in filled] == [Accepted, Accepted, Full]
    assert [type(found) for found in elsewhere] == [Accepted, Full]
    assert await accept(store, too_large, limits=limits) == [Full()]

    (leased, _) = await claim(store, target)
    await settle(store, leased, OK)
    (room,) = await accept(store, new_message(target), limits=limits)
    assert isinstance(room, Accepted)


async def test_the_reason_why_messages_wait_is_stored_with_them(store):
    target = new_id()
    waiting, elsewhere = new_message(target), new_message(new_id())
    await accept(store, waiting, elsewhere)

    async with store.begin() as tx:
        await tx.note_waiting(target, WaitReason.WAKING, "no image", limit=10)

    noted = await get(store, waiting.id)
    assert (noted.reason, noted.last_error) == (WaitReason.WAKING, "no image")
    assert (await get(store, elsewhere.id)).last_error is None


async def test_room_ends_the_delays_of_busy_messages_and_of_no_others(store):
    target, later = new_id(), timedelta(hours=1)
    busy = new_message(target, reason=WaitReason.BUSY, not_before_in=later)
    polled = new_message(target, reason=WaitReason.POLL, not_before_in=later)
    await accept(store, busy, polled)

    async with store.begin() as tx:
        await tx.expedite(target, limit=10)

    assert [found.id for found in await claim(store, target)] == [busy.id]


async def test_targets_with_queued_messages_are_listed_once_each(store):
    targets = sorted(new_id() for _ in range(3))
    await accept(store, *(new_message(target) for target in [*targets, *targets]))
    await accept(store, ended := new_message(new_id()))
    await change(store, ended.id, rules.drop, "")

    async with store.begin() as tx:
        assert await tx.list_waiting_targets() == targets


async def test_pages_of_messages_are_without_bodies_and_the_newest_come_first(store):
    target = new_id()
    messages = [new_message(target) for _ in range(5)]
    await accept(store, *messages)
    await change(store, messages[1].id, rules.drop, "")

    async with store.begin() as tx:
        first = await tx.list_messages(targets=[target], states=[MessageState.QUEUED], before=None, limit=3)
        second = await tx.list_messages(targets=None, states=[], before=first[-1].seq, limit=3)

    assert [found.id for found in first] == [messages[place].id for place in (4, 3, 2)]
    assert [found.id for found in second] == [messages[place].id for place in (1, 0)]
    assert all(found.body == b"" for found in (*first, *second))


async def test_numbers_grow_in_the_order_of_commits(store):
    seen: list[int] = []
    target = new_id()

    async def store_some() -> None:
        for _ in range(10):
            await accept(store, new_message(target))

    async def read() -> None:
        while len(seen) < 40:
            async with store.begin() as tx:
                rows = await tx.list_identities(after=seen[-1] if seen else 0, limit=100)
            seen.extend(seq for seq, _, _ in rows)

    async with asyncio.timeout(20):
        await asyncio.gather(read(), *(store_some() for _ in range(4)))

    stored = await execute(store, sa.select(QUEUED_MESSAGES.c.seq))
    assert seen == sorted(row.seq for row in stored)


async def test_ids_are_forgotten_a_day_after_the_end_and_messages_erased_later(store):
    target = new_id()
    old, recent, open_ = (new_message(target, name) for name in ("old", "recent", "open"))
    await accept(store, old, recent, open_)
    for message in (old, recent):
        await change(store, message.id, rules.drop, "")
    await set_columns(store, [old.id], ended_at=LONG_AGO)

    async with store.begin() as tx:
        assert await tx.forget_identities(limit=10) == 1
        assert await tx.forget_identities(limit=10) == 0
        assert {row[2] for row in await tx.list_identities(after=0, limit=10)} == {
            None,
            recent.identity,
            open_.identity,
        }
        assert await tx.erase_ended(age=timedelta(days=2), limit=10) == 0
        assert await tx.erase_ended(age=timedelta(hours=24), limit=10) == 1
        assert await tx.get(old.id) is None


async def test_large_answers_are_erased_the_oldest_first(store):
    target = new_id()
    await accept(store, *(new_message(target) for _ in range(3)))
    for leased in await claim(store, target):
        await settle(store, leased, Delivered(replace(ANSWER, body=b"x" * 100), Result.OK))

    async with store.begin() as tx:
        assert await tx.list_large_answers(300, limit=10) == []
        assert await tx.list_large_answers(299, limit=10) == [target]
        assert await tx.erase_answers(target, limit=2) == 2
        answers = [
            (await tx.get(message.id)).answer_body
            for message in await tx.list_messages(targets=[target], states=[], before=None, limit=10)
        ]

    assert answers == [b"x" * 100, None, None]
