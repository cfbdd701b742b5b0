"""Counts messages by target and state: the accounts, which say where every accepted message is."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.queue.model import Account, MessageState
from services.a2a_proxy.queue.store.connection import QueueConnection
from services.a2a_proxy.queue.tables import ERASED_COUNTERS, IS_DISPATCHING, IS_STUCK, QUEUE_TARGETS, QUEUED_MESSAGES

_M = QUEUED_MESSAGES.c
_T = QUEUE_TARGETS.c


class AccountQueries(QueueConnection):
    """Reads the accounts of targets, and the counts of all targets together."""

    async def read_accounts(self, targets: Sequence[WorkspaceId] | None) -> list[Account]:
        """Return the accounts of targets, of all of them for `None`."""
        counts = sa.select(_M.target_id, _M.state, sa.func.count().label("total")).group_by(_M.target_id, _M.state)
        if targets is not None:
            counts = counts.where(_M.target_id.in_(list(targets)))
        counted = counts.subquery()
        # One statement reads both at the same moment, so it needs no lock.
        query = sa.select(QUEUE_TARGETS, counted.c.state, counted.c.total).outerjoin(
            counted, counted.c.target_id == _T.target_id
        )
        if targets is not None:
            query = query.where(_T.target_id.in_(list(targets)))
        rows: dict[str, sa.Row[Any]] = {}
        by_target: dict[str, dict[MessageState, int]] = {}
        for row in await self._connection.execute(query.order_by(_T.target_id)):
            rows[row.target_id] = row
            if row.state is not None:
                by_target.setdefault(row.target_id, {})[MessageState(row.state)] = row.total
        return [_account_from_row(row, by_target.get(id_, {})) for id_, row in rows.items()]

    async def count_held(self) -> dict[MessageState, int]:
        """Return how many messages of all targets are in each state in which they may still be delivered.

        It reads the rows of targets, and small indexes of the messages that are dispatched, dead or unknown. What a
        target holds besides them is queued.
        """
        held = sa.select(sa.func.coalesce(sa.func.sum(_T.held), 0)).scalar_subquery()
        dead, unknown = (_count_messages(IS_STUCK, _M.state == state) for state in ("dead", "unknown"))
        row = (await self._connection.execute(sa.select(held, dead, unknown, _count_messages(IS_DISPATCHING)))).one()
        all_held, *others = (int(value) for value in row)
        names = (MessageState.DEAD, MessageState.UNKNOWN, MessageState.DISPATCHING)
        return {MessageState.QUEUED: all_held - sum(others), **dict(zip(names, others, strict=True))}

    async def find_unbalanced(self) -> list[WorkspaceId]:
        """Return the targets whose accepted messages are not all in exactly one state.

        One statement sees one state of the database, so it needs no lock; it reads an index with all messages.
        """
        counts = sa.select(_M.target_id, sa.func.count().label("total")).group_by(_M.target_id).subquery()
        erased = sum(ERASED_COUNTERS.values(), start=sa.literal(0))
        query = (
            sa.select(_T.target_id)
            .select_from(sa.outerjoin(QUEUE_TARGETS, counts, counts.c.target_id == _T.target_id))
            .where(_T.accepted != sa.func.coalesce(counts.c.total, 0) + erased)
        )
        return [WorkspaceId(target) for target in await self._connection.scalars(query)]


def _count_messages(*conditions: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
    return sa.select(sa.func.count()).select_from(QUEUED_MESSAGES).where(*conditions).scalar_subquery()


def _account_from_row(row: sa.Row[Any], counts: Mapping[MessageState, int]) -> Account:
    erased = {state: getattr(row, column.name) for state, column in ERASED_COUNTERS.items()}
    return Account(
        target_id=WorkspaceId(row.target_id),
        accepted=row.accepted,
        counts={state: counts.get(state, 0) + erased.get(state, 0) for state in MessageState},
    )
