"""The totals of the queue that operators watch: counts by state, and accounts that do not balance."""

from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
import sqlalchemy as sa

from protos.a2a_proxy.v1 import queue_pb2 as pb
from protos.a2a_proxy.v1 import queue_pb2_grpc as rpc
from services.a2a_proxy.app import service
from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.queue.model import MessageState, NewMessage, QueueLimits, WaitReason
from services.a2a_proxy.queue.monitor import QueueMonitor
from services.a2a_proxy.queue.store.transaction import QueueStore
from services.a2a_proxy.queue.tables import QUEUE_TARGETS, QUEUED_MESSAGES
from services.chassis import clients
from services.chassis.errors import PermissionDenied
from tests import databases
from tests.waiting import eventually

LIMITS = QueueLimits(max_per_target=100, max_per_caller=100, max_bytes_per_target=1_000_000)

STATES = [
    MessageState.QUEUED,
    MessageState.QUEUED,
    MessageState.DISPATCHING,
    MessageState.COMPLETED,
    MessageState.DEAD,
    MessageState.DEAD,
    MessageState.UNKNOWN,
]


@pytest.fixture
async def engine(database_url):
    async with databases.open_empty_database(database_url, service) as engine:
        yield engine


@pytest.fixture
def monitor(engine):
    return QueueMonitor(QueueStore(engine))


async def accept(engine, target, states):
    """Accept one message for each state, and put it into that state."""
    messages = [
        NewMessage(
            id=str(uuid4()),
            target_id=target,
            caller_id=None,
            identity=None,
            digest=b"d",
            method="message/send",
            headers={},
            body=b"{}",
            reason=WaitReason.BUSY,
        )
        for _ in states
    ]
    async with QueueStore(engine).begin() as tx:
        await tx.accept(messages, LIMITS)
    async with engine.begin() as connection:
        for message, state in zip(messages, states, strict=True):
            update = sa.update(QUEUED_MESSAGES).where(QUEUED_MESSAGES.c.id == message.id)
            await connection.execute(update.values(state=state.value))
        ended = sum(state is MessageState.COMPLETED for state in states)
        update = sa.update(QUEUE_TARGETS).where(QUEUE_TARGETS.c.target_id == target)
        await connection.execute(update.values(held=QUEUE_TARGETS.c.held - ended))


async def change_account(engine, target, **values):
    async with engine.begin() as connection:
        await connection.execute(sa.update(QUEUE_TARGETS).where(QUEUE_TARGETS.c.target_id == target).values(values))


def new_target():
    return WorkspaceId(str(uuid4()))


@pytest.mark.covers("DOC-05")
async def test_messages_of_all_targets_are_counted_by_state(engine, monitor):
    await accept(engine, new_target(), STATES)
    await accept(engine, new_target(), [MessageState.DEAD, MessageState.QUEUED])
    await accept(engine, new_target(), [MessageState.COMPLETED])

    totals = await monitor.read_totals()

    assert totals.held == {
        MessageState.QUEUED: 3,
        MessageState.DISPATCHING: 1,
        MessageState.DEAD: 3,
        MessageState.UNKNOWN: 1,
    }
    assert totals.unbalanced is None


async def test_an_empty_queue_has_a_zero_for_each_state(monitor):
    assert set((await monitor.read_totals()).held.values()) == {0}


@pytest.mark.covers("DOC-05")
async def test_the_counts_read_index_ranges_and_no_messages_that_have_ended(engine):
    """A plan without a sequential scan of the messages, however large their table is."""
    await accept(engine, new_target(), STATES)
    plans = []

    @sa.event.listens_for(engine.sync_engine, "before_cursor_execute", retval=True)
    def explain(_connection, _cursor, statement, parameters, _context, _many):
        if "held" in statement:
            plans.append((statement, parameters))
        return statement, parameters

    async with QueueStore(engine).begin() as tx:
        await tx.count_held()
    [(statement, parameters)] = plans
    async with engine.begin() as connection:
        await connection.execute(sa.text("SET LOCAL enable_seqscan = off"))
        raw = (await connection.get_raw_connection()).driver_connection
        plan = "\n".join(row[0] for row in await raw.fetch(f"EXPLAIN {statement}", *parameters))

    assert "Seq Scan on queued_messages" not in plan
    assert "queued_messages_stuck" in plan
    assert "queued_messages_leases" in plan


@pytest.mark.covers("DOC-05")
async def test_a_lost_message_and_a_message_too_many_are_found(engine, monitor):
    balanced, lost, extra = new_target(), new_target(), new_target()
    for target in (balanced, lost, extra):
        await accept(engine, target, STATES)
    await change_account(engine, balanced, accepted=9, erased_dropped=1, erased_completed=1)
    await monitor.check_accounts()
    assert (await monitor.read_totals()).unbalanced == 0
    await change_account(engine, lost, accepted=8)
    await change_account(engine, extra, erased_expired=1)

    await monitor.check_accounts()

    assert (await monitor.read_totals()).unbalanced == 2
    async with QueueStore(engine).begin() as tx:
        assert set(await tx.find_unbalanced()) == {lost, extra}


@asynccontextmanager
async def open_stub(proxy, caller):
    async with clients.open_channel(proxy.address, caller_service=caller) as channel:
        yield channel, rpc.QueueServiceStub(channel.channel)


@pytest.mark.covers("DOC-05")
async def test_a_proxy_checks_its_accounts_when_it_starts_and_tells_the_gateway(proxy):
    async with open_stub(proxy, "gateway") as (channel, stub):

        async def was_checked():
            reply = await channel.call(stub.CountQueuedMessages, pb.CountQueuedMessagesRequest())
            return reply if reply.HasField("unbalanced_accounts") else None

        reply = await eventually(was_checked)

    assert reply.unbalanced_accounts == 0
    assert {counted.state: counted.count for counted in reply.counts} == {
        pb.QUEUE_STATE_QUEUED: 0,
        pb.QUEUE_STATE_DISPATCHING: 0,
        pb.QUEUE_STATE_DEAD: 0,
        pb.QUEUE_STATE_UNKNOWN: 0,
    }


async def test_only_the_gateway_may_count(proxy):
    async with open_stub(proxy, "registry") as (channel, stub):
        with pytest.raises(PermissionDenied):
            await channel.call(stub.CountQueuedMessages, pb.CountQueuedMessagesRequest())
