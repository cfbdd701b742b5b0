"""Transactions on the targets of push notifications and on the notifications that wait."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from molecule_a2a.model import Dialect
from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.push.model import BusyOwners, ClaimedNotification, NewNotification, PushTarget, WaitingLimits
from services.a2a_proxy.push.tables import PUSH_NOTIFICATIONS, PUSH_TARGETS
from services.chassis import database

NOW = sa.func.clock_timestamp()

_T = PUSH_TARGETS.c
_N = PUSH_NOTIFICATIONS.c

_OWNER = sa.func.coalesce(sa.cast(_T.owner_id, sa.Text), _T.owner_token_id, "")
"""`PushTarget.owner`."""

UNUSED_AGE = timedelta(hours=1)
"""Time after which a target without notifications makes room for others of its owner."""


class PushTransaction:
    """One transaction on the targets and their notifications."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    # Targets ─────────────────────────────────────────────────────────────────

    async def add(self, targets: Sequence[PushTarget]) -> None:
        """Store targets."""
        await self._connection.execute(sa.insert(PUSH_TARGETS).values(failures=0, seen_at=NOW), _build_rows(targets))

    async def make_room(self, target: PushTarget, *, added: int, most: int) -> bool:
        """Return whether the owner of a target may have further ones at its workspace; nobody else adds meanwhile.

        Those that were not used for `UNUSED_AGE` make room, the oldest first.
        """
        await self._lock(f"push {target.target_id} of {target.owner}")
        own = sa.and_(
            _T.target_id == target.target_id,
            _T.owner_id.is_not_distinct_from(target.owner_id),
            _T.owner_token_id.is_not_distinct_from(target.owner_token_id),
        )
        count = await self._connection.scalar(sa.select(sa.func.count()).select_from(PUSH_TARGETS).where(own)) or 0
        surplus = count + added - most
        if surplus <= 0:
            return True
        unused = sa.select(_T.digest).where(own, _T.due_at.is_(None), _T.seen_at < NOW - UNUSED_AGE)
        dropped = sa.delete(PUSH_TARGETS).where(_T.digest.in_(unused.order_by(_T.seen_at).limit(surplus)))
        return (await self._connection.execute(dropped)).rowcount >= surplus

    async def find(self, digests: Sequence[bytes]) -> dict[bytes, PushTarget]:
        """Return the targets with these digests."""
        found = await self._connection.execute(sa.select(PUSH_TARGETS).where(_T.digest.in_(list(digests))))
        return {row.digest: _target_from_row(row) for row in found}

    async def name(
        self, target_id: WorkspaceId, digests: Sequence[bytes], *, task_id: str, config_id: str | None
    ) -> None:
        """Store what an agent called the task and the config of targets; earlier ones of the same names are replaced.

        A config without a name of its own has that of its task.
        """
        await self._lock_task(target_id, task_id)
        named = {"task_id": sa.func.coalesce(_T.task_id, task_id), "config_id": config_id or _T.config_id}
        own = _T.digest.in_(list(digests))
        updated = sa.update(PUSH_TARGETS).where(own).values(named).returning(_T.task_id, _T.config_id)
        for row in (await self._connection.execute(updated)).all():
            same = _is_config(target_id, row.task_id, row.config_id or row.task_id)
            await self._connection.execute(sa.delete(PUSH_TARGETS).where(same, sa.not_(own)))

    async def delete(self, digests: Sequence[bytes]) -> None:
        """Delete targets and what waits for them."""
        await self._connection.execute(sa.delete(PUSH_TARGETS).where(_T.digest.in_(list(digests))))

    async def delete_config(self, target_id: WorkspaceId, task_id: str, config_id: str) -> None:
        """Delete the targets of a config that the agent has deleted."""
        await self._lock_task(target_id, task_id)
        await self._connection.execute(sa.delete(PUSH_TARGETS).where(_is_config(target_id, task_id, config_id)))

    async def _lock_task(self, target_id: WorkspaceId, task_id: str) -> None:
        """Have the transactions that replace configs of one task follow each other, so that they do not deadlock."""
        await self._lock(f"push {target_id} {task_id}")

    async def _lock(self, name: str) -> None:
        """Have the transactions that use one name follow each other."""
        key = sa.func.hashtextextended(name, 0)
        await self._connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key)))

    async def delete_old(self, *, age: timedelta, limit: int) -> int:
        """Delete at most `limit` targets that were last used before `age`; returns how many."""
        old = sa.select(_T.digest).where(_T.seen_at < NOW - age).limit(limit)
        return (await self._connection.execute(sa.delete(PUSH_TARGETS).where(_T.digest.in_(old)))).rowcount

    async def purge(self, workspace_id: WorkspaceId, *, limit: int) -> int:
        """Delete at most `limit` targets at a workspace, and as many of its own; returns how many."""
        total = 0
        for own in (_T.target_id == workspace_id, _T.owner_id == workspace_id):
            chosen = sa.select(_T.digest).where(own).limit(limit)
            total += (await self._connection.execute(sa.delete(PUSH_TARGETS).where(_T.digest.in_(chosen)))).rowcount
        return total

    # Notifications ───────────────────────────────────────────────────────────

    async def lock(self, digest: bytes) -> PushTarget | None:
        """Return a target, which nobody else changes until the end of the transaction."""
        query = sa.select(PUSH_TARGETS).where(_T.digest == digest).with_for_update()
        row = (await self._connection.execute(query)).first()
        return None if row is None else _target_from_row(row)

    async def has_room(self, target: PushTarget, size: int, limits: WaitingLimits) -> bool:
        """Whether a further notification may wait. Concurrent transactions may exceed a limit by their own."""
        is_own = _N.digest == target.digest
        counted = sa.select(
            sa.func.count().filter(is_own).label("own"),
            sa.func.count().label("all"),
            sa.func.coalesce(sa.func.sum(sa.func.octet_length(_N.body)), 0).label("bytes"),
        ).where(_N.target_id == target.target_id)
        row = (await self._connection.execute(counted)).one()
        is_few = row.own < limits.per_target and row.all < limits.per_workspace
        return bool(is_few and row.bytes + size <= limits.bytes_per_workspace)

    async def append(self, target: PushTarget, notification: NewNotification) -> None:
        """Store a notification for a locked target, to be sent after those that wait."""
        await self._connection.execute(
            sa.insert(PUSH_NOTIFICATIONS).values(
                digest=target.digest,
                target_id=target.target_id,
                key=notification.key,
                body=notification.body,
                reads_task=notification.reads_task,
                created_at=NOW,
            )
        )
        changed = {
            "task_id": sa.func.coalesce(_T.task_id, notification.task_id),
            "due_at": sa.func.coalesce(_T.due_at, NOW),
            "seen_at": NOW,
        }
        await self._connection.execute(sa.update(PUSH_TARGETS).where(_T.digest == target.digest).values(changed))

    async def claim(self, *, busy: BusyOwners, lease: timedelta) -> ClaimedNotification | None:
        """Lease the notification that is due first; those of `busy` owners have to wait."""
        due = sa.select(_T.digest).where(_T.due_at <= NOW)
        if busy.all:
            due = due.where(_OWNER.not_in(list(busy.all)))
        if not busy.has_room_for_failing:
            due = due.where(_T.failures == 0)
        elif busy.failing:
            due = due.where(sa.or_(_T.failures == 0, _OWNER.not_in(list(busy.failing))))
        due = due.order_by(_T.due_at).limit(1).with_for_update(skip_locked=True)
        leased = sa.update(PUSH_TARGETS).where(_T.digest.in_(due)).values(due_at=NOW + lease)
        target = (await self._connection.execute(leased.returning(*PUSH_TARGETS.columns))).first()
        if target is None:
            return None
        oldest = sa.select(*PUSH_NOTIFICATIONS.columns, (NOW - _N.created_at).label("age"))
        oldest = oldest.where(_N.digest == target.digest).order_by(_N.seq).limit(1)
        row = (await self._connection.execute(oldest)).first()
        if row is None:  # a target that is due without a notification must not hold up the others
            nothing = sa.update(PUSH_TARGETS).where(_T.digest == target.digest).values(due_at=None, failures=0)
            await self._connection.execute(nothing)
            return await self.claim(busy=busy, lease=lease)
        return ClaimedNotification(
            seq=row.seq,
            target=_target_from_row(target),
            key=row.key,
            body=row.body,
            reads_task=row.reads_task,
            failures=target.failures,
            age=row.age,
        )

    async def finish(self, claimed: ClaimedNotification) -> None:
        """Delete a notification that is sent or given up; the next one of its target is due.

        If another replica has done so after the lease, it has gone on, and nothing changes.
        """
        digest = claimed.target.digest
        if await self.lock(digest) is None:
            return
        deleted = await self._connection.execute(sa.delete(PUSH_NOTIFICATIONS).where(_N.seq == claimed.seq))
        if not deleted.rowcount:
            return
        is_waiting = sa.exists().where(_N.digest == digest)
        values = {"failures": 0, "due_at": sa.case((is_waiting, NOW), else_=None)}
        await self._connection.execute(sa.update(PUSH_TARGETS).where(_T.digest == digest).values(values))

    async def postpone(self, claimed: ClaimedNotification, delay: timedelta) -> None:
        """Count a failed attempt, and have the notification sent again after a delay, if it is still to be sent."""
        if await self.lock(claimed.target.digest) is None:
            return
        values = {"failures": claimed.failures + 1, "due_at": NOW + delay}
        own = sa.and_(_T.digest == claimed.target.digest, sa.exists().where(_N.seq == claimed.seq))
        await self._connection.execute(sa.update(PUSH_TARGETS).where(own).values(values))


