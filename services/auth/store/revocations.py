"""Stores revocations in the order in which their transactions commit."""

from collections.abc import Collection, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.model.revocations import Revocation, RevocationTarget
from services.auth.store.tables.revocations import REVOCATIONS, columns_of_target, target_from_row

REVOCATIONS_CHANNEL = "auth_revocations"
"""PostgreSQL notifies this channel when a revocation is committed."""

INITIAL_REVISION = 1
"""The revision of the feed before the first revocation."""


class RevocationStore:
    """The statements about revocations, within a transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def publish(self, targets: Collection[RevocationTarget], *, now: datetime) -> None:
        """Append revocations to the feed. This must be the last statement of a transaction.

        From here to the commit an advisory lock admits one transaction at a time. So revisions are committed in
        order, and a reader that has read one has read all before it.
        """
        if not targets:
            return
        lock = sa.func.pg_advisory_xact_lock(sa.func.hashtextextended("auth.revocations", 0))
        await self._connection.execute(sa.select(lock))
        await self._connection.execute(
            sa.insert(REVOCATIONS), [columns_of_target(target) | {"revoked_at": now} for target in targets]
        )
        await self._connection.execute(sa.select(sa.func.pg_notify(REVOCATIONS_CHANNEL, "")))

    async def find_horizon(self) -> int:
        """Return the revision after which no revocation was pruned."""
        oldest = sa.select(sa.func.min(REVOCATIONS.c.revision) - 1).scalar_subquery()
        horizon: int = (
            await self._connection.execute(sa.select(sa.func.coalesce(oldest, INITIAL_REVISION)))
        ).scalar_one()
        return horizon

    async def list_after(self, revision: int, *, limit: int) -> Sequence[Revocation]:
        """Return the next revocations after a revision, in order."""
        rows = await self._connection.execute(
            sa.select(REVOCATIONS)
            .where(REVOCATIONS.c.revision > revision)
            .order_by(REVOCATIONS.c.revision)
            .limit(limit)
        )
        return [Revocation(row.revision, target_from_row(row)) for row in rows]

    async def prune(self, *, keep: int) -> int:
        """Delete all but the newest; return how many were deleted."""
        newest = sa.select(REVOCATIONS.c.revision).order_by(REVOCATIONS.c.revision.desc()).offset(keep).limit(1)
        old = sa.delete(REVOCATIONS).where(REVOCATIONS.c.revision <= newest.scalar_subquery())
        return (await self._connection.execute(old)).rowcount
