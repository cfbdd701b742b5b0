"""Tests of stored targets and notifications on a real PostgreSQL: order, leases, limits and retention."""

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from molecule_a2a.model import Dialect
from services.a2a_proxy.app import service
from services.a2a_proxy.errors import InvalidNotification, PushTargetNotFound, TooManyNotifications
from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.push.model import BusyOwners, ClaimedNotification, PushTarget, WaitingLimits
from services.a2a_proxy.push.reception import PushReception
from services.a2a_proxy.push.retention import PushRetention
from services.a2a_proxy.push.sealing import build_digest
from services.a2a_proxy.push.store import PushStore
from services.a2a_proxy.push.tables import PUSH_NOTIFICATIONS, PUSH_TARGETS
from tests import databases

TARGET, OTHER, OWNER = (WorkspaceId(str(uuid4())) for _ in range(3))

LEASE = timedelta(minutes=1)


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    async with databases.open_empty_database(database_url, service) as engine:
        yield engine


@pytest.fixture
def store(engine: AsyncEngine) -> PushStore:
    return PushStore(engine)


async def add(store: PushStore, **fields) -> str:
    """Store a target of the task `t`; returns its secret."""
    secret = os.urandom(32).hex()[:43]
    values = {"target_id": TARGET, "owner_id": OWNER, "task_id": "t", "config_id": None} | fields
    target = PushTarget(digest=build_digest(secret), dialect=Dialect.LEGACY, sealed=b"sealed", **values)
    async with store.begin() as tx:
        await tx.add([target])
    return secret


def receive(store: PushStore, limits: WaitingLimits | None = None, *, known_owner: bool = True) -> PushReception:
    async def may_be_owner(*_: object) -> bool:
        return known_owner

    return PushReception(store, may_be_owner=may_be_owner, on_stored=lambda: None, limits=limits)


def body(state: str = "working", task_id: str = "t") -> bytes:
    return f'{{"kind":"task","id":"{task_id}","contextId":"c","status":{{"state":"{state}"}}}}'.encode()


IDLE = BusyOwners()


async def claim(store: PushStore, *, busy: BusyOwners = IDLE, lease: timedelta = LEASE) -> ClaimedNotification | None:
    async with store.begin() as tx:
        return await tx.claim(busy=busy, lease=lease)


async def count(engine: AsyncEngine, table: sa.Table = PUSH_TARGETS) -> int:
    async with engine.connect() as connection:
        return await connection.scalar(sa.select(sa.func.count()).select_from(table))


async def test_notifications_of_a_target_are_claimed_one_at_a_time_in_their_order(store):
    secret, reception = await add(store), receive(store)
    for state in ("submitted", "working", "completed"):
        await reception.receive(secret, body(state))

    for state in ("submitted", "working", "completed"):
        claimed = await claim(store)
        assert claimed is not None
        assert state.encode() in claimed.body
        assert await claim(store) is None
        async with store.begin() as tx:
            await tx.postpone(claimed, timedelta())
        again = await claim(store)
        assert again is not None
        assert (again.seq, again.failures) == (claimed.seq, 1)
        async with store.begin() as tx:
            await tx.finish(again)
    assert await claim(store) is None


async def test_a_notification_whose_lease_has_ended_is_claimed_again(store):
    await receive(store).receive(await add(store), body())

    first, second = await claim(store, lease=timedelta()), await claim(store)

    assert first is not None
    assert second is not None
    assert first.seq == second.seq


@pytest.mark.parametrize(
    "owner", [{"owner_id": None, "owner_token_id": "token"}, {"owner_id": None}, {"owner_id": OTHER}]
)
async def test_other_owners_do_not_wait_for_a_busy_one(store, owner):
    reception = receive(store)
    await reception.receive(await add(store), body())
    await reception.receive(await add(store, **owner), body())

    claimed = await claim(store, busy=BusyOwners(all=(OWNER,)))

    assert claimed is not None
    assert (claimed.target.owner_id, claimed.target.owner_token_id) == (owner["owner_id"], owner.get("owner_token_id"))
    assert await claim(store, busy=BusyOwners(all=(OWNER,))) is None


@pytest.mark.parametrize("busy", [BusyOwners(failing=(OWNER,)), BusyOwners(has_room_for_failing=False)])
async def test_receivers_that_failed_wait_for_room_of_their_own_and_others_do_not(store, busy):
    reception = receive(store)
    await reception.receive(await add(store), body())
    failed = await claim(store)
    assert failed is not None
    async with store.begin() as tx:
        await tx.postpone(failed, timedelta(seconds=-1))
    await reception.receive(await add(store, task_id="t2"), body(task_id="t2"))

    fresh = await claim(store, busy=busy)
    assert fresh is not None
    assert fresh.target.task_id == "t2"
    assert await claim(store, busy=busy) is None
    again = await claim(store)
    assert again is not None
    assert again.seq == failed.seq


async def test_a_notification_that_comes_while_another_is_sent_is_due_afterwards(store):
    secret, reception = await add(store), receive(store)
    await reception.receive(secret, body("working"))
    claimed = await claim(store)
    assert claimed is not None
    await reception.receive(secret, body("completed"))

    async with store.begin() as tx:
        await tx.finish(claimed)

    following = await claim(store)
    assert following is not None
    assert b"completed" in following.body
    assert following.failures == 0


