"""A message that ends without an answer has a row in the activity of its target, which says so."""

from contextlib import suppress
from datetime import timedelta

import pytest
import sqlalchemy as sa

from protos.a2a_proxy.v1 import queue_pb2, queue_pb2_grpc
from protos.registry.v1 import registry_pb2
from services.a2a_proxy.model import Activity
from services.a2a_proxy.queue import rules
from services.a2a_proxy.queue.model import (
    AttemptFailed,
    Change,
    Delivered,
    LeaseKind,
    MessageState,
    Result,
    StillBusy,
    Undeliverable,
)
from services.a2a_proxy.tables import ACTIVITIES
from services.chassis import clients
from tests.a2a_proxy.fake_gateway import ADMIN, CALLER, TARGET
from tests.a2a_proxy.queue.queue_factory import new_id, new_message
from tests.a2a_proxy.queue.queue_steps import accept, change, claim, execute, set_columns, settle
from tests.a2a_proxy.queue.test_store import LONG_AGO
from tests.a2a_proxy.test_reports import reporting_to
from tests.waiting import eventually

BROKEN = AttemptFailed("failed to reach workspace agent", may_have_arrived=True)
REFUSED = AttemptFailed("failed to reach workspace agent", may_have_arrived=False)

NOT_DELIVERED = "Queued message not delivered"


class RolledBack(Exception):
    """Ends a transaction without a commit."""


class Announced:
    """The rows that a store has announced, and the last usage of their workspaces."""

    def __init__(self, store) -> None:
        self.rows: list[Activity] = []
        self.usage: dict[str, int] = {}
        store.add_announcer(self._announce)

    def _announce(self, rows, usage) -> None:
        self.rows += rows
        self.usage |= usage

    def tell(self) -> list[tuple[str | None, str | None]]:
        return [(row.summary, row.error_detail) for row in self.rows]


@pytest.fixture
def announced(store):
    return Announced(store)


async def send(store, result, **fields):
    """Have a message accepted and one attempt made, and return it as it was leased."""
    await accept(store, new_message(new_id(), **fields))
    [target] = await list_targets(store)
    [leased] = await claim(store, target)
    await settle(store, leased, result)
    return leased


async def list_targets(store):
    async with store.begin() as tx:
        return await tx.list_waiting_targets()


@pytest.mark.covers("BEY-01")
async def test_each_end_without_an_answer_is_one_row_that_is_stored_and_announced(store, announced):
    caller, targets = new_id(), [new_id() for _ in range(6)]
    broken, dead, refused, lost, late, stale = (new_message(target, caller_id=caller) for target in targets)
    await accept(store, broken, dead, refused, lost, late, stale)
    await set_columns(store, [dead.id], failures=rules.MAX_FAILURES - 1)
    results = {broken.id: BROKEN, dead.id: REFUSED, refused.id: Undeliverable("access denied")}
    for message in (broken, dead, refused):
        [leased] = await claim(store, message.target_id)
        await settle(store, leased, results[message.id])
    [leased] = await claim(store, lost.target_id, lease=timedelta())
    await change(
        store, leased.id, lambda message, now: rules.expire_lease(message, repeatable=False, now=now, jitter=0)
    )
    await set_columns(store, [late.id], expires_at=LONG_AGO, last_error="workspace is paused")
    await change(store, late.id, rules.expire)
    await change(store, stale.id, rules.drop, "dropped: older than 60 minutes")

    may_have = "the agent may have received it"
    assert announced.tell() == [
        ("Queued message perhaps delivered: unknown", f"failed to reach workspace agent; {may_have}"),
        (f"{NOT_DELIVERED}: dead", "5 attempts failed, the last one: failed to reach workspace agent"),
        (f"{NOT_DELIVERED}: dead", "access denied"),
        ("Queued message perhaps delivered: unknown", f"{rules.LEASE_LOST}; {may_have}"),
        (f"{NOT_DELIVERED}: expired", "its time was over before it was delivered"),
        (f"{NOT_DELIVERED}: dropped", "dropped: older than 60 minutes"),
    ]
    stored = await execute(store, sa.select(ACTIVITIES).order_by(ACTIVITIES.c.seq))
    assert [row.id for row in stored] == [row.id for row in announced.rows]
    assert [row.workspace_id for row in stored] == [row.target_id for row in stored] == targets == list(announced.usage)
    assert {(row.activity_type, row.status, row.source_id, row.method) for row in stored} == {
        ("a2a_receive", "error", caller, "message/send")
    }
    assert {(row.request_body, row.response_body, row.duration_ms) for row in stored} == {(None, None, None)}


