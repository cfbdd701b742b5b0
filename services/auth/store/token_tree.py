"""Stores which token minted which, and revokes a token together with everything below it."""

from collections.abc import Collection, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.model.placements import OrgMembership
from services.auth.model.tokens import Digest, TokenId
from services.auth.store.tables.org_tokens import ORG_TOKENS
from services.auth.store.tables.sessions import SESSIONS
from services.auth.store.tables.workspace_tokens import WORKSPACE_TOKENS

_LOCK = sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended("auth.token_tree", 0)))

_TABLES = (WORKSPACE_TOKENS, ORG_TOKENS)

_IDS = sa.bindparam("ids", type_=sa.ARRAY(sa.Text))

_CHILDREN = sa.union_all(*(sa.select(table.c.id, table.c.parent_token_id) for table in _TABLES)).subquery()

_BELOW = sa.select(sa.func.unnest(_IDS).label("id")).cte("below", recursive=True)

_BELOW = _BELOW.union(sa.select(_CHILDREN.c.id).join(_BELOW, _CHILDREN.c.parent_token_id == _BELOW.c.id))
"""The tokens with these ids, and all tokens below them."""


class TokenTreeStore:
    """The statements about parents of tokens, within a transaction.

    A caller that mints, rotates or revokes calls `lock` before it locks anything else. So no token can be minted below
    one that is being revoked.
    """

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def lock(self) -> None:
        """Prevent other transactions from changing the tree until this one ends."""
        await self._connection.execute(_LOCK)

    async def is_descendant(self, token_id: TokenId, *, of: TokenId) -> bool:
        """Whether a token is below another one."""
        query = sa.select(sa.select(_BELOW.c.id).where(_BELOW.c.id == token_id).exists())
        return bool(await self._connection.scalar(query, {"ids": [of]}))

    async def revoke(self, token_ids: Collection[TokenId], *, now: datetime) -> Sequence[Digest]:
        """Revoke the tokens and all below them, and delete their sessions; return the digests of all these.

        Tokens that were revoked before are left out, but not those below them.
        """
        if not token_ids:
            return []
        found = (await self._connection.execute(sa.select(_BELOW.c.id), {"ids": list(token_ids)})).scalars().all()
        statements: list[sa.Executable] = [
            sa.update(table)
            .where(table.c.id == sa.any_(_IDS), table.c.revoked_at.is_(None))
            .values(revoked_at=now)
            .returning(table.c.digest)
            for table in _TABLES
        ]
        of_tokens = SESSIONS.c.org_token_id == sa.any_(_IDS)
        statements.append(sa.delete(SESSIONS).where(of_tokens).returning(SESSIONS.c.digest))
        digests: list[Digest] = []
        for statement in statements:
            digests += (await self._connection.execute(statement, {"ids": list(found)})).scalars()
        return digests

    async def replace_parent(self, old: TokenId, new: TokenId, *, expires_at: datetime | None) -> Sequence[Digest]:
        """Move the children of a token below another, which expires then.

        Returns the digests of the tokens that expire earlier now.
        """
        for table in _TABLES:
            await self._connection.execute(
                sa.update(table).where(table.c.parent_token_id == old).values(parent_token_id=new)
            )
        if expires_at is None:
            return []
        found = (await self._connection.execute(sa.select(_BELOW.c.id), {"ids": [new]})).scalars().all()
        digests: list[Digest] = []
        for table in _TABLES:
            lives_longer = sa.or_(table.c.expires_at.is_(None), table.c.expires_at > expires_at)
            shortened = (
                sa.update(table)
                .where(table.c.id == sa.any_(_IDS), table.c.revoked_at.is_(None), lives_longer)
                .values(expires_at=expires_at)
                .returning(table.c.digest)
            )
            digests += (await self._connection.execute(shortened, {"ids": list(found)})).scalars()
        return digests

    async def list_out_of_reach(self, memberships: Collection[OrgMembership]) -> Sequence[TokenId]:
        """Return the workspace tokens that organisation tokens of another organisation than now have minted."""
        ids = sa.bindparam("ids", [one.workspace_id for one in memberships], sa.ARRAY(sa.Text))
        orgs = sa.bindparam("orgs", [one.org_id for one in memberships], sa.ARRAY(sa.Text))
        now_in = sa.func.unnest(ids, orgs).table_valued("workspace_id", "org_id", name="now_in").render_derived()
        query = (
            sa.select(WORKSPACE_TOKENS.c.id)
            .join(now_in, WORKSPACE_TOKENS.c.workspace_id == now_in.c.workspace_id)
            .join(ORG_TOKENS, WORKSPACE_TOKENS.c.parent_token_id == ORG_TOKENS.c.id)
            .where(ORG_TOKENS.c.org_id != now_in.c.org_id, WORKSPACE_TOKENS.c.revoked_at.is_(None))
        )
        return [TokenId(found) for found in (await self._connection.execute(query)).scalars()]

    async def list_of_orgs(self, org_ids: Collection[str]) -> Sequence[TokenId]:
        """Return the organisation tokens of these roots that were not revoked."""
        query = sa.select(ORG_TOKENS.c.id).where(ORG_TOKENS.c.org_id.in_(org_ids), ORG_TOKENS.c.revoked_at.is_(None))
        return [TokenId(found) for found in (await self._connection.execute(query)).scalars()]
