"""Reading the messages of some targets among many: what is returned, and that nothing else is read on the way."""

import random
from contextlib import suppress
from itertools import product

import pytest
import sqlalchemy as sa

from services.a2a_proxy.queue import rules
from services.a2a_proxy.queue.model import AttemptFailed, Change, MessageState, WaitReason
from services.a2a_proxy.queue.store.messages import MAX_RANGES
from services.a2a_proxy.queue.tables import QUEUED_MESSAGES
from tests.a2a_proxy.queue.queue_factory import new_id, new_message
from tests.a2a_proxy.queue.queue_steps import accept, claim, set_columns, settle
from tests.a2a_proxy.queue.test_store import LONG_AGO

QUEUED = frozenset({MessageState.QUEUED})
DROPPED = frozenset({MessageState.DROPPED})
STUCK = frozenset({MessageState.DEAD, MessageState.UNKNOWN})


async def drop(store, ids):
    async with store.begin() as tx:
        found = await tx.lock_each(ids)
        now = await tx.now()
        await tx.apply([Change(message, rules.drop(message, "", now=now)) for message in found])


@pytest.fixture
async def stored(store):
    """Thirty messages of three targets in four states, the newest first."""
    targets = [new_id() for _ in range(3)]
    accepted = [new_message(target) for target in random.Random(1).choices(targets, k=30)]  # noqa: S311 - no secret
    await accept(store, *accepted)
    await drop(store, [message.id for message in accepted[::3]])
    broken, _ = await claim(store, targets[0], limit=2)
    await settle(store, broken, AttemptFailed("broke", may_have_arrived=True))
    async with store.begin() as tx:
        found = await tx.list_messages(targets=None, states=[], before=None, limit=100)
    assert len({message.state for message in found}) == 4
    return found


async def test_pages_have_the_newest_messages_of_the_targets_in_the_states(store, stored):
    """Few targets are read range by range, many with a filter; both find the same."""
    known = sorted({message.target_id for message in stored})
    many = [*known, *(new_id() for _ in range(MAX_RANGES))]
    async with store.begin() as tx:
        for targets, states in product([[], known[:1], known[:2], many], [frozenset(), QUEUED, DROPPED | STUCK, STUCK]):
            pages = []
            while page := await tx.list_messages(
                targets=targets, states=sorted(states), before=pages[-1].seq if pages else None, limit=5
            ):
                pages += page
            wanted = [m for m in stored if m.target_id in targets and (not states or m.state in states)]
            assert pages == wanted, (len(targets), states)


async def test_messages_in_some_states_are_locked_up_to_a_limit(store, stored):
    known = sorted({message.target_id for message in stored})
    states = QUEUED | STUCK
    async with store.begin() as tx:
        for targets in ([], known[:1], known[:2], None):
            wanted = {m.id for m in stored if (targets is None or m.target_id in targets) and m.state in states}
            found = await tx.lock_messages(targets=targets, states=states, limit=100)
            first = await tx.lock_messages(targets=targets, states=states, limit=2)
            assert {message.id for message in found} == wanted
            assert len(first) == min(len(wanted), 2)
            assert all(message.body == b"" for message in found)


async def test_only_messages_from_before_a_time_are_locked(store, stored):
    old = next(message for message in stored if message.state is MessageState.QUEUED)
    await set_columns(store, [old.id], accepted_at=LONG_AGO)

    async with store.begin() as tx:
        now = await tx.now()
        own = await tx.lock_messages(targets=[old.target_id], states=QUEUED, accepted_before=now, limit=100)
        found = await tx.lock_messages(states=QUEUED, accepted_before=old.accepted_at, limit=100)

    assert len(own) > 1
    assert [message.id for message in found] == [old.id]


async def test_a_message_that_another_transaction_holds_is_left_out_and_the_next_one_is_locked(store, stored):
    first, second = [m for m in reversed(stored) if m.target_id == stored[0].target_id and m.state in QUEUED][:2]
    held = sa.select(QUEUED_MESSAGES.c.id).where(QUEUED_MESSAGES.c.id == first.id).with_for_update()
    async with store.begin() as holder:
        await holder.connection.execute(held)
        async with store.begin() as tx:
            (free,) = await tx.lock_messages(targets=[first.target_id], states=QUEUED, limit=1)

    assert free.id == second.id


class Rollback(Exception):
    """Undoes what a transaction did."""


async def explain(store, engine, call):
    """Return the plan of the statement on messages that `call` executes in a transaction."""
    seen = []

    def note(_connection, _cursor, statement, parameters, _context, _many):
        if "queued_messages" in statement:
            seen.append((statement, parameters))

    sa.event.listen(engine.sync_engine, "before_cursor_execute", note)
    with suppress(Rollback):
        async with store.begin() as tx:
            await call(tx)
            raise Rollback
    sa.event.remove(engine.sync_engine, "before_cursor_execute", note)
    [(statement, parameters)] = seen
    async with engine.begin() as connection:
        raw = (await connection.get_raw_connection()).driver_connection
        return "\n".join(row[0] for row in await raw.fetch(f"EXPLAIN ANALYZE {statement}", *parameters))


async def fill(engine, id_, count, **values):
    """Store copies of a message with other values."""
    names = [column.name for column in QUEUED_MESSAGES.c if column.name not in {"id", "seq", "identity"}]
    columns = [sa.literal(values[name]).label(name) if name in values else QUEUED_MESSAGES.c[name] for name in names]
    copies = sa.select(sa.func.gen_random_uuid(), *columns).select_from(
        QUEUED_MESSAGES.join(sa.func.generate_series(1, count).table_valued("number"), sa.true())
    )
    statement = sa.insert(QUEUED_MESSAGES).from_select(["id", *names], copies.where(QUEUED_MESSAGES.c.id == id_))
    async with engine.begin() as connection:
        await connection.execute(statement)


async def test_what_waits_for_a_target_is_read_without_the_messages_of_others(store, engine):
    """Ended messages of others lie before and after those of the target. Nothing is read that a filter removes."""
    target, other = new_id(), new_id()
    waiting, ended = new_message(target), new_message(other)
    await accept(store, waiting, ended)
    await drop(store, [ended.id])
    for message in (ended, waiting, ended):
        await fill(engine, message.id, 1000)
    async with engine.begin() as connection:
        await connection.execute(sa.text("ANALYZE a2a_proxy.queued_messages"))
    reads = {
        "a page": lambda tx: tx.list_messages(targets=[target], states=[], before=None, limit=5),
        "a page of a state": lambda tx: tx.list_messages(targets=[target], states=list(QUEUED), before=None, limit=5),
        "a page of stuck ones": lambda tx: tx.list_messages(targets=None, states=list(STUCK), before=None, limit=5),
        "a lock": lambda tx: tx.lock_messages(targets=[target], states=QUEUED, limit=5),
        "a note": lambda tx: tx.note_waiting(target, WaitReason.WAKING, "x", limit=5),
        "a lock of all": lambda tx: tx.lock_messages(states=QUEUED, limit=5),
    }

    for name, read in reads.items():
        plan = await explain(store, engine, read)
        assert "queued_messages" in plan
        assert "Rows Removed by Filter" not in plan, f"{name}:\n{plan}"