@pytest.mark.parametrize(
    "limits",
    [
        WaitingLimits(per_target=2),
        WaitingLimits(per_workspace=2),
        WaitingLimits(bytes_per_workspace=2 * len(body()) + 20),
    ],
)
async def test_waiting_notifications_are_limited(store, limits):
    secret, reception = await add(store), receive(store, limits)
    for _ in range(2):
        await reception.receive(secret, body())

    with pytest.raises(TooManyNotifications):
        await reception.receive(secret, body())
    await receive(store, limits).receive(await add(store, target_id=OTHER), body())


async def test_the_first_notification_says_which_task_it_is_unless_another_caller_owns_it(store):
    secret = await add(store, task_id=None)
    with pytest.raises(InvalidNotification):
        await receive(store, known_owner=False).receive(secret, body())

    await receive(store).receive(secret, body())

    with pytest.raises(InvalidNotification):
        await receive(store).receive(secret, body(task_id="another"))


async def make_room(store: PushStore, *, added: int, most: int, **fields) -> bool:
    values = {"target_id": TARGET, "owner_id": OWNER, "task_id": "t", "config_id": None} | fields
    target = PushTarget(digest=b"", dialect=Dialect.LEGACY, sealed=b"", **values)
    async with store.begin() as tx:
        return await tx.make_room(target, added=added, most=most)


@pytest.mark.covers("HOS-15")
async def test_an_owner_has_no_more_targets_than_it_may_and_only_unused_ones_make_room(store, engine):
    first, second = await add(store), await add(store)
    await add(store, owner_id=None)

    assert await make_room(store, added=1, most=3)
    assert not await make_room(store, added=2, most=3)
    assert await make_room(store, added=2, most=3, owner_id=None)
    assert await count(engine) == 3
    async with engine.begin() as connection:
        await connection.execute(sa.update(PUSH_TARGETS).values(seen_at=sa.func.now() - timedelta(hours=2)))
    await receive(store).receive(first, body())  # it is used, and something waits for it
    assert await make_room(store, added=2, most=3)
    await receive(store).check(first)
    with pytest.raises(PushTargetNotFound):
        await receive(store).check(second)
    assert not await make_room(store, added=3, most=3)


async def test_old_targets_are_erased_with_what_waits_for_them(store, engine):
    old, _ = await add(store), await add(store)
    await receive(store).receive(old, body())
    async with engine.begin() as connection:
        aged = sa.update(PUSH_TARGETS).where(PUSH_TARGETS.c.digest == build_digest(old))
        await connection.execute(aged.values(seen_at=sa.func.now() - timedelta(days=8)))

    await PushRetention(store, age=timedelta(days=7)).clean()

    assert (await count(engine), await count(engine, PUSH_NOTIFICATIONS)) == (1, 0)


async def test_configs_that_replace_each_other_at_the_same_time_leave_one(store, engine):
    for number in range(50):
        digests = [build_digest(await add(store, task_id=f"t{number}")) for _ in range(2)]

        async def name(digest: bytes, task_id: str) -> None:
            async with store.begin() as tx:
                await tx.name(TARGET, [digest], task_id=task_id, config_id="c")

        await asyncio.gather(*(name(digest, f"t{number}") for digest in digests))

        async with store.begin() as tx:
            assert len(await tx.find(digests)) == 1
    assert await count(engine) == 50


@pytest.mark.parametrize("purged", [TARGET, OWNER], ids=["target", "owner"])
async def test_a_purged_workspace_leaves_no_targets(store, engine, purged):
    await add(store)
    await add(store, target_id=OTHER, owner_id=None)

    await PushRetention(store, age=timedelta(days=7)).purge(purged)

    assert await count(engine) == 1


async def test_an_outcome_that_comes_after_the_lease_changes_nothing_and_holds_up_no_other_target(store, engine):
    late, other = await add(store), await add(store, task_id="u")
    await receive(store).receive(late, body())
    first = await claim(store, lease=timedelta())
    second = await claim(store)
    async with store.begin() as tx:
        await tx.finish(second)
    await receive(store).receive(late, body("completed"))
    third = await claim(store)
    assert third.seq != first.seq

    async with store.begin() as tx:
        await tx.finish(first)
        await tx.postpone(first, timedelta())
    assert await claim(store) is None
    async with store.begin() as tx:
        await tx.finish(third)
        await tx.postpone(first, timedelta())
    await receive(store).receive(other, body(task_id="u"))

    assert (await claim(store)).target.task_id == "u"
    assert await claim(store) is None


async def test_a_target_that_is_due_without_a_notification_holds_up_no_other(store, engine):
    await add(store)
    async with engine.begin() as connection:
        await connection.execute(sa.update(PUSH_TARGETS).values(due_at=sa.func.now()))
    other = await add(store, task_id="u")
    await receive(store).receive(other, body(task_id="u"))

    assert (await claim(store)).target.task_id == "u"
    assert await claim(store) is None