class PushStore:
    """Opens transactions on the targets and their notifications."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[PushTransaction]:
        """Open a transaction; it is committed at the end of the block."""
        async with database.transaction(self._engine) as connection:
            yield PushTransaction(connection)


def _is_config(target_id: str, task_id: str | None, config_id: str | None) -> sa.ColumnElement[bool]:
    """Whether a target is of this config; one without a name has that of its task."""
    return sa.and_(
        _T.target_id == target_id, _T.task_id == task_id, sa.func.coalesce(_T.config_id, _T.task_id) == config_id
    )


def _build_rows(targets: Sequence[PushTarget]) -> list[dict[str, Any]]:
    return [
        {
            "digest": target.digest,
            "target_id": target.target_id,
            "owner_id": target.owner_id,
            "owner_token_id": target.owner_token_id,
            "task_id": target.task_id,
            "config_id": target.config_id,
            "dialect": target.dialect.value,
            "sealed": target.sealed,
        }
        for target in targets
    ]


def _target_from_row(row: Any) -> PushTarget:  # noqa: ANN401 - a row of SQLAlchemy has no type
    return PushTarget(
        digest=row.digest,
        target_id=WorkspaceId(str(row.target_id)),
        owner_id=None if row.owner_id is None else WorkspaceId(str(row.owner_id)),
        owner_token_id=row.owner_token_id,
        task_id=row.task_id,
        config_id=row.config_id,
        dialect=Dialect(row.dialect),
        sealed=row.sealed,
    )
