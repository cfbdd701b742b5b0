"""Tests of the accounts: every accepted message is counted in exactly one state, whatever happens."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from services.a2a_proxy.queue import rules
from services.a2a_proxy.queue.model import (
    HELD_STATES,
    AttemptFailed,
    Change,
    Delivered,
    LeaseKind,
    MessageState,
    QueueLimits,
    Result,
    StillBusy,
    Undeliverable,
)
from services.a2a_proxy.queue.tables import QUEUE_CALLERS, QUEUE_TARGETS, QUEUED_MESSAGES
from tests.a2a_proxy.queue.queue_factory import new_id, new_message
from tests.a2a_proxy.queue.queue_steps import accept, change, claim, execute, set_columns, settle

LONG_AGO = datetime.now(UTC) - timedelta(days=30)

LIMITS = QueueLimits(max_per_target=12, max_per_caller=20, max_bytes_per_target=1_000_000)

RESULTS = [
    Delivered(None, Result.OK),
    StillBusy(),
    AttemptFailed("broke", may_have_arrived=True),
    AttemptFailed("refused", may_have_arrived=False),
    Undeliverable("denied"),
]


class RandomQueue:
    """Does to a stored queue what proxies, agents and operators do, in a random order."""

    def __init__(self, store, seed: int) -> None:
        self._store = store
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._targets = [new_id() for _ in range(3)]
        self._callers = [None, new_id(), new_id()]
        self._leased = []
        self.steps = [self.accept, self.claim, self.settle, self.lose_leases, self.expire, self.act, self.erase]

    async def run(self, count: int) -> None:
        for _ in range(count):
            await self._random.choices(self.steps, weights=[4, 4, 6, 1, 1, 2, 1])[0]()

    async def accept(self) -> None:
        callers = self._random.choices(self._callers, k=4)
        ids = self._random.choices([None, "a", "b", "c"], k=4)
        target = self._random.choice(self._targets)
        messages = [new_message(target, id_, caller_id=caller) for caller, id_ in zip(callers, ids, strict=True)]
        await accept(self._store, *messages, limits=LIMITS)

    async def claim(self) -> None:
        kind = self._random.choice(list(LeaseKind))
        self._leased += await claim(self._store, self._random.choice(self._targets), limit=3, kind=kind)

    async def settle(self) -> None:
        if self._leased:
            leased = self._random.choice(self._leased)  # it may have been settled, or its lease lost
            for change_ in await settle(self._store, leased, self._random.choice(RESULTS)):
                await set_columns(self._store, [change_.after.id], not_before=LONG_AGO)

    async def lose_leases(self) -> None:
        async with self._store.begin() as tx:
            await tx.renew({leased.id: leased.lease_generation for leased in self._leased[::2]}, timedelta())
            found = await tx.lock_expired_leases(limit=2)
            now = await tx.now()
            for message in found:
                after = rules.expire_lease(message, repeatable=self._random.random() < 0.5, now=now, jitter=0)
                await tx.apply([Change(message, after)])

    async def expire(self) -> None:
        async with self._store.begin() as tx:
            found = await tx.lock_messages(states=frozenset({MessageState.QUEUED}), limit=2)
            now = await tx.now()
            await tx.apply([Change(message, rules.expire(message, now=now)) for message in found])

    async def act(self) -> None:
        """Have an operator requeue, resolve or drop what needs it."""
        async with self._store.begin() as tx:
            states = frozenset({MessageState.DEAD, MessageState.UNKNOWN})
            found = await tx.lock_messages(states=states, limit=1)
            now = await tx.now()
            for message in found:
                match self._random.randrange(3):
                    case 0:
                        after = rules.requeue(message, now=now)
                    case 1:
                        after = rules.resolve(message, "", now=now)
                    case _:
                        after = rules.drop(message, "", now=now)
                await tx.apply([Change(message, after)])

    async def erase(self) -> None:
        async with self._store.begin() as tx:
            await tx.erase_ended(age=timedelta(), limit=3)

    async def purge(self) -> None:
        async with self._store.begin() as tx:
            while await tx.purge(self._callers[1], limit=5) == 5:
                pass


async def check_counters(store) -> None:
    """Compare the counters with what the rows say."""
    rows = await execute(store, sa.select(QUEUED_MESSAGES))
    held = [row for row in rows if row.state in HELD_STATES]
    targets = {row.target_id: row for row in await execute(store, sa.select(QUEUE_TARGETS))}
    counted = Counter(row.target_id for row in held)
    sizes = Counter()
    for row in held:
        sizes[row.target_id] += row.size
    assert {id_: row.held for id_, row in targets.items()} == {id_: counted[id_] for id_ in targets}
    assert {id_: row.held_bytes for id_, row in targets.items()} == {id_: sizes[id_] for id_ in targets}
    callers = {row.caller_id: row.held for row in await execute(store, sa.select(QUEUE_CALLERS))}
    assert callers == {id_: Counter(row.caller_id for row in held)[id_] for id_ in callers}
    async with store.begin() as tx:
        accounts = await tx.read_accounts(None)
    assert {account.target_id for account in accounts} == set(targets)
    for account in accounts:
        assert account.is_balanced, account
    assert sum(account.counts[state] for account in accounts for state in HELD_STATES) == len(held)


@pytest.mark.covers("BEY-01")
@pytest.mark.parametrize("seed", range(3))
async def test_the_accounts_balance_whatever_happens(store, seed):
    queue = RandomQueue(store, seed)

    for _ in range(4):
        await queue.run(15)
        await check_counters(store)
    await queue.purge()
    await check_counters(store)


async def test_erased_messages_stay_in_the_accounts(store):
    target = new_id()
    await accept(store, *(new_message(target) for _ in range(3)))
    first, second, _ = await claim(store, target)
    await settle(store, first, Delivered(None, Result.OK))
    await change(store, second.id, rules.drop, "")

    async with store.begin() as tx:
        assert await tx.erase_ended(age=timedelta(), limit=10) == 2
        (account,) = await tx.read_accounts([target])

    assert (account.accepted, account.is_balanced) == (3, True)
    assert {state: count for state, count in account.counts.items() if count} == {
        MessageState.COMPLETED: 1,
        MessageState.DROPPED: 1,
        MessageState.DISPATCHING: 1,
    }


async def test_a_purge_erases_what_a_workspace_received_and_sent_and_nothing_else(store):
    gone, target, other = new_id(), new_id(), new_id()
    received, sent = new_message(gone), new_message(target, caller_id=gone)
    kept = new_message(target, caller_id=other)
    await accept(store, received, sent, kept)

    async with store.begin() as tx:
        assert await tx.purge(gone, limit=1) == 1
        assert await tx.purge(gone, limit=1) == 1
        assert await tx.purge(gone, limit=1) == 0
        left = await tx.list_messages(targets=None, states=[], before=None, limit=10)
        accounts = await tx.read_accounts(None)

    assert [message.id for message in left] == [kept.id]
    (account,) = accounts
    assert (account.target_id, account.accepted, account.is_balanced) == (target, 2, True)
    assert account.counts[MessageState.DROPPED] == 1
    await check_counters(store)


async def test_the_accounts_of_one_target_are_read_alone(store):
    target = new_id()
    await accept(store, new_message(target), new_message(new_id()))

    async with store.begin() as tx:
        (account,) = await tx.read_accounts([target])
        assert await tx.read_accounts([]) == []

    assert (account.target_id, account.accepted) == (target, 1)