async def test_what_did_not_end_or_was_answered_has_no_such_row(store, announced):
    await accept(store, *(new_message(new_id()) for _ in range(3)))
    for target, result in zip(
        await list_targets(store), [StillBusy(), REFUSED, Delivered(None, Result.OK)], strict=True
    ):
        [leased] = await claim(store, target)
        await settle(store, leased, result)

    assert announced.rows == []


async def test_a_message_that_is_not_logged_has_no_row(store, announced):
    await send(store, BROKEN, is_logged=False)

    assert announced.rows == []


async def test_an_end_that_takes_no_effect_has_no_row(store, announced):
    leased = await send(store, BROKEN)
    assert len(announced.rows) == 1

    assert await settle(store, leased, BROKEN) == []
    with suppress(RolledBack):
        async with store.begin() as tx:
            message = await tx.lock_message(leased.id)
            await tx.apply([Change(message, rules.drop(message, "", now=await tx.now()))])
            raise RolledBack

    assert len(announced.rows) == 1
    assert len(await execute(store, sa.select(ACTIVITIES.c.id))) == 1


async def test_a_message_that_ends_again_after_it_was_requeued_has_a_row_for_each_end(store, announced):
    leased = await send(store, BROKEN)
    await change(store, leased.id, rules.requeue)
    [again] = await claim(store, leased.target_id)
    await settle(store, again, BROKEN)
    await change(store, leased.id, rules.drop, "not needed any more")

    assert [row.summary for row in announced.rows] == [
        "Queued message perhaps delivered: unknown",
        "Queued message perhaps delivered: unknown",
        f"{NOT_DELIVERED}: dropped",
    ]


async def test_the_reason_with_which_an_agent_gave_a_message_back_is_not_repeated(store, announced):
    message = new_message(new_id())
    await accept(store, message)
    await set_columns(store, [message.id], failures=rules.MAX_FAILURES - 1)
    [leased] = await claim(store, message.target_id, kind=LeaseKind.INBOX)

    await change(
        store, leased.id, lambda held, now: rules.give_back(held, delay=timedelta(), error="dropped by root", now=now)
    )

    assert announced.tell() == [(f"{NOT_DELIVERED}: dead", "5 attempts failed, the last one: given back by the agent")]


async def test_many_ends_in_one_transaction_cost_one_statement(store, engine, announced):
    target = new_id()
    await accept(store, *(new_message(target) for _ in range(20)))
    statements = []

    def note(_connection, _cursor, statement, _parameters, _context, _many):
        statements.append(statement)

    sa.event.listen(engine.sync_engine, "before_cursor_execute", note)
    async with store.begin() as tx:
        found = await tx.lock_messages(targets=[target], states={MessageState.QUEUED}, limit=20)
        now = await tx.now()
        await tx.apply([Change(message, rules.drop(message, "gone", now=now)) for message in found])
    sa.event.remove(engine.sync_engine, "before_cursor_execute", note)

    assert len(announced.rows) == 20
    assert len([statement for statement in statements if "INSERT INTO a2a_proxy.activities" in statement]) == 1
    assert len([statement for statement in statements if "advisory" in statement]) == 1


async def test_a_purge_leaves_no_rows(store, announced):
    message = new_message(new_id())
    await accept(store, message)

    async with store.begin() as tx:
        assert await tx.purge(message.target_id, limit=10) == 1

    assert announced.rows == []


@pytest.mark.covers("ACT-04", "BEY-01")
async def test_people_who_watch_a_workspace_see_that_an_operator_dropped_its_message(proxy):
    async with (
        reporting_to(proxy) as reporter,
        clients.open_channel(proxy.address, caller_service="gateway") as channel,
    ):
        proxy.registry.set_workspace(TARGET, status=registry_pb2.WORKSPACE_STATUS_PAUSED)
        [message] = await accept(proxy.queue, new_message(TARGET, caller_id=CALLER))
        request = queue_pb2.DropMessageRequest(id=message.id, note="asked twice")
        await channel.call(queue_pb2_grpc.QueueServiceStub(channel.channel).DropMessage, request, on_behalf_of=ADMIN)

        [logged] = await eventually(lambda: reporter.events_of("ACTIVITY_LOGGED"))
        assert (logged["activity_type"], logged["status"], logged["source_id"]) == ("a2a_receive", "error", CALLER)
        assert logged["summary"] == f"{NOT_DELIVERED}: dropped"
        [row] = await reporter.rows(1)
        assert row.error_detail == "asked twice"
