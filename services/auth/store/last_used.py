"""Stores when tokens of workspaces and organisations were last used."""

from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.model.tokens import TokenId
from services.auth.store.tables.org_tokens import ORG_TOKENS
from services.auth.store.tables.workspace_tokens import WORKSPACE_TOKENS


class LastUsedStore:
    """The statement about uses of tokens, within a transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def save(self, used: Mapping[TokenId, datetime]) -> None:
        """Save the times of uses. A token whose row is locked is skipped; its next use is saved instead."""
        ids = sa.bindparam("ids", list(used.keys()), sa.ARRAY(sa.Text))
        times = sa.bindparam("times", list(used.values()), sa.ARRAY(sa.TIMESTAMP(timezone=True)))
        uses = sa.func.unnest(ids, times).table_valued("id", "at", name="uses").render_derived()
        for table in (WORKSPACE_TOKENS, ORG_TOKENS):
            unlocked = sa.select(table.c.id).where(table.c.id == sa.any_(ids)).order_by(table.c.id)
            lockable = unlocked.with_for_update(skip_locked=True, key_share=True)
            await self._connection.execute(
                sa.update(table)
                .where(table.c.id == uses.c.id, table.c.id.in_(lockable))
                .values(last_used_at=sa.func.greatest(table.c.last_used_at, uses.c.at))
            )
